//! The workflows of the platform. Their weights are chosen so that a run passes through the percentages that its users
//! know: the comment of each step says which one its end is.

use serde::{Deserialize, Serialize};
use step_machine::Workflow;

use crate::engine::Engine;

/// Bring what is to be published to the platform. Runs inside of the others.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(name = "source", on_failure = "rollback")]
pub(crate) enum SourceStep {
    /// Look for the source, and see how much it is.
    #[step(name = "Find source", weight = 40)]
    Find,
    /// Make an empty folder for it.
    #[step(name = "Make room", undo, weight = 20)]
    MakeRoom,
    /// Bring it here.
    #[step(weight = 40)]
    Transfer,
}

/// Publish an application as a container.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(name = "docker", on_failure = "rollback")]
pub(crate) enum DockerStep {
    /// Bring the build context here.
    #[step(name = "Get build context", workflow = SourceStep, weight = 20)] // 20 %
    GetContext,
    /// Build the image, layer by layer.
    #[step(output = Image, undo, weight = 30)] // 50 %
    BuildImage,
    /// Create the container, with a copy of the files of the image.
    #[step(name = "Copy files", needs(BuildImage), output = Container, undo, weight = 25)] // 75 %
    CopyFiles,
    /// Start the container, and lead the requests for the application to it.
    #[step(needs(CopyFiles), undo, weight = 15)] // 90 %
    UpdateRoutes,
    /// Ask the application by the way that everybody asks it.
    #[step(needs(CopyFiles), retry(attempts = 3, delay = "100ms", jitter = false), timeout = "5s", weight = 8)]
    // 98 %
    HealthCheck,
    /// Remove what the new container replaces.
    #[step(critical = false, weight = 2)] // 100 %
    Activate,
}

/// Publish a Node.js application, in a container.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(name = "nodejs", on_failure = "rollback")]
pub(crate) enum PublishNodejsStep {
    /// Bring the application here.
    #[step(workflow = SourceStep, weight = 15)] // 15 %
    PullSource,
    /// Write the Dockerfile, as the package asks for it.
    #[step(name = "Write Dockerfile", weight = 10)] // 25 %
    WriteDockerfile,
    /// Publish the container.
    #[step(workflow = DockerStep, weight = 75)] // 100 %
    RunContainer,
}

/// Publish files as they are.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(name = "static", on_failure = "rollback")]
pub(crate) enum PublishStaticStep {
    /// Bring the files here.
    #[step(workflow = SourceStep, weight = 25)] // 25 %
    PullSource,
    /// See that there is a page to begin with.
    #[step(weight = 5)] // 30 %
    CheckFiles,
    /// Copy the files to a release of their own.
    #[step(output = Release, undo, weight = 30)] // 60 %
    CopyFiles,
    /// Make the release the current one.
    #[step(needs(CopyFiles), undo, weight = 20)] // 80 %
    CreateSymlinks,
    /// Lead the requests for the application to the current release.
    #[step(needs(CopyFiles), undo, weight = 10)] // 90 %
    UpdateRoutes,
    /// Ask for the first page by the way that everybody asks for it.
    #[step(retry(attempts = 3, delay = "100ms", jitter = false), timeout = "5s", weight = 8)] // 98 %
    HealthCheck,
    /// Remove what the release replaces.
    #[step(critical = false, weight = 2)] // 100 %
    Activate,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Image {
    /// Its name with its tag.
    pub(crate) name: String,
    /// The digest of its content.
    pub(crate) digest: String,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Container {
    /// Its name.
    pub(crate) name: String,
    /// The image that it was made of.
    pub(crate) image: Image,
    /// What it runs on.
    pub(crate) engine: Engine,
}

/// A release of a static application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Release {
    /// The name of its folder.
    pub(crate) name: String,
    /// The release that was the current one before.
    pub(crate) previous: Option<String>,
}
