//! The write-ahead log, as a process that was killed leaves it, and as a faulty disk leaves that.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use step_machine::event::Event;
use step_machine::journal::{RunQuery, Synchronous};
use step_machine::{Journal, JournalError, SqliteJournal};
use tempfile::TempDir;

use super::{append, claim, events, open, sql};

const HEADER: usize = 32;
const FRAME: usize = 24 + 4096;

/// The two files that a killed process leaves, but for what only processes that live share.
#[derive(Clone)]
struct Left {
    database: Vec<u8>,
    log: Vec<u8>,
}

impl Left {
    /// What a journal has on the disk while it is open.
    fn of(path: &Path) -> Self {
        Self { database: fs::read(path).unwrap(), log: fs::read(path.with_extension("db-wal")).unwrap() }
    }

    fn with(&self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut changed = self.clone();
        change(&mut changed.log);
        assert_ne!(changed.log, self.log);
        changed
    }

    fn flipped(&self, at: usize) -> Self {
        self.with(|log| log[at] ^= if at.is_multiple_of(2) { 0x01 } else { 0xff })
    }

    fn put(&self) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        fs::write(&path, &self.database).unwrap();
        fs::write(path.with_extension("db-wal"), &self.log).unwrap();
        (folder, path)
    }

    /// The frames that are of the same time as the header: where each begins, and whether it ends a commit.
    fn frames(&self) -> Vec<(usize, bool)> {
        let frames = (HEADER..self.log.len()).step_by(FRAME);
        let of_now = frames.take_while(|at| self.log.get(at + 8..at + 16) == Some(&self.log[16..24]));
        of_now.map(|at| (at, self.log[at + 4..at + 8] != [0; 4])).collect()
    }

    /// The frames that end a commit, from the last on.
    fn last_commits(&self) -> Vec<usize> {
        self.frames().into_iter().rev().filter(|frame| frame.1).map(|frame| frame.0).collect()
    }

    /// What the error says of it, with which nothing was touched.
    fn refused(&self) -> String {
        let (folder, path) = self.put();
        let said = said(SqliteJournal::open(&path));
        assert_eq!(said, self::said(SqliteJournal::open_read_only(&path)));
        assert_eq!(fs::read(&path).unwrap(), self.database);
        assert_eq!(fs::read(path.with_extension("db-wal")).unwrap(), self.log);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        said
    }

    /// What is in it, opened as it is.
    fn opened(&self) -> Vec<Event> {
        let (_folder, path) = self.put();
        let looked = found(&SqliteJournal::open_read_only(&path).unwrap());
        assert_eq!(looked, found(&open(&path)));
        looked
    }
}

fn said(result: Result<SqliteJournal, JournalError>) -> String {
    let Err(JournalError::Store { advice, source, .. }) = result else { panic!("{result:?}") };
    assert_eq!(
        source.to_string(),
        "whoever else opens the file loses these commits, and what they completed would run again; \"Damage\" in \
        docs/journal.md has the rest"
    );
    let (damage, advice) = advice.split_once("; ").unwrap();
    assert_eq!(
        advice,
        "copy the file and its log (`-wal`) away before anything else opens it, then restore both, or go on without \
        these commits: `accept_damaged_log(true)`, or the switch `--accept-damaged-log`"
    );
    damage.to_owned()
}

/// The events of the run; none where it is not there.
fn found(journal: &SqliteJournal) -> Vec<Event> {
    match journal.list(&RunQuery::all()).wait().unwrap().len() {
        0 => Vec::new(),
        _ => journal.load(&"r".into()).wait().unwrap(),
    }
}

fn accepting(path: &Path) -> SqliteJournal {
    let options = SqliteJournal::options().synchronous(Synchronous::Normal);
    options.accept_damaged_log(true).open(path).unwrap()
}

/// A run of so many events, each a commit, whose process was killed.
fn killed(count: u64) -> (Left, Vec<Event>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let lease = claim(&journal, "r");
    let events = events("r", count);
    for event in &events {
        append(&journal, &lease, std::slice::from_ref(event));
    }
    (Left::of(&path), events)
}

/// One beside another, so that each commit is asked whether there is room for it in the log.
fn reserved() -> (Left, Vec<Event>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let leases = ["r", "s"].map(|run| (claim(&journal, run), events(run, 8)));
    for at in 0..8 {
        for (lease, events) in &leases {
            append(&journal, lease, &events[at..=at]);
        }
    }
    let [(_, events), _] = leases;
    (Left::of(&path), events)
}

fn count(commits: usize) -> String {
    if commits == 1 { "1 commit".to_owned() } else { format!("{commits} commits") }
}

#[test]
fn a_log_that_is_whole_is_read() {
    let (left, events) = killed(6);
    assert_eq!(left.log.len(), HEADER + left.frames().len() * FRAME);
    assert_eq!(left.opened(), events);
    // With zeros behind it, which spare each commit to make it longer.
    let (left, events) = reserved();
    let end = HEADER + left.frames().len() * FRAME;
    assert!(left.log.len() > end + 10 * FRAME && left.log[end..].iter().all(|byte| *byte == 0));
    assert_eq!(left.opened(), events);
    assert!(
        left.flipped(left.last_commits()[5] + 1000).refused().ends_with("and 6 commits from there on would be lost")
    );
    let (_folder, path) = left.put();
    assert_eq!(found(&accepting(&path)), events);
}

#[test]
fn a_byte_that_is_flipped_in_the_middle_is_told_and_changes_nothing() {
    let (left, events) = killed(24);
    let frames = left.frames();
    let commits = |frames: &[(usize, bool)]| frames.iter().filter(|frame| frame.1).count();
    for (index, (at, _)) in frames.iter().enumerate() {
        let (before, behind) = (commits(&frames[..index]), commits(&frames[index + 1..]));
        if behind < 3 {
            continue;
        }
        // The number of the page, the size of the database, both salts, both sums, and the page.
        for byte in [3, 7, 8, 15, 16, 23, 24, 1000, FRAME - 1] {
            let left = left.flipped(at + byte);
            let behind = left.last_commits().len() - before;
            let behind = if byte / 8 == 1 { commits(&frames[index + 1..]) } else { behind };
            let (before, behind) = (count(before), count(behind));
            let expected = format!(
                "its write-ahead log is damaged at frame {}, after {before}, and {behind} from there on would be lost",
                index + 1
            );
            assert_eq!(left.refused(), expected, "byte {byte}");
        }
        let (_folder, path) = left.flipped(at + 1000).put();
        let found = found(&accepting(&path));
        assert!(found.len() < events.len() && events.starts_with(&found), "frame {}: {}", index + 1, found.len());
        assert_eq!(found.len(), before.saturating_sub(2), "what makes the journal, the claim, then an event each");
    }
}

#[test]
fn a_damaged_head_is_told() {
    let (left, _) = killed(5);
    let commits = left.last_commits().len();
    let expected = format!("the head of its write-ahead log is damaged, and {commits} commits behind it would be lost");
    for at in 0..HEADER {
        assert_eq!(left.flipped(at).refused(), expected, "byte {at}");
    }
    assert_eq!(left.with(|log| log[..HEADER].fill(0)).refused(), expected);
    // The first sector, with the beginning of the first frame.
    let said = left.with(|log| log[..512].fill(0)).refused();
    assert!(said.starts_with("the head of its write-ahead log is damaged"), "{said}");
    let (_folder, path) = left.flipped(0).put();
    assert_eq!(found(&accepting(&path)), []);
}

#[test]
fn a_database_that_was_cut_off_to_nothing_is_told() {
    let (left, _) = killed(5);
    let commits = left.last_commits().len();
    let cut = Left { database: Vec::new(), log: left.log.clone() };
    assert_eq!(cut.refused(), format!("the file is empty, but its write-ahead log has {commits} commits"));
    // Who removes the file, and leaves its log, begins anew.
    let (_folder, path) = left.put();
    fs::remove_file(&path).unwrap();
    assert_eq!(found(&open(&path)), []);
}

#[test]
fn a_log_without_commits_loses_nothing() {
    let (left, _) = killed(5);
    let database = {
        let (_folder, path) = left.put();
        drop(open(&path));
        fs::read(&path).unwrap()
    };
    for log in [Vec::new(), vec![0; HEADER], vec![0; 256 << 10], left.log[..HEADER].to_vec(), vec![7; 20]] {
        assert_eq!(Left { database: database.clone(), log }.opened().len(), 5);
    }
}

#[test]
fn what_a_crash_may_leave_of_the_last_commits_is_no_damage() {
    for count in [8, 24] {
        let (left, events) = killed(count);
        let last = left.last_commits();
        // The pages of the last one, of the last two, and of one more, did not all reach the disk.
        let torn = |commits: usize| left.with(|log| log[last[commits - 1] + 24..][..512].fill(0xaa));
        assert_eq!(torn(1).opened(), events[..events.len() - 1]);
        assert_eq!(torn(2).opened(), events[..events.len() - 2]);
        assert!(torn(3).refused().ends_with("and 3 commits from there on would be lost"));
        // It was cut off within the last frame, or before it.
        for length in [last[0] + FRAME - 1, last[0] + 24, last[0] + 5, last[0]] {
            let cut = left.with(|log| log.truncate(length));
            assert_eq!(cut.opened(), events[..events.len() - 1], "{length}");
        }
    }
}

#[test]
fn a_log_that_began_anew_has_old_frames_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let lease = claim(&journal, "r");
    let events = events("r", 30);
    let put = |events: &[Event]| events.chunks(1).for_each(|event| append(&journal, &lease, event));
    put(&events[..20]);
    let before = Left::of(&path).frames().len();
    let blocked: i64 = sql(&path).query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get(0)).unwrap();
    assert_eq!(blocked, 0);
    put(&events[20..]);
    let left = Left::of(&path);
    assert!(left.frames().len() < before, "{} of {before}", left.frames().len());
    assert_eq!(left.opened(), events);
    // Damage is told by the new ones alone.
    let last = left.last_commits();
    assert_eq!(left.flipped(last[0] + 2000).opened(), events[..29]);
    assert!(left.flipped(last[3] + 2000).refused().ends_with("and 4 commits from there on would be lost"));
}

#[test]
fn what_was_accepted_is_not_told_again() {
    let (left, events) = killed(24);
    let (_folder, path) = left.flipped(left.last_commits()[9] + 1000).put();
    let journal = accepting(&path);
    assert_eq!(found(&journal), events[..14]);
    let lease = claim(&journal, "r");
    append(&journal, &lease, &events[14..15]);
    // Killed once more: nothing of what was given up stands behind the new commits.
    assert_eq!(Left::of(&path).opened(), events[..15]);
}

#[test]
fn what_cannot_be_cut_is_not_accepted() {
    let (left, events) = killed(24);
    let (_folder, path) = left.flipped(left.last_commits()[9] + 1000).put();
    let reader = sql(&path);
    reader.execute_batch("BEGIN; SELECT count(*) FROM run").unwrap();
    let accepting_soon =
        || SqliteJournal::options().accept_damaged_log(true).busy_timeout(Duration::from_millis(20)).open(&path);
    let Err(JournalError::Store { advice, source, .. }) = accepting_soon() else { panic!("it was cut") };
    assert_eq!(advice, "have whoever uses the file end that, then open it again");
    assert_eq!(source.to_string(), "its damaged log cannot be cut: somebody else uses the file");
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(found(&accepting_soon().unwrap()), events[..14]);
    drop(reader);
}

#[cfg(unix)]
#[test]
fn a_file_is_looked_at_by_a_link_too() {
    let (left, _) = killed(12);
    let (folder, path) = left.flipped(left.last_commits()[5] + 1000).put();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(said(SqliteJournal::open(&link)).starts_with("its write-ahead log is damaged at frame"));
}

#[test]
fn a_journal_that_is_just_written_to_is_not_taken_for_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let lease = claim(&journal, "r");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The log begins anew a few times meanwhile.
            events("r", 3000).chunks(1).for_each(|event| append(&journal, &lease, event));
            is_over.store(true, Ordering::Release);
        });
        let mut before = 0;
        while !is_over.load(Ordering::Acquire) {
            let now = found(&SqliteJournal::open_read_only(&path).unwrap()).len();
            assert!(now >= before, "{now} after {before}");
            before = now;
        }
    });
    assert_eq!(found(&journal).len(), 3000);
}
