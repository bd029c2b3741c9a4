//! What asks a run to stop while it goes on.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use super::handler::BoxFuture;
use crate::stop::{Level, Stop};

/// What asks a run to stop.
pub(super) enum Trigger<'h> {
    /// A future that asks so much when it ends.
    On(Level, BoxFuture<'h, ()>),
    /// Ctrl-C, as often as it is pressed.
    #[cfg(feature = "signal")]
    CtrlC,
}

impl<'h> Trigger<'h> {
    fn watch(self, stop: Arc<Stop>) -> BoxFuture<'h, ()> {
        match self {
            Self::On(level, asked) => Box::pin(async move {
                asked.await;
                stop.raise(level);
            }),
            #[cfg(feature = "signal")]
            Self::CtrlC => Box::pin(async move {
                // Where signals cannot be listened to there is nothing to wait for.
                while tokio::signal::ctrl_c().await.is_ok() {
                    stop.raise(if stop.is(Level::Finish) { Level::Now } else { Level::Finish });
                }
            }),
        }
    }
}

/// Drives `run` to its end, and heeds the triggers, and what watches it, meanwhile.
pub(super) async fn watched<'h, T>(
    triggers: Vec<Trigger<'h>>,
    stall: Option<BoxFuture<'h, ()>>,
    stop: &Arc<Stop>,
    mut run: Pin<&mut impl Future<Output = T>>,
) -> T {
    if triggers.is_empty() && stall.is_none() {
        return run.await;
    }
    let mut watches: Vec<BoxFuture<'h, ()>> = triggers.into_iter().map(|trigger| trigger.watch(stop.clone())).collect();
    watches.extend(stall);
    poll_fn(|context| {
        // First, so that nothing begins at the very moment of a Ctrl-C.
        watches.retain_mut(|watch| watch.as_mut().poll(context).is_pending());
        run.as_mut().poll(context)
    })
    .await
}
