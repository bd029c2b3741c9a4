//! Asking the server, and waiting for it where it went away.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use deadpool_postgres::tokio_postgres::{self, Row, RowStream};
use deadpool_postgres::{Client, Object, Pool, PoolError, Timeouts};
use futures_core::Stream;
use tokio::time::{Instant, sleep, timeout_at};

use super::connect::Target;
use super::error::{Fault, Trouble};
use crate::journal::JournalError;

/// The pauses between two tries.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// So often those who are in each other's way try again at once.
const COLLISIONS: u32 = 10;

/// The connections of one kind of work.
#[derive(Clone)]
pub(super) struct Server {
    pool: Pool,
    pub(super) patience: Duration,
    /// How long a connection may take to be made where nobody says anything.
    connecting: Duration,
}

impl Server {
    pub(super) fn new(target: &Target, connections: usize, patience: Duration) -> Result<Self, JournalError> {
        Ok(Self { pool: target.pool(connections)?, patience, connecting: target.connecting() })
    }

    /// The same where a second try is not worth waiting for.
    pub(super) fn impatient(&self) -> Self {
        Self { patience: Duration::ZERO, ..self.clone() }
    }

    /// A connection, as soon as one is free.
    pub(super) async fn client(&self) -> Result<Client, Fault> {
        // To wait for others here is no silence of the server.
        let longest = longest_answer(self.patience).max(self.connecting);
        let timeouts = Timeouts { wait: None, create: Some(longest), recycle: None };
        match self.pool.timeout_get(&timeouts).await {
            Err(PoolError::Timeout(_)) => Err(Fault::Store(Trouble::Silent(longest))),
            client => Ok(client?),
        }
    }

    /// Does `work`, again and again while the server is away, as long as the patience lasts.
    pub(super) async fn patiently<T>(
        &self,
        work: impl AsyncFn(&mut Client, &Try) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut pauses = Pauses::new(self.patience);
        let mut is_again = false;
        let mut collisions = 0;
        loop {
            let fault = match self.once(&work, is_again).await {
                Err(Fault::Store(trouble)) => trouble,
                done => return done,
            };
            let may_go_on = if fault.is_collision() && collisions < COLLISIONS {
                collisions += 1;
                sleep(SHORTEST_PAUSE.mul_f64(fastrand::f64())).await;
                true
            } else {
                fault.is_away() && pauses.pause().await
            };
            if !may_go_on {
                return Err(Fault::Store(fault));
            }
            is_again = true;
        }
    }

    async fn once<T>(
        &self,
        work: &impl AsyncFn(&mut Client, &Try) -> Result<T, Fault>,
        is_again: bool,
    ) -> Result<T, Fault> {
        let mut client = self.client().await?;
        let longest = longest_answer(self.patience);
        let this = Try { is_again, heard: Cell::new(Instant::now()) };
        let done = this.unless_silent(longest, work(&mut client, &this)).await;
        done.unwrap_or_else(|| {
            // Nobody knows what it is still at.
            drop(Object::take(client));
            Err(Fault::Store(Trouble::Silent(longest)))
        })
    }
}

/// One try at something.
pub(super) struct Try {
    /// It was tried before: then it may have been done, and only the answer was lost.
    pub(super) is_again: bool,
    heard: Cell<Instant>,
}

impl Try {
    /// The server said something: from now on it may be silent again for as long as any answer may take.
    pub(super) fn hear(&self) {
        self.heard.set(Instant::now());
    }

    /// What comes next may take so much longer.
    pub(super) fn allow(&self, span: Duration) {
        self.heard.set(Instant::now() + span);
    }

    /// The rows of an answer, which may come slowly.
    pub(super) async fn rows(&self, answer: RowStream) -> Result<Vec<Row>, tokio_postgres::Error> {
        let mut answer = pin!(answer);
        let mut rows = Vec::new();
        while let Some(row) = std::future::poll_fn(|cx| answer.as_mut().poll_next(cx)).await {
            self.hear();
            rows.push(row?);
        }
        self.hear();
        Ok(rows)
    }

    /// What `work` ends with; `None` where the server said nothing for so long.
    async fn unless_silent<T>(&self, longest: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            let heard = self.heard.get();
            match timeout_at(heard + longest, work.as_mut()).await {
                Ok(done) => return Some(done),
                Err(_) if self.heard.get() > heard => {}
                Err(_) => return None,
            }
        }
    }
}

/// How long one answer is waited for.
pub(super) fn longest_answer(patience: Duration) -> Duration {
    patience.clamp(Duration::from_secs(10), Duration::from_secs(60))
}

/// Ever longer pauses, up to a moment.
pub(super) struct Pauses {
    /// Without it there is no end.
    end: Option<Instant>,
    next: Duration,
}

impl Pauses {
    pub(super) fn new(patience: Duration) -> Self {
        Self { end: Instant::now().checked_add(patience), next: SHORTEST_PAUSE }
    }

    /// Waits a while; does not where the end has come.
    async fn pause(&mut self) -> bool {
        let left = self.end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        if !left.is_zero() {
            sleep(self.next().min(left)).await;
        }
        !left.is_zero()
    }

    /// How long to wait now.
    pub(super) fn next(&mut self) -> Duration {
        let next = self.next;
        self.next = (next * 2).min(LONGEST_PAUSE);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_says_something_now_and_then_is_waited_for() {
        let this = Try { is_again: false, heard: Cell::new(Instant::now()) };
        let slow = async {
            for _ in 0..20 {
                sleep(9 * SECOND).await;
                this.hear();
            }
        };
        assert_eq!(this.unless_silent(10 * SECOND, slow).await, Some(()));
        let begun = Instant::now();
        assert_eq!(this.unless_silent(10 * SECOND, sleep(11 * SECOND)).await, None);
        assert_eq!(begun.elapsed(), 10 * SECOND);
    }

    /// How long each pause took, in milliseconds.
    async fn all_of(mut pauses: Pauses) -> Vec<u128> {
        let mut took = Vec::new();
        loop {
            let before = Instant::now();
            if !pauses.pause().await {
                return took;
            }
            took.push(before.elapsed().as_millis());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_a_second_and_end_with_the_patience() {
        let begun = Instant::now();
        let took = all_of(Pauses::new(Duration::from_secs(5))).await;
        assert_eq!(took, [20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 740]);
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn without_patience_there_is_no_pause() {
        let begun = Instant::now();
        assert_eq!(all_of(Pauses::new(Duration::ZERO)).await, [0; 0]);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_tried_again_for_ever_and_each_second_at_last() {
        let mut pauses = Pauses::new(Duration::MAX);
        let first: Vec<u128> = std::iter::repeat_with(|| pauses.next().as_millis()).take(7).collect();
        assert_eq!(first, [20, 40, 80, 160, 320, 640, 1000]);
        assert!((0..1000).all(|_| pauses.next() == LONGEST_PAUSE));
        assert!(pauses.pause().await);
    }

    #[test]
    fn an_answer_is_waited_for_as_long_as_the_server_but_no_less_than_10_s_and_no_longer_than_60_s() {
        for (patience, longest) in [(0, 10), (30, 30), (300, 60)] {
            assert_eq!(longest_answer(Duration::from_secs(patience)), Duration::from_secs(longest));
        }
    }
}
