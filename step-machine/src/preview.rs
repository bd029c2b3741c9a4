//! What a run would do, without running anything: as data, as text, and as a diagram in two languages.

mod dot;
mod mermaid;
mod text;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::event::Text;
#[cfg(feature = "runner")]
use crate::graph::up_to;
use crate::graph::waits_for;
use crate::policy::OnFailure;
use crate::time::millis_option;
use crate::workflow::{Plan, SharedPlan, StepInfo};

/// What a run would do.
///
/// As text it is for people; as JSON it has the same for programs, the order of undoing included.
///
/// # Examples
///
/// ```
/// use step_machine::{Preview, Workflow};
///
/// #[derive(Workflow)]
/// #[workflow(on_failure = "rollback")]
/// enum ProvisionStep {
///     RenderTemplates,
///     #[step(undo, weight = 7)]
///     Apply,
///     #[step(name = "Wait for SSH", retry(attempts = 3, delay = "2s"), timeout = "1m")]
///     WaitSsh,
///     #[step(skippable, critical = false)]
///     WaitCloudInit,
/// }
///
/// let preview = Preview::of(ProvisionStep::plan());
/// assert_eq!(preview.undo_order(), ["apply"]);
/// assert_eq!(
///     format!("\n{preview}"),
///     "
/// provision-step: 4 steps, in order
/// If a step fails, the run stops and what was done is undone.
///
///   > 1/4  Render templates   10%
///   > 2/4  Apply              70%  can be undone
///   > 3/4  Wait for SSH       10%  up to 3 attempts with waits of at most 2s, 4s;
///                                  at most 1m an attempt
///   ? 4/4  Wait cloud init    10%  may be skipped; a failure is a warning
///
/// If it fails, these would be undone, in this order: Apply
/// "
/// );
/// assert!(preview.to_mermaid().starts_with("flowchart TD\n"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    plan: SharedPlan,
    max_parallel: Option<NonZeroUsize>,
    steps: Vec<PreviewStep>,
}

/// One step of a [`Preview`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PreviewStep {
    /// Its names and its rules.
    #[serde(flatten)]
    pub info: StepInfo,
    /// What the run would do with it.
    #[serde(flatten)]
    pub action: Action,
}

/// What a run would do with a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// It runs.
    Run,
    /// It runs, unless its method that is asked whether to skip it says so.
    MaySkip,
    /// It is skipped on purpose.
    Skip {
        /// The reason that was given.
        why: Text,
    },
    /// The run ends before it, as it was asked to.
    NotReached,
}

impl Action {
    /// Whether the step runs, as far as is known before.
    pub fn runs(&self) -> bool {
        matches!(self, Self::Run | Self::MaySkip)
    }
}

impl PreviewStep {
    fn new(info: &StepInfo) -> Self {
        let action = if info.skippable { Action::MaySkip } else { Action::Run };
        Self { info: info.clone(), action }
    }

    /// What would run inside of the step, where it runs itself.
    fn within(&self) -> Option<Preview> {
        let plan = self.info.nested.clone().filter(|plan| self.action.runs() && !plan.steps.is_empty())?;
        Some(Preview::of(plan))
    }

    /// The name for people on one line; the id where there is none.
    fn title(&self) -> String {
        let name = one_line(&self.info.name);
        if name.is_empty() { one_line(&self.info.id) } else { name }
    }

    /// What becomes of the step, where that is not simply that it runs.
    fn fate(&self) -> Option<String> {
        match &self.action {
            Action::Run => None,
            Action::MaySkip => Some("may be skipped".to_owned()),
            Action::Skip { why } if one_line(why).is_empty() => Some("skipped".to_owned()),
            Action::Skip { why } => Some(format!("skipped: {}", one_line(why))),
            Action::NotReached => Some("not reached".to_owned()),
        }
    }
}

impl Preview {
    /// The preview of a plan with nothing decided: every step runs that does not skip itself.
    pub fn of(plan: impl Into<SharedPlan>) -> Self {
        let plan = plan.into();
        let steps = plan.steps.iter().map(PreviewStep::new).collect();
        Self { max_parallel: None, steps, plan }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What a failure of a critical step would lead to: the plan's policy, unless the run has its own.
    pub fn on_failure(&self) -> OnFailure {
        self.plan.on_failure
    }

    /// The steps in declared order.
    pub fn steps(&self) -> impl Iterator<Item = &PreviewStep> {
        self.steps.iter()
    }

    /// The ids of the steps that would be undone if the run failed at its last step, in the order of undoing.
    ///
    /// These are all that run and declare `undo`, newest first; none before a step that needs it. They are undone
    /// where the policy is [`OnFailure::Rollback`], or a rollback is asked for afterwards.
    pub fn undo_order(&self) -> Vec<&str> {
        self.to_undo().into_iter().map(|index| self.id(index)).collect()
    }

    /// The ids of the steps that run, grouped into those that can start together once the groups before have settled.
    ///
    /// Where the plan is not parallel each group is one step. The limit of steps at once is not applied, as which of
    /// them start first depends on how long each takes.
    pub fn waves(&self) -> Vec<Vec<&str>> {
        let levels = self.levels();
        let mut waves = vec![Vec::new(); levels.iter().max().map_or(0, |last| last + 1)];
        for index in self.running() {
            waves[levels[index]].push(self.id(index));
        }
        waves.retain(|wave| !wave.is_empty());
        waves
    }

    /// The diagram as a flowchart of [Mermaid](https://mermaid.js.org/syntax/flowchart.html).
    ///
    /// Steps that can be undone have the mark `↶`, those whose failure is a warning a dashed border.
    pub fn to_mermaid(&self) -> String {
        mermaid::draw(self)
    }

    /// The diagram in [DOT](https://graphviz.org/doc/info/lang.html), the language of Graphviz.
    ///
    /// Steps that can be undone have the mark `↶`, those whose failure is a warning a dashed border.
    pub fn to_dot(&self) -> String {
        dot::draw(self)
    }

    fn id(&self, index: usize) -> &str {
        &self.steps[index].info.id
    }

    fn running(&self) -> impl Iterator<Item = usize> {
        (0..self.steps.len()).filter(|&index| self.steps[index].action.runs())
    }

    /// Pairs of steps of which the first comes before the second.
    fn edges(&self) -> Vec<(usize, usize)> {
        let waits_for = waits_for(&self.plan).into_iter().enumerate();
        waits_for.flat_map(|(index, needs)| needs.into_iter().map(move |need| (need, index))).collect()
    }

    /// For each step how many steps have to run one after the other before its turn comes.
    fn levels(&self) -> Vec<usize> {
        let mut levels = vec![0; self.steps.len()];
        let edges = self.edges();
        // A plan without a circle is done after as many rounds as it has steps; one with a circle would never be.
        for _ in &self.steps {
            let mut moved = false;
            for &(before, index) in &edges {
                // A step that is skipped takes no time, but its turn comes only after what it needs.
                let least = levels[before] + usize::from(self.steps[before].action.runs());
                if levels[index] < least {
                    levels[index] = least;
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        levels
    }

    fn to_undo(&self) -> Vec<usize> {
        let levels = self.levels();
        let mut order: Vec<usize> = self.running().filter(|&index| self.steps[index].info.undo).collect();
        order.sort_by_key(|&index| Reverse((levels[index], index)));
        order
    }
}

/// What the runner decides; the order of these does not matter.
#[cfg(feature = "runner")]
impl Preview {
    /// The step is skipped on purpose.
    #[must_use]
    pub(crate) fn skip(mut self, index: usize, why: Text) -> Self {
        if let Some(step) = self.steps.get_mut(index).filter(|step| step.action.runs()) {
            step.action = Action::Skip { why };
        }
        self
    }

    /// The run ends with the step: in a sequence after it, in a parallel plan after it and all that it needs.
    #[must_use]
    pub(crate) fn only_until(mut self, index: usize) -> Self {
        for (step, wanted) in self.steps.iter_mut().zip(up_to(&self.plan, index)) {
            if !wanted {
                step.action = Action::NotReached;
            }
        }
        self
    }

    /// How many steps of a parallel plan run at once.
    #[must_use]
    pub(crate) fn max_parallel(self, limit: Option<NonZeroUsize>) -> Self {
        Self { max_parallel: limit, ..self }
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(self, f)
    }
}

/// The plan's fields with what is decided in their place, and what follows from it.
impl Serialize for Preview {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Data<'a> {
            workflow: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            description: &'a str,
            parallel: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            max_parallel: Option<NonZeroUsize>,
            on_failure: OnFailure,
            #[serde(rename = "deadline_ms", skip_serializing_if = "Option::is_none", with = "millis_option")]
            deadline: Option<Duration>,
            steps: &'a [PreviewStep],
            undo_order: Vec<&'a str>,
            waves: Vec<Vec<&'a str>>,
        }
        let Plan { workflow, description, parallel, on_failure, deadline, .. } = &*self.plan;
        let data = Data {
            workflow,
            description,
            parallel: *parallel,
            max_parallel: self.max_parallel,
            on_failure: *on_failure,
            deadline: *deadline,
            steps: &self.steps,
            undo_order: self.undo_order(),
            waves: self.waves(),
        };
        data.serialize(serializer)
    }
}

/// Text on one line without control characters, escape codes among them, and without what no SVG can hold.
fn one_line(text: &str) -> String {
    let plain = text.replace(|c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'), " ");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}
