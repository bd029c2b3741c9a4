//! `--fail-at STEP`: breaks what a step works with, so that it fails by itself.
//!
//! The publishers know nothing of it. The saboteur watches the run as any observer does, and acts when the step starts.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use step_machine::Observer;
use step_machine::event::{Event, RunStart, StepStart};
use step_machine_examples::cli::{complain, step_path};
use step_machine_examples::damage::append;
use step_machine_examples::disk::{beside, write_json};

use crate::engine::Engine;
use crate::image;
use crate::job::{Job, What};
use crate::place::Place;
use crate::source::Source;

pub(crate) struct Saboteur {
    /// The step, after those that the workflows are nested in.
    path: String,
    place: Place,
    what: What,
    /// The run that the others are nested in.
    run: Option<String>,
    /// What is in the way of something, and is not to stay there.
    in_the_way: Option<PathBuf>,
}

impl Saboteur {
    pub(crate) fn new(path: &str, job: &Job) -> Self {
        let (place, what) = (job.place.clone(), job.what.clone());
        Self { path: path.to_owned(), place, what, run: None, in_the_way: None }
    }

    fn break_it(&mut self) -> io::Result<()> {
        let (place, publication) = (self.place.clone(), self.what.publication());
        let step = self.path.rsplit('/').next().unwrap_or_default();
        let is_container = self.what.is_container();
        let source = if self.path.contains("get-context/") || (is_container && step == "build-image") {
            place.source(&format!("{publication}-context"))
        } else {
            place.source(&publication)
        };
        let release = place.releases(&self.what.app).join(&publication);
        match step {
            // A source that is not there.
            "find" => {
                fs::create_dir_all(place.source(""))?;
                write_json(&source.with_extension("json"), &Source::Embedded { name: "gone".to_owned() })
            }
            // A file in the place of a folder.
            "make-room" => fs::write(source, ""),
            "transfer" => fs::remove_dir(&source).and_then(|()| fs::write(source, "")),
            "copy-files" if self.what.engine == Engine::Docker && is_container => docker("rmi", &self.image()),
            "copy-files" if is_container => {
                fs::create_dir_all(place.container(""))?;
                fs::write(place.container(&publication), "")
            }
            "copy-files" => {
                fs::create_dir_all(place.releases(&self.what.app))?;
                fs::write(release, "")
            }
            // A page that is missing.
            "check-files" => fs::remove_file(source.join("index.html")),
            // A brace that nobody opened.
            "write-dockerfile" => append(&source.join("package.json"), "}"),
            // A word that nobody knows.
            "build-image" => append(&source.join("Dockerfile"), "\nCOOK slowly\n"),
            // Something else where the new link or the new table is to be made ready.
            "create-symlinks" => self.block(beside(&place.releases(&self.what.app).join("current"))),
            "update-routes" | "activate" => self.block(beside(&place.routes())),
            // An application that lost its files, or does not run.
            "health-check" if self.what.engine == Engine::Docker && is_container => docker("stop", &publication),
            "health-check" if is_container => fs::remove_dir_all(image::root(&place.container(&publication))),
            "health-check" => fs::remove_file(release.join("index.html")),
            other => Err(io::Error::other(format!("nobody knows how to break `{other}`"))),
        }
    }

    fn block(&mut self, path: PathBuf) -> io::Result<()> {
        fs::create_dir(&path)?;
        self.in_the_way = Some(path);
        Ok(())
    }

    fn image(&self) -> String {
        format!("{}:{}", self.what.app, self.what.number)
    }
}

fn docker(verb: &str, what: &str) -> io::Result<()> {
    Command::new("docker").args([verb, what]).stdout(Stdio::null()).status().map(drop)
}

impl Drop for Saboteur {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.in_the_way.take().map(fs::remove_dir) {
            complain(&format!("--fail-at leaves something in the way: {error}"));
        }
    }
}

impl Observer for Saboteur {
    fn run_start(&mut self, event: &Event, _: &RunStart) {
        self.run.get_or_insert_with(|| event.run.to_string());
    }

    fn step_start(&mut self, event: &Event, start: &StepStart) {
        let path = self.run.as_deref().and_then(|run| step_path(run, &event.run.to_string(), start.step.id()));
        // Once: a step that is tried again finds the damage as it was.
        if path.as_ref() == Some(&self.path)
            && start.attempt == 1
            && let Err(error) = self.break_it()
        {
            complain(&format!("--fail-at has no effect: {error}"));
        }
    }
}
