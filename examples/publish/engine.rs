//! What containers run on: a Docker engine, or folders and processes of this program.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use step_machine::StepContext;
use step_machine::process::Command;
use step_machine_examples::disk::remove;
use step_machine_examples::launch;

use crate::error::{Doing, PublishError};
use crate::image;
use crate::place::Place;
use crate::steps::{Container, Image};

/// The port that an application listens on in its container.
const PORT: u16 = 8080;

/// What containers run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Engine {
    /// No engine: an image is a folder, a container a copy of it and a process.
    Process,
    Docker,
}

impl Engine {
    /// Whether a Docker engine answers.
    pub(crate) fn docker_answers() -> bool {
        let mut docker = std::process::Command::new("docker");
        docker.arg("version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        docker.status().is_ok_and(|status| status.success())
    }

    pub(crate) async fn build(
        self,
        place: &Place,
        context: &Path,
        name: &str,
        cx: &mut StepContext,
    ) -> Result<Image, PublishError> {
        let digest = match self {
            Self::Process => {
                let folder = place.image(name);
                fs::create_dir_all(&folder).doing("make a folder for the image")?;
                image::build(context, &folder, cx).await?
            }
            Self::Docker => {
                docker("build", &["--tag", name, &context.display().to_string()], cx).await?;
                docker("inspect", &["--format", "{{.Id}}", name], cx).await?.trim().to_owned()
            }
        };
        Ok(Image { name: name.to_owned(), digest })
    }

    pub(crate) async fn create(
        self,
        place: &Place,
        image: &Image,
        name: &str,
        cx: &mut StepContext,
    ) -> Result<Container, PublishError> {
        match self {
            Self::Process => {
                let folder = place.container(name);
                fs::create_dir_all(place.container("")).doing("make a folder for containers")?;
                image::create(&place.image(&image.name), &folder, cx).await.doing("copy the files of the image")?;
            }
            Self::Docker => {
                let port = format!("127.0.0.1::{PORT}");
                docker("create", &["--name", name, "--publish", &port, &image.name], cx).await?;
            }
        }
        Ok(Container { name: name.to_owned(), image: image.clone(), engine: self })
    }

    pub(crate) async fn remove_image(
        self,
        place: &Place,
        name: &str,
        cx: &mut StepContext,
    ) -> Result<(), PublishError> {
        match self {
            Self::Process => remove(&place.image(name)).doing("remove the image"),
            Self::Docker => docker("image", &["rm", "--force", name], cx).await.map(drop),
        }
    }

    pub(crate) async fn remove(self, place: &Place, name: &str, cx: &mut StepContext) -> Result<(), PublishError> {
        match self {
            Self::Process => Self::end_process(place, name).doing("remove the container"),
            Self::Docker => docker("rm", &["--force", "--volumes", name], cx).await.map(drop),
        }
    }

    /// Ends the process of the container and removes its files.
    fn end_process(place: &Place, name: &str) -> io::Result<()> {
        let folder = place.container(name);
        if folder.is_dir() {
            launch::end(&image::listening(&folder))?;
        }
        remove(&folder)
    }
}

impl Container {
    /// Starts it; the port of this machine that it answers on.
    pub(crate) async fn start(&self, place: &Place, cx: &mut StepContext) -> Result<u16, PublishError> {
        match self.engine {
            Engine::Process => {
                let folder = place.container(&self.name);
                let started = launch::start("container", &folder, &image::listening(&folder), None).await;
                started.map_err(|source| PublishError::Start { what: self.name.clone(), source })
            }
            Engine::Docker => {
                docker("start", &[&self.name], cx).await?;
                let address = docker("port", &[&self.name, &format!("{PORT}/tcp")], cx).await?;
                let port = address.trim().rsplit(':').next().and_then(|port| port.parse().ok());
                port.ok_or_else(|| PublishError::NoPort { container: self.name.clone() })
            }
        }
    }

    /// Ends it outside of any run.
    pub(crate) fn end(&self, place: &Place) -> io::Result<()> {
        match self.engine {
            Engine::Process => Engine::end_process(place, &self.name),
            Engine::Docker => {
                let mut docker = std::process::Command::new("docker");
                docker.args(["rm", "--force", "--volumes", &self.name]).stdout(Stdio::null());
                let status = docker.status()?;
                if status.success() { Ok(()) } else { Err(io::Error::other(format!("`docker rm`: {status}"))) }
            }
        }
    }
}

async fn docker(verb: &'static str, arguments: &[&str], cx: &mut StepContext) -> Result<String, PublishError> {
    let mut command = Command::new("docker");
    command.arg(verb).args(arguments);
    let failed = |source| PublishError::Engine { verb, source };
    let output = cx.command(command).await.map_err(|error| PublishError::of_command("docker", error, failed))?;
    Ok(output.stdout().end().to_owned())
}
