//! dagx: a graph of typed tasks; a layer of one task runs in place, larger ones are spawned.

use std::convert::Infallible;
use std::time::Instant;

use ::dagx::{DagRunner, Task, TaskHandle, task};
use futures::future::BoxFuture;

use crate::{Before, Case, Contender, Runs, work};

pub(crate) fn contenders() -> [Contender; 2] {
    [
        Contender {
            name: "dagx",
            timed: "run, which uses the graph up; each run has one of its own, built before",
            prepare: |case| Ok(runs(case, Before::Untimed)),
        },
        Contender {
            name: "dagx, built",
            timed: "building the graph, and run",
            prepare: |case| Ok(runs(case, Before::Timed)),
        },
    ]
}

type Outcome = Result<(), Infallible>;

struct First;

#[task]
impl First {
    async fn run() -> Outcome {
        work()
    }
}

struct Next;

#[task]
impl Next {
    async fn run(before: &Outcome) -> Outcome {
        before.and_then(|()| work())
    }
}

fn runs(case: Case, before: Before) -> Runs {
    Box::new(move |runs| {
        Box::pin(async move {
            let built: Vec<_> =
                if before == Before::Untimed { (0..runs).map(|_| graph(case)).collect() } else { vec![] };
            let start = Instant::now();
            for dag in &built {
                dag.run(spawn).await.expect("nothing fails");
            }
            for _ in built.len()..runs {
                graph(case).run(spawn).await.expect("nothing fails");
            }
            start.elapsed()
        })
    })
}

fn spawn(task: BoxFuture<'static, ()>) {
    tokio::spawn(task);
}

fn graph(case: Case) -> DagRunner {
    let dag = DagRunner::new();
    match case {
        Case::Chain(steps) => {
            let mut last: TaskHandle<Outcome> = dag.add_task(First).into();
            for _ in 1..steps {
                last = dag.add_task(Next).depends_on(last);
            }
        }
        Case::Roots(steps) => {
            for _ in 0..steps {
                dag.add_task(First);
            }
        }
    }
    dag
}
