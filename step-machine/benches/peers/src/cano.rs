//! cano: a workflow is a map of states to tasks; each task names the next state.

use std::sync::Arc;
use std::time::Instant;

use ::cano::prelude::*;

use crate::{Case, Contender, Runs, work};

pub(crate) fn contender() -> Contender {
    Contender {
        name: "cano",
        timed: "orchestrate; the workflow is built and checked once; no retries, resources, checkpoints or cancellation",
        prepare: |case| Ok(runs(case)),
    }
}

/// A state by its position. Its own examples have an enum, whose hash and clone cost the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct At(usize);

#[derive(Clone)]
struct Step {
    next: At,
}

#[task(state = At)]
impl Step {
    /// The default would set up retries.
    fn config(&self) -> TaskConfig {
        TaskConfig::minimal()
    }

    async fn run_bare(&self) -> Result<TaskResult<At>, CanoError> {
        match work() {
            Ok(()) => Ok(TaskResult::Single(self.next.clone())),
        }
    }
}

fn runs(case: Case) -> Runs {
    let workflow = Arc::new(workflow(case));
    Box::new(move |runs| {
        let workflow = workflow.clone();
        Box::pin(async move {
            let start = Instant::now();
            for _ in 0..runs {
                workflow.orchestrate(At(0), CancellationToken::disabled()).await.expect("nothing fails");
            }
            start.elapsed()
        })
    })
}

fn workflow(case: Case) -> Workflow<At> {
    match case {
        Case::Chain(steps) => (0..steps)
            .fold(Workflow::bare(), |workflow, at| workflow.register(At(at), Step { next: At(at + 1) }))
            .add_exit_state(At(steps)),
        Case::Roots(steps) => {
            let tasks = vec![Step { next: At(1) }; steps];
            let join = JoinConfig::new(JoinStrategy::All, At(1));
            Workflow::bare().register_split(At(0), tasks, join).add_exit_state(At(1))
        }
    }
}
