//! What one would write without any library: awaits in a row, and tokio's `JoinSet`; two clock readings a step, kept.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::{Case, Contender, Runs, work};

pub(crate) const NAME: &str = "by hand";

pub(crate) fn sequence() -> Contender {
    Contender {
        name: NAME,
        timed: "awaits in a loop, one after the other in every case; the times of the steps go to a vector that is reused",
        prepare: |case| Ok(runs_of_sequence(case.steps())),
    }
}

pub(crate) fn join_set() -> Contender {
    Contender {
        name: "tokio JoinSet",
        timed: "one spawned task a step; all are joined, and their times kept",
        prepare: |case| match case {
            Case::Chain(_) => Err("not for a chain"),
            Case::Roots(steps) => Ok(runs_of_join_set(steps)),
        },
    }
}

type Times = Vec<(Duration, Duration)>;

fn runs_of_sequence(steps: usize) -> Runs {
    Box::new(move |runs| {
        Box::pin(async move {
            let mut times = Vec::with_capacity(steps);
            let start = Instant::now();
            for _ in 0..runs {
                in_sequence(steps, &mut times).await.expect("nothing fails");
            }
            start.elapsed()
        })
    })
}

async fn in_sequence(steps: usize, times: &mut Times) -> Result<(), Infallible> {
    times.clear();
    let origin = Instant::now();
    for _ in 0..steps {
        let start = origin.elapsed();
        step().await?;
        times.push((start, origin.elapsed()));
    }
    Ok(())
}

fn runs_of_join_set(steps: usize) -> Runs {
    Box::new(move |runs| {
        Box::pin(async move {
            let mut times = Vec::with_capacity(steps);
            let start = Instant::now();
            for _ in 0..runs {
                all_at_once(steps, &mut times).await.expect("nothing fails");
            }
            start.elapsed()
        })
    })
}

async fn all_at_once(steps: usize, times: &mut Times) -> Result<(), Infallible> {
    times.clear();
    let origin = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..steps {
        tasks.spawn(async move {
            let start = origin.elapsed();
            step().await.map(|()| (start, origin.elapsed()))
        });
    }
    while let Some(time) = tasks.join_next().await {
        times.push(time.expect("no step panics")?);
    }
    Ok(())
}

async fn step() -> Result<(), Infallible> {
    work()
}
