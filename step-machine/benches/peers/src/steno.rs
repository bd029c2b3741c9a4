//! steno: a saga is a graph of actions with undo actions; a coordinator creates and runs it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use slog::{Discard, Logger, o};

use ::steno::{
    Action, ActionContext, ActionError, ActionRegistry, DagBuilder, InMemorySecStore, Node, SagaDag, SagaId, SagaName,
    SagaType, new_action_noop_undo, sec,
};

use crate::{Before, Case, Contender, Runs, work};

pub(crate) fn contenders() -> [Contender; 2] {
    [
        Contender {
            name: "steno",
            // A saga has to end in one action.
            timed: "saga_start and the saga, created before; nothing stored or logged; one action more after independent steps",
            prepare: |case| Ok(runs(case, Before::Untimed)),
        },
        Contender {
            name: "steno, created",
            timed: "saga_create, which each run needs, saga_start and the saga",
            prepare: |case| Ok(runs(case, Before::Timed)),
        },
    ]
}

#[derive(Debug)]
struct Bench;

impl SagaType for Bench {
    type ExecContextType = ();
}

async fn step(_: ActionContext<Bench>) -> Result<(), ActionError> {
    match work() {
        Ok(()) => Ok(()),
    }
}

async fn end(_: ActionContext<Bench>) -> Result<(), ActionError> {
    Ok(())
}

fn runs(case: Case, before: Before) -> Runs {
    let (step, end) = (new_action_noop_undo("step", step), new_action_noop_undo("end", end));
    let mut registry = ActionRegistry::new();
    registry.register(step.clone());
    registry.register(end.clone());
    let (registry, dag) = (Arc::new(registry), Arc::new(dag(case, &*step, &*end)));
    Box::new(move |runs| {
        let (registry, dag) = (registry.clone(), dag.clone());
        Box::pin(async move {
            let mut took = Duration::ZERO;
            for _ in 0..runs {
                took += run(&registry, &dag, before).await;
            }
            took
        })
    })
}

/// One saga, with a coordinator of its own: one keeps all that it ever ran.
async fn run(registry: &Arc<ActionRegistry<Bench>>, dag: &Arc<SagaDag>, before: Before) -> Duration {
    let coordinator = sec(Logger::root(Discard, o!()), Arc::new(InMemorySecStore::new()));
    let id = SagaId::new_v4();
    let mut start = Instant::now();
    let created = coordinator.saga_create(id, Arc::new(()), dag.clone(), registry.clone()).await;
    let saga = created.expect("a new saga");
    if before == Before::Untimed {
        start = Instant::now();
    }
    coordinator.saga_start(id).await.expect("a saga that is ready");
    saga.await.kind.expect("nothing fails");
    let took = start.elapsed();
    coordinator.shutdown().await;
    took
}

fn dag(case: Case, step: &dyn Action<Bench>, end: &dyn Action<Bench>) -> SagaDag {
    let mut builder = DagBuilder::new(SagaName::new("steps"));
    let nodes = (0..case.steps()).map(|at| Node::action(format!("output {at}"), format!("step {at}"), step));
    match case {
        Case::Chain(_) => nodes.for_each(|node| builder.append(node)),
        Case::Roots(_) => {
            builder.append_parallel(nodes.collect());
            builder.append(Node::action("end", "end", end));
        }
    }
    SagaDag::new(builder.build().expect("a saga with one end"), Value::Null)
}
