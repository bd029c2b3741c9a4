//! How much a commit is waited for.

use rusqlite::{Connection, Error};

use super::Synchronous;
use super::job::Job;

/// What a commit waits for, as it was chosen and as it is set.
pub(super) struct Wait {
    chosen: Synchronous,
    set: Synchronous,
}

impl Wait {
    pub(super) fn new(chosen: Synchronous) -> Self {
        Self { chosen, set: chosen }
    }

    /// Sets it for what is written next; not within a transaction.
    pub(super) fn set_for(&mut self, jobs: &[Job], connection: &Connection) -> Result<(), Error> {
        let wanted = if jobs.iter().all(is_of_the_living) { Synchronous::Normal } else { self.chosen };
        if wanted != self.set {
            connection.pragma_update(None, "synchronous", wanted.pragma())?;
            self.set = wanted;
        }
        Ok(())
    }
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

    /// What SQLite says is set for each of these groups, one after another.
    fn set(chosen: Synchronous, groups: &[&[Job]]) -> Result<Vec<i64>, Error> {
        let connection = Connection::open_in_memory()?;
        connection.pragma_update(None, "synchronous", chosen.pragma())?;
        let mut wait = Wait::new(chosen);
        let set = |jobs: &&[Job]| {
            wait.set_for(jobs, &connection)?;
            connection.pragma_query_value(None, "synchronous", |row| row.get(0))
        };
        groups.iter().map(set).collect()
    }

    #[test]
    fn claims_and_releases_by_themselves_do_not_wait_for_the_disk_and_all_else_does() -> Result<(), Error> {
        const NORMAL: i64 = 1;
        const FULL: i64 = 2;
        let groups: [&[Job]; 6] = [
            &[append()],
            &[claim(), release(), claim()],
            &[append()],
            &[claim(), append()],
            &[release()],
            &[Job::Abandon("r".into(), "why".to_owned(), Reply::later().0)],
        ];
        assert_eq!(set(Synchronous::Full, &groups)?, [FULL, NORMAL, FULL, FULL, NORMAL, FULL]);
        assert_eq!(set(Synchronous::Normal, &groups)?, [NORMAL; 6]);
        Ok(())
    }
}
