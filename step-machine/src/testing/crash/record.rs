//! What the journals of two runs say, with and without a crash.

use serde_json::Value;

use super::error::Crashing;
use crate::event::{Event, Kind, RunStatus, StepRef, StepStatus};
use crate::journal::{Journal, MemoryJournal, RunQuery, RunSummary};
use crate::run_id::RunId;
use crate::state::{RunState, StepState};

/// What has to be the same with and without a crash.
#[derive(Debug)]
pub(super) struct Record {
    /// Of each run that is nested in none.
    ends: Vec<End>,
    /// Whether steps were asked to run again.
    pub(super) has_again: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct End {
    run: RunId,
    status: RunStatus,
    steps: Vec<StepEnd>,
}

#[derive(Debug, Clone, PartialEq)]
struct StepEnd {
    id: String,
    status: StepStatus,
    output: Option<Value>,
}

impl Record {
    pub(super) fn of(journal: &MemoryJournal) -> Result<Self, Crashing> {
        let (mut ends, mut has_again) = (Vec::new(), false);
        for summary in journal.list(&RunQuery::all()).wait()? {
            let events = journal.load(&summary.run).wait()?;
            has_again |= events.iter().any(|event| !again(event).is_empty());
            ends.extend(fold(&events)?.as_ref().map(End::of));
        }
        Ok(Self { ends, has_again })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Compares what was found with this, but for what the steps `varying` handed on.
    pub(super) fn compare(&self, found: &Self, varying: &[String]) -> Result<(), Crashing> {
        for expected in &self.ends {
            let Some(found) = found.ends.iter().find(|found| found.run == expected.run) else {
                let message = format!("run {} is not there; give it an id that is the same each time", expected.run);
                return Err(Crashing::NoRun { message });
            };
            expected.compare(found, varying)?;
        }
        Ok(())
    }
}

impl End {
    fn of(state: &RunState) -> Self {
        let of = |(id, step): (&str, &StepState)| StepEnd {
            id: id.to_owned(),
            status: step.status(),
            output: step.output().cloned(),
        };
        let ids = state.plan().steps.iter().map(|step| step.id.as_str());
        Self { run: state.run().clone(), status: state.status(), steps: ids.zip(state.steps()).map(of).collect() }
    }

    fn compare(&self, found: &Self, varying: &[String]) -> Result<(), Crashing> {
        if found.status != self.status {
            return Err(Crashing::Ended { expected: self.status, found: found.status });
        }
        for (expected, found) in self.steps.iter().zip(&found.steps) {
            if expected.status != found.status {
                return Err(Crashing::Step { step: expected.id.clone() });
            }
            if expected.output != found.output && !varying.contains(&expected.id) {
                let text = |output: &Option<Value>| output.as_ref().map_or("nothing".to_owned(), Value::to_string);
                let (step, expected, found) = (expected.id.clone(), text(&expected.output), text(&found.output));
                return Err(Crashing::Output { step, expected, found });
            }
        }
        Ok(())
    }
}

/// What was settled when a process died, nested runs included.
pub(super) struct Settled(Vec<(RunId, usize, Vec<String>)>);

impl Settled {
    pub(super) fn of(journal: &MemoryJournal) -> Result<Self, Crashing> {
        let mut found = Vec::new();
        for summary in all(journal)? {
            let events = journal.load(&summary.run).wait()?;
            let state = fold(&events)?;
            let steps = state.iter().flat_map(|state| state.plan().steps.iter().zip(state.steps()));
            let steps = steps.filter(|(_, step)| step.status().is_settled()).map(|(info, _)| info.id.clone());
            found.push((summary.run, events.len(), steps.collect()));
        }
        Ok(Self(found))
    }

    /// Whether none of it ran again since, unless it `may` where that is asked for, and all that was recorded is legal.
    pub(super) fn check(&self, journal: &MemoryJournal, may: bool) -> Result<(), Crashing> {
        for summary in all(journal)? {
            let events = journal.load(&summary.run).wait()?;
            fold(&events)?;
            let Some((_, known, steps)) = self.0.iter().find(|(run, ..)| *run == summary.run) else { continue };
            let mut settled = steps.clone();
            for event in events.iter().skip(*known) {
                settled.retain(|step| !may || !again(event).iter().any(|again| again == step.as_str()));
                let Kind::StepStart(start) = &event.kind else { continue };
                if let Some(step) = settled.iter().find(|step| start.step == step.as_str()) {
                    return Err(Crashing::RanAgain { step: step.clone() });
                }
            }
        }
        Ok(())
    }
}

/// The steps that are asked to run again.
fn again(event: &Event) -> &[StepRef] {
    match &event.kind {
        Kind::RunResume(resume) => &resume.again,
        _ => &[],
    }
}

fn all(journal: &MemoryJournal) -> Result<Vec<RunSummary>, Crashing> {
    Ok(journal.list(&RunQuery::all().with_nested()).wait()?)
}

fn fold(events: &[Event]) -> Result<Option<RunState>, Crashing> {
    RunState::fold(events).map_err(|error| Crashing::Record { message: error.to_string() })
}
