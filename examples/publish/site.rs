//! Publishing files as they are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use step_machine::StepContext;
use step_machine::runner::HandlerFor;
use step_machine_examples::disk::{beside, remove};
use step_machine_examples::tally::tally;

use crate::docker::{note, retire, undo_routes};
use crate::error::{Doing, PublishError};
use crate::files;
use crate::health;
use crate::job::What;
use crate::place::Place;
use crate::routes::{self, Target};
use crate::source::Puller;
use crate::steps::{PublishStaticStepHandler, Release, SourceStep, publish_static_step};

/// Publishes the files of one application.
pub(crate) struct StaticPublisher {
    place: Place,
    app: String,
    publication: String,
    pub(crate) source: Puller,
}

impl StaticPublisher {
    pub(crate) fn new(place: &Place, what: &What) -> Self {
        let publication = what.publication();
        let source = Puller::new(place, &publication, what);
        Self { place: place.clone(), app: what.app.clone(), publication, source }
    }

    fn release(&self) -> PathBuf {
        self.place.releases(&self.app).join(&self.publication)
    }

    /// The link to the release that is served.
    fn current(&self) -> PathBuf {
        self.place.releases(&self.app).join("current")
    }

    async fn copy(&self, cx: &mut StepContext) -> io::Result<Release> {
        fs::create_dir_all(self.place.releases(&self.app))?;
        let previous = fs::read_link(self.current()).ok().map(|release| release.display().to_string());
        files::copy(&self.source.target, &self.release(), 0.0, 1.0, cx).await?;
        Ok(Release { name: self.publication.clone(), previous })
    }

    /// Leads `current` to another release, in one go.
    fn link(&self, release: &str) -> io::Result<()> {
        let (current, new) = (self.current(), beside(&self.current()));
        // One that was left by a process that was killed.
        let _ = fs::remove_file(&new);
        symlink(Path::new(release), &new)?;
        fs::rename(new, current)
    }
}

#[cfg(unix)]
fn symlink(folder: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(folder, link)
}

#[cfg(windows)]
fn symlink(folder: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(folder, link)
}

impl PublishStaticStepHandler for StaticPublisher {
    type Error = PublishError;

    fn pull_source(&self) -> impl HandlerFor<SourceStep> {
        &self.source
    }

    async fn check_files(&self, cx: &mut StepContext) -> Result<(), PublishError> {
        tally(cx);
        let page = fs::metadata(self.source.target.join("index.html"));
        note(page.map(drop).map_err(|source| PublishError::Missing { file: "index.html", source }), cx)
    }

    async fn copy_files(&self, cx: &mut StepContext) -> Result<Release, PublishError> {
        tally(cx);
        cx.metadata("release", &self.publication);
        let copied = self.copy(cx).await.doing("copy the files to their release");
        let release = note(copied, cx)?;
        cx.message(format!("release {}", release.name));
        Ok(release)
    }

    async fn undo_copy_files(&self, cx: &mut StepContext, _: Option<&Release>) -> Result<(), PublishError> {
        remove(&self.release()).doing("remove the release")?;
        cx.message(format!("release {} is removed", self.publication));
        Ok(())
    }

    async fn create_symlinks(&self, cx: &mut StepContext, release: &Release) -> Result<(), PublishError> {
        tally(cx);
        cx.metadata("release", &release.name);
        note(self.link(&release.name).doing("link the release"), cx)?;
        cx.message(format!("current is {}", release.name));
        Ok(())
    }

    async fn undo_create_symlinks(&self, cx: &mut StepContext) -> Result<(), PublishError> {
        let release = cx.output(publish_static_step::CopyFiles).map_err(io::Error::other).doing("read the release")?;
        match release.and_then(|release| release.previous) {
            Some(previous) => {
                self.link(&previous).doing("link the previous release")?;
                cx.message(format!("current is {previous} again"));
            }
            None => {
                remove(&self.current()).doing("remove the link")?;
                cx.message("the link is removed");
            }
        }
        Ok(())
    }

    async fn update_routes(&self, cx: &mut StepContext, release: &Release) -> Result<(), PublishError> {
        tally(cx);
        let target = Target::Files { folder: self.current(), release: release.name.clone() };
        let switched = routes::switch(&self.place, &self.app, &self.publication, target).await;
        cx.metadata("health_url", health::url(&self.place, &self.app));
        note(switched.map_err(PublishError::Routes), cx)?;
        cx.message(format!("/{} leads to {}", self.app, release.name));
        Ok(())
    }

    async fn undo_update_routes(&self, cx: &mut StepContext) -> Result<(), PublishError> {
        undo_routes(&self.place, &self.app, &self.publication, cx)
    }

    async fn health_check(&self, cx: &mut StepContext) -> Result<(), PublishError> {
        tally(cx);
        cx.metadata("release", &self.publication);
        let healthy = health::check(&self.place, &self.app, cx).await;
        note(healthy, cx)
    }

    async fn activate(&self, cx: &mut StepContext) -> Result<(), PublishError> {
        tally(cx);
        retire(&self.place, &self.app, cx).await
    }
}
