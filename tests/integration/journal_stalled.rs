//! Which runs a journal finds of which nothing is heard any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use step_machine::journal::{Append, Reply, RunSummary};
use step_machine::{Journal, MemoryJournal, SqliteJournal, Workflow};

use crate::sqlite::{event, events};
use crate::support::{TextJournal, as_in, ok, seed};

const FIVE_MINUTES: Duration = Duration::from_secs(300);

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Copying {
    Files,
    Index,
}

fn stalled(journal: &Arc<dyn Journal>, silence: Duration) -> Vec<String> {
    let found = journal.stalled(silence).wait().unwrap();
    found.into_iter().map(|run| run.run.to_string()).collect()
}

fn finds_what_is_silent(journal: Arc<dyn Journal>) {
    assert!(stalled(&journal, FIVE_MINUTES).is_empty());
    // Long ago; one of them ended, and one is given up.
    seed(&*journal, &events("hangs", 4));
    seed(&*journal, &events("is-gone", 3));
    let mut ended = events("ended", 2);
    ended.push(event(
        "ended",
        3,
        r#""type":"step_end","step":"apply","attempt":1,"status":"completed","attempt_ms":1.0,"duration_ms":1.0"#,
    ));
    ended.push(event("ended", 4, r#""type":"run_end","status":"completed","duration_ms":3.0"#));
    seed(&*journal, &ended);
    seed(&*journal, &events("given-up", 3));
    journal.abandon(&"given-up".into(), "nobody asks for it").wait().unwrap();
    let now = Copying::machine().id("now").journal(journal.clone()).begin().unwrap();
    let now = now.step(copying::Files, ok).unwrap();
    assert_eq!(stalled(&journal, FIVE_MINUTES), ["hangs", "is-gone"]);
    assert_eq!(stalled(&journal, Duration::ZERO), ["now", "hangs", "is-gone"]);
    what_is_nested_in_a_run_speaks_for_it(&journal);

    now.step(copying::Index, ok).unwrap().finish().unwrap();
    assert_eq!(stalled(&journal, Duration::ZERO), ["hangs", "is-gone"]);
    assert!(stalled(&journal, Duration::MAX).is_empty());
}

/// Two runs that are silent, with one inside in which another one is nested: in one of them that one is heard of.
fn what_is_nested_in_a_run_speaks_for_it(journal: &Arc<dyn Journal>) {
    let nested = |outer: &str, id: &str| {
        let plan = r#"{"workflow":"w","steps":[{"id":"apply","name":"Apply"}]}"#;
        event(id, 1, &format!(r#""type":"run_start","plan":{plan},"parent":{{"run":"{outer}","step":"apply"}}"#))
    };
    for outer in ["speaks", "is-silent"] {
        let (inner, innermost) = (format!("{outer}/apply/a"), format!("{outer}/apply/a/apply/b"));
        seed(&**journal, &events(outer, 5));
        seed(&**journal, &[nested(outer, &inner)]);
        let mut last = nested(&inner, &innermost);
        if outer == "speaks" {
            last.at = SystemTime::now();
        }
        seed(&**journal, &[last]);
    }
    assert_eq!(stalled(journal, FIVE_MINUTES), ["is-silent", "hangs", "is-gone"]);
    for run in ["speaks", "is-silent"] {
        journal.abandon(&run.into(), "it was an example").wait().unwrap();
    }
}

#[test]
fn a_journal_finds_the_unfinished_runs_that_are_silent() {
    let folder = tempfile::tempdir().unwrap();
    finds_what_is_silent(Arc::new(MemoryJournal::new()));
    finds_what_is_silent(Arc::new(TextJournal::new()));
    finds_what_is_silent(Arc::new(SqliteJournal::open(folder.path().join("runs.db")).unwrap()));
}

#[cfg(unix)]
#[test]
fn a_server_finds_the_unfinished_runs_that_are_silent() {
    finds_what_is_silent(Arc::new(crate::postgres::Place::new().open()));
}

/// A journal that knows better which runs are stalled.
#[derive(Default)]
struct Knowing {
    runs: MemoryJournal,
    asked: Arc<AtomicUsize>,
}

impl Journal for Knowing {
    fn append(&self, append: Append<'_>) -> Reply<()> {
        self.runs.append(append)
    }

    fn stalled(&self, silence: Duration) -> Reply<Vec<RunSummary>> {
        assert_eq!(silence, FIVE_MINUTES);
        self.asked.fetch_add(1, Ordering::Relaxed);
        Reply::ready(Ok(Vec::new()))
    }

    as_in!(runs);
}

#[test]
fn what_points_to_a_journal_asks_that_one() {
    let asked = Arc::new(AtomicUsize::new(0));
    let knowing = || Knowing { asked: asked.clone(), ..Knowing::default() };
    let shared: Arc<dyn Journal> = Arc::new(knowing());
    let journals: [Box<dyn Journal>; 4] =
        [Box::new(knowing()), Box::new(Arc::new(knowing())), Box::new(shared), Box::new(Box::new(knowing()))];
    for (before, journal) in journals.iter().enumerate() {
        // By the implementation of the box itself.
        let asks = |journal: &dyn Journal| journal.stalled(FIVE_MINUTES).wait().unwrap();
        assert!(asks(journal).is_empty());
        assert_eq!(asked.load(Ordering::Relaxed), before + 1);
    }
}
