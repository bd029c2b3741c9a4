//! What a step's body runs inside of, where an observer wants that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// What the body of one attempt runs inside of; an [`Observer`](super::Observer) gives it for the start that it was
/// just shown.
///
/// It is entered before each part of the body that runs and left after it: around a body that waits on nothing once,
/// and around a future with each poll, on the thread that polls it. So what it sets for the thread, such as the current
/// span, is there for the body and for nobody else. It is also left where the body panics, it is entered once more while
/// a future is dropped, whether it ended or not, and it is dropped before the end of the attempt is told.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use step_machine::event::Event;
/// use step_machine::observe::Scope;
/// use step_machine::{Observer, Workflow};
///
/// thread_local!(static DEPTH: Cell<u32> = const { Cell::new(0) });
///
/// struct Depth;
///
/// impl Scope for Depth {
///     fn enter(&mut self) {
///         DEPTH.set(DEPTH.get() + 1);
///     }
///
///     fn leave(&mut self) {
///         DEPTH.set(DEPTH.get() - 1);
///     }
/// }
///
/// impl Observer for Depth {
///     fn scope(&mut self, _start: &Event) -> Option<Box<dyn Scope>> {
///         Some(Box::new(Depth))
///     }
/// }
///
/// #[derive(Workflow)]
/// enum Deploy { Start }
///
/// let run = Deploy::machine().observe(Depth).begin()?;
/// let run = run.step(deploy::Start, |_| {
///     assert_eq!(DEPTH.get(), 1);
///     Ok::<(), std::io::Error>(())
/// })?;
/// assert_eq!(DEPTH.get(), 0);
/// run.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Scope: Send {
    /// A part of the body runs next, on this thread.
    fn enter(&mut self);

    /// That part has run, on the same thread.
    fn leave(&mut self);
}

/// The scopes of one body, each behind its own wall: one that panics is counted and left alone from then on.
pub(crate) struct Scopes(Vec<Held>);

struct Held {
    // Never locked, as with an observer; it only makes the whole shareable.
    scope: Option<Mutex<Box<dyn Scope>>>,
    panics: Arc<AtomicU64>,
}

impl Held {
    fn call(&mut self, call: impl FnOnce(&mut dyn Scope)) {
        let Some(scope) = &mut self.scope else { return };
        let scope = scope.get_mut().unwrap_or_else(PoisonError::into_inner);
        if catch_unwind(AssertUnwindSafe(|| call(scope.as_mut()))).is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        let scope = self.scope.take();
        if catch_unwind(AssertUnwindSafe(|| drop(scope))).is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Scopes {
    /// Those that observers gave, with where their panics are counted; `None` where there are none.
    pub(super) fn new(given: impl Iterator<Item = (Box<dyn Scope>, Arc<AtomicU64>)>) -> Option<Self> {
        let held: Vec<_> = given.map(|(scope, panics)| Held { scope: Some(Mutex::new(scope)), panics }).collect();
        (!held.is_empty()).then_some(Self(held))
    }

    /// Enters them; they are left where what is given back is dropped.
    pub(crate) fn inside(&mut self) -> Inside<'_> {
        self.enter();
        Inside(self)
    }
}

/// In the order of the observers, and back in reverse.
impl Scope for Scopes {
    fn enter(&mut self) {
        for held in &mut self.0 {
            held.call(|scope| scope.enter());
        }
    }

    fn leave(&mut self) {
        for held in self.0.iter_mut().rev() {
            held.call(|scope| scope.leave());
        }
    }
}

/// The time inside of a body's scopes.
pub(crate) struct Inside<'s>(&'s mut Scopes);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A body that is polled and dropped inside of its scopes.
pub(crate) struct Scoped<F: ?Sized> {
    scopes: Scopes,
    // None only while it is dropped.
    body: Option<Pin<Box<F>>>,
}

impl<F: Future + ?Sized> Scoped<F> {
    pub(crate) fn new(scopes: Scopes, body: Pin<Box<F>>) -> Self {
        Self { scopes, body: Some(body) }
    }
}

impl<F: Future + ?Sized> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { scopes, body } = self.get_mut();
        let Some(body) = body else { return Poll::Pending };
        let _inside = scopes.inside();
        body.as_mut().poll(context)
    }
}

impl<F: ?Sized> Drop for Scoped<F> {
    fn drop(&mut self) {
        let _inside = self.scopes.inside();
        self.body = None;
    }
}
