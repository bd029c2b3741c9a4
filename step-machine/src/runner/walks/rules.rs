//! The rules that every run keeps, held against what its handler wrote down and against its events.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::actor::{Note, Part, What};
use super::oracle::{builds_on, outcome, wanted};
use super::scene::Act;
use super::{End, Ran};
use crate::event::{Event, Kind, RunStatus, StepStatus, UndoStatus};
use crate::policy::OnFailure;
use crate::state::{RunState, Undo};

pub(super) struct Rulebook<'r> {
    ran: &'r Ran,
    state: RunState,
}

impl<'r> Rulebook<'r> {
    pub(super) fn new(ran: &'r Ran) -> Self {
        Self { ran, state: ran.folded() }
    }

    pub(super) fn all(&self) -> TestCaseResult {
        prop_assert!(!matches!(self.ran.end, End::Journal(_)), "{:?}", &self.ran.end);
        if let Some(state) = &self.ran.state {
            prop_assert_eq!(state, &self.state);
        }
        self.events()?;
        self.pairs()?;
        self.needs()?;
        self.crowd()?;
        self.attempts()?;
        self.stops()?;
        self.cancels()?;
        self.undos()?;
        self.status()
    }

    fn notes(&self, part: Part) -> impl Iterator<Item = (usize, &Note)> {
        self.ran.notes.iter().enumerate().filter(move |(_, note)| note.part == part)
    }

    fn ends(&self, part: Part) -> impl Iterator<Item = (usize, &Note)> {
        self.notes(part).filter(|(_, note)| !note.is_begin())
    }

    fn begins(&self, part: Part) -> impl Iterator<Item = (usize, &Note)> {
        self.notes(part).filter(|(_, note)| note.is_begin())
    }

    /// How a step stood before it was undone.
    fn before_undo(&self, step: usize) -> StepStatus {
        let step = &self.state.steps()[step];
        step.before_undo().unwrap_or(step.status())
    }

    /// Each step ends once, and the run too, last of all.
    fn events(&self) -> TestCaseResult {
        let events = &self.ran.events;
        prop_assert!(matches!(events[0].kind, Kind::RunStart(_)));
        prop_assert!(matches!(events[events.len() - 1].kind, Kind::RunEnd(_)), "{:?}", events.last());
        for step in &self.state.plan().steps {
            let count = |is: fn(&Kind) -> bool| {
                events.iter().filter(|event| event.step() == Some(&*step.id) && is(&event.kind)).count()
            };
            let began = count(|kind| matches!(kind, Kind::StepStart(_))) > 0;
            let ended = count(|kind| matches!(kind, Kind::StepEnd(_)));
            prop_assert!(ended == 1 || (ended == 0 && !began), "`{}` ended {ended} times", step.id);
        }
        Ok(())
    }

    /// Whatever begins ends, before it begins again.
    fn pairs(&self) -> TestCaseResult {
        let mut open = vec![None; self.state.steps().len()];
        for note in &self.ran.notes {
            let expected = if note.is_begin() { None } else { Some(note.part) };
            prop_assert_eq!(open[note.step], expected, "{:?}", note);
            open[note.step] = note.is_begin().then_some(note.part);
        }
        prop_assert!(open.iter().all(Option::is_none), "{open:?}");
        Ok(())
    }

    /// Nothing begins before what it waits for is settled; nothing runs that was not to.
    fn needs(&self) -> TestCaseResult {
        let wanted = wanted(&self.ran.scene);
        for (at, begin) in self.begins(Part::Run).chain(self.begins(Part::Skip)) {
            prop_assert!(wanted[begin.step], "{begin:?} was not to run");
            for need in (0..wanted.len()).filter(|&need| builds_on(&self.ran.scene, begin.step, need)) {
                prop_assert!(self.before_undo(need).is_settled(), "{begin:?} before {need}");
                let later = self.ran.notes[at..].iter().find(|note| note.step == need && note.part != Part::Undo);
                prop_assert!(later.is_none(), "{begin:?} before {later:?}");
            }
        }
        Ok(())
    }

    /// Never more at once than may be.
    fn crowd(&self) -> TestCaseResult {
        let most = if self.ran.scene.plan.parallel { self.ran.scene.rules.max_parallel } else { Some(1) };
        let mut now = 0;
        for note in &self.ran.notes {
            now = if note.is_begin() { now + 1 } else { now - 1 };
            let most = if note.part == Part::Undo { Some(1) } else { most };
            prop_assert!(most.is_none_or(|most| now <= most), "{now} at once: {note:?}");
        }
        Ok(())
    }

    /// No attempt comes after one that settles the matter, nor one too many; each knows its number.
    fn attempts(&self) -> TestCaseResult {
        for part in [Part::Run, Part::Undo] {
            for (step, info) in self.state.plan().steps.iter().enumerate() {
                let most = info.retry.map_or(1, |retry| retry.attempts);
                let mut nth = 0;
                for (_, note) in self.notes(part).filter(|(_, note)| note.step == step) {
                    match note.what {
                        What::Begins { attempt, interrupted } => {
                            let is_due = nth == 0 || matches!(self.outcome(step, part, nth), Act::Error | Act::Hang);
                            nth += 1;
                            prop_assert!(is_due && nth <= most, "{note:?} is not due");
                            prop_assert_eq!((attempt, interrupted), (nth, part == Part::Undo && interrupted));
                        }
                        What::Ends(act) => prop_assert_eq!(act, self.outcome(step, part, nth)),
                        What::Dropped => self.is_cut(note, nth)?,
                    }
                }
            }
        }
        Ok(())
    }

    fn outcome(&self, step: usize, part: Part, nth: u32) -> Act {
        outcome(&self.ran.scene, step, part == Part::Undo, nth)
    }

    /// A body is dropped only by what may cut it off.
    fn is_cut(&self, note: &Note, nth: u32) -> TestCaseResult {
        let by_timeout = self.outcome(note.step, note.part, nth) == Act::Hang;
        let siblings = self.ran.scene.rules.cancel_siblings && note.part == Part::Run && self.halted_at().is_some();
        let may = by_timeout || siblings || !self.ran.scene.is_undisturbed();
        prop_assert!(may, "{note:?} was cut off by nothing");
        Ok(())
    }

    /// A step whose attempt fails when the run was stopped already has failed; only one that waits for another attempt
    /// is cancelled.
    fn cancels(&self) -> TestCaseResult {
        let rules = &self.ran.scene.rules;
        let moments = [rules.stop_at, rules.cancel_at, rules.dropped_at].into_iter().flatten().map(u128::from);
        let moment = moments.max().unwrap_or(0);
        for step in (0..self.state.steps().len()).filter(|&step| self.before_undo(step) == StepStatus::Cancelled) {
            let last = self.notes(Part::Run).filter(|(_, note)| note.step == step).last();
            let Some((at, note)) = last.filter(|(_, note)| matches!(note.what, What::Ends(_))) else { continue };
            let is_stopped_later = note.at <= moment || self.halted_at().is_some_and(|halted| halted > at);
            prop_assert!(is_stopped_later, "{note:?} counts as cancelled");
        }
        Ok(())
    }

    /// Where in the notes the first step failed that stops the run.
    fn halted_at(&self) -> Option<usize> {
        let failed = |step: usize| self.before_undo(step) == StepStatus::Failed;
        let last = |step: usize| {
            self.ran.notes.iter().rposition(|note| note.step == step && note.part != Part::Undo && !note.is_begin())
        };
        (0..self.state.steps().len()).filter(|step| failed(*step)).filter_map(last).min()
    }

    /// What stops a run stops it at once.
    fn stops(&self) -> TestCaseResult {
        let (rules, plan) = (&self.ran.scene.rules, &self.ran.scene.plan);
        let deadline = plan.deadline.map(|deadline| u64::try_from(deadline.as_millis()).unwrap());
        for moment in [rules.stop_at, rules.cancel_at, deadline, rules.dropped_at].into_iter().flatten() {
            let late = self.begins(Part::Run).find(|(_, note)| note.at > u128::from(moment));
            prop_assert!(late.is_none(), "{late:?} after {moment}");
        }
        for moment in [rules.cancel_at, deadline, rules.dropped_at].into_iter().flatten() {
            let late = self.ends(Part::Run).find(|(_, note)| note.at > u128::from(moment) + 1);
            prop_assert!(late.is_none(), "{late:?} after {moment}");
        }
        if let Some(halted) = self.halted_at() {
            let late = self.begins(Part::Run).find(|(at, _)| *at > halted);
            prop_assert!(late.is_none(), "{late:?} after the run had failed");
            let at = self.ran.notes[halted].at;
            let beside = self.ends(Part::Run).find(|(_, note)| rules.cancel_siblings && note.at > at);
            prop_assert!(beside.is_none(), "{beside:?} ran on");
        }
        Ok(())
    }

    /// Where a run goes back, everything that began is undone once, newest first, after all that ran; else nothing is.
    fn undos(&self) -> TestCaseResult {
        let mut tried: Vec<usize> = self.begins(Part::Undo).map(|(_, note)| note.step).collect();
        tried.dedup();
        let due = if self.goes_back() { self.ran.undoable() } else { Vec::new() };
        let rules = &self.ran.scene.rules;
        for &step in &due {
            let expected = if rules.kept.contains(&step) { UndoStatus::Skipped } else { UndoStatus::Undone };
            let found = self.state.steps()[step].undo();
            let may_be = match found {
                Undo::None => rules.rollback_deadline.is_some() || rules.cancel_at.is_some() || self.is_dropped(),
                Undo::Running => false,
                Undo::Ended(UndoStatus::UndoFailed) => expected == UndoStatus::Undone && tried.contains(&step),
                Undo::Ended(found) => found == expected && tried.contains(&step) == (found == UndoStatus::Undone),
            };
            prop_assert!(may_be, "{step}: {found:?}, not {expected:?}");
        }
        for (place, &step) in tried.iter().enumerate() {
            prop_assert!(due.contains(&step) && !rules.kept.contains(&step), "{step} was undone");
            let newer = tried[place + 1..].iter().find(|&&later| builds_on(&self.ran.scene, later, step));
            prop_assert!(newer.is_none() && !tried[..place].contains(&step), "{tried:?}");
        }
        let first = self.begins(Part::Undo).map(|(at, _)| at).next().unwrap_or(usize::MAX);
        let late = self.ran.notes.iter().enumerate().find(|(at, note)| *at > first && note.part != Part::Undo);
        prop_assert!(late.is_none(), "{late:?} after the first undo");
        self.undos_in_time()
    }

    fn undos_in_time(&self) -> TestCaseResult {
        let Some((_, first)) = self.begins(Part::Undo).next() else { return Ok(()) };
        let rules = &self.ran.scene.rules;
        // What was asked before the rollback began has no effect on it.
        let cancelled = rules.cancel_at.map(u128::from).filter(|moment| *moment > first.at);
        let deadline = rules.rollback_deadline.map(|span| first.at + u128::from(span));
        for moment in [cancelled, deadline].into_iter().flatten() {
            let late = self.ends(Part::Undo).find(|(_, note)| note.at > moment + 1);
            prop_assert!(late.is_none(), "{late:?} after {moment}");
            let late = self.begins(Part::Undo).skip(1).find(|(_, note)| note.at >= moment);
            prop_assert!(late.is_none(), "{late:?} after {moment}");
        }
        Ok(())
    }

    fn is_dropped(&self) -> bool {
        matches!(self.ran.end, End::Dropped)
    }

    fn goes_back(&self) -> bool {
        let is_asked_for = match self.ran.end {
            End::Cancelled => self.ran.scene.rules.rollback_on_cancel,
            End::Failed => self.ran.scene.plan.on_failure == OnFailure::Rollback,
            // Whether it came to that is told by the events; nobody else knows.
            End::Dropped => self.ran.events.iter().any(is_undo),
            _ => false,
        };
        is_asked_for && !self.ran.undoable().is_empty()
    }

    fn status(&self) -> TestCaseResult {
        // A step that failed counts for more than one that was cancelled.
        prop_assert!(!matches!(self.ran.end, End::Cancelled) || self.halted_at().is_none());
        let (steps, rules) = (self.state.steps(), &self.ran.scene.rules);
        let all_settled = steps.iter().all(|step| step.status().is_settled());
        let left = self
            .ran
            .undoable()
            .iter()
            .any(|&step| !matches!(steps[step].undo(), Undo::Ended(UndoStatus::Undone | UndoStatus::Skipped)));
        let expected = match &self.ran.end {
            _ if self.goes_back() => {
                if left {
                    RunStatus::Stuck
                } else {
                    RunStatus::RolledBack
                }
            }
            End::Report if all_settled => RunStatus::Completed,
            End::Report => {
                let wanted = wanted(&self.ran.scene);
                let all = steps.iter().zip(wanted).all(|(step, wanted)| step.status().is_settled() == wanted);
                prop_assert!(all && rules.until.is_some());
                RunStatus::Cancelled
            }
            End::Cancelled => {
                prop_assert!(rules.stop_at.is_some() || rules.cancel_at.is_some());
                RunStatus::Cancelled
            }
            End::Failed => {
                let has_failed = self.halted_at().is_some() || self.ran.scene.plan.deadline.is_some();
                prop_assert!(has_failed);
                RunStatus::Failed
            }
            End::Dropped if self.halted_at().is_some() => RunStatus::Failed,
            End::Dropped => RunStatus::Cancelled,
            End::Earlier | End::Journal(_) => return Err(TestCaseError::fail("a new run went on")),
        };
        prop_assert_eq!(self.state.status(), expected);
        Ok(())
    }
}

fn is_undo(event: &Event) -> bool {
    matches!(event.kind, Kind::UndoStart(_) | Kind::UndoEnd(_))
}

impl Note {
    pub(super) fn is_begin(&self) -> bool {
        matches!(self.what, What::Begins { .. })
    }
}
