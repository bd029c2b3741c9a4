//! The environment: what one command leaves for the next, with its state in its type.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use step_machine::FailureContext;
use step_machine::observe::{Callbacks, callbacks};

use crate::cli::complain;
use crate::site::{self, Site};
use crate::steps::{InstanceInfo, ProvisionStep};

/// An environment in the state `S`, as saved in `environment.json` of its site.
#[derive(Debug, Clone)]
pub struct Environment<S> {
    name: String,
    state: S,
}

/// Its instance is being brought up.
#[derive(Debug, Clone)]
pub struct Provisioning;

/// Its instance is up.
#[derive(Debug, Clone)]
pub struct Provisioned {
    instance: InstanceInfo,
}

/// Its instance could not be brought up.
#[derive(Debug, Clone)]
pub struct ProvisionFailed {
    failure: FailureContext<ProvisionStep>,
}

/// Why there is no environment in the state that is asked for.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// Nothing was provisioned.
    #[error("there is no environment in {}: run `provision` first", .dir.display())]
    Missing {
        /// The folder of the site.
        dir: PathBuf,
    },
    /// The provisioning is under way, or its process was killed.
    #[error(
        "the environment `{name}` is still being provisioned, or its provisioning was killed: go on with `provision --resume`"
    )]
    Unfinished {
        /// The name of the environment.
        name: String,
    },
    /// The provisioning failed.
    #[error("the environment `{name}` could not be provisioned: {failure}; run `provision` again")]
    Failed {
        /// The name of the environment.
        name: String,
        /// What is known of the failure.
        failure: Box<FailureContext<ProvisionStep>>,
    },
    /// The file cannot be read or written.
    #[error("{}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason, or that of the parser.
        source: io::Error,
    },
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    #[serde(flatten)]
    state: StoredState,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum StoredState {
    Provisioning,
    Provisioned { instance: InstanceInfo },
    ProvisionFailed { failure: Box<FailureContext<ProvisionStep>> },
}

impl Environment<Provisioning> {
    /// An environment that is about to get its instance.
    pub fn new(name: impl Into<String>, site: &Site) -> Result<Self, EnvironmentError> {
        Self { name: name.into(), state: Provisioning }.saved(site, StoredState::Provisioning)
    }

    /// The environment of `site`, whose provisioning is to go on: it failed, was cancelled, or its process died. What is
    /// saved stays as it is until then; see [`goes_on`](Self::goes_on).
    pub fn resumed(site: &Site) -> Result<Self, EnvironmentError> {
        let Stored { name, .. } = read(site)?;
        Ok(Self { name, state: Provisioning })
    }

    /// Saves that the provisioning is under way again, with the first event: the run may be refused before that, and then
    /// the environment is as another run has left it.
    pub fn goes_on(&self, site: &Site) -> Callbacks {
        let (name, site, mut is_saved) = (self.name.clone(), site.clone(), false);
        callbacks().on_any(move |_| {
            if !std::mem::replace(&mut is_saved, true)
                && let Err(error) = Self::new(name.clone(), &site)
            {
                complain(&format!("cannot save that the provisioning goes on: {error}"));
            }
        })
    }

    /// The instance is up.
    pub fn provisioned(
        self,
        instance: InstanceInfo,
        site: &Site,
    ) -> Result<Environment<Provisioned>, EnvironmentError> {
        let stored = StoredState::Provisioned { instance: instance.clone() };
        Environment { name: self.name, state: Provisioned { instance } }.saved(site, stored)
    }

    /// The instance could not be brought up.
    pub fn failed(
        self,
        failure: FailureContext<ProvisionStep>,
        site: &Site,
    ) -> Result<Environment<ProvisionFailed>, EnvironmentError> {
        let stored = StoredState::ProvisionFailed { failure: Box::new(failure.clone()) };
        Environment { name: self.name, state: ProvisionFailed { failure } }.saved(site, stored)
    }
}

impl Environment<Provisioned> {
    /// The environment of `site`, which must have its instance.
    pub fn load(site: &Site) -> Result<Self, EnvironmentError> {
        let Stored { name, state } = read(site)?;
        match state {
            StoredState::Provisioned { instance } => Ok(Self { name, state: Provisioned { instance } }),
            StoredState::Provisioning => Err(EnvironmentError::Unfinished { name }),
            StoredState::ProvisionFailed { failure } => Err(EnvironmentError::Failed { name, failure }),
        }
    }

    /// Where the instance is.
    pub fn instance(&self) -> &InstanceInfo {
        &self.state.instance
    }
}

impl Environment<ProvisionFailed> {
    /// What is known of the failure.
    pub fn failure(&self) -> &FailureContext<ProvisionStep> {
        &self.state.failure
    }
}

impl<S> Environment<S> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn saved(self, site: &Site, state: StoredState) -> Result<Self, EnvironmentError> {
        let path = site.environment();
        let stored = Stored { name: self.name.clone(), state };
        let written = serde_json::to_string_pretty(&stored)
            .map_err(io::Error::from)
            .and_then(|text| site::write_whole(&path, &(text + "\n")));
        match written {
            Ok(()) => Ok(self),
            Err(source) => Err(EnvironmentError::File { path, source }),
        }
    }
}

fn read(site: &Site) -> Result<Stored, EnvironmentError> {
    let path = site.environment();
    let text = fs::read_to_string(&path).and_then(|text| serde_json::from_str(&text).map_err(io::Error::from));
    text.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => EnvironmentError::Missing { dir: site.root().to_owned() },
        _ => EnvironmentError::File { path, source },
    })
}
