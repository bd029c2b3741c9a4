//! How a step's body reaches its run.

use std::sync::{Arc, Mutex, MutexGuard};

#[cfg(feature = "runner")]
use crate::book::Ack;
#[cfg(feature = "runner")]
use crate::journal::Waiting;
use crate::recorder::Recorder;
use crate::run_id::RunId;
#[cfg(feature = "runner")]
use crate::stop::Stop;
use crate::sync::lock;
use crate::workflow::SharedPlan;

/// The way to the one writer of a run: to oneself, or shared with the run's other steps and tasks.
#[derive(Debug)]
pub(crate) enum Link {
    Own(Box<Recorder>),
    Shared(Arc<Shared>),
}

/// A run that several reach.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) run: RunId,
    pub(crate) plan: SharedPlan,
    #[cfg(feature = "runner")]
    pub(crate) stop: Arc<Stop>,
    /// Whether a journal keeps the run.
    #[cfg(feature = "runner")]
    pub(crate) is_kept: bool,
    /// Whether an observer sees it.
    #[cfg(feature = "runner")]
    pub(crate) is_observed: bool,
    recorder: Mutex<Box<Recorder>>,
}

impl Shared {
    pub(crate) fn new(recorder: Box<Recorder>) -> Arc<Self> {
        Self::with_stop(
            recorder,
            #[cfg(feature = "runner")]
            Arc::default(),
        )
    }

    /// The same, where somebody holds already what stops it.
    pub(crate) fn with_stop(recorder: Box<Recorder>, #[cfg(feature = "runner")] stop: Arc<Stop>) -> Arc<Self> {
        let state = recorder.state();
        Arc::new(Self {
            run: state.run().clone(),
            plan: state.shared_plan().clone(),
            #[cfg(feature = "runner")]
            stop,
            #[cfg(feature = "runner")]
            is_kept: recorder.is_kept(),
            #[cfg(feature = "runner")]
            is_observed: recorder.is_observed(),
            recorder: Mutex::new(recorder),
        })
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Box<Recorder>> {
        lock(&self.recorder)
    }

    /// Takes in what the journal says, when it does; `false` where it has failed, now or before.
    #[cfg(feature = "runner")]
    pub(crate) async fn settle(&self, ack: Box<Ack>) -> bool {
        let settled = ack.arrived().await;
        self.lock().settle(settled)
    }

    /// Waits until the journal has everything; `false` where it has failed, now or before.
    #[cfg(feature = "runner")]
    pub(crate) async fn keep(&self, waiting: Waiting) -> bool {
        let ack = self.lock().send_all(waiting);
        match ack {
            Some(ack) => self.settle(ack).await,
            None => !self.lock().is_broken(),
        }
    }

    /// The writer, for the last one that holds it: what else can reach it only looks in for a moment.
    pub(crate) fn into_recorder(mut shared: Arc<Self>) -> Box<Recorder> {
        loop {
            match Arc::try_unwrap(shared) {
                Ok(shared) => return shared.recorder.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner),
                Err(held) => shared = held,
            }
            std::thread::yield_now();
        }
    }
}

impl Link {
    #[inline]
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Recorder) -> T) -> T {
        match self {
            Self::Own(recorder) => read(recorder),
            Self::Shared(shared) => read(&shared.lock()),
        }
    }

    #[inline]
    pub(crate) fn write<T>(&mut self, write: impl FnOnce(&mut Recorder) -> T) -> T {
        match self {
            Self::Own(recorder) => write(recorder),
            Self::Shared(shared) => write(&mut shared.lock()),
        }
    }

    pub(crate) fn run(&self) -> &RunId {
        match self {
            Self::Own(recorder) => recorder.state().run(),
            Self::Shared(shared) => &shared.run,
        }
    }

    pub(crate) fn plan(&self) -> &SharedPlan {
        match self {
            Self::Own(recorder) => recorder.state().shared_plan(),
            Self::Shared(shared) => &shared.plan,
        }
    }

    /// How the run is asked to stop, where something can ask it.
    #[cfg(feature = "runner")]
    pub(crate) fn stop(&self) -> Option<&Arc<Stop>> {
        match self {
            Self::Own(_) => None,
            Self::Shared(shared) => Some(&shared.stop),
        }
    }

    /// Makes the run one that several can reach.
    pub(crate) fn share(&mut self) -> Arc<Shared> {
        match self {
            Self::Shared(shared) => shared.clone(),
            Self::Own(own) => {
                let stand_in = own.stand_in();
                let shared = Shared::new(std::mem::replace(own, stand_in));
                *self = Self::Shared(shared.clone());
                shared
            }
        }
    }

    #[inline]
    pub(crate) fn into_recorder(self) -> Box<Recorder> {
        match self {
            Self::Own(recorder) => recorder,
            Self::Shared(shared) => Shared::into_recorder(shared),
        }
    }
}

#[cfg(all(test, feature = "runner"))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::SystemTime;

    use super::*;
    use crate::book::Book;
    use crate::event::Event;
    use crate::journal::{Answer, Append, Claim, Claimed, Journal, JournalError, Lease, Reply, RunQuery, RunSummary};
    use crate::recorder::Watch;
    use crate::state::RunState;
    use crate::workflow::{Plan, StepInfo};

    /// Answers when it is told to, and from then on at once.
    struct Slow(Mutex<Option<Vec<Answer<()>>>>);

    impl Slow {
        fn answer(&self, answer: fn() -> Result<(), JournalError>) {
            let answers = lock(&self.0).take().unwrap();
            for waiting in answers {
                waiting.send(answer());
            }
        }
    }

    impl Journal for Slow {
        fn append(&self, _: Append<'_>) -> Reply<()> {
            let mut waiting = lock(&self.0);
            let Some(waiting) = &mut *waiting else { return Reply::ready(Ok(())) };
            let (answer, reply) = Reply::later();
            waiting.push(answer);
            reply
        }

        fn claim(&self, _: &Claim) -> Reply<Claimed> {
            Reply::ready(Err(JournalError::Closed))
        }

        fn release(&self, _: &Lease) -> Reply<()> {
            Reply::ready(Ok(()))
        }

        fn load(&self, _: &RunId) -> Reply<Vec<Event>> {
            Reply::ready(Ok(Vec::new()))
        }

        fn list(&self, _: &RunQuery) -> Reply<Vec<RunSummary>> {
            Reply::ready(Ok(Vec::new()))
        }

        fn abandon(&self, _: &RunId, _: &str) -> Reply<()> {
            Reply::ready(Ok(()))
        }

        fn prune(&self, _: SystemTime) -> Reply<usize> {
            Reply::ready(Ok(0))
        }
    }

    #[test]
    fn what_another_step_has_given_the_journal_is_waited_for_too() {
        let answers: [fn() -> Result<(), JournalError>; 2] = [|| Ok(()), || Err(JournalError::Closed)];
        for answer in answers {
            let (run, journal) = (RunId::from("r"), Arc::new(Slow(Mutex::new(Some(Vec::new())))));
            let mut plan = Plan::new("w", [StepInfo::new("left", "Left"), StepInfo::new("right", "Right")]);
            plan.parallel = true;
            let now = SystemTime::UNIX_EPOCH;
            let book = Book::new(journal.clone(), Lease::new(run.clone(), 1, 1), Vec::new());
            let mut recorder = Recorder::new(RunState::new(run, plan.into(), now), Watch::default(), now, Some(book));
            recorder.defer();
            assert!(recorder.begin_step(0) && recorder.complete_step(0));
            // `right` begins on another thread, and so gives the journal the outcome of `left`.
            assert!(recorder.begin_step(1));
            let other = recorder.send(Waiting::Sibling).unwrap();
            let shared = Shared::new(recorder);
            let (mut kept, mut context) = (pin!(shared.keep(Waiting::Sibling)), Context::from_waker(Waker::noop()));
            assert_eq!(kept.as_mut().poll(&mut context), Poll::Pending);
            journal.answer(answer);
            assert_eq!(kept.as_mut().poll(&mut context), Poll::Ready(answer().is_ok()));
            assert_eq!(shared.lock().settle(other.wait()), answer().is_ok());
        }
    }
}
