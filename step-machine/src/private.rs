//! What the derives write calls to. Not part of the public interface: it changes with the macro crate, which is why the
//! two are released in one version.

use std::time::Duration;

use crate::machine::MachineBuilder;
use crate::workflow::{Plan, StepInfo, Workflow};

pub fn machine<W: Workflow>() -> MachineBuilder<W> {
    MachineBuilder::new()
}

pub fn describe(plan: &mut Plan, description: &str, parallel: bool) {
    description.clone_into(&mut plan.description);
    plan.parallel = parallel;
}

pub fn step(id: &str, name: &str, description: &str) -> StepInfo {
    let mut step = StepInfo::new(id, name);
    description.clone_into(&mut step.description);
    step
}

pub fn push(texts: &mut Vec<String>, text: &str) {
    texts.push(text.to_owned());
}

pub fn text(text: &str) -> String {
    text.to_owned()
}

/// What a field named by `retry_after` may be.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a time to wait",
    label = "a field named by `retry_after` is a `Duration` or an `Option<Duration>`"
)]
pub trait RetryAfter {
    fn retry_after(&self) -> Option<Duration>;
}

impl RetryAfter for Duration {
    fn retry_after(&self) -> Option<Duration> {
        Some(*self)
    }
}

impl RetryAfter for Option<Duration> {
    fn retry_after(&self) -> Option<Duration> {
        *self
    }
}
