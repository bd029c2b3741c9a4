//! Opening and closing the file, in one process.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use step_machine::journal::{Append, Claim, Claimed, RunQuery, Synchronous, Waiting};
use step_machine::{Journal, JournalError, SqliteJournal};

use super::{append, claim, events, open, sql};

/// Where the journal is, what to do, and what the store said.
fn unusable(result: Result<SqliteJournal, JournalError>) -> (String, String) {
    let Err(JournalError::Store { advice, source, .. }) = result else { panic!("{result:?}") };
    (advice, source.to_string())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn force(run: &str) -> Claim {
    let mut claim = Claim::of(run);
    claim.take_over = true;
    claim
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    drop(open(&path));
    sql(&path).pragma_update(None, "user_version", 99).unwrap();
    let expected = (
        "a newer step-machine wrote it; use that one, or update this one".to_owned(),
        "it has version 99, this version of step-machine knows those up to 1".to_owned(),
    );
    assert_eq!(unusable(SqliteJournal::open(&path)), expected);
    assert_eq!(unusable(SqliteJournal::open_read_only(&path)), expected);
}

#[test]
fn a_file_that_a_newer_version_takes_over_while_it_is_open_is_written_to_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let lease = claim(&journal, "r");
    append(&journal, &lease, &events("r", 2));
    sql(&path).pragma_update(None, "user_version", 2).unwrap();
    let expected =
        "a newer step-machine has brought the file to version 2, and this one knows those up to 1: use that one";
    for _ in 0..2 {
        let Err(JournalError::Write { source, .. }) = journal.claim(&Claim::of("s")).wait() else {
            panic!("it was written to")
        };
        assert_eq!(source.to_string(), expected);
    }
    assert_eq!(journal.load(&"r".into()).wait().unwrap(), events("r", 2));
}

#[test]
fn a_file_that_is_something_else_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.db");
    sql(&other).execute_batch("CREATE TABLE song (title TEXT)").unwrap();
    let text = folder.path().join("text.db");
    fs::write(&text, "no database at all, but long enough to have a head of its own: ".repeat(20)).unwrap();
    for path in [&other, &text] {
        let before = fs::read(path).unwrap();
        let (advice, _) = unusable(SqliteJournal::open(path));
        assert!(advice.contains("choose another file") || advice.contains("no SQLite database"), "{advice}");
        assert_eq!(fs::read(path).unwrap(), before);
    }
    assert_eq!(names(folder.path()), ["other.db", "text.db"]);
}

#[test]
fn a_place_where_no_file_can_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (advice, _) = unusable(SqliteJournal::open(folder.path().join("not/there/runs.db")));
    assert_eq!(advice, "see that its directory is there and may be written to, and that its disk has room");
    for opened in [SqliteJournal::open(folder.path()), SqliteJournal::open_read_only(folder.path())] {
        let (advice, source) = unusable(opened);
        assert_eq!(advice, "name the file in it that the runs are kept in");
        assert_eq!(source, "it is a folder");
    }
}

#[test]
fn a_journal_that_is_opened_to_read_reads_and_does_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    assert!(SqliteJournal::open_read_only(&path).is_err() && names(folder.path()).is_empty());

    let journal = open(&path);
    let lease = claim(&journal, "r");
    append(&journal, &lease, &events("r", 2));
    let looking = SqliteJournal::open_read_only(&path).unwrap();
    assert_eq!(looking.load(&"r".into()).wait().unwrap(), events("r", 2));
    append(&journal, &lease, &events("r", 4)[2..]);
    assert_eq!(looking.load(&"r".into()).wait().unwrap(), events("r", 4));
    assert_eq!(looking.list(&RunQuery::all()).wait().unwrap().len(), 1);
    assert!(looking.check().wait().unwrap().is_empty());
    for result in [
        looking.claim(&Claim::of("s")).wait().map(drop),
        looking.append(Append::new(&lease, &events("r", 5)[4..])).wait(),
        looking.abandon(&"r".into(), "why").wait(),
    ] {
        assert!(matches!(result, Err(JournalError::Store { .. })), "{result:?}");
    }
}

#[test]
fn many_can_make_the_same_file_at_once() {
    for round in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        thread::scope(|scope| {
            for at in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let journal = open(path);
                    let run = format!("run-{at}");
                    append(&journal, &claim(&journal, &run), &events(&run, 3));
                });
            }
        });
        assert_eq!(open(&path).list(&RunQuery::all()).wait().unwrap().len(), 8, "{round}");
    }
}

#[test]
fn the_last_one_who_closes_leaves_the_database_alone_and_all_that_was_asked_for_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let lease = claim(&journal, "r");
    for event in events("r", 500).chunks(1) {
        let mut append = Append::new(&lease, event);
        append.waiting = Waiting::Nobody;
        drop(journal.append(append));
    }
    drop(journal.release(&lease));
    assert!(names(folder.path()).contains(&"runs.db-owners".to_owned()));
    drop(journal);
    assert_eq!(names(folder.path()), ["runs.db"]);
    assert_eq!(open(&path).load(&"r".into()).wait().unwrap(), events("r", 500));
}

#[test]
fn two_who_have_the_file_open_respect_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (one, other) = (open(&path), open(&path));
    let lease = claim(&one, "r");
    append(&one, &lease, &events("r", 1));
    let refused = other.claim(&Claim::of("r")).wait();
    assert!(
        matches!(&refused, Err(JournalError::Owned { owner, .. }) if owner.pid == std::process::id()),
        "{refused:?}"
    );
    assert!(matches!(other.abandon(&"r".into(), "why").wait(), Err(JournalError::Owned { .. })));

    let taken: Claimed = other.claim(&force("r")).wait().unwrap();
    assert_eq!(taken.events, events("r", 1));
    let refused = one.append(Append::new(&lease, &events("r", 2)[1..])).wait();
    assert!(matches!(&refused, Err(JournalError::TakenOver { owner: Some(_), .. })), "{refused:?}");
    one.release(&lease).wait().unwrap();
    append(&other, &taken.lease, &events("r", 2)[1..]);
    drop(other);
    assert_eq!(one.claim(&Claim::of("r")).wait().unwrap().events, events("r", 2));
}

#[test]
fn a_run_whose_journal_was_closed_without_giving_it_back_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let first = open(&path);
    let mut exclusive = Claim::of("r");
    exclusive.exclusive = vec!["web".to_owned()];
    append(&first, &first.claim(&exclusive).wait().unwrap().lease, &events("r", 2));
    drop(first);

    let second = open(&path);
    let found = second.list(&RunQuery::of("r")).wait().unwrap();
    assert_eq!(found[0].owner.as_ref().map(|owner| owner.pid), Some(std::process::id()));
    exclusive.run = "s".into();
    drop(second.claim(&exclusive).wait().unwrap());
    assert_eq!(second.claim(&Claim::of("r")).wait().unwrap().events.len(), 2);
    let owners: i64 = sql(&path).query_row("SELECT count(*) FROM owner", [], |row| row.get(0)).unwrap();
    assert_eq!(owners, 1);
}

#[test]
fn a_full_disk_stops_a_run_and_the_journal_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let options = SqliteJournal::options().synchronous(Synchronous::Normal).max_size(120 << 10);
    let journal = options.open(&path).unwrap();
    let (lease, all) = (claim(&journal, "r"), events("r", 2000));
    let mut kept = 0;
    let fault = loop {
        match journal.append(Append::new(&lease, &all[kept..kept + 2])).wait() {
            Ok(()) => kept += 2,
            Err(error) => break error,
        }
    };
    assert!(matches!(&fault, JournalError::Write { .. }) && kept > 10, "{fault:?} after {kept}");
    // The same append again: it would fit where it is not the disk that is asked.
    assert!(matches!(journal.append(Append::new(&lease, &[])).wait(), Err(JournalError::Write { .. })));
    assert_eq!(journal.load(&"r".into()).wait().unwrap(), all[..kept]);
    journal.release(&lease).wait().unwrap();
    drop(journal);

    let journal = open(&path);
    let claimed = journal.claim(&Claim::of("r")).wait().unwrap();
    assert_eq!(claimed.events, all[..kept]);
    append(&journal, &claimed.lease, &all[kept..]);
    assert!(journal.check().wait().unwrap().is_empty());
}

#[cfg(unix)]
#[test]
fn who_comes_over_a_link_sees_who_drives_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let (there, file, folder_link) = (folder.path().join("there"), folder.path().join("l.db"), folder.path().join("l"));
    std::fs::create_dir(&there).unwrap();
    // Before there is a file, too.
    std::os::unix::fs::symlink(there.join("runs.db"), &file).unwrap();
    std::os::unix::fs::symlink(&there, &folder_link).unwrap();
    let first = open(&file);
    let lease = claim(&first, "r");
    append(&first, &lease, &events("r", 1));
    for path in [there.join("runs.db"), file, folder_link.join("runs.db")] {
        let refused = open(&path).claim(&Claim::of("r")).wait();
        assert!(matches!(&refused, Err(JournalError::Owned { .. })), "{}: {refused:?}", path.display());
    }
    assert!(there.join("runs.db-owners").is_dir());
    append(&first, &lease, &events("r", 2)[1..]);
}

#[test]
fn once_a_full_disk_has_room_again_the_other_runs_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let options = SqliteJournal::options().synchronous(Synchronous::Normal).max_size(120 << 10);
    let journal = options.open(&path).unwrap();
    let (full, other) = (claim(&journal, "full"), claim(&journal, "other"));
    append(&journal, &other, &events("other", 1));
    let all = events("full", 2000);
    let fault = all.chunks(2).find_map(|two| journal.append(Append::new(&full, two)).wait().err());
    assert!(matches!(&fault, Some(JournalError::Write { run, .. }) if *run == "full".into()), "{fault:?}");

    // Somebody else makes room.
    let made = "DELETE FROM record WHERE run = (SELECT key FROM run WHERE id = 'full')";
    assert!(sql(&path).execute(made, []).unwrap() > 0);
    append(&journal, &other, &events("other", 2)[1..]);
    append(&journal, &claim(&journal, "new"), &events("new", 2));
    assert_eq!(journal.load(&"other".into()).wait().unwrap(), events("other", 2));
    let refused = journal.claim(&Claim::of("other")).wait();
    assert!(matches!(&refused, Err(JournalError::Owned { .. })), "{refused:?}");
}

#[test]
fn who_waits_for_ever_waits_as_long_as_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let waiting = || SqliteJournal::options().busy_timeout(Duration::MAX);
    let journal = waiting().open(&path).unwrap();
    append(&journal, &claim(&journal, "r"), &events("r", 2));
    assert_eq!(waiting().open_read_only(&path).unwrap().load(&"r".into()).wait().unwrap(), events("r", 2));
}

#[test]
fn a_file_that_may_have_less_than_a_page_has_no_room() {
    let folder = tempfile::tempdir().unwrap();
    for bytes in [0, 4000, 4096] {
        let refused = SqliteJournal::options().max_size(bytes).open(folder.path().join("runs.db"));
        let (advice, source) = unusable(refused);
        assert_eq!(advice, "there is no room left for it; make some on its disk, then try again");
        assert_eq!(source, "database or disk is full");
    }
}

#[test]
fn a_file_that_is_empty_is_said_to_be_so_to_whoever_only_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    fs::write(&path, "").unwrap();
    let (advice, source) = unusable(SqliteJournal::open_read_only(&path));
    assert_eq!(advice, "choose another file, or open it to write, which makes it a journal");
    assert_eq!(source, "it is empty, or is just being made");
    drop(open(&path));
    assert!(SqliteJournal::open_read_only(&path).unwrap().list(&RunQuery::all()).wait().unwrap().is_empty());
}
