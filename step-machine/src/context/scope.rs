//! Running a step's body inside of what the observers want around it, in the drive that is the user's.

use super::StepContext;
use crate::observe::Scopes;

impl StepContext {
    /// What the body is to run inside of that begins now, where an observer wants something.
    #[inline]
    pub(crate) fn take_scopes(&mut self) -> Option<Scopes> {
        let index = self.index;
        self.link.write(|recorder| recorder.take_scopes(index))
    }

    /// Runs a body that waits on nothing.
    #[inline]
    pub(crate) fn run_body<T>(&mut self, body: impl FnOnce(&mut Self) -> T) -> T {
        let mut scopes = self.take_scopes();
        let _inside = scopes.as_mut().map(Scopes::inside);
        body(self)
    }
}
