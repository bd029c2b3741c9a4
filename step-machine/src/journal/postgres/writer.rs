//! The one who writes: all that waits together, then all answers.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use deadpool_postgres::Client;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::append::{Group, Part, append};
use super::claims::{self, Granted, Leases, Lent, Us};
use super::error::{Fault, Trouble};
use super::prune::prune;
use super::queue::{Closing, Job, Queue};
use super::reader::Reads;
use super::server::{Server, Try};
use super::session::Session;
use super::values::exact;
use crate::journal::appended::Appended;
use crate::journal::{Answer, Claim, Claimed, JournalError, Lease};
use crate::run_id::RunId;

/// What could not be cleared up is tried again so often.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    name: Arc<str>,
    server: Server,
    session: Rc<Session>,
    queue: Arc<Queue>,
    reads: Reads,
    leases: Rc<Leases>,
    /// What is to be written of this group.
    group: Group,
    claims: Vec<(Claim, Answer<Claimed>)>,
    /// What could not be cleared up while the server was away.
    late: VecDeque<Late>,
}

enum Late {
    /// With its last event; answered after the first try.
    GiveBack(Lease, u64, Option<Answer<()>>),
    /// Of a run that may name us though we do not drive it.
    LetGo(RunId),
}

impl Writer {
    pub(super) fn new(
        name: Arc<str>,
        server: Server,
        session: Rc<Session>,
        queue: Arc<Queue>,
        reads: Reads,
        leases: Rc<Leases>,
    ) -> Self {
        Self {
            name,
            server,
            session,
            queue,
            reads,
            leases,
            group: Group::default(),
            claims: Vec::new(),
            late: VecDeque::new(),
        }
    }

    /// Writes until the queue is closed and empty.
    pub(super) async fn serve(mut self) {
        let queue = self.queue.clone();
        let _closing = Closing(&queue);
        loop {
            let jobs = if self.late.is_empty() {
                queue.next().await
            } else {
                timeout(AGAIN, queue.next()).await.unwrap_or_else(|_| Some(Vec::new()))
            };
            let Some(jobs) = jobs else { return };
            for job in jobs {
                self.take(job).await;
            }
            self.flush().await;
            self.clear_up().await;
        }
    }

    async fn take(&mut self, job: Job) {
        match job {
            Job::Append(append, answer) => self.put(*append, answer).await,
            Job::Claim(claim, answer) => {
                self.flush_what_has(&claim.run).await;
                self.claims.push((claim, answer));
            }
            Job::Release(lease, answer) => {
                self.flush_what_has(&lease.run).await;
                self.release(lease, answer).await;
            }
            Job::Abandon(run, why, answer) => {
                self.flush_what_has(&run).await;
                let us = self.us();
                let done = self.server.patiently(async |client, _| claims::abandon(client, us, &run, &why).await).await;
                answer.send(done.map_err(|fault| fault.of_writing(&run)));
            }
            Job::Prune(before, answer) => {
                self.flush().await;
                answer.send(self.prune(before).await.map_err(|fault| fault.of_all(&self.name)));
            }
        }
    }

    fn us(&self) -> Us<'_> {
        Us { key: self.session.key, leases: &self.leases }
    }

    /// Does something with a lease; `None` where it does not hold, or takes nothing more.
    fn with<T>(&self, lease: &Lease, work: impl FnOnce(&mut Lent) -> T) -> Option<T> {
        let mut leases = self.leases.borrow_mut();
        leases.get_mut(&lease.key).filter(|lent| lent.held.epoch == lease.epoch && !lent.is_ending).map(work)
    }

    /// A lease is over, and the database has it so: before that, who asks here for the run or for a name of it would have it.
    fn end(&self, lease: &Lease) {
        let mut leases = self.leases.borrow_mut();
        if leases.get(&lease.key).is_some_and(|lent| lent.held.epoch == lease.epoch) {
            leases.remove(&lease.key);
        }
    }

    /// What is asked for of one run is done in that order.
    async fn flush_what_has(&mut self, run: &RunId) {
        if self.group.has(run) || self.claims.iter().any(|(claim, _)| claim.run == *run) {
            self.flush().await;
        }
    }

    async fn flush(&mut self) {
        let parts = self.group.take();
        if !parts.is_empty() {
            self.write(parts).await;
        }
        let claims = std::mem::take(&mut self.claims);
        if claims.is_empty() {
            return;
        }
        if self.session.is_held() || self.queue.is_closed() {
            self.claim(claims).await;
        } else {
            self.claim_later(claims);
        }
    }

    /// Waits for the session, and asks again then; other runs go on meanwhile.
    fn claim_later(&self, claims: Vec<(Claim, Answer<Claimed>)>) {
        let (session, queue, patience) = (self.session.clone(), self.queue.clone(), self.server.patience);
        spawn_local(async move {
            let held = session.held(patience).await;
            for (claim, answer) in claims {
                match &held {
                    Ok(()) => queue.push_from_within(Job::Claim(claim, answer)),
                    Err(fault) => answer.send(Err(fault.again().of_writing(&claim.run))),
                }
            }
        });
    }

    /// Puts an append with what else this group has.
    async fn put(&mut self, mut append: Appended, answer: Answer<()>) {
        if self.claims.iter().any(|(claim, _)| claim.run == append.lease.run) {
            self.flush().await;
        }
        let lease = append.lease.clone();
        let Some(checked) = self.with(&lease, |lent| lent.held.check(&mut append)) else {
            // Whatever this group has of the run comes first.
            self.flush_what_has(&lease.run).await;
            return answer.send(Err(self.taken_over(&lease).await));
        };
        if let Err(error) = checked {
            return answer.send(Err(error));
        }
        let row = self.with(&lease, |lent| {
            lent.is_ending = append.release;
            lent.held.put_down(append)
        });
        if let Some(row) = row {
            self.group.put(lease, row, answer);
        }
    }

    async fn write(&mut self, parts: Vec<Part>) {
        match self.server.patiently(async |client, this| append(client, &parts, this.is_again).await).await {
            Ok(held) => self.answer(parts, &held).await,
            Err(Fault::Store(trouble)) if trouble.is_of_one() && parts.len() > 1 => {
                for part in parts {
                    Box::pin(self.write(vec![part])).await;
                }
            }
            Err(fault) => self.fail(parts, fault),
        }
    }

    async fn answer(&mut self, parts: Vec<Part>, held: &HashSet<i64>) {
        for part in parts {
            if part.releases() {
                self.end(&part.lease);
            }
            let Part { lease, answers, .. } = part;
            let is_held = held.contains(&lease.key);
            for answer in answers {
                answer.send(if is_held { Ok(()) } else { Err(self.taken_over(&lease).await) });
            }
        }
    }

    /// None of their leases may go on.
    fn fail(&mut self, parts: Vec<Part>, fault: Fault) {
        for part in parts {
            let why = fault.again().of_writing(&part.lease.run);
            self.with(&part.lease, |lent| lent.held.fail(&why));
            if part.releases() {
                self.end(&part.lease);
                self.late.push_back(Late::GiveBack(part.lease.clone(), 0, None));
            }
            for answer in part.answers {
                answer.send(Err(fault.again().of_writing(&part.lease.run)));
            }
        }
    }

    /// A lease does not hold any more.
    async fn taken_over(&mut self, lease: &Lease) -> JournalError {
        self.end(lease);
        let (us, key) = (self.us(), lease.key);
        let asked = self.server.impatient().patiently(async |client, _| claims::new_owner(client, us, key).await).await;
        // Who it is matters less than that it is so.
        let is_away = asked.is_err();
        let (owner, is_left) = asked.unwrap_or((None, true));
        if is_left {
            self.let_go_of(&lease.run);
        }
        if is_left && !is_away {
            // Whoever hears that it is lost may tell others, who then get it.
            self.clear_up().await;
        }
        JournalError::TakenOver { run: lease.run.clone(), owner }
    }

    async fn claim(&mut self, claims: Vec<(Claim, Answer<Claimed>)>) {
        let mut begun = match self.begin(&claims).await {
            // For what is in one of them: then each is asked for by itself.
            Err(Fault::Store(trouble)) if trouble.is_of_one() && claims.len() > 1 => Ok(HashMap::new()),
            begun => begun,
        };
        for (claim, answer) in claims {
            let granted = match &mut begun {
                Err(fault) => Err(fault.again()),
                Ok(begun) => match begun.remove(&claim.run) {
                    Some(granted) => Ok(granted),
                    None => self.claim_one(&claim).await,
                },
            };
            match granted {
                Ok(granted) => self.grant(granted, answer),
                Err(fault) => {
                    // It may have come through, and only the answer was lost.
                    if matches!(&fault, Fault::Store(trouble) if trouble.is_away()) {
                        self.let_go_of(&claim.run);
                    }
                    answer.send(Err(fault.of_writing(&claim.run)));
                }
            }
        }
    }

    /// Claims those that are new, which most are.
    async fn begin(&self, claims: &[(Claim, Answer<Claimed>)]) -> Result<HashMap<RunId, Granted>, Fault> {
        self.session.held(self.server.patience).await?;
        let is_plain = |claim: &Claim| claim.exclusive.is_empty() && exact(&claim.run, &claim.run.to_string()).is_ok();
        let runs: Vec<&RunId> =
            claims.iter().map(|(claim, _)| claim).filter(|claim| is_plain(claim)).map(|claim| &claim.run).collect();
        if runs.is_empty() {
            return Ok(HashMap::new());
        }
        let key = self.session.key;
        self.server.patiently(async |client, _| claims::begin(client, key, &runs).await).await
    }

    async fn claim_one(&self, claim: &Claim) -> Result<Granted, Fault> {
        exact(&claim.run, &claim.run.to_string())?;
        let us = self.us();
        self.server.patiently(async |client, _| claims::claim(client, us, claim).await).await
    }

    fn grant(&mut self, granted: Granted, answer: Answer<Claimed>) {
        let Granted { lease, held } = granted;
        let has_events = held.last_seq > 0;
        self.leases.borrow_mut().insert(lease.key, Lent::new(held));
        if has_events {
            self.reads.load_claimed(lease, self.queue.clone(), answer);
        } else {
            answer.send(Ok(Claimed::new(lease, Vec::new())));
        }
    }

    async fn release(&mut self, lease: Lease, answer: Answer<()>) {
        let ending = self.with(&lease, |lent| {
            lent.is_ending = true;
            (lent.held.last_seq, lent.held.failure.is_some())
        });
        let (last_seq, has_failed) = ending.unwrap_or_default();
        // The server was just waited for, and where it is still away many are given back one after another.
        if has_failed || !self.late.is_empty() {
            self.end(&lease);
            // What an append that failed would have added is not there.
            let last_seq = if has_failed { 0 } else { last_seq };
            return self.late.push_back(Late::GiveBack(lease, last_seq, Some(answer)));
        }
        let done = self.server.patiently(async |client, _| claims::give_back(client, &lease, last_seq).await).await;
        self.end(&lease);
        match done {
            Ok(is_held) => {
                if !is_held {
                    self.let_go_of(&lease.run);
                    self.clear_up().await;
                }
                answer.send(Ok(()));
            }
            Err(fault) => {
                answer.send(Err(fault.of_writing(&lease.run)));
                self.late.push_back(Late::GiveBack(lease, last_seq, None));
            }
        }
    }

    fn let_go_of(&mut self, run: &RunId) {
        if !self.late.iter().any(|late| matches!(late, Late::LetGo(other) if other == run)) {
            self.late.push_back(Late::LetGo(run.clone()));
        }
    }

    async fn clear_up(&mut self) {
        let server = self.server.impatient();
        while let Some(late) = self.late.pop_front() {
            let done = match &late {
                // A run that was claimed from here again has another lease.
                Late::GiveBack(lease, last_seq, _) => {
                    let give_back =
                        async |client: &mut Client, _: &Try| claims::give_back(client, lease, *last_seq).await;
                    let done = server.patiently(give_back).await;
                    done.map(|is_held| (!is_held).then(|| lease.run.clone()))
                }
                Late::LetGo(run) => {
                    let us = self.us();
                    let done = server.patiently(async |client, _| claims::let_go(client, us, run).await).await;
                    done.map(|()| None)
                }
            };
            match done {
                Ok(left) => {
                    if let Some(run) = left {
                        self.let_go_of(&run);
                    }
                    if let Late::GiveBack(_, _, Some(answer)) = late {
                        answer.send(Ok(()));
                    }
                }
                Err(fault) => {
                    self.late.push_back(late);
                    return self.tell_those_who_wait(&fault);
                }
            }
        }
    }

    /// Nobody waits for what is tried again.
    fn tell_those_who_wait(&mut self, fault: &Fault) {
        for late in &mut self.late {
            if let Late::GiveBack(lease, _, answer) = late
                && let Some(answer) = answer.take()
            {
                answer.send(Err(fault.again().of_writing(&lease.run)));
            }
        }
    }

    async fn prune(&self, before: SystemTime) -> Result<usize, Fault> {
        let (mut removed, mut after) = (0, Some(0));
        while let Some(key) = after {
            let (more, last) =
                self.server.patiently(async |client, this| prune(client, this, before, key).await).await?;
            removed += more;
            after = last;
        }
        Ok(removed)
    }
}

impl Fault {
    /// The same for another one that it happened to.
    fn again(&self) -> Self {
        match self {
            Self::Store(trouble) => Self::Store(Trouble::clone(trouble)),
            // Of more than one at once there is only this one.
            Self::Alone(_) => Self::Alone(JournalError::Closed),
        }
    }
}
