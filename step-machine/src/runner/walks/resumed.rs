//! A run that goes on from its journal, wherever its process ended.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::actor::{Part, What};
use super::oracle::{builds_on, calls};
use super::{End, RUN, Ran, play};
use crate::event::{Event, Kind, RunStatus, StepStatus};
use crate::journal::{Append, Claim, Journal, JournalError, MemoryJournal};
use crate::state::RunState;

/// Goes on after each event of a run, in a world where everything goes well.
pub(super) fn check(ran: &Ran) -> TestCaseResult {
    for length in 1..=ran.events.len() {
        let earlier = &ran.events[..length];
        let journal = MemoryJournal::new();
        let lease = journal.claim(&Claim::of(RUN)).wait().unwrap().lease;
        journal.append(Append::new(&lease, earlier)).wait().unwrap();
        journal.release(&lease).wait().unwrap();
        let state = RunState::fold(earlier).unwrap().unwrap();
        let next = play(&ran.scene.healed(), Some(&journal));
        let whole = journal.load(&RUN.into()).wait().unwrap();
        let folded = RunState::fold(&whole).unwrap().unwrap();
        prop_assert_eq!(&whole[..length], earlier);
        // What was completed stays as it was written; in memory its steps stand as the new plan has them.
        if let Some(after) = next.state.as_ref().filter(|_| state.status() != RunStatus::Completed) {
            prop_assert_eq!(after, &folded);
        }
        match state.status() {
            RunStatus::RolledBack => {
                let is_over = matches!(next.end, End::Journal(JournalError::Over { .. }));
                prop_assert!(is_over && next.notes.is_empty(), "{:?}", next.end);
            }
            RunStatus::RollingBack | RunStatus::Stuck => back(&state, &next, &folded)?,
            _ => forward(earlier, &state, &next, &folded)?,
        }
    }
    Ok(())
}

/// What was not done is done once, in order, and nothing else.
fn forward(earlier: &[Event], state: &RunState, next: &Ran, folded: &RunState) -> TestCaseResult {
    prop_assert!(matches!(next.end, End::Report), "{:?}", &next.end);
    prop_assert_eq!(folded.status(), RunStatus::Completed);
    for (step, before) in state.steps().iter().enumerate() {
        let expected = u32::from(!before.status().is_settled());
        prop_assert_eq!(calls(next, step, Part::Run), expected, "calls of step {}", step);
        prop_assert_eq!(calls(next, step, Part::Undo), 0);
        let id = &*state.plan().steps[step].id;
        let seen = Seen::of(earlier, id);
        for note in next.notes.iter().filter(|note| note.step == step && note.part == Part::Run) {
            if let What::Begins { attempt, interrupted } = note.what {
                prop_assert_eq!((attempt, interrupted), (seen.attempts + 1, seen.is_open), "{}", id);
            }
        }
    }
    let mut begun = next.notes.iter().filter(|note| note.part == Part::Run && note.is_begin()).map(|note| note.step);
    let order: Vec<_> = begun.by_ref().collect();
    for (place, &step) in order.iter().enumerate() {
        let early = order[place + 1..].iter().find(|&&later| builds_on(&next.scene, step, later));
        prop_assert!(early.is_none(), "{order:?}");
    }
    Ok(())
}

/// What is left to undo is undone once, in order, and nothing runs.
fn back(state: &RunState, next: &Ran, folded: &RunState) -> TestCaseResult {
    prop_assert_eq!(folded.status(), RunStatus::RolledBack);
    prop_assert!(matches!(next.end, End::Earlier), "{:?}", &next.end);
    prop_assert!(next.notes.iter().all(|note| note.part == Part::Undo));
    let order: Vec<_> = next.notes.iter().filter(|note| note.is_begin()).map(|note| note.step).collect();
    for (step, before) in state.steps().iter().enumerate() {
        let is_undone = before.status() == StepStatus::Undone;
        let is_kept = matches!(before.undo(), crate::state::Undo::Ended(crate::event::UndoStatus::Skipped));
        let is_due = state.plan().steps[step].undo && before.has_begun() && !is_undone && !is_kept;
        prop_assert_eq!(calls(next, step, Part::Undo), u32::from(is_due), "undos of step {}", step);
    }
    for (place, &step) in order.iter().enumerate() {
        let newer = order[place + 1..].iter().find(|&&later| builds_on(&next.scene, later, step));
        prop_assert!(newer.is_none(), "{order:?}");
    }
    Ok(())
}

/// What the events say of a step.
#[derive(Default)]
struct Seen {
    attempts: u32,
    /// An attempt began, and how it ended is not known.
    is_open: bool,
}

impl Seen {
    fn of(events: &[Event], step: &str) -> Self {
        let mut seen = Self::default();
        for event in events.iter().filter(|event| event.step() == Some(step)) {
            match &event.kind {
                Kind::StepStart(_) => {
                    seen.attempts += 1;
                    seen.is_open = true;
                }
                Kind::StepRetry(_) => seen.is_open = false,
                Kind::StepEnd(end) => seen.is_open = end.status == StepStatus::Cancelled,
                _ => {}
            }
        }
        seen
    }
}
