//! Publishing a Node.js application: a Dockerfile is written for it, and the rest is the flow of containers.

use std::fs;

use minijinja::value::Serde;
use serde::{Deserialize, Serialize};
use step_machine::StepContext;
use step_machine::runner::HandlerFor;
use step_machine_examples::tally::tally;

use crate::docker::{DockerPublisher, note};
use crate::error::{Doing, PublishError};
use crate::job::What;
use crate::place::Place;
use crate::source::{Puller, Source};
use crate::steps::{DockerStep, PublishNodejsStepHandler, SourceStep};

const TEMPLATE: &str = include_str!("embedded/Dockerfile.j2");

/// Publishes one Node.js application.
pub(crate) struct NodejsPublisher {
    pub(crate) source: Puller,
    pub(crate) container: DockerPublisher,
}

/// As much of a package.json as a Dockerfile needs.
#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    scripts: Scripts,
}

#[derive(Deserialize)]
struct Scripts {
    start: String,
}

#[derive(Serialize)]
struct Variables<'a> {
    name: &'a str,
    version: &'a str,
    command: Vec<&'a str>,
}

impl NodejsPublisher {
    pub(crate) fn new(place: &Place, what: &What) -> Self {
        let source = Puller::new(place, &what.publication(), what);
        // The build context is what was pulled, with the Dockerfile that is written into it.
        let context = What { source: Source::Folder { folder: source.target.clone() }, ..what.clone() };
        Self { container: DockerPublisher::new(place, &context), source }
    }

    fn write(&self, cx: &mut StepContext) -> Result<(), PublishError> {
        let text = fs::read_to_string(self.source.target.join("package.json"));
        let text = text.map_err(|source| PublishError::Missing { file: "package.json", source })?;
        let package: Package = serde_json::from_str(&text).map_err(PublishError::Package)?;
        cx.progress(0.4);
        let dockerfile = package.dockerfile().map_err(PublishError::Template)?;
        cx.progress(0.8);
        fs::write(self.source.target.join("Dockerfile"), dockerfile).doing("write the Dockerfile")?;
        cx.metadata("package", format!("{}@{}", package.name, package.version));
        cx.message(format!("for {} {}", package.name, package.version));
        Ok(())
    }
}

impl Package {
    fn dockerfile(&self) -> Result<String, minijinja::Error> {
        let command = self.scripts.start.split_whitespace().collect();
        let variables = Variables { name: &self.name, version: &self.version, command };
        minijinja::Environment::new().render_str(TEMPLATE, Serde(variables))
    }
}

impl PublishNodejsStepHandler for NodejsPublisher {
    type Error = PublishError;

    fn pull_source(&self) -> impl HandlerFor<SourceStep> {
        &self.source
    }

    async fn write_dockerfile(&self, cx: &mut StepContext) -> Result<(), PublishError> {
        tally(cx);
        let written = self.write(cx);
        note(written, cx)
    }

    fn run_container(&self) -> impl HandlerFor<DockerStep> {
        &self.container
    }
}
