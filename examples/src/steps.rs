//! The workflows of the examples. The commands that run them are `provision`, `configure`, `deploy` and `compose`.

mod compose;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use step_machine::Workflow;

pub use compose::{
    Before, Commit, ComposeStep, ComposeStepHandler, Deployed, Running, Service as ComposeService, Stack, Started,
    Worktree, compose_step,
};

/// Bring up one instance.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(name = "provision", on_failure = "rollback")]
pub enum ProvisionStep {
    /// Write the configuration of OpenTofu and the user data of the instance.
    #[step(name = "Render OpenTofu templates")]
    RenderOpenTofuTemplates,
    /// Prepare the working folder of OpenTofu.
    #[step(name = "OpenTofu init")]
    OpenTofuInit,
    /// Check the configuration before anything is touched.
    #[step(name = "OpenTofu validate")]
    OpenTofuValidate,
    /// Work out what has to be created.
    #[step(name = "OpenTofu plan")]
    OpenTofuPlan,
    /// Create the instance.
    #[step(name = "OpenTofu apply", undo, weight = 5)]
    OpenTofuApply,
    /// Ask OpenTofu where the instance is.
    #[step(name = "Get instance info", output = InstanceInfo)]
    GetInstanceInfo,
    /// Write the inventory and the variables for the configuration of the instance.
    #[step(name = "Render Ansible templates", needs(GetInstanceInfo))]
    RenderAnsibleTemplates,
    /// Connect to the instance until it answers.
    #[step(
        name = "Wait for SSH connectivity",
        needs(GetInstanceInfo),
        retry(attempts = 5, delay = "100ms", max_delay = "400ms"),
        weight = 3
    )]
    WaitSshConnectivity,
    /// Wait until the instance has finished its first boot.
    #[step(name = "Wait for cloud-init", needs(GetInstanceInfo), skippable, weight = 2)]
    CloudInitWait,
}

/// Install and set up what the instance is for.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(name = "configure")]
pub enum ConfigureStep {
    /// Install the container engine.
    #[step(name = "Install Docker", weight = 3)]
    InstallDocker,
    /// Install the tool that starts groups of containers.
    #[step(name = "Install Docker Compose", weight = 2)]
    InstallDockerCompose,
    /// Let the instance install security updates by itself.
    #[step(critical = false)]
    ConfigureSecurityUpdates,
    /// Open the ports that are needed, and no others.
    ConfigureFirewall,
}

/// Put a version of an application in the place of the one that runs.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(name = "deploy", on_failure = "rollback")]
pub enum DeployStep {
    /// Check that the version is released, and that there are the tools and the room for it.
    ValidateEnvironment,
    /// Pack what is deployed, to be able to come back to it.
    #[step(skippable, output = Backup, weight = 2)]
    BackupCurrentVersion,
    /// Fetch the archive of the release and compare its checksum.
    #[step(undo, output = Archive, retry(attempts = 3, delay = "200ms"), timeout = "1m", weight = 4)]
    Download,
    /// Unpack the release beside the others.
    #[step(undo, output = Release, needs(Download), weight = 2)]
    Extract,
    /// Write the configuration from the template that the release brings along.
    #[step(needs(Extract))]
    Configure,
    /// Take from others what is for the owner alone.
    ///
    /// Not critical: the service runs as the owner and works without it. What stays open is a matter for a person, who
    /// is told; `--strict` makes it one for the exit code.
    #[step(needs(Extract), critical = false)]
    SetPermissions,
    /// Stop the old version, and start the new one in its place.
    #[step(undo, output = Service, needs(Extract), timeout = "15s", weight = 5)]
    StartService,
    /// Ask the new version whether it is well.
    #[step(
        needs(StartService),
        retry(attempts = 5, delay = "250ms", max_delay = "2s", jitter = false),
        timeout = "2s",
        weight = 5
    )]
    HealthCheck,
}

/// What can be come back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The folder that was packed.
    pub folder: PathBuf,
    /// Where it was packed to.
    pub archive: PathBuf,
}

/// A downloaded release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// Where it is.
    pub file: PathBuf,
    /// Its checksum, SHA-256.
    pub checksum: String,
}

/// An unpacked release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Where it is.
    pub folder: PathBuf,
}

/// A running version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The folder that it runs from.
    pub folder: PathBuf,
    /// Where it answers.
    pub address: std::net::SocketAddr,
}

/// Where an instance is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceInfo {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: std::net::IpAddr,
    /// The port on which it answers.
    pub port: u16,
}

impl InstanceInfo {
    /// The address and the port in one.
    pub fn address(&self) -> std::net::SocketAddr {
        (self.ip, self.port).into()
    }
}
