//! Another process that holds the lock of the file for long.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use step_machine::SqliteJournal;
use step_machine::event::Event;
use step_machine::journal::{Append, Claim, Journal, Lease, Reply, Waiting};

use super::{append, claim, events, open, rows_of, sql};

const HELD: Duration = Duration::from_millis(400);
const TICK: Duration = Duration::from_millis(5);

/// Another task of the same runtime, which has one thread.
struct Ticker(Arc<AtomicU32>);

impl Ticker {
    fn new() -> Self {
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = ticks.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self(ticks)
    }

    /// Asks for something while the lock is held, and gives what comes of it; the other task goes on meanwhile.
    async fn meanwhile<T>(&self, path: &Path, ask: impl FnOnce() -> Reply<T>) -> T {
        let other = sql(path);
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let holding = std::thread::spawn(move || {
            std::thread::sleep(HELD);
            other.execute_batch("COMMIT").unwrap();
        });
        let before = self.0.load(Ordering::Relaxed);
        let answer = ask().await.unwrap();
        assert!(holding.is_finished() || holding.join().is_ok());
        let ticks = self.0.load(Ordering::Relaxed) - before;
        assert!(ticks >= 20, "{ticks} ticks");
        answer
    }
}

fn by_a_task(journal: &SqliteJournal, lease: &Lease, events: &[Event]) -> Reply<()> {
    let mut append = Append::new(lease, events);
    append.waiting = Waiting::Task;
    journal.append(append)
}

#[tokio::test]
async fn a_task_leaves_waiting_for_it_to_the_thread_of_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (journal, ticker, all) = (open(&path), Ticker::new(), events("r", 12));
    // Before the first, whoever drives runs makes itself known.
    let lease = ticker.meanwhile(&path, || journal.claim(&Claim::of("r"))).await.lease;
    // A row begins.
    ticker.meanwhile(&path, || by_a_task(&journal, &lease, &all[..2])).await;
    by_a_task(&journal, &lease, &all[2..3]).await.unwrap();
    // It is added to.
    ticker.meanwhile(&path, || by_a_task(&journal, &lease, &all[3..5])).await;
    by_a_task(&journal, &lease, &all[5..6]).await.unwrap();
    // News come meanwhile that nobody waits for.
    let news = || {
        let reply = by_a_task(&journal, &lease, &all[6..8]);
        let mut news = Append::new(&lease, &all[8..9]);
        news.waiting = Waiting::Nobody;
        drop(journal.append(news));
        reply
    };
    ticker.meanwhile(&path, news).await;
    by_a_task(&journal, &lease, &all[9..]).await.unwrap();
    journal.release(&lease).await.unwrap();
    assert_eq!(journal.load(&"r".into()).await.unwrap(), all);
    assert!(journal.check().await.unwrap().is_empty());
    // Where it was waited for a row ends, and no event stands in two.
    let rows = rows_of(&path, "r");
    assert!(rows.windows(2).all(|two| two[0].1 + 1 == two[1].0), "{rows:?}");
}

#[tokio::test]
async fn after_such_a_wait_others_are_written_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (journal, ticker) = (open(&path), Ticker::new());
    let lease = claim(&journal, "r");
    append(&journal, &lease, &events("r", 3));
    let both = || {
        let reply = by_a_task(&journal, &lease, &events("r", 5)[3..]);
        // A thread that drives another run comes while the first one is waited for.
        let other = journal.clone();
        std::thread::spawn(move || {
            let lease = claim(&other, "s");
            append(&other, &lease, &events("s", 3));
        });
        reply
    };
    ticker.meanwhile(&path, both).await;
    by_a_task(&journal, &lease, &events("r", 6)[5..]).await.unwrap();
    assert_eq!(journal.load(&"r".into()).await.unwrap(), events("r", 6));
    while journal.load(&"s".into()).await.unwrap().len() < 3 {
        tokio::time::sleep(TICK).await;
    }
    assert!(journal.check().await.unwrap().is_empty());
}

#[tokio::test]
async fn it_is_told_once_the_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = SqliteJournal::options().busy_timeout(HELD / 4).open(&path).unwrap();
    let lease = claim(&journal, "r");
    append(&journal, &lease, &events("r", 2));
    by_a_task(&journal, &lease, &events("r", 3)[2..]).await.unwrap();
    let blocker = sql(&path);
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let since = std::time::Instant::now();
    let refused = by_a_task(&journal, &lease, &events("r", 4)[3..]).await;
    assert!(since.elapsed() >= HELD / 4);
    blocker.execute_batch("ROLLBACK").unwrap();
    let Err(error) = &refused else { panic!("{refused:?}") };
    let text = std::error::Error::source(error).map(ToString::to_string);
    assert_eq!(text.as_deref(), Some("database is locked"), "{error}");
    let refused = by_a_task(&journal, &lease, &events("r", 4)[3..]).await;
    assert!(refused.is_err());
    assert_eq!(journal.load(&"r".into()).await.unwrap(), events("r", 3));
}
