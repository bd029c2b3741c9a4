//! Publishing a container.

use std::io;
use std::path::Path;

use step_machine::StepContext;
use step_machine::runner::HandlerFor;
use step_machine_examples::disk::remove;
use step_machine_examples::tally::tally;

use crate::engine::Engine;
use crate::error::{Doing, PublishError};
use crate::health;
use crate::job::What;
use crate::place::Place;
use crate::routes::{self, Target};
use crate::source::Puller;
use crate::steps::{Container, DockerStepHandler, Image, SourceStep};

/// Publishes one application as a container.
pub(crate) struct DockerPublisher {
    place: Place,
    app: String,
    publication: String,
    engine: Engine,
    pub(crate) context: Puller,
}

impl DockerPublisher {
    pub(crate) fn new(place: &Place, what: &What) -> Self {
        let publication = what.publication();
        let context = Puller::new(place, &format!("{publication}-context"), what);
        Self { place: place.clone(), app: what.app.clone(), publication, engine: what.engine, context }
    }

    /// The name of the image, which carries the number of the publication.
    fn image(&self) -> String {
        match self.publication.rsplit_once('-') {
            Some((app, number)) => format!("{app}:{number}"),
            None => self.publication.clone(),
        }
    }

    /// Says what the step works on, and where it fails why.
    fn noted<T>(&self, result: Result<T, PublishError>, cx: &mut StepContext) -> Result<T, PublishError> {
        cx.metadata("container", &self.publication);
        cx.metadata("image", self.image());
        cx.metadata("health_url", health::url(&self.place, &self.app));
        note(result, cx)
    }

    async fn route(&self, container: &Container, cx: &mut StepContext) -> Result<(), PublishError> {
        let port = container.start(&self.place, cx).await?;
        cx.progress(0.6);
        let target = Target::Container { container: container.clone(), port };
        routes::switch(&self.place, &self.app, &self.publication, target).await.map_err(PublishError::Routes)?;
        cx.message(format!("/{} leads to port {port}", self.app));
        Ok(())
    }
}

/// Leaves the error with what machines are told.
pub(crate) fn note<T>(result: Result<T, PublishError>, cx: &mut StepContext) -> Result<T, PublishError> {
    if let Err(error) = &result {
        cx.metadata("error", error.to_string());
    }
    result
}

impl DockerStepHandler for DockerPublisher {
    type Error = PublishError;

    fn get_context(&self) -> impl HandlerFor<SourceStep> {
        &self.context
    }

    async fn build_image(&self, cx: &mut StepContext) -> Result<Image, PublishError> {
        tally(cx);
        let built = self.engine.build(&self.place, &self.context.target, &self.image(), cx).await;
        let image = self.noted(built, cx)?;
        cx.message(format!("{} {:.19}", image.name, image.digest));
        Ok(image)
    }

    async fn undo_build_image(&self, cx: &mut StepContext, _: Option<&Image>) -> Result<(), PublishError> {
        self.engine.remove_image(&self.place, &self.image(), cx).await?;
        cx.message(format!("image {} is removed", self.image()));
        Ok(())
    }

    async fn copy_files(&self, cx: &mut StepContext, image: &Image) -> Result<Container, PublishError> {
        tally(cx);
        // What an attempt whose process died has created, or half created.
        if cx.interrupted() {
            self.engine.remove(&self.place, &self.publication, cx).await?;
        }
        let created = self.engine.create(&self.place, image, &self.publication, cx).await;
        let container = self.noted(created, cx)?;
        cx.message(format!("container {}", container.name));
        Ok(container)
    }

    async fn undo_copy_files(&self, cx: &mut StepContext, _: Option<&Container>) -> Result<(), PublishError> {
        self.engine.remove(&self.place, &self.publication, cx).await?;
        cx.message(format!("container {} is removed", self.publication));
        Ok(())
    }

    async fn update_routes(&self, cx: &mut StepContext, container: &Container) -> Result<(), PublishError> {
        tally(cx);
        let routed = self.route(container, cx).await;
        self.noted(routed, cx)
    }

    async fn undo_update_routes(&self, cx: &mut StepContext) -> Result<(), PublishError> {
        undo_routes(&self.place, &self.app, &self.publication, cx)
    }

    async fn health_check(&self, cx: &mut StepContext, _: &Container) -> Result<(), PublishError> {
        tally(cx);
        let healthy = health::check(&self.place, &self.app, cx).await;
        self.noted(healthy, cx)
    }

    async fn activate(&self, cx: &mut StepContext) -> Result<(), PublishError> {
        tally(cx);
        retire(&self.place, &self.app, cx).await
    }
}

/// Leads the requests to where they were led before.
pub(crate) fn undo_routes(
    place: &Place,
    app: &str,
    publication: &str,
    cx: &mut StepContext,
) -> Result<(), PublishError> {
    let before = routes::restore(place, app, publication).map_err(PublishError::Routes)?;
    cx.message(if before { "the previous version answers again" } else { "the route is removed" });
    Ok(())
}

/// Removes what the publication has replaced.
pub(crate) async fn retire(place: &Place, app: &str, cx: &mut StepContext) -> Result<(), PublishError> {
    // Forgotten when they are gone, so that a process that dies on the way leaves nothing that nobody knows of.
    for previous in routes::replaced(place, app).map_err(PublishError::Routes)? {
        cx.progress(0.3);
        match previous.target {
            Target::Container { container, .. } => {
                container.engine.remove(place, &container.name, cx).await?;
                container.engine.remove_image(place, &container.image.name, cx).await?;
            }
            Target::Files { folder, release } => remove_release(&folder, &release).doing("remove a release")?,
        }
        cx.message(format!("{} is retired", previous.publication));
    }
    routes::settle(place, app).map_err(PublishError::Routes)
}

/// Removes a release, and the link `current` where it still leads there.
fn remove_release(current: &Path, release: &str) -> io::Result<()> {
    remove(&current.with_file_name(release))?;
    if current.exists() { Ok(()) } else { remove(current) }
}
