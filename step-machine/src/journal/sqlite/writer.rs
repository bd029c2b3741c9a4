//! The one who writes: all that waits in one transaction, one commit, then all answers.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, Error, Transaction, TransactionBehavior};

use super::claims;
use super::connect::check_version;
use super::error::{is_locked, unusable};
use super::job::{Failure, Fault, Granted, Job, Outcome};
use super::owner::{Home, OwnerFile};
use super::reader::Reads;
use super::rows::Rows;
use super::wait::{Wait, without_patience};
use super::wal::Reserve;
use super::{SqliteOptions, log, places};
use crate::journal::appended::Appended;
use crate::journal::error::write;
use crate::journal::held::Held;
use crate::journal::{Claim, JournalError, Lease, Owner, host};
use crate::run_id::RunId;
use crate::time::timestamp;

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) home: Home,
    /// Whom others see that this one drives its runs; from the first claim on.
    pub(super) us: Option<Us>,
    /// The leases that were given here and not given back, by the key of the run.
    pub(super) leases: HashMap<i64, Leased>,
    pub(super) reads: Reads,
    /// What is to be written of this group.
    pub(super) rows: Rows,
    /// Changes whenever another connection has written.
    data_version: Option<i64>,
    /// Leases that were given back while the store could not be written.
    pub(super) unreleased: Vec<Lease>,
    /// Those that cannot be given back in this transaction either, by what is wrong with their own rows.
    stuck: Vec<Lease>,
    pub(super) reserve: Reserve,
    pub(super) wait: Wait,
    /// How long another process that writes is waited for,
    busy_timeout: Duration,
    /// and whether it is now: not on the thread of a task.
    pub(super) is_patient: bool,
}

/// This process, as an owner of runs.
pub(super) struct Us {
    // Locked as long as it is here.
    _file: OwnerFile,
    pub(super) id: String,
    pub(super) owner: Owner,
    /// The key of its row, once that is written.
    pub(super) key: Option<i64>,
    /// A commit has kept that row: then it stays, whatever fails later, and cannot be written again.
    is_kept: bool,
    /// Nobody else has written since it was seen that the row is there.
    is_sure: bool,
}

/// A lease under way.
pub(super) struct Leased {
    pub(super) held: Held,
    pub(super) has_names: bool,
    /// Nobody else has written since it was seen that the lease holds.
    pub(super) is_sure: bool,
}

impl Writer {
    pub(super) fn new(connection: Connection, path: PathBuf, reads: Reads, options: &SqliteOptions) -> Self {
        let has_log = log::is_there(&path);
        Self {
            home: Home::of(&path),
            reserve: Reserve::of(&path),
            connection,
            path,
            us: None,
            leases: HashMap::new(),
            reads,
            rows: Rows::default(),
            data_version: None,
            unreleased: Vec::new(),
            stuck: Vec::new(),
            wait: Wait::new(options.synchronous, has_log),
            busy_timeout: options.busy_timeout,
            is_patient: true,
        }
    }

    /// Does all of `jobs` in one transaction, and answers; gives back what is not at its end with that, and all of it
    /// where another process writes that is not to be waited for.
    pub(super) fn write(&mut self, jobs: Vec<Job>, is_patient: bool) -> Vec<Job> {
        self.set_patience(is_patient);
        let Some(jobs) = self.write_alone(jobs) else { return Vec::new() };
        if jobs.iter().any(|job| matches!(job, Job::Prune(..))) {
            self.place_many();
        }
        let mut failure = self.begin(&jobs).err();
        if !self.is_patient && failure.as_ref().is_some_and(is_locked) {
            return jobs;
        }
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            let mut outcome = self.perform(job, failure.is_some());
            failure = failure.or_else(|| outcome.take_store_fault());
            outcomes.push(outcome);
        }
        if failure.is_none() {
            failure = self.commit().err();
        }
        let failure = failure.map(|error| self.fail(error, &mut outcomes));
        let left = outcomes.into_iter().filter_map(|outcome| outcome.send(failure.as_ref(), &self.reads)).collect();
        if self.rows.places.is_time() {
            self.place();
        }
        left
    }

    /// Places the rows, where that is worth it.
    fn place_many(&mut self) {
        if self.rows.places.are_many_behind(&self.connection).is_ok_and(|are_many| are_many) {
            self.place();
        }
    }

    /// Places the rows. Where that fails they are still found, only not as quickly, and it is tried again later; where
    /// somebody else is just writing, after the next commit.
    fn place(&mut self) {
        let placed = self.wait.set_for(&[], &self.connection).and_then(|()| self.try_to_place());
        self.rows.places.placed(placed.as_ref().err());
        match placed {
            Ok(()) => self.wait.done(&self.connection),
            Err(error) => self.wait.failed(&error),
        }
    }

    fn try_to_place(&mut self) -> Result<(), Error> {
        let transaction = without_patience(&self.connection, |connection| {
            Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
        })?;
        check_version(&transaction)?;
        places::place(&transaction)?;
        transaction.commit()
    }

    fn set_patience(&mut self, is_patient: bool) {
        if self.is_patient != is_patient {
            let timeout = if is_patient { self.busy_timeout } else { Duration::ZERO };
            // It fails only for spans that SQLite does not know.
            if self.connection.busy_timeout(timeout).is_ok() {
                self.is_patient = is_patient;
            }
        }
    }

    fn begin(&mut self, jobs: &[Job]) -> Result<(), Error> {
        self.wait.set_for(jobs, &self.connection)?;
        let claims = jobs.iter().any(|job| matches!(job, Job::Claim(..)));
        self.rows.places.look(&self.connection, claims)?;
        self.execute("BEGIN IMMEDIATE")?;
        let version = self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.data_version != Some(version) {
            check_version(&self.connection)?;
            self.data_version = Some(version);
            self.rows.places.forget();
            self.leases.values_mut().for_each(|leased| leased.is_sure = false);
            self.us.iter_mut().for_each(|us| us.is_sure = false);
        }
        self.reserve.grow();
        self.give_back_late()
    }

    /// Tries again what failed, each by itself.
    fn give_back_late(&mut self) -> Result<(), Error> {
        self.stuck.clear();
        for at in 0..self.unreleased.len() {
            let lease = self.unreleased[at].clone();
            let given = self.alone(Some(&lease.run), |writer| Ok(claims::give_back(writer, &lease, 0)?));
            match given {
                Ok(()) => {}
                Err(Fault::Alone(_)) => self.stuck.push(lease),
                Err(Fault::Store(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn execute(&self, statement: &str) -> Result<(), Error> {
        self.connection.prepare_cached(statement)?.execute([]).map(drop)
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.flush()?;
        self.execute("COMMIT")?;
        self.wait.done(&self.connection);
        self.unreleased = std::mem::take(&mut self.stuck);
        if let Some(us) = &mut self.us {
            us.is_kept = us.key.is_some();
        }
        Ok(())
    }

    /// Takes back what was done for these, and remembers that none of their leases may go on.
    pub(super) fn fail(&mut self, error: Error, outcomes: &mut [Outcome]) -> Failure {
        self.rows.clear();
        self.wait.failed(&error);
        if !self.connection.is_autocommit() {
            // Where even this fails, the next transaction cannot begin, and says why.
            let _ = self.execute("ROLLBACK");
        }
        if let Some(us) = self.us.as_mut().filter(|us| !us.is_kept) {
            // Its row has gone with the rest.
            us.key = None;
        }
        // From the last on: what each has changed becomes as it was before.
        for outcome in outcomes.iter_mut().rev() {
            match outcome {
                Outcome::Appended(lease, ..) => {
                    if let Some(leased) = self.leased(lease) {
                        // By its text, since its source is only a code.
                        leased.held.fail(&write(&lease.run, error.to_string()));
                    }
                }
                Outcome::Claimed(_, _, Ok(Granted { lease, replaced, .. })) => {
                    self.leases.remove(&lease.key);
                    let before = replaced.take().map(|leased| (lease.key, Leased { is_sure: false, ..leased }));
                    self.leases.extend(before);
                }
                Outcome::Released(lease, _, _) => self.unreleased.push(lease.clone()),
                _ => {}
            }
        }
        // These are over for whoever gave them back, though the store has not heard of it.
        for lease in &self.unreleased {
            if self.leases.get(&lease.key).is_some_and(|leased| leased.held.epoch == lease.epoch) {
                self.leases.remove(&lease.key);
            }
        }
        Failure { source: Arc::new(error), path: self.path.clone() }
    }

    pub(super) fn leased(&mut self, lease: &Lease) -> Option<&mut Leased> {
        self.leases.get_mut(&lease.key).filter(|leased| leased.held.epoch == lease.epoch)
    }

    /// Does one thing.
    fn perform(&mut self, job: Job, is_over: bool) -> Outcome {
        match job {
            Job::Append(append, answer) => {
                let lease = append.lease.clone();
                let result = self.unless(is_over, |writer| writer.append(*append));
                Outcome::Appended(lease, answer, result)
            }
            Job::Claim(claim, answer) => {
                let result = self.unless(is_over, |writer| writer.claim(&claim));
                Outcome::Claimed(claim.run, answer, result)
            }
            Job::Release(lease, answer) => {
                let result =
                    self.unless(is_over, |writer| writer.alone(Some(&lease.run), |writer| writer.release(&lease)));
                if !is_over && matches!(result, Err(Fault::Alone(_))) {
                    self.stuck.push(lease.clone());
                }
                Outcome::Released(lease, answer, result)
            }
            Job::Abandon(run, why, answer) => {
                let result = self
                    .unless(is_over, |writer| writer.alone(Some(&run), |writer| claims::abandon(writer, &run, &why)));
                Outcome::Abandoned(run, answer, result)
            }
            Job::Prune(pruning, answer) => {
                let result = self.unless(is_over, |writer| writer.alone(None, |writer| pruning.go_on(writer)));
                Outcome::Pruned(answer, result)
            }
        }
    }

    /// Nothing is tried once the whole has failed: the answer will be that failure.
    fn unless<T>(&mut self, is_over: bool, work: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if is_over { Err(Fault::Alone(JournalError::Closed)) } else { work(self) }
    }

    /// Does something of several statements wholly or not at all, whatever becomes of the others.
    fn alone<T>(&mut self, run: Option<&RunId>, work: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.flush()?;
        self.execute("SAVEPOINT alone")?;
        let done = work(self);
        match done {
            Ok(done) => {
                self.execute("RELEASE alone")?;
                Ok(done)
            }
            // Some failures end the whole transaction.
            Err(fault) if self.connection.is_autocommit() => Err(fault),
            Err(fault) => {
                self.execute("ROLLBACK TO alone")?;
                self.execute("RELEASE alone")?;
                Err(Fault::Alone(fault.of(run, &self.path)))
            }
        }
    }

    fn append(&mut self, mut append: Appended) -> Result<(), Fault> {
        self.make_sure(&append.lease)?;
        let Some(leased) = self.leased(&append.lease) else { return Ok(()) };
        leased.held.check(&mut append)?;
        self.put_down(append)?;
        Ok(())
    }

    /// Whether the lease holds, which need be asked for only where another connection has written.
    pub(super) fn make_sure(&mut self, lease: &Lease) -> Result<(), Fault> {
        if self.leased(lease).is_some_and(|leased| leased.is_sure) {
            return Ok(());
        }
        let found = claims::holder(&self.connection, lease.key)?;
        let our_key = self.us.as_ref().and_then(|us| us.key);
        let is_held = found.as_ref().is_some_and(|found| {
            found.epoch == lease.epoch && found.owner.as_ref().is_some_and(|owner| Some(owner.key) == our_key)
        });
        match self.leased(lease).filter(|_| is_held) {
            Some(leased) => {
                leased.is_sure = true;
                Ok(())
            }
            None => {
                if self.leased(lease).is_some() {
                    self.leases.remove(&lease.key);
                }
                let owner = found.and_then(|found| found.owner);
                let owner = owner.map(|owner| claims::owner_by(&self.connection, owner.key)).transpose()?;
                Err(Fault::Alone(JournalError::TakenOver { run: lease.run.clone(), owner }))
            }
        }
    }

    /// Puts an append with what else this group has of its run.
    fn put_down(&mut self, append: Appended) -> Result<(), Error> {
        let key = append.lease.key;
        let Some(leased) = self.leases.get_mut(&key) else { return Ok(()) };
        let is_released = append.release;
        let row = leased.held.put_down(append);
        self.rows.put(row, &self.connection)?;
        if is_released && self.leases.remove(&key).is_some_and(|leased| leased.has_names) {
            claims::free_names(&self.connection, key)?;
        }
        Ok(())
    }

    fn claim(&mut self, claim: &Claim) -> Result<Granted, Fault> {
        self.introduce()?;
        let (mut granted, leased) = self.alone(Some(&claim.run), |writer| claims::claim(writer, claim))?;
        granted.replaced = self.leases.insert(granted.lease.key, leased);
        Ok(granted)
    }

    /// Makes us known as an owner.
    fn introduce(&mut self) -> Result<(), Fault> {
        if let Some(us) = self.us.as_mut().filter(|us| us.is_kept && !us.is_sure) {
            us.is_sure = claims::is_there(&self.connection, us)?;
            if !us.is_sure {
                // Its file is given back before another one is made.
                self.us = None;
            }
        }
        if self.us.is_none() {
            let us = Us::new(&self.home).map_err(|error| {
                unusable(&self.path, "see that a folder next to it can be made and locked", Box::new(error))
            })?;
            self.us = Some(us);
            // Others may have left them, each a few.
            self.rows.places.ask(&self.connection)?;
            // What is wrong with somebody else's row keeps nobody from a run.
            if let Err(fault @ Fault::Store(_)) = self.alone(None, |writer| claims::forget_the_dead(writer)) {
                return Err(fault);
            }
        }
        if let Some(us) = self.us.as_mut().filter(|us| us.key.is_none()) {
            us.key = Some(claims::put_owner(&self.connection, us)?);
        }
        Ok(())
    }

    fn release(&mut self, lease: &Lease) -> Result<(), Fault> {
        self.flush()?;
        let leased = self.leased(lease).is_some().then(|| self.leases.remove(&lease.key)).flatten();
        // What an append that failed would have added is not there.
        let last_seq = leased.filter(|leased| leased.held.failure.is_none()).map_or(0, |leased| leased.held.last_seq);
        claims::give_back(self, lease, last_seq)?;
        Ok(())
    }

    /// Writes the rows of this group. What reads them, or the runs, comes after it.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        self.rows.flush(&self.connection)
    }

    /// Leaves nothing behind that would have to be cleared away.
    pub(super) fn close(&mut self) {
        let Some(us) = self.us.take() else { return };
        self.set_patience(true);
        if let Some(key) = us.key {
            // Whoever comes next clears it away otherwise.
            let _ = self.wait.set_for(&[], &self.connection);
            if claims::remove_owner(&self.connection, key).is_ok() {
                self.wait.done(&self.connection);
                self.place_many();
            }
        }
    }
}

impl Us {
    fn new(home: &Home) -> io::Result<Self> {
        let now = timestamp(SystemTime::now());
        let id = RunId::generate(now).to_string();
        let file = home.move_in(&id)?;
        Ok(Self {
            _file: file,
            id,
            owner: Owner::this_process(host::name(), now),
            key: None,
            is_kept: false,
            is_sure: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::event::Event;
    use crate::journal::sqlite::{SqliteOptions, connect};
    use crate::journal::{Append, Reply};

    #[test]
    fn of_what_is_written_when_it_is_closed_the_disk_is_waited_for_too() -> Result<(), Box<dyn std::error::Error>> {
        let folder = std::env::temp_dir().join(format!("step-machine-writer-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let (path, options) = (folder.join("runs.db"), SqliteOptions::default());
        let reads = Reads::new(path.clone(), options.clone(), Weak::new(), None);
        let mut writer = Writer::new(connect::to_write(&path, &options)?, path, reads, &options);
        for run in 0..64 {
            let run = format!("r{run}");
            let (answer, reply) = Reply::later();
            writer.write(vec![Job::Claim(Claim::of(run.as_str()), answer)], true);
            let lease = reply.wait()?.lease;
            let start = Event::from_json(&format!(
                r#"{{"v":1,"run":"{run}","workflow":"w","seq":1,"at":"2026-01-01T00:00:00.000000Z","elapsed_ms":0.0,
                "type":"run_start","plan":{{"workflow":"w","steps":[{{"id":"a","name":"A"}}]}}}}"#
            ))?;
            let mut append = Append::new(&lease, std::slice::from_ref(&start));
            append.release = true;
            let (answer, reply) = Reply::later();
            writer.write(vec![Job::Append(Box::new(Appended::new(append)), answer)], true);
            reply.wait()?;
        }
        // That its owner is gone is written first, and need not be waited for.
        writer.close();
        assert_eq!(places::upto(&writer.connection)?, 64);
        let set: i64 = writer.connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        assert_eq!(set, 2, "two commits one after another");
        drop(writer);
        Ok(std::fs::remove_dir_all(&folder)?)
    }
}
