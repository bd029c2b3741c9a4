//! A publication, as it was ordered.

use std::error::Error;

use step_machine_examples::cli::shown;

use crate::cli::{Kind, Order};
use crate::engine::Engine;
use crate::place::Place;
use crate::source::Source;

/// One publication.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) place: Place,
    pub(crate) app: String,
    pub(crate) number: u32,
    pub(crate) source: Source,
    pub(crate) engine: Engine,
    pub(crate) is_container: bool,
    pub(crate) fail_at: Option<String>,
}

/// Why an order makes no sense.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Usage {
    #[error("{dir} holds something else; name a new folder with --dir")]
    NotOurs { dir: String },
    #[error("--{option} goes with --source {kind}")]
    OtherSource { option: &'static str, kind: &'static str },
    #[error("no Docker engine answers; without --docker folders and processes take its place")]
    NoEngine,
}

impl Job {
    /// Takes the order, with a number of its own where it is to run.
    pub(crate) fn new<K: Kind>(order: &Order<K>, is_container: bool) -> Result<Self, Box<dyn Error>> {
        let Order { source, flow, fail_at, .. } = order;
        let (source, place) = (source.source()?, Place::at(&flow.place.dir)?);
        if !place.is_ours()? {
            return Err(Usage::NotOurs { dir: shown(place.root()).to_string() }.into());
        }
        if flow.docker && !Engine::docker_answers() {
            return Err(Usage::NoEngine.into());
        }
        Ok(Self {
            number: if flow.plan.is_some() { 0 } else { place.next_number()? },
            place,
            app: flow.app.clone(),
            source,
            engine: if flow.docker { Engine::Docker } else { Engine::Process },
            is_container,
            fail_at: fail_at.clone(),
        })
    }

    pub(crate) fn publication(&self) -> String {
        format!("{}-{}", self.app, self.number)
    }
}
