//! step-machine itself: the runner and the typed machine.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use step_machine::StepContext;

use crate::{Case, Contender, Runs, work};

type Done = Result<(), Infallible>;

/// The handler of every workflow here.
struct Nothing;

include!(concat!(env!("OUT_DIR"), "/workflows.rs"));

pub(crate) fn runner() -> Contender {
    Contender {
        name: "runner",
        timed: "the whole run, with timing, status and events; the report is dropped; no journal, no observers",
        prepare: |case| match case {
            Case::Chain(10) => Ok(runs(|| Chain10::run(&Nothing).into_future())),
            Case::Chain(100) => Ok(runs(|| Chain100::run(&Nothing).into_future())),
            Case::Chain(1000) => Ok(runs(|| Chain1000::run(&Nothing).into_future())),
            Case::Chain(_) => Err("no such enum"),
            Case::Roots(_) => Ok(runs(|| Roots100::run(&Nothing).into_future())),
        },
    }
}

pub(crate) fn runner_of_tasks() -> Contender {
    Contender {
        name: "runner, Arc",
        timed: "as `runner`, with a handler behind an Arc: each parallel step is a task of the runtime",
        prepare: |case| match case {
            Case::Chain(_) => Err("as `runner`: a chain needs no tasks"),
            Case::Roots(_) => Ok(runs(|| Roots100::run(Arc::new(Nothing)).into_future())),
        },
    }
}

pub(crate) fn typed() -> Contender {
    Contender {
        name: "typed machine",
        timed: "begin, the steps and finish; the report is dropped; no journal, no observers",
        prepare: |case| match case {
            Case::Chain(10) => Ok(runs(typed_10)),
            Case::Chain(100) => Ok(runs(typed_100)),
            Case::Chain(_) => Err("not written: a statement a step"),
            Case::Roots(_) => Err("one step at a time"),
        },
    }
}

fn runs<F, T, E>(run: fn() -> F) -> Runs
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    E: std::fmt::Debug,
{
    Box::new(move |runs| {
        Box::pin(async move {
            let start = Instant::now();
            for _ in 0..runs {
                drop(run().await.expect("nothing fails"));
            }
            start.elapsed()
        })
    })
}
