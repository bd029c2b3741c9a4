//! One enum becomes a typed, observable, recoverable workflow.
//!
//! For commands that have steps: provision a server, configure it, deploy, migrate, upgrade. The enum lists the steps
//! and their rules; [`#[derive(Workflow)]`](macro@Workflow) makes it a state machine that tracks the current step and
//! whose order, critical and skippable rules the compiler checks. A failure arrives with its context, and nothing maps
//! an error back to a step.
//!
//! ```
//! use step_machine::{Failure, StepError, Workflow};
//!
//! /// Bring up one server.
//! #[derive(Workflow, Debug, PartialEq)]
//! #[workflow(on_failure = "rollback")]
//! enum ProvisionStep {
//!     /// Render the templates
//!     RenderTemplates,
//!     #[step(undo, weight = 5)]
//!     Apply,
//!     #[step(output = u16)]
//!     GetPort,
//!     #[step(needs(GetPort), retry(attempts = 3, delay = "10ms"))]
//!     WaitSsh,
//!     #[step(skippable)]
//!     WaitCloudInit,
//! }
//! use provision_step::*; // one marker type for each step
//!
//! #[derive(Debug, thiserror::Error, StepError)]
//! enum ProvisionError {
//!     #[error("port {0} does not answer")]
//!     #[step_error(kind = "network-connectivity")]
//!     NoAnswer(u16),
//! }
//!
//! fn provision(answers: bool) -> Result<(), Failure<ProvisionStep, ProvisionError>> {
//!     let run = ProvisionStep::machine().begin()?;
//!     let run = run.step(RenderTemplates, |_| Ok::<_, ProvisionError>(()))?;
//!     let run = run.step(Apply, |cx| {
//!         cx.progress(0.5);
//!         Ok::<_, ProvisionError>(())
//!     })?;
//!     let (run, port) = run.step(GetPort, |_| Ok::<_, ProvisionError>(2222))?;
//!     let run = run.step_retry(WaitSsh, |_| if answers { Ok(()) } else { Err(ProvisionError::NoAnswer(port)) })?;
//!     let run = run.skip(WaitCloudInit, "the image has no cloud-init");
//!     run.finish()?;
//!     Ok(())
//! }
//!
//! assert!(provision(true).is_ok());
//!
//! let failure = provision(false).unwrap_err();
//! assert_eq!(failure.step(), Some(ProvisionStep::WaitSsh));
//! assert_eq!(failure.context().kind(), "network-connectivity");
//! assert_eq!(failure.context().record().attempt, 3);
//! let failure = failure.rollback(|step, _| {
//!     assert_eq!(step, ProvisionStep::Apply);
//!     Ok::<_, ProvisionError>(())
//! });
//! println!("{failure:#}");
//! ```
//!
//! # Where to find what
//!
//! - [`Machine`]: you drive, step by step, sync or async.
//! - [`Runner`]: the library drives a handler whose trait the derive writes: retries, rollback, parallel steps.
//! - [`Failure`] and [`FailureContext`]: what is known when a run does not complete.
//! - [`event`]: the one record of a run; [`RunState`] is its fold.
//! - [`Observer`]: sees the events; [`Journal`]: keeps them, so that a run goes on where it was.
//! - [`journal::Codec`]: seals what is secret before a journal has it.
//! - [`StepContext`]: what a step's body may do.
//! - [`Preview`]: what a run would do; as data, as text and as a diagram.
//! - [`testing`]: breaks a workflow on purpose, and checks what it does then.
//! - [`assert_resumable!`]: a test that runs under way can go on with the enum as it is now; [`PlanDiff`] is what changed.
//!
//! # Features
//!
//! - `derive` (default): the two derives.
//! - `runner` (default): [`Runner`], which drives a workflow on tokio.
//! - `signal`: [`Runner::ctrl_c`], a run that a Ctrl-C stops.
//! - `process`: [`process`], commands of a step, whose lines become events.
//! - `progress`: [`observe::ProgressBar`], a run on a terminal.
//! - `seal`: [`journal::Sealer`], which encrypts what steps marked `secret` hand on.
//! - `sqlite`: [`SqliteJournal`], a journal in one file.
//! - `postgres`: [`PostgresJournal`], a journal in a PostgreSQL database; `postgres-tls`: TLS to that database.
//! - `stream`: [`observe::Subscription`] as a `Stream`.
//! - `tracing`: [`observe::Tracing`], spans and events of the crate `tracing`, also around the bodies of steps.
//! - `metrics`: [`observe::Metrics`], counters, histograms and gauges of the crate `metrics`.
//! - `resources`: [`Runner::measure_resources`], what each step took of processor and memory.
//! - `schema`: [`schema::event_schema`], the JSON Schema of events.
//! - `cli`: the command `step-machine`, which looks into a journal from outside.

mod book;
mod context;
mod estimate;
pub mod event;
mod failure;
#[cfg(feature = "runner")]
mod faults;
mod graph;
pub mod journal;
mod link;
mod machine;
pub mod observe;
mod opening;
mod plan_diff;
mod policy;
pub mod preview;
#[doc(hidden)]
pub mod private;
#[cfg(feature = "process")]
pub mod process;
mod recorder;
mod report;
#[cfg(feature = "resources")]
mod resources;
pub mod rule;
mod run_id;
#[cfg(feature = "runner")]
pub mod runner;
#[cfg(feature = "schema")]
pub mod schema;
mod secret;
mod state;
#[cfg(feature = "runner")]
mod stop;
mod sync;
pub mod testing;
pub mod time;
mod turn;
mod workflow;

pub use context::{StepContext, Task};
pub use event::Event;
pub use failure::{Cause, ContextError, FailureContext, StepError};
#[cfg(feature = "postgres")]
pub use journal::PostgresJournal;
#[cfg(feature = "sqlite")]
pub use journal::SqliteJournal;
pub use journal::{Journal, JournalError, MemoryJournal};
pub use machine::{Done, End, Entry, Finished, Guard, Machine, MachineBuilder, Returns, RunsAt, Settled, Todo};
pub use observe::Observer;
pub use plan_diff::{PlanDiff, PlanDifference};
pub use policy::{OnFailure, Retry};
pub use preview::Preview;
pub use report::{Failure, Report, Unfinished};
pub use run_id::RunId;
#[cfg(feature = "runner")]
pub use runner::Runner;
pub use state::{Illegal, IllegalReason, PlanChange, RunState, StepState, TaskState, Undo};
pub use workflow::{Plan, PlanError, SharedPlan, Skippable, Step, StepInfo, StepOutput, Workflow};

/// Makes an error classify itself; every key with an example is on the page of [attributes].
///
/// # Examples
///
/// ```
/// use step_machine::StepError;
///
/// #[derive(Debug, thiserror::Error, StepError)]
/// enum DeployError {
///     #[error("the archive is broken")]
///     #[step_error(kind = "validation", fatal)]
///     Archive,
///     #[error("the disk is full")]
///     DiskFull,
/// }
/// assert_eq!((DeployError::Archive.kind(), DeployError::Archive.is_fatal()), ("validation", true));
/// assert_eq!(DeployError::DiskFull.kind(), "disk-full");
/// ```
#[cfg(feature = "derive")]
pub use step_machine_derive::StepError;

/// Makes an enum a workflow, one step for each variant; every key with an example is on the page of [attributes].
///
/// # Examples
///
/// ```
/// use step_machine::Workflow;
///
/// #[derive(Workflow)]
/// enum Deploy {
///     /// Fetch the archive
///     #[step(retry(attempts = 3, delay = "2s"), weight = 10)]
///     Download,
///     #[step(undo)]
///     Start,
/// }
/// use deploy::*;
///
/// let run = Deploy::machine().begin()?;
/// let run = run.step(Download, |_| Ok::<(), std::io::Error>(()))?;
/// run.step(Start, |_| Ok::<(), std::io::Error>(()))?.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "derive")]
pub use step_machine_derive::Workflow;

/// The page of the attributes.
#[cfg(feature = "derive")]
pub mod attributes {
    #![doc = include_str!("../../docs/attributes.md")]
}

/// The pages whose examples are compiled with the documentation tests.
#[cfg(all(doctest, feature = "derive"))]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;

    #[cfg(feature = "progress")]
    #[doc = include_str!("../../docs/observing.md")]
    struct Observing;
}
