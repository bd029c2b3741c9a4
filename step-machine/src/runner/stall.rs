//! Telling of steps of which nothing is heard any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::handler::BoxFuture;
use crate::event::{Kind, Stalled};
use crate::link::Shared;
use crate::recorder::Recorder;
use crate::workflow::{Plan, Workflow};

/// The silence after which each step counts as stalled; none where no step ever does.
pub(super) fn limits<W: Workflow>(plan: &Plan, default: Option<Duration>) -> Vec<Option<Duration>> {
    if default.is_none() && (!W::STALLS || plan.steps.iter().all(|step| step.stalled_after.is_none())) {
        return Vec::new();
    }
    plan.steps.iter().map(|step| step.stalled_after.or(default)).collect()
}

/// Tells once of each silence that is longer than its limit, as long as it is polled.
pub(super) fn watch<'r>(shared: Arc<Shared>, limits: Vec<Option<Duration>>) -> BoxFuture<'r, ()> {
    Box::pin(async move {
        shared.lock().listen();
        let mut told = vec![None; limits.len()];
        // A silence that begins while this sleeps cannot be over before it wakes.
        let Some(shortest) = limits.iter().flatten().min().copied() else { return };
        loop {
            let next = tell(&mut shared.lock(), &limits, &mut told);
            // Beyond all time nothing is left to tell.
            let Some(at) = next.or_else(|| Instant::now().checked_add(shortest)) else { return };
            sleep_until(at).await;
        }
    })
}

/// Tells of the steps that are silent for too long by now; when the next one will be.
fn tell(recorder: &mut Recorder, limits: &[Option<Duration>], told: &mut [Option<Instant>]) -> Option<Instant> {
    let now = Instant::now();
    let mut next: Option<Instant> = None;
    for (index, limit) in limits.iter().enumerate() {
        let step = recorder.step(index);
        // During the wait for the next attempt everybody sees what is waited for.
        let is_silent = step.is_active() && !step.is_waiting();
        let Some((limit, heard)) = (*limit).filter(|_| is_silent).zip(recorder.heard(index)) else { continue };
        if told[index] == Some(heard) {
            continue;
        }
        let Some(due) = heard.checked_add(limit) else { continue };
        if due > now {
            next = Some(next.map_or(due, |next| next.min(due)));
            continue;
        }
        told[index] = Some(heard);
        let step = recorder.state().step_ref(index);
        recorder.record_silence(Kind::Stalled(Stalled { step, silent: now.saturating_duration_since(heard) }));
    }
    // One that was told of may break its silence, and fall silent again.
    let shortest = limits.iter().flatten().min().and_then(|shortest| now.checked_add(*shortest));
    next.zip(shortest).map(|(next, shortest)| next.min(shortest)).or(shortest)
}
