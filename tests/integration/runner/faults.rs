//! A journal that fails, at every write that a run asks of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use step_machine::event::{RunStatus, StepStatus};
use step_machine::journal::{Append, Reply};
use step_machine::observe::callbacks;
use step_machine::time::ManualClock;
use step_machine::{Cause, Journal, JournalError, OnFailure, RunId};

use super::{Act::*, Acts, Diamond, Line};
use crate::support::{TextJournal, Trouble, as_in};

/// Refuses one write and would take the next again: whoever goes on after a fault leaves a trace.
#[derive(Clone)]
pub(super) struct Faulty {
    kept: TextJournal,
    writes: Arc<AtomicUsize>,
    refused: usize,
    /// Only the writes of this run count.
    only: Option<RunId>,
    acts: Arc<Acts>,
    bodies: Arc<AtomicUsize>,
}

impl Faulty {
    pub(super) fn refusing(refused: usize, acts: &Arc<Acts>) -> Self {
        let (kept, acts) = (TextJournal::new(), acts.clone());
        Self { kept, writes: Arc::default(), refused, only: None, acts, bodies: Arc::default() }
    }

    pub(super) fn keeping(self, kept: &TextJournal) -> Self {
        Self { kept: kept.clone(), ..self }
    }

    pub(super) fn of(self, run: &str) -> Self {
        Self { only: Some(run.into()), ..self }
    }

    fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    /// How many bodies had been called when the write was refused.
    pub(super) fn bodies(&self) -> usize {
        self.bodies.load(Ordering::Relaxed)
    }
}

impl Journal for Faulty {
    fn append(&self, append: Append<'_>) -> Reply<()> {
        let counts = self.only.as_ref().is_none_or(|only| *only == append.lease.run);
        if counts && self.writes.fetch_add(1, Ordering::Relaxed) + 1 == self.refused {
            self.bodies.store(self.acts.calls().len(), Ordering::Relaxed);
            return Reply::ready(Err(JournalError::Write {
                run: append.lease.run.clone(),
                source: "the disk is full".into(),
            }));
        }
        self.kept.append(append)
    }

    as_in!(kept);
}

fn is_full(cause: &Cause<Trouble>, error: Option<&JournalError>) -> bool {
    matches!(cause, Cause::Journal(JournalError::Write { .. })) || matches!(error, Some(JournalError::Write { .. }))
}

#[tokio::test(start_paused = true)]
async fn wherever_the_journal_fails_no_body_begins_after_it_and_the_run_can_go_on() {
    for refused in 1.. {
        let acts = Arc::new(Acts::new().on("build", [Refuse]).on("scan", [Refuse]));
        let kept = TextJournal::new();
        let journal = Faulty::refusing(refused, &acts).keeping(&kept);
        let ended = Line::run(&*acts).id("r").journal(journal.clone()).await;
        let Err(failure) = ended else {
            assert!(journal.writes() < refused, "{refused}");
            return assert!(refused > 8);
        };
        assert!(is_full(failure.cause(), failure.journal_error()), "{refused}: {failure:?}");
        assert_eq!(journal.bodies(), acts.calls().len(), "{refused}: {:?}", acts.calls());
        assert_eq!(journal.writes(), refused, "nothing is written after it");
        let named = failure.context().record().step.as_ref().map(|step| step.id().to_owned());
        let (story, is_of_journal) = (format!("{failure:#}"), matches!(failure.cause(), Cause::Journal(_)));
        drop(failure);
        let completed = kept.fold("r").unwrap();
        if is_of_journal {
            let open = completed.iter().flat_map(|state| state.plan().steps.iter().zip(state.steps()));
            let open = open.filter(|(_, step)| step.status() == StepStatus::Running).map(|(info, _)| info.id.clone());
            assert_eq!(named, open.last(), "{refused}: the step whose outcome is not on record");
            assert_eq!(story.contains("\neffect    unknown"), named.is_some(), "{refused}: {story}");
            assert_eq!(story.contains("\nsteps\n"), completed.is_some(), "{refused}: {story}");
        }
        let calls = acts.calls().len();
        let report = Line::run(&*acts).id("r").journal(kept.clone()).await.unwrap();
        assert_eq!(report.state().status(), RunStatus::Completed);
        let again = &acts.calls()[calls..];
        let done = completed.iter().flat_map(|state| state.plan().steps.iter().zip(state.steps()));
        for (info, _) in done.filter(|(_, step)| step.status().is_settled()) {
            assert!(!again.contains(&info.id), "{refused}: `{}` ran again in {again:?}", info.id);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_its_journal_broke_off_took_until_then() {
    let (acts, clock, seen) = (Arc::new(Acts::new()), ManualClock::new(), Arc::new(AtomicUsize::new(0)));
    let (each, count) = (clock.clone(), seen.clone());
    let slow = callbacks().on_any(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        each.advance(Duration::from_secs(3));
    });
    let journal = Faulty::refusing(4, &acts);
    let failure = Line::run(&*acts).id("r").clock(clock).observe(slow).journal(journal).await.unwrap_err();
    let record = failure.context().record();
    let shown = Duration::from_secs(3) * u32::try_from(seen.load(Ordering::Relaxed)).unwrap();
    assert_eq!(record.run_duration, shown, "what is on record ends 3 s before");
    assert_eq!(record.failed_at, record.started_at + shown);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_fails_in_a_parallel_run_or_a_rollback_loses_nothing() {
    for refused in 1.. {
        let acts = Arc::new(Acts::new().on("join", [Refuse]).on("undo left", [Refuse]));
        let kept = TextJournal::new();
        let journal = Faulty::refusing(refused, &acts).keeping(&kept);
        let run = Diamond::run(acts.clone()).id("r").on_failure(OnFailure::Rollback).max_parallel(0);
        let failure = run.journal(journal.clone()).await.unwrap_err();
        if journal.writes() < refused {
            return assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
        }
        assert!(is_full(failure.cause(), failure.journal_error()), "{refused}: {failure:?}");
        assert_eq!(journal.bodies(), acts.calls().len(), "{refused}: {:?}", acts.calls());
        drop(failure);
        let end = Diamond::run(acts.clone()).id("r").on_failure(OnFailure::Rollback).journal(kept.clone()).await;
        let status = kept.fold("r").unwrap().unwrap().status();
        assert!(matches!(status, RunStatus::RolledBack | RunStatus::Completed), "{refused}: {status} {end:?}");
    }
}
