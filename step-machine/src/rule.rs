//! What the typed machine returns for a step, by the step's rules. Types only.
//!
//! | rule | `run.step(..)` gives |
//! | --- | --- |
//! | [`Critical`] | `Result<Machine, Failure>` |
//! | [`CriticalOutput`] | `Result<(Machine, T), Failure>` |
//! | [`CriticalMaybe`]: with an output, skippable | `Result<(Machine, Option<T>), Failure>` |
//! | [`NonCritical`] | `Machine` |
//! | [`NonCriticalOutput`] | `(Machine, Option<T>)` |

/// How a step was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It completed with its output.
    Done(T),
    /// It was skipped, on purpose or as a failed non-critical step.
    Skipped,
    /// The run cannot go on.
    Failed,
}

impl<T> Outcome<T> {
    fn output(self) -> Option<T> {
        match self {
            Self::Done(output) => Some(output),
            Self::Skipped | Self::Failed => None,
        }
    }
}

/// The shape of what a step returns. Sealed: these five are all there are.
pub trait Rule: sealed::Sealed {
    /// `M` is the machine after the step, `F` the failure, `T` the step's output.
    type Returns<M, F, T>;

    /// Whether the step declares an output.
    const HAS_OUTPUT: bool;

    /// Whether the run cannot go on without it.
    const NEEDS_OUTPUT: bool;

    /// Wraps `machine` by the outcome; `fail` makes the failure where the rule knows one.
    fn returns<M, F, T>(machine: M, outcome: Outcome<T>, fail: impl FnOnce(M) -> F) -> Self::Returns<M, F, T>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident, output $has_output:literal $needs_output:literal: $returns:ty, |$machine:ident, $outcome:ident, $fail:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl sealed::Sealed for $name {}

        impl Rule for $name {
            type Returns<M, F, T> = $returns;

            const HAS_OUTPUT: bool = $has_output;

            const NEEDS_OUTPUT: bool = $needs_output;

            #[inline]
            fn returns<M, F, T>(
                $machine: M,
                $outcome: Outcome<T>,
                $fail: impl FnOnce(M) -> F,
            ) -> $returns {
                $body
            }
        }
    )*};
}

rules! {
    /// A failure stops the run; there is no output.
    Critical, output false false: Result<M, F>, |machine, outcome, fail| match outcome {
        Outcome::Done(_) | Outcome::Skipped => Ok(machine),
        Outcome::Failed => Err(fail(machine)),
    };
    /// A failure stops the run; otherwise there is an output.
    CriticalOutput, output true true: Result<(M, T), F>, |machine, outcome, fail| match outcome {
        Outcome::Done(output) => Ok((machine, output)),
        Outcome::Skipped | Outcome::Failed => Err(fail(machine)),
    };
    /// A failure stops the run; a skipped step has no output.
    CriticalMaybe, output true false: Result<(M, Option<T>), F>, |machine, outcome, fail| match outcome {
        Outcome::Failed => Err(fail(machine)),
        settled => Ok((machine, settled.output())),
    };
    /// The run always goes on.
    NonCritical, output false false: M, |machine, _outcome, _fail| machine;
    /// The run always goes on; a failed or skipped step has no output.
    NonCriticalOutput, output true false: (M, Option<T>), |machine, outcome, _fail| (machine, outcome.output());
}
