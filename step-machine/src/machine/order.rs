//! The order of steps as types. The impls are written by `#[derive(Workflow)]`.

use std::marker::PhantomData;

/// A step that may run when the machine is at `At`.
// The bound stands on the step and not on the state: with one impl for each state rustc would infer the step from the
// state and say "mismatched types" instead of this.
#[diagnostic::on_unimplemented(
    message = "step `{Self}` cannot run here",
    label = "the workflow is at `{At}`, where `{Self}` is not a next step",
    note = "`at::X` says that `X` is the next step, `End` that there is none; in a parallel workflow a step runs while it is `Todo` and all that it needs is `Done`"
)]
pub trait RunsAt<At> {
    /// Where the machine is once the step is settled.
    type Next;
}

/// A place where the workflow `W` has settled every step.
#[diagnostic::on_unimplemented(
    message = "workflow `{W}` cannot finish here",
    label = "the workflow is at `{Self}`: not every step is settled",
    note = "`at::X` says that `X` is the next step; in a parallel workflow every step has to be `Done`"
)]
pub trait Finished<W> {}

/// Where a sequential workflow is after its last step.
#[derive(Debug, Clone, Copy)]
pub struct End;

impl<W> Finished<W> for End {}

/// In a parallel workflow: the step `S` is still to be settled.
#[derive(Debug, Clone, Copy)]
pub struct Todo<S>(PhantomData<fn() -> S>);

/// In a parallel workflow: the step `S` is settled.
#[derive(Debug, Clone, Copy)]
pub struct Done<S>(PhantomData<fn() -> S>);
