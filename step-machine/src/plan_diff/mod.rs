//! What two plans of one workflow differ in, and what of it a run that is under way cannot follow.

mod compare;
#[cfg(test)]
mod tests;
mod text;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::workflow::Plan;
pub(crate) use compare::{origin, successor};

/// What changed between an older plan of a workflow and a newer one.
///
/// A run that began under the older plan may stand anywhere: nothing may be settled, or everything. A difference is
/// [breaking](PlanDifference::is_breaking) where such a run could not go on under the newer plan, or not with what it
/// had. What keeps one run, which stands somewhere, is what
/// [`RunState::plan_changes`](crate::RunState::plan_changes) says.
///
/// `Display` writes one line for each difference. In a parallel plan the declared order means nothing, and is not
/// compared.
///
/// # Examples
///
/// ```
/// use step_machine::{PlanDiff, PlanDifference, Workflow};
///
/// mod v1 {
///     #[derive(step_machine::Workflow)]
///     #[workflow(name = "deploy")]
///     pub enum Deploy { Fetch, Start }
/// }
/// mod v2 {
///     #[derive(step_machine::Workflow)]
///     #[workflow(name = "deploy")]
///     pub enum Deploy {
///         #[step(alias = "fetch", timeout = "5m")]
///         Download,
///         Check,
///         Start,
///     }
/// }
///
/// let diff = PlanDiff::between(v1::Deploy::plan(), v2::Deploy::plan());
/// assert_eq!(
///     diff.to_string(),
///     "step `fetch` is called `download` now\n\
///      breaking: step `check` is new and comes before `start`, which a run may have settled\n\
///      step `download`: name was \"Fetch\", is \"Download\"\n\
///      step `download`: timeout was none, is 5m"
/// );
/// let breaking: Vec<_> = diff.breaking().collect();
/// assert!(matches!(breaking[..], [PlanDifference::Added { step, before: Some(_), .. }] if step == "check"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlanDiff {
    /// The name of the workflow, by the newer plan.
    pub workflow: String,
    /// What changed: the workflow, its steps in the older order, what is new, and then the rules.
    pub differences: Vec<PlanDifference>,
}

/// One thing that two plans differ in. Steps are named by their newer id, where they have one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PlanDifference {
    /// The workflow has another name, and a run belongs to the one that it names. Breaking.
    Workflow {
        /// The older name.
        old: String,
        /// The newer name.
        new: String,
    },
    /// A step is gone. Breaking.
    Lost {
        /// Its older id.
        step: String,
    },
    /// A step has another id, and the older one as an alias.
    Renamed {
        /// The older id.
        old: String,
        /// The newer id.
        new: String,
    },
    /// A step has one more old id.
    AliasAdded {
        /// The step.
        step: String,
        /// The old id.
        alias: String,
    },
    /// A step has lost an old id, by which it is found in runs that began under that. Breaking.
    AliasLost {
        /// The step.
        step: String,
        /// The old id.
        alias: String,
    },
    /// The first of a step's ids is another one. Idempotency keys, and the ids of the runs inside of the step, are made
    /// from it. Breaking.
    FirstId {
        /// The step.
        step: String,
        /// What they were made from.
        old: String,
        /// What they would be made from.
        new: String,
    },
    /// Two steps of a sequence have changed places. Breaking.
    Reordered {
        /// The older id of the step that came first.
        first: String,
        /// The older id of the step that comes first now.
        second: String,
    },
    /// A step is new. Breaking where an older step comes after it.
    Added {
        /// The step.
        step: String,
        /// The older step that comes next in a sequence: a run that has settled it is past the new one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
    },
    /// Steps that were side by side are a sequence, and a run may have settled them in another order. Breaking.
    Sequential,
    /// A step must have handed something on now, and a run may have settled it without. Breaking.
    OutputMissing {
        /// The step.
        step: String,
    },
    /// A workflow runs inside of a step that had none inside.
    NestedAdded {
        /// The step.
        step: String,
        /// The workflow.
        workflow: String,
    },
    /// No workflow runs inside of a step any more: the runs inside that began are neither finished nor taken back.
    /// Breaking.
    NestedLost {
        /// The step.
        step: String,
        /// The workflow.
        workflow: String,
    },
    /// The workflow inside of a step changed. Breaking where that is.
    Nested {
        /// The step.
        step: String,
        /// What changed in it.
        diff: PlanDiff,
    },
    /// A rule of the workflow changed.
    PlanRule {
        /// The field of the plan's JSON.
        rule: String,
        /// The older value; `null` where there was none.
        #[serde(default)]
        old: Value,
        /// The newer value; `null` where there is none.
        #[serde(default)]
        new: Value,
    },
    /// A rule of a step changed.
    Rule {
        /// The step.
        step: String,
        /// The field of the step's JSON, with a dot before a field of that, as in `retry.attempts`.
        rule: String,
        /// The older value; `null` where there was none.
        #[serde(default)]
        old: Value,
        /// The newer value; `null` where there is none.
        #[serde(default)]
        new: Value,
    },
}

/// The rules that decide what a run has on record, which a later comparison asks for.
const RULES_ON_RECORD: [&str; 4] = ["parallel", "critical", "skippable", "output"];

impl PlanDiff {
    /// What changed from `old` to `new`.
    pub fn between(old: &Plan, new: &Plan) -> Self {
        Self { workflow: new.workflow.clone(), differences: compare::differences(old, new) }
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.differences.is_empty()
    }

    /// Whether a run that began under the older plan might not be able to go on.
    pub fn is_breaking(&self) -> bool {
        self.breaking().next().is_some()
    }

    /// What a run that began under the older plan might not be able to follow.
    pub fn breaking(&self) -> impl Iterator<Item = &PlanDifference> {
        self.differences.iter().filter(|difference| difference.is_breaking())
    }

    /// Whether a later plan can be told to fit by the newer plan alone, and not by the older one in its place.
    pub(crate) fn is_of_record(&self) -> bool {
        self.differences.iter().any(PlanDifference::is_of_record)
    }
}

impl PlanDifference {
    /// Whether a run that began under the older plan might not be able to go on for it.
    pub fn is_breaking(&self) -> bool {
        match self {
            Self::Workflow { .. }
            | Self::Lost { .. }
            | Self::AliasLost { .. }
            | Self::FirstId { .. }
            | Self::Reordered { .. }
            | Self::Sequential
            | Self::OutputMissing { .. }
            | Self::NestedLost { .. } => true,
            Self::Added { before, .. } => before.is_some(),
            Self::Nested { diff, .. } => diff.is_breaking(),
            Self::Renamed { .. }
            | Self::AliasAdded { .. }
            | Self::NestedAdded { .. }
            | Self::PlanRule { .. }
            | Self::Rule { .. } => false,
        }
    }

    /// Whether what a run has on record follows it, so that whoever compares with a later plan has to know.
    pub(crate) fn is_of_record(&self) -> bool {
        match self {
            Self::PlanRule { rule, .. } | Self::Rule { rule, .. } => RULES_ON_RECORD.contains(&rule.as_str()),
            Self::Nested { diff, .. } => diff.is_of_record(),
            _ => true,
        }
    }
}
