//! Events handed to another thread.

use std::sync::mpsc::{Receiver, Sender};

use super::Observer;
use crate::event::Event;

/// Sends a copy of every event to a [`Receiver`]; see [`channel`].
#[derive(Debug, Clone)]
pub struct ChannelObserver {
    sender: Sender<Event>,
}

/// An observer and the end where its events come out, in order, on any thread.
///
/// The channel has no bound: the run never waits for the reader, and events that nobody takes stay in memory; a
/// [`channel_bounded`](super::channel_bounded) has a bound. A receiver that is dropped ends it; the run goes on. The
/// receiver's iteration ends with the run: when it finishes, or when its failure, which may still be rolled back, is
/// dropped or turned into its context.
///
/// # Examples
///
/// ```
/// use step_machine::{Workflow, observe};
///
/// #[derive(Workflow)]
/// enum Greet { Hello }
///
/// let (observer, events) = observe::channel();
/// let reader = std::thread::spawn(move || events.iter().count());
/// let run = Greet::machine().observe(observer).begin()?;
/// run.step(greet::Hello, |_| Ok::<(), std::io::Error>(()))?.finish()?;
/// assert_eq!(reader.join().unwrap(), 4); // run_start, step_start, step_end, run_end
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn channel() -> (ChannelObserver, Receiver<Event>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    (ChannelObserver { sender }, receiver)
}

impl Observer for ChannelObserver {
    fn event(&mut self, event: &Event) {
        // A reader that went away is no concern of the run.
        let _ = self.sender.send(event.clone());
    }
}
