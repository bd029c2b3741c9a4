//! The session that keeps what this journal owns: its lock goes with it, whatever becomes of the process.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use deadpool_postgres::tokio_postgres::Client;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, timeout};

use super::connect::Target;
use super::error::{Fault, Trouble};
use super::server::{Pauses, longest_answer};
use crate::journal::{JournalError, Owner, host};
use crate::time::timestamp;

/// Owners who died without a run. Those with one stay until it is claimed: they say who drove it.
const FORGET_THE_DEAD: &str = "DELETE FROM owner WHERE key IN (
    SELECT key FROM (
      SELECT key FROM owner
      WHERE key <> $1 AND NOT EXISTS (SELECT FROM run WHERE run.owner = owner.key) OFFSET 0
    ) AS idle
    WHERE pg_try_advisory_xact_lock_shared(key))";

/// Ends the sessions that this journal had before, also one that still waits for the lock, where the server has not noticed yet that its connection is gone.
const END_THE_FORMER: &str = "SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE pid = ANY ($2) AND locktype = 'advisory' AND objsubid = 1 AND mode = 'ExclusiveLock'
    AND ((classid::bigint << 32) | objid::bigint) = $1";

pub(super) struct Session {
    target: Target,
    /// Others ask by it whether this one lives.
    pub(super) key: i64,
    pub(super) owner: Owner,
    has_begun: Cell<bool>,
    state: watch::Sender<State>,
    /// Somebody waits for it, so it is tried again at once.
    wanted: Notify,
    client: RefCell<Option<Rc<Client>>>,
    /// The processes of the server that served, or may still serve, former sessions and this one.
    served_by: RefCell<Vec<i32>>,
}

#[derive(Clone)]
enum State {
    /// Why, once that is known.
    Lost(Option<Trouble>),
    Held,
}

impl Session {
    pub(super) fn new(target: Target) -> Rc<Self> {
        let now = timestamp(SystemTime::now());
        Rc::new(Self {
            target,
            key: random(),
            owner: Owner::this_process(host::name(), now),
            has_begun: Cell::new(false),
            state: watch::channel(State::Lost(None)).0,
            wanted: Notify::new(),
            client: RefCell::new(None),
            served_by: RefCell::default(),
        })
    }

    /// Waits until the lock is held; begins the session where nobody has yet.
    pub(super) async fn held(self: &Rc<Self>, patience: Duration) -> Result<(), Fault> {
        if !self.has_begun.replace(true) {
            spawn_local(self.clone().keep());
        }
        let since = Instant::now();
        let mut state = self.state.subscribe();
        if !matches!(*state.borrow_and_update(), State::Held) {
            // What went wrong the last time may be long over.
            self.wanted.notify_one();
            self.changed(&mut state, patience).await?;
        }
        loop {
            match state.borrow_and_update().clone() {
                State::Held => return Ok(()),
                State::Lost(Some(trouble)) if !trouble.is_away() || since.elapsed() >= patience => {
                    return Err(Fault::Store(trouble));
                }
                State::Lost(_) => {}
            }
            self.changed(&mut state, patience).await?;
        }
    }

    pub(super) fn is_held(&self) -> bool {
        matches!(*self.state.borrow(), State::Held)
    }

    async fn changed(&self, state: &mut watch::Receiver<State>, patience: Duration) -> Result<(), Fault> {
        let longest = longest_answer(patience).max(self.target.connecting());
        match timeout(longest, state.changed()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Fault::Alone(JournalError::Closed)),
            Err(_) => Err(Fault::Store(Trouble::Silent(longest))),
        }
    }

    /// Holds the lock, and takes it again whenever the session was lost.
    async fn keep(self: Rc<Self>) {
        let mut pauses = Pauses::new(Duration::MAX);
        loop {
            match self.take().await {
                Ok(connection) => {
                    self.state.send_replace(State::Held);
                    pauses = Pauses::new(Duration::MAX);
                    // It ends with the connection; one that panicked has ended too.
                    let _ = connection.await;
                    self.client.replace(None);
                    self.state.send_replace(State::Lost(None));
                }
                Err(trouble) => {
                    self.state.send_replace(State::Lost(Some(trouble)));
                    let _ = timeout(pauses.next(), self.wanted.notified()).await;
                }
            }
        }
    }

    async fn take(&self) -> Result<JoinHandle<()>, Trouble> {
        let longest = longest_answer(Duration::ZERO).max(self.target.connecting());
        let taken = timeout(longest, self.try_to_take()).await;
        taken.unwrap_or(Err(Trouble::Silent(longest)))
    }

    async fn try_to_take(&self) -> Result<JoinHandle<()>, Trouble> {
        let (client, connection) = self.target.connect().await?;
        let former = self.served_by.borrow().clone();
        if !former.is_empty() {
            client.execute(END_THE_FORMER, &[&self.key, &former]).await?;
            // Not before it is done: else it would never be.
            self.served_by.borrow_mut().clear();
        }
        let served_by = client.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?;
        self.served_by.borrow_mut().push(served_by);
        // Somebody may be looking just now whether this one lives.
        client.execute("SELECT pg_advisory_lock($1)", &[&self.key]).await?;
        let Owner { host, pid, since } = &self.owner;
        let statement = "INSERT INTO owner (key, host, pid, since) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        client.execute(statement, &[&self.key, host, &i64::from(*pid), since]).await?;
        client.execute(FORGET_THE_DEAD, &[&self.key]).await?;
        self.client.replace(Some(Rc::new(client)));
        Ok(connection)
    }

    /// Leaves nothing behind that would have to be cleared away.
    pub(super) async fn close(&self) {
        let client = self.client.take();
        let Some(client) = client else { return };
        let leave = async {
            let statement = "DELETE FROM owner WHERE key = $1 AND NOT EXISTS (SELECT FROM run WHERE owner = $1)";
            client.execute(statement, &[&self.key]).await?;
            client.execute("SELECT pg_advisory_unlock($1)", &[&self.key]).await
        };
        // Where the server does not answer, the session ends with its connection, and others clear up.
        let _ = timeout(Duration::from_secs(2), leave).await;
    }
}

/// A number that no other journal has; seeded by the operating system's randomness.
fn random() -> i64 {
    RandomState::new().hash_one((SystemTime::now(), std::process::id())).cast_signed()
}
