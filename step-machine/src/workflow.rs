//! What `#[derive(Workflow)]` describes: the workflow, its steps and their rules, as types and as data.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

use crate::policy::{OnFailure, Retry};
use crate::rule::Rule;
use crate::time::millis_option;

/// An enum whose variants are the steps of a workflow. Written by `#[derive(Workflow)]`.
///
/// # Examples
///
/// ```
/// use step_machine::Workflow;
///
/// /// Bring out a version.
/// #[derive(Workflow, Debug, PartialEq)]
/// enum Release {
///     /// Compile and test
///     Build,
///     #[step(id = "upload", critical = false)]
///     Publish,
/// }
///
/// assert_eq!(Release::NAME, "release");
/// assert_eq!(Release::from_id("upload"), Some(Release::Publish));
/// assert_eq!(Release::Build.info().description, "Compile and test");
/// assert!(!Release::plan().steps[1].critical);
/// assert_eq!(Release::steps().map(|step| step.id()).collect::<Vec<_>>(), ["build", "upload"]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a workflow",
    label = "needs `#[derive(Workflow)]` on an enum"
)]
pub trait Workflow: Sized + Send + Sync + 'static {
    /// The name that stands in every event.
    const NAME: &'static str;

    /// How many levels of workflows are nested below this one.
    const DEPTH: usize = 0;

    /// Whether a step may declare the silence after which it counts as stalled; where none does, none is looked for.
    const STALLS: bool = true;

    /// The state of the typed machine before the first step.
    type Start;

    /// The steps with their rules, in declared order.
    fn plan() -> &'static Plan;

    /// The position of this step in the plan, from 0.
    fn index(&self) -> usize;

    /// The step at a position of the plan.
    fn from_index(index: usize) -> Option<Self>;

    /// The description of this step.
    fn info(&self) -> &'static StepInfo {
        &Self::plan().steps[self.index()]
    }

    /// The stable id of this step, as in events and journals.
    fn id(&self) -> &'static str {
        &self.info().id
    }

    /// The step with this id or old id.
    fn from_id(id: &str) -> Option<Self> {
        Self::plan().position(id).and_then(Self::from_index)
    }

    /// All steps in declared order.
    fn steps() -> impl Iterator<Item = Self> {
        (0..Self::plan().steps.len()).filter_map(Self::from_index)
    }
}

/// The marker type of one step. Written by `#[derive(Workflow)]`, one for each variant.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a step",
    label = "expected one of the markers that `#[derive(Workflow)]` writes, one for each variant of the enum",
    note = "bring the markers into scope with `use <module>::*`; for an enum `ProvisionStep` the module is `provision_step`"
)]
pub trait Step: 'static {
    /// The enum that declares the step.
    type Workflow: Workflow;

    /// What the step hands on; `()` where it declares no `output`.
    type Output: StepOutput;

    /// What the machine returns for this step.
    type Rule: Rule;

    /// The step as a value of its enum.
    const STEP: Self::Workflow;
}

/// What a step may hand on: anything that can be recorded and read back.
///
/// Implemented for every type that has the bounds.
pub trait StepOutput: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> StepOutput for T {}

/// A step that may be skipped on purpose: its variant says `#[step(skippable)]`.
#[diagnostic::on_unimplemented(
    message = "step `{Self}` may not be skipped",
    label = "only a step marked `#[step(skippable)]` can be skipped on purpose",
    note = "run the step, or add `skippable` to the rules of its variant",
    note = "a step is named by its marker here, a type in the module that the derive wrote"
)]
pub trait Skippable: Step {}

/// A workflow as data: what `run_start` carries, so that a reader needs no Rust type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Plan {
    /// The name of the workflow.
    pub workflow: String,
    /// What the workflow is for: the enum's doc comment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether steps wait only for what they need.
    #[serde(default)]
    pub parallel: bool,
    /// What a failure of a critical step leads to.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// The longest time the whole run may take.
    #[serde(rename = "deadline_ms", default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub deadline: Option<Duration>,
    /// The steps in declared order.
    pub steps: Vec<StepInfo>,
}

impl Plan {
    /// A sequential plan of `steps`.
    pub fn new(workflow: impl Into<String>, steps: impl Into<Vec<StepInfo>>) -> Self {
        Self {
            workflow: workflow.into(),
            description: String::new(),
            parallel: false,
            on_failure: OnFailure::Stop,
            deadline: None,
            steps: steps.into(),
        }
    }

    /// The position of the step with this id, or of the one that had it before it was renamed.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.steps
            .iter()
            .position(|step| step.id == id)
            .or_else(|| self.steps.iter().position(|step| step.aliases.iter().any(|old| old == id)))
    }

    /// The step with this id.
    pub fn step(&self, id: &str) -> Option<&StepInfo> {
        self.position(id).map(|index| &self.steps[index])
    }

    /// The sum of all weights; more than zero for a plan with steps.
    pub fn total_weight(&self) -> f64 {
        self.steps.iter().map(|step| step.weight).sum()
    }

    /// Checks what a reader relies on, here and in the plans of nested workflows; a derived plan always passes.
    pub fn check(&self) -> Result<(), PlanError> {
        let mut ids = HashSet::new();
        for step in &self.steps {
            for id in std::iter::once(&step.id).chain(&step.aliases) {
                if !ids.insert(id.as_str()) {
                    return Err(PlanError::DuplicateId { id: id.clone() });
                }
            }
            if !(step.weight.is_finite() && step.weight > 0.0) {
                return Err(PlanError::BadWeight { step: step.id.clone(), weight: step.weight });
            }
        }
        if !self.total_weight().is_finite() {
            return Err(PlanError::TotalWeight);
        }
        self.check_needs()?;
        self.check_nested()
    }

    fn check_nested(&self) -> Result<(), PlanError> {
        for step in &self.steps {
            if let Some(Err(fault)) = step.nested.as_deref().map(Self::check) {
                return Err(PlanError::Nested { step: step.id.clone(), fault: Box::new(fault) });
            }
        }
        Ok(())
    }

    fn check_needs(&self) -> Result<(), PlanError> {
        // A derived plan may need later steps where it is parallel; an order exists as long as there is no circle.
        let index: HashMap<&str, usize> =
            self.steps.iter().enumerate().map(|(at, step)| (step.id.as_str(), at)).collect();
        let mut waiting = Vec::with_capacity(self.steps.len());
        let mut dependents = vec![Vec::new(); self.steps.len()];
        for (at, step) in self.steps.iter().enumerate() {
            for need in &step.needs {
                let Some(&needed) = index.get(need.as_str()) else {
                    return Err(PlanError::UnknownNeed { step: step.id.clone(), need: need.clone() });
                };
                dependents[needed].push(at);
            }
            waiting.push(step.needs.len());
        }
        let mut ready: Vec<usize> = (0..waiting.len()).filter(|&at| waiting[at] == 0).collect();
        let mut ordered = 0;
        while let Some(done) = ready.pop() {
            ordered += 1;
            for &next in &dependents[done] {
                waiting[next] -= 1;
                if waiting[next] == 0 {
                    ready.push(next);
                }
            }
        }
        match waiting.iter().position(|&count| count > 0) {
            Some(at) if ordered < self.steps.len() => Err(PlanError::Circle { step: self.steps[at].id.clone() }),
            _ => Ok(()),
        }
    }
}

/// A plan that many can hold at the size of a pointer: that of an enum, or one that was read.
///
/// Dereferences to [`Plan`], and is one in JSON.
#[derive(Debug, Clone)]
pub struct SharedPlan(Shared);

#[derive(Debug, Clone)]
enum Shared {
    Static(&'static Plan),
    Read(Arc<Plan>),
}

impl SharedPlan {
    /// The plan where it lives as long as the program.
    #[inline]
    pub(crate) fn as_static(&self) -> Option<&'static Plan> {
        match self.0 {
            Shared::Static(plan) => Some(plan),
            Shared::Read(_) => None,
        }
    }
}

impl Deref for SharedPlan {
    type Target = Plan;

    #[inline]
    fn deref(&self) -> &Plan {
        match &self.0 {
            Shared::Static(plan) => plan,
            Shared::Read(plan) => plan,
        }
    }
}

impl From<&'static Plan> for SharedPlan {
    fn from(plan: &'static Plan) -> Self {
        Self(Shared::Static(plan))
    }
}

impl From<Plan> for SharedPlan {
    fn from(plan: Plan) -> Self {
        Self(Shared::Read(Arc::new(plan)))
    }
}

impl PartialEq for SharedPlan {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Serialize for SharedPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedPlan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Plan::deserialize(deserializer).map(Self::from)
    }
}

/// A plan that no workflow could have declared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Two steps share an id or an old id.
    #[error("the id `{id}` stands for two steps")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// A step needs one that the plan does not have.
    #[error("step `{step}` needs `{need}`, which the plan does not have")]
    UnknownNeed {
        /// The step.
        step: String,
        /// What it needs.
        need: String,
    },
    /// A step needs itself, by way of others or directly.
    #[error("step `{step}` is in a circle of needs")]
    Circle {
        /// One step of the circle.
        step: String,
    },
    /// Weights whose sum is not a finite number.
    #[error("the weights of the steps add up to more than a number can hold")]
    TotalWeight,
    /// A weight that is not a finite number above zero.
    #[error("step `{step}` has the weight {weight}; a weight is a finite number above zero")]
    BadWeight {
        /// The step.
        step: String,
        /// Its weight.
        weight: f64,
    },
    /// A fault of the workflow that runs inside a step.
    #[error("in the workflow inside of step `{step}`: {fault}")]
    Nested {
        /// The step.
        step: String,
        /// The fault.
        fault: Box<PlanError>,
    },
}

/// One step as data: its names and its rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "independent rules, named as in the derive")]
pub struct StepInfo {
    /// The stable id, which events and journals use; kebab-case of the variant unless the step gives its own.
    pub id: String,
    /// What a person reads.
    pub name: String,
    /// What the step does: the variant's doc comment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Ids that the step had before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Whether a failure of the step stops the run.
    #[serde(default = "yes")]
    pub critical: bool,
    /// Whether the step may be skipped on purpose.
    #[serde(default)]
    pub skippable: bool,
    /// Whether the step can be undone; one with a workflow inside can where a step of that can.
    #[serde(default)]
    pub undo: bool,
    /// Whether the step hands on an output.
    #[serde(default)]
    pub output: bool,
    /// Whether that output is kept out of events, and sealed for a journal.
    #[serde(default, skip_serializing_if = "is_false")]
    pub secret: bool,
    /// The ids of the steps that this one needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// How a failed attempt is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The longest time of one attempt.
    #[serde(rename = "timeout_ms", default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub timeout: Option<Duration>,
    /// The longest time of all attempts together, waits included.
    #[serde(rename = "deadline_ms", default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub deadline: Option<Duration>,
    /// The share of the step in the run's progress, against the other steps' weights.
    #[serde(default = "one")]
    pub weight: f64,
    /// The silence after which the step counts as stalled.
    #[serde(rename = "stalled_after_ms", default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub stalled_after: Option<Duration>,
    /// The plan of the workflow that runs inside the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Plan>"))]
    pub nested: Option<SharedPlan>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde asks for")]
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}

fn one() -> f64 {
    1.0
}

impl StepInfo {
    /// A critical step with no further rules and the weight 1.
    pub fn new(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            description: String::new(),
            aliases: Vec::new(),
            critical: true,
            skippable: false,
            undo: false,
            output: false,
            secret: false,
            needs: Vec::new(),
            retry: None,
            timeout: None,
            deadline: None,
            weight: 1.0,
            stalled_after: None,
            nested: None,
        }
    }

    /// The id that the step had before it was renamed, and has still where it never was.
    pub(crate) fn first_id(&self) -> &str {
        self.aliases.first().unwrap_or(&self.id)
    }
}
