//! The workflow of `compose`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use step_machine::Workflow;

/// Put the services of a commit in the place of those that run.
///
/// The weights are percentages, so that each phase ends where its users expect it: at 5, 10, 15, 20, 25, 40, 60, 80, 90,
/// 95 and 100 %.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(name = "compose", on_failure = "rollback")]
pub enum ComposeStep {
    /// Take the project's lock, and note what runs now.
    #[step(output = Before, weight = 5)]
    Initializing,
    /// Fetch the repository into the mirror.
    #[step(retry(attempts = 3, delay = "200ms"), timeout = "1m", weight = 5)]
    Fetching,
    /// Find the commit that is meant.
    #[step(output = Commit, weight = 5)]
    Resolving,
    /// Check the commit out, into a worktree of its own.
    #[step(needs(Resolving), output = Worktree, undo, weight = 5)]
    Worktree,
    /// Read `compose.json`, and see that there is nothing wrong with it.
    #[step(needs(Worktree), output = Stack, weight = 5)]
    Validating,
    /// Download what is missing of the images, layer by layer.
    #[step(needs(Validating), retry(attempts = 3, delay = "200ms"), timeout = "5m", weight = 15)]
    Pulling,
    /// Start the services beside those that run, each after those that it depends on.
    #[step(needs(Validating), output = Started, undo, timeout = "30s", weight = 20)]
    Starting,
    /// Ask each service until it is well.
    #[step(
        name = "Health check",
        needs(Starting),
        retry(attempts = 6, delay = "100ms", max_delay = "1s", jitter = false),
        timeout = "10s",
        weight = 20
    )]
    HealthCheck,
    /// Lead the requests to the new version, and ask until it answers.
    #[step(
        needs(Starting),
        undo,
        retry(attempts = 5, delay = "100ms", max_delay = "500ms", jitter = false),
        timeout = "10s",
        weight = 10
    )]
    Traefik,
    /// Stop the version before, and remove what nobody needs any more.
    ///
    /// Not critical: the new version answers already. The version before can be left as it is.
    #[step(critical = false, skippable, weight = 5)]
    Cleanup,
    /// Write down what is deployed.
    #[step(needs(Resolving, Worktree, Validating), undo, weight = 5)]
    Complete,
}

/// What there was before a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// What was deployed.
    pub deployed: Option<Deployed>,
    /// The file by which the requests were led to it.
    pub route: Option<String>,
}

/// What is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// The project.
    pub project: String,
    /// The deployment.
    pub deployment: String,
    /// The run that deployed it.
    pub run: String,
    /// What was asked for.
    pub reference: String,
    /// What that was.
    pub commit: String,
    /// Where it is checked out.
    pub worktree: PathBuf,
    /// Its services, each after those that it depends on.
    pub services: Vec<Service>,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its id.
    pub commit: String,
}

/// Where a commit is checked out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worktree {
    /// The folder.
    pub folder: PathBuf,
}

/// What a compose file asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// The services, each after those that it depends on.
    pub services: Vec<Service>,
}

/// A service of a compose file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The image that it runs.
    pub image: String,
    /// What it runs of it.
    pub command: Vec<String>,
    /// Its port in the network of the project.
    pub port: u16,
    /// The services that it asks.
    pub depends_on: Vec<String>,
    /// The path that is asked whether it is well.
    pub health: String,
    /// How long it takes to get well, in milliseconds.
    pub warm_up_ms: u64,
    /// Whether requests from outside are led to it.
    pub is_routed: bool,
}

/// The services that run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// In the order in which they were started.
    pub services: Vec<Running>,
    /// Where the requests from outside are to be led.
    pub entry: SocketAddr,
}

/// A service that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// Where it answers.
    pub address: SocketAddr,
    /// The path that is asked whether it is well.
    pub health: String,
}
