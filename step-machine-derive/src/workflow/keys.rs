//! The vocabulary: every key, once.

use crate::attr::{Elsewhere, Key};

macro_rules! keys {
    ($(#[$doc:meta])* $table:ident: $($key:literal, $usage:literal;)*) => {
        $(#[$doc])*
        pub(crate) const $table: &[Key] = &[$(Key { name: $key, usage: $usage },)*];
    };
}

keys! {
    /// `#[workflow(..)]`
    WORKFLOW:
    "name", "name = \"provision\"";
    "parallel", "parallel";
    "on_failure", "on_failure = \"rollback\"";
    "deadline", "deadline = \"1h\"";
    "steps", "steps = provision_steps";
    "handler", "handler = ProvisionHandler";
    "crate", "crate = my_step_machine";
}

keys! {
    /// `#[step(..)]`
    STEP:
    "name", "name = \"Wait for SSH\"";
    "id", "id = \"wait-ssh\"";
    "alias", "alias = \"old-id\"";
    "critical", "critical = false";
    "skippable", "skippable";
    "output", "output = InstanceInfo";
    "secret", "secret";
    "needs", "needs(GetInstanceInfo)";
    "undo", "undo";
    "retry", "retry(attempts = 3, delay = \"2s\")";
    "timeout", "timeout = \"5m\"";
    "deadline", "deadline = \"30m\"";
    "weight", "weight = 10";
    "stalled_after", "stalled_after = \"1m\"";
    "workflow", "workflow = OtherStep";
}

keys! {
    /// `retry(..)`
    RETRY:
    "attempts", "attempts = 3";
    "delay", "delay = \"2s\"";
    "factor", "factor = 1.5";
    "max_delay", "max_delay = \"30s\"";
    "jitter", "jitter = false";
}

const IN_WORKFLOW: Elsewhere = Elsewhere { keys: WORKFLOW, place: "in `#[workflow(..)]`, on the enum" };
const IN_STEP: Elsewhere = Elsewhere { keys: STEP, place: "in `#[step(..)]`, on a variant" };
const IN_RETRY: Elsewhere = Elsewhere { keys: RETRY, place: "inside `retry(..)`, in `#[step(..)]` on a variant" };

/// Where a key may belong that is put in `#[workflow(..)]`.
pub(crate) const BESIDE_WORKFLOW: &[Elsewhere] = &[IN_STEP, IN_RETRY];
/// Where a key may belong that is put in `#[step(..)]`.
pub(crate) const BESIDE_STEP: &[Elsewhere] = &[IN_WORKFLOW, IN_RETRY];
/// Where a key may belong that is put in `retry(..)`.
pub(crate) const BESIDE_RETRY: &[Elsewhere] = &[IN_STEP, IN_WORKFLOW];
