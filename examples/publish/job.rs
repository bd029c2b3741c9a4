//! A publication, as it was ordered.

use std::error::Error;

use serde::{Deserialize, Serialize};
use step_machine_examples::cli::{Kept, Work, shown};

use crate::cli::{Kind, Order};
use crate::engine::Engine;
use crate::place::Place;
use crate::source::Source;

/// One publication.
pub(crate) struct Job {
    pub(crate) place: Place,
    pub(crate) what: What,
    pub(crate) kept: Kept,
    pub(crate) fail_at: Option<String>,
}

/// What is published, as the journal has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct What {
    pub(crate) build_type: String,
    pub(crate) app: String,
    pub(crate) number: u32,
    pub(crate) source: Source,
    pub(crate) engine: Engine,
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
    /// Takes the order, with a number of its own where it is to run; or that of the run that goes on.
    pub(crate) fn new<K: Kind>(order: &Order<K>) -> Result<Self, Box<dyn Error>> {
        let Order { source, flow, fail_at, crash_at, .. } = order;
        // First of all: an order that makes no sense leaves nothing.
        let source = source.source()?;
        let place = Place::at(&flow.place.dir)?;
        if !place.is_ours()? {
            return Err(Usage::NotOurs { dir: shown(place.root()).to_string() }.into());
        }
        let again = |arguments: &str| flow.place.command_line(&format!("{} {arguments}", K::COMMAND));
        let work = Work { workflow: K::WORKFLOW, folder: place.root(), again: &again };
        let kept = if flow.plan.is_some() { Kept::nothing() } else { flow.keep.keep(&work, crash_at.as_ref())? };
        let what = match kept.input()? {
            Some(what) => what,
            None => What::new(order, source, &place)?,
        };
        Ok(Self { place, what, kept, fail_at: fail_at.clone() })
    }
}

impl What {
    fn new<K: Kind>(order: &Order<K>, source: Source, place: &Place) -> Result<Self, Box<dyn Error>> {
        let flow = &order.flow;
        if flow.docker && !Engine::docker_answers() {
            return Err(Usage::NoEngine.into());
        }
        let engine = if flow.docker { Engine::Docker } else { Engine::Process };
        let number = if flow.plan.is_some() { 0 } else { place.next_number()? };
        Ok(Self { build_type: K::WORKFLOW.to_owned(), app: flow.app.clone(), number, source, engine })
    }

    pub(crate) fn publication(&self) -> String {
        format!("{}-{}", self.app, self.number)
    }

    pub(crate) fn is_container(&self) -> bool {
        self.build_type != "static"
    }
}
