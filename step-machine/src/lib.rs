//! One enum becomes a typed, observable, recoverable workflow.

mod context;
pub mod event;
mod failure;
pub mod journal;
mod machine;
pub mod observe;
mod policy;
#[doc(hidden)]
pub mod private;
mod recorder;
mod report;
pub mod rule;
mod run_id;
#[cfg(feature = "schema")]
pub mod schema;
mod state;
mod sync;
pub mod time;
mod workflow;

pub use context::StepContext;
pub use event::Event;
pub use failure::{Cause, ContextError, FailureContext, StepError};
pub use journal::{Journal, JournalError, MemoryJournal};
pub use machine::{Done, End, Entry, Finished, Guard, Machine, MachineBuilder, Returns, RunsAt, Settled, Todo};
pub use observe::Observer;
pub use policy::{OnFailure, Retry};
pub use report::{Failure, Report};
pub use run_id::RunId;
pub use state::{Illegal, IllegalReason, PlanChange, RunState, StepState, TaskState, Undo};
pub use workflow::{Plan, PlanError, SharedPlan, Skippable, Step, StepInfo, StepOutput, Workflow};

#[cfg(feature = "derive")]
pub use step_machine_derive::{StepError, Workflow};
