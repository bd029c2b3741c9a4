//! Running a step's body inside of what the observers want around it, in the drive that is the user's.

use super::StepContext;
use crate::link::Link;
use crate::observe::Scopes;

impl StepContext {
    /// Whether an observer wants something around the body that begins now. Asked first, so that a body without is run
    /// as if there were no such thing.
    #[inline]
    pub(crate) fn has_scopes(&self) -> bool {
        match &self.link {
            Link::Own(recorder) => recorder.has_scopes(),
            Link::Shared(shared) => shared.lock().has_scopes(),
        }
    }

    /// What the body is to run inside of.
    #[cold]
    pub(crate) fn take_scopes(&mut self) -> Option<Scopes> {
        let index = self.index;
        self.link.write(|recorder| recorder.take_scopes(index))
    }

    /// Runs a body that waits on nothing inside of what is wanted around it.
    #[cold]
    #[inline(never)]
    pub(crate) fn run_inside<T>(&mut self, body: impl FnOnce(&mut Self) -> T) -> T {
        let mut scopes = self.take_scopes();
        let _inside = scopes.as_mut().map(Scopes::inside);
        body(self)
    }
}
