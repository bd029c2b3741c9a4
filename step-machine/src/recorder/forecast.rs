//! How long the rest takes, as far as earlier runs tell.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use crate::estimate::Estimator;
use crate::event::Progress;
use crate::state::RunState;
use crate::sync::lock;

/// What is expected of a run, once its journal has told of earlier ones.
pub(crate) enum Forecast {
    /// The journal is still asked. In a lock only for the sake of those who share a run.
    Asked(Mutex<Pin<Box<dyn Future<Output = Option<Estimator>> + Send>>>),
    /// It told this.
    Known(Estimator),
    /// It has nothing to tell.
    Nothing,
}

impl Forecast {
    pub(crate) fn of(asked: Pin<Box<dyn Future<Output = Option<Estimator>> + Send>>) -> Self {
        Self::Asked(Mutex::new(asked))
    }

    /// Looks whether the journal has answered, and waits for nothing.
    fn look(&mut self) {
        let Self::Asked(asked) = self else { return };
        let answer = lock(asked).as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(answer) = answer {
            *self = answer.map_or(Self::Nothing, Self::Known);
        }
    }

    /// Puts the estimate into `progress`.
    pub(super) fn refine(&mut self, state: &RunState, progress: &mut Progress) {
        self.look();
        if let Self::Known(estimator) = self
            && let Some(remaining) = estimator.remaining(state)
        {
            progress.eta = Some(remaining);
        }
    }
}
