//! The two workflows of the deployer. The commands that run them are the examples `provision` and `configure`.

use serde::{Deserialize, Serialize};
use step_machine::Workflow;

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
