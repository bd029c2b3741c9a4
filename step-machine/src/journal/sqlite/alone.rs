//! What a run that is alone adds to its last row: one statement, which is its own transaction.

use rusqlite::Error;

use super::error::is_locked;
use super::job::{Fault, Job, Outcome};
use super::writer::Writer;
use crate::journal::JournalError;
use crate::journal::appended::Appended;

impl Writer {
    /// Does what is asked for where it is nothing but such an append, and answers; gives back anything else, and one for
    /// which another process would have to be waited for where that is not to be. The statement itself sees whether the
    /// lease holds.
    pub(super) fn write_alone(&mut self, mut jobs: Vec<Job>) -> Option<Vec<Job>> {
        match jobs.as_slice() {
            [Job::Append(append, _)] if self.only_adds(append) => {}
            _ => return Some(jobs),
        }
        let set = self.wait.set_for(&jobs, &self.connection);
        let Some(Job::Append(append, answer)) = jobs.pop() else { return Some(jobs) };
        let lease = append.lease.clone();
        let again = (!self.is_patient).then(|| append.again());
        let result = set.map_err(Fault::Store).and_then(|()| self.add(*append));
        if let (Some(again), Err(Fault::Store(error))) = (again, &result)
            && is_locked(error)
        {
            return Some(vec![Job::Append(Box::new(again), answer)]);
        }
        let mut outcome = Outcome::Appended(lease, answer, result);
        let failure = outcome.take_store_fault().map(|error| self.fail(error, std::slice::from_mut(&mut outcome)));
        outcome.send(failure.as_ref(), &self.reads);
        None
    }

    fn only_adds(&mut self, append: &Appended) -> bool {
        let is_next = self.leased(&append.lease).is_some_and(|leased| leased.held.only_adds(append));
        // A panic may have left a transaction open, which the next one to begin takes back.
        is_next && self.unreleased.is_empty() && self.rows.has_room(append) && self.connection.is_autocommit()
    }

    fn add(&mut self, append: Appended) -> Result<(), Fault> {
        let lease = append.lease.clone();
        let Some(leased) = self.leased(&lease) else { return Err(JournalError::Closed.into()) };
        let before = leased.held.mark();
        let row = leased.held.put_down(append);
        self.reserve.count();
        match self.rows.add(row, &self.connection) {
            Ok(true) => {
                self.wait.done(&self.connection);
                return Ok(());
            }
            Ok(false) => {}
            Err(error) => {
                if let Some(leased) = self.leased(&lease) {
                    leased.held.go_back(before);
                }
                return Err(error.into());
            }
        }
        if let Some(leased) = self.leased(&lease) {
            leased.is_sure = false;
        }
        self.make_sure(&lease)?;
        Err(Error::StatementChangedRows(0).into())
    }
}
