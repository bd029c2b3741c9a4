//! How much a commit is waited for.

use std::time::Duration;

use rusqlite::{Connection, Error, ffi};

use super::Synchronous;
use super::job::Job;

/// What a commit waits for, as it was chosen and as it is set.
pub(super) struct Wait {
    chosen: Synchronous,
    set: Synchronous,
    /// The disk need not have the last commit yet. Then the next one is waited for, whatever it is: a log with more of them at
    /// its end could not be told from a damaged one after a power loss.
    is_behind: bool,
    /// How many rows were changed before this commit.
    changes: u64,
    /// A wait failed. Then the log has a whole commit that counts for nothing, which a shorter one would leave behind itself;
    /// and what was to reach the disk before it may never do so, though the next wait succeeds.
    is_unsure: bool,
}

impl Wait {
    /// `has_log`: there may be commits in it that nobody waited for.
    pub(super) fn new(chosen: Synchronous, has_log: bool) -> Self {
        Self { chosen, set: chosen, is_behind: has_log, changes: 0, is_unsure: false }
    }

    /// Sets it for what is written next; not within a transaction.
    pub(super) fn set_for(&mut self, jobs: &[Job], connection: &Connection) -> Result<(), Error> {
        if self.is_unsure {
            self.is_unsure = !begin_anew(connection)?;
        }
        let may_go = !self.is_behind && jobs.iter().all(is_of_the_living);
        let wanted = if may_go { Synchronous::Normal } else { self.chosen };
        if wanted != self.set {
            connection.pragma_update(None, "synchronous", wanted.pragma())?;
            self.set = wanted;
        }
        self.changes = connection.total_changes();
        Ok(())
    }

    /// It is written. What changed nothing was no commit, and took nothing with it.
    pub(super) fn done(&mut self, connection: &Connection) {
        if connection.total_changes() != self.changes {
            self.is_behind = self.set != Synchronous::Full;
        }
    }

    /// It was not.
    pub(super) fn failed(&mut self, error: &Error) {
        self.is_behind = true;
        self.is_unsure |= error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_FSYNC);
    }
}

/// Has all of the log written to the database, and the next commit begin it anew; whether that is so. Others may hinder it by
/// reading: they are not waited for.
fn begin_anew(connection: &Connection) -> Result<bool, Error> {
    let is_hindered = without_patience(connection, |connection| {
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get::<_, bool>(0))
    });
    Ok(!is_hindered?)
}

/// Does something that waits for nobody else.
pub(super) fn without_patience<'a, T>(
    connection: &'a Connection,
    work: impl FnOnce(&'a Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    let patience: u32 = connection.pragma_query_value(None, "busy_timeout", |row| row.get(0))?;
    connection.busy_timeout(Duration::ZERO)?;
    let done = work(connection);
    connection.busy_timeout(Duration::from_millis(patience.into()))?;
    done
}

/// Whether it only says who drives a run. Who asks for that sees it at once, and nobody who was told survives a power loss. The first
/// append under a lease waits for the disk, and takes with it all that was written before.
fn is_of_the_living(job: &Job) -> bool {
    matches!(job, Job::Claim(..) | Job::Release(..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::journal::appended::Appended;
    use crate::journal::{Append, Claim, Lease, Reply};

    fn claim() -> Job {
        Job::Claim(Claim::of("r"), Reply::later().0)
    }

    fn release() -> Job {
        Job::Release(Lease::new("r".into(), 1, 1), Reply::later().0)
    }

    fn append() -> Job {
        let lease = Lease::new("r".into(), 1, 1);
        let none: [Event; 0] = [];
        Job::Append(Box::new(Appended::new(Append::new(&lease, &none))), Reply::later().0)
    }

    /// What SQLite says is set for each of these groups, one after another; each writes a row, or does not.
    fn set(chosen: Synchronous, has_log: bool, groups: &[(&[Job], bool)]) -> Result<Vec<i64>, Error> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch("CREATE TABLE t (x)")?;
        connection.pragma_update(None, "synchronous", chosen.pragma())?;
        let mut wait = Wait::new(chosen, has_log);
        let set = |(jobs, writes): &(&[Job], bool)| {
            wait.set_for(jobs, &connection)?;
            connection.execute("INSERT INTO t SELECT 1 WHERE ?1", [writes])?;
            wait.done(&connection);
            connection.pragma_query_value(None, "synchronous", |row| row.get(0))
        };
        groups.iter().map(set).collect()
    }

    const NORMAL: i64 = 1;
    const FULL: i64 = 2;

    #[test]
    fn claims_and_releases_by_themselves_do_not_wait_for_the_disk_and_all_else_does() -> Result<(), Error> {
        let groups: [(&[Job], bool); 6] = [
            (&[append()], true),
            (&[claim(), release(), claim()], true),
            (&[append()], true),
            (&[claim(), append()], true),
            (&[release()], true),
            (&[Job::Abandon("r".into(), "why".to_owned(), Reply::later().0)], true),
        ];
        assert_eq!(set(Synchronous::Full, false, &groups)?, [FULL, NORMAL, FULL, FULL, NORMAL, FULL]);
        assert_eq!(set(Synchronous::Normal, true, &groups)?, [NORMAL; 6]);
        Ok(())
    }

    #[test]
    fn no_two_commits_one_after_another_go_without_waiting() -> Result<(), Error> {
        let claims: [(&[Job], bool); 4] = [(&[claim()], true), (&[release()], true), (&[claim()], true), (&[], true)];
        assert_eq!(set(Synchronous::Full, false, &claims)?, [NORMAL, FULL, NORMAL, FULL]);
        // What others may have left in the log counts, too.
        assert_eq!(set(Synchronous::Full, true, &claims)?, [FULL, NORMAL, FULL, NORMAL]);
        // A claim that is refused writes nothing, so it neither waits nor is waited for.
        let refused: [(&[Job], bool); 5] =
            [(&[claim()], false), (&[claim()], true), (&[claim()], false), (&[release()], true), (&[release()], true)];
        assert_eq!(set(Synchronous::Full, false, &refused)?, [NORMAL, NORMAL, FULL, FULL, NORMAL]);
        Ok(())
    }

    #[test]
    fn what_follows_a_commit_that_failed_waits() -> Result<(), Error> {
        let connection = Connection::open_in_memory()?;
        let mut wait = Wait::new(Synchronous::Full, false);
        wait.failed(&Error::StatementChangedRows(0));
        wait.set_for(&[claim()], &connection)?;
        assert_eq!(connection.pragma_query_value(None, "synchronous", |row| row.get(0)), Ok(FULL));
        Ok(())
    }
}
