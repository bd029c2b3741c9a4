//! When something was last heard of each step, for who listens for silence.

use std::time::Duration;

use tokio::time::Instant;

use super::Recorder;

impl Recorder {
    /// Notes from here on when something is heard of a step.
    pub(crate) fn listen(&mut self) {
        // What begins the short way is not heard.
        self.is_short = false;
        self.heard = Some(vec![Instant::now(); self.state.steps().len()].into());
    }

    /// Something is heard of a step.
    pub(crate) fn hear(&mut self, index: usize) {
        self.hear_for(index, Duration::ZERO);
    }

    /// The same, and it is known for how long nothing will be.
    pub(crate) fn hear_for(&mut self, index: usize, silence: Duration) {
        if let Some(heard) = self.heard_mut(index) {
            let now = Instant::now();
            *heard = now.checked_add(silence).unwrap_or(now).max(*heard);
        }
    }

    /// The same, whatever was heard before: an attempt begins.
    pub(crate) fn hear_anew(&mut self, index: usize) {
        if let Some(heard) = self.heard_mut(index) {
            *heard = Instant::now();
        }
    }

    /// When something was last heard of a step.
    pub(crate) fn heard(&self, index: usize) -> Option<Instant> {
        self.heard.as_ref()?.get(index).copied()
    }

    fn heard_mut(&mut self, index: usize) -> Option<&mut Instant> {
        self.heard.as_mut()?.get_mut(index)
    }
}
