//! `--fail-at STEP`: breaks what a step works with, so that it fails by itself.
//!
//! The publishers know nothing of it. The saboteur watches the run as any observer does, and acts when the step starts.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;
use step_machine::Observer;
use step_machine::event::{Event, RunStart, StepStart};
use step_machine_examples::cli::complain;
use step_machine_examples::damage::{append, edit_json};

use crate::engine::Engine;
use crate::image;
use crate::job::Job;
use crate::place::beside;

pub(crate) struct Saboteur {
    /// The step, after those that the workflows are nested in.
    path: String,
    job: Job,
    /// The run that the others are nested in.
    run: Option<String>,
    /// What is in the way of something, and is not to stay there.
    in_the_way: Option<PathBuf>,
}

impl Saboteur {
    pub(crate) fn new(path: &str, job: &Job) -> Self {
        Self { path: path.to_owned(), job: job.clone(), run: None, in_the_way: None }
    }

    /// Where `step` of the run `run` is, as `--fail-at` names it.
    fn path(&self, run: &str, step: &str) -> Option<String> {
        let nested = run.strip_prefix(self.run.as_deref()?)?;
        // The id of a nested run names its step and its workflow in turn.
        let steps = nested.split('/').skip(1).step_by(2).chain([step]);
        Some(steps.collect::<Vec<_>>().join("/"))
    }

    fn break_it(&mut self) -> io::Result<()> {
        let (place, publication) = (self.job.place.clone(), self.job.publication());
        let step = self.path.rsplit('/').next().unwrap_or_default();
        let is_container = self.job.is_container;
        let source = if self.path.contains("get-context/") || (is_container && step == "build-image") {
            place.source(&format!("{publication}-context"))
        } else {
            place.source(&publication)
        };
        let release = place.releases(&self.job.app).join(&publication);
        match step {
            // A source that is not there.
            "find" => edit_json(&source.with_extension("json"), |order| {
                for key in ["branch", "file", "key", "name", "folder"] {
                    order.get_mut(key).into_iter().for_each(|value| *value = json!("gone"));
                }
            }),
            // A file in the place of a folder.
            "make-room" => fs::write(source, ""),
            "transfer" => fs::remove_dir(&source).and_then(|()| fs::write(source, "")),
            "copy-files" if self.job.engine == Engine::Docker && is_container => docker("rmi", &self.image()),
            "copy-files" if is_container => {
                fs::create_dir_all(place.container(""))?;
                fs::write(place.container(&publication), "")
            }
            "copy-files" => {
                fs::create_dir_all(place.releases(&self.job.app))?;
                fs::write(release, "")
            }
            // A page that is missing.
            "check-files" => fs::remove_file(source.join("index.html")),
            // A brace that nobody opened.
            "write-dockerfile" => append(&source.join("package.json"), "}"),
            // A word that nobody knows.
            "build-image" => append(&source.join("Dockerfile"), "\nCOOK slowly\n"),
            // Something else where the new link or the new table is to be made ready.
            "create-symlinks" => self.block(beside(&place.releases(&self.job.app).join("current"))),
            "update-routes" | "activate" => self.block(beside(&place.routes())),
            // An application that lost its files, or does not run.
            "health-check" if self.job.engine == Engine::Docker && is_container => docker("stop", &publication),
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
        format!("{}:{}", self.job.app, self.job.number)
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
        let path = self.path(&event.run.to_string(), start.step.id());
        // Once: a step that is tried again finds the damage as it was.
        if path.as_ref() == Some(&self.path)
            && start.attempt == 1
            && let Err(error) = self.break_it()
        {
            complain(&format!("--fail-at has no effect: {error}"));
        }
    }
}
