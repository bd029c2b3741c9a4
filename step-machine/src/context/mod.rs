//! What a step's body may do: tell how far it is, what it finds, and ask who it is.

#[cfg(feature = "runner")]
mod inside;
mod scope;
#[cfg(feature = "runner")]
mod stop;
mod task;
#[cfg(test)]
mod thinning;

use serde::Serialize;
use serde_json::Value;

#[cfg(feature = "runner")]
pub(crate) use inside::{Inside, Why};
pub use task::Task;

use crate::event::{Kind, Level, OutputLine, StepRef, StepUpdate, Text};
use crate::journal::JournalError;
use crate::link::Link;
use crate::recorder::Recorder;
use crate::run_id::RunId;
use crate::state::StepState;
use crate::workflow::{Step, StepInfo, Workflow};

/// The only way in which a step's body reaches its run.
///
/// What a body tells cannot fail: where the run's journal does, no further body runs and the next fallible call says so.
///
/// # Examples
///
/// ```
/// use step_machine::{StepContext, Workflow};
///
/// #[derive(Workflow)]
/// enum Copy { Files }
///
/// fn copy(cx: &mut StepContext) -> std::io::Result<()> {
///     cx.message("copying 3 files");
///     for file in 1..=3 {
///         cx.progress(f64::from(file) / 3.0);
///     }
///     cx.metadata("files", 3);
///     Ok(())
/// }
///
/// let report = Copy::machine().begin()?.step(copy::Files, copy)?.finish()?;
/// let step = report.state().step("files").unwrap();
/// assert_eq!(step.metadata().unwrap()["files"], 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StepContext {
    pub(crate) link: Link,
    pub(crate) index: usize,
    pub(crate) phase: Phase,
    // Boxed, as few bodies nest a run, and fewer see it stop.
    #[cfg(feature = "runner")]
    pub(crate) inside: Option<Box<Inside>>,
}

/// What a body is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Run,
    Undo,
    /// Asking whether to skip: the step has not begun, so there is nothing to tell of it.
    #[cfg(feature = "runner")]
    Skip,
}

impl StepContext {
    #[inline]
    pub(crate) fn new(link: Link, index: usize, phase: Phase) -> Self {
        Self {
            link,
            index,
            phase,
            #[cfg(feature = "runner")]
            inside: None,
        }
    }

    #[inline]
    pub(crate) fn own(recorder: Box<Recorder>, index: usize, phase: Phase) -> Self {
        Self::new(Link::Own(recorder), index, phase)
    }

    pub(crate) fn info(&self) -> &StepInfo {
        &self.link.plan().steps[self.index]
    }

    fn ask<T>(&self, ask: impl FnOnce(&StepState) -> T) -> T {
        self.link.read(|recorder| ask(recorder.step(self.index)))
    }

    /// The run.
    pub fn run(&self) -> &RunId {
        self.link.run()
    }

    /// The id of the step.
    pub fn step(&self) -> &str {
        &self.info().id
    }

    /// The id that the step had before it was renamed, and has still where it never was.
    pub(crate) fn first_id(&self) -> &str {
        self.info().first_id()
    }

    /// Which attempt this is, from 1; goes on counting when a run is resumed. In an undo, the attempt at undoing.
    pub fn attempt(&self) -> u32 {
        self.ask(if self.phase == Phase::Undo { StepState::undo_attempts } else { StepState::attempts })
    }

    /// Whether what began in this attempt was taken back since, as the step was to run again.
    #[cfg(feature = "runner")]
    pub(crate) fn is_before_again(&self, attempt: u32) -> bool {
        self.ask(|step| step.is_before_again(attempt))
    }

    /// Whether an earlier attempt began and its end is not known: it may have done all, some or nothing of its work.
    ///
    /// Stays so until the step has completed or is undone: also in the attempts that follow a failed one, and in the undo.
    pub fn interrupted(&self) -> bool {
        self.ask(StepState::is_interrupted)
    }

    /// A text that is the same for all attempts at this step of this run, in all processes, and for nothing else; in an
    /// undo, for all attempts at undoing it.
    ///
    /// A step that was renamed keeps it as long as it has its `alias`. Hand it to services that take an idempotency
    /// key, so that an attempt which is repeated has one effect.
    pub fn idempotency_key(&self) -> String {
        let step = self.first_id();
        let undo = if self.phase == Phase::Undo { "/undo" } else { "" };
        format!("{}/{}/{step}{undo}", self.link.plan().workflow, self.run())
    }

    /// Tells how much of the step is done, from 0 to 1; a number outside is taken as the nearer end.
    ///
    /// May be called as often as is convenient. Of a hundred in a row, and then of twenty a second, each becomes an
    /// event; of the others only the newest one, with the next that may or before the next other event of the step.
    /// The builders' `thin_progress` sets other numbers.
    pub fn progress(&mut self, fraction: f64) {
        #[cfg(feature = "runner")]
        if self.phase == Phase::Skip {
            return;
        }
        let (index, fraction) = (self.index, self::fraction(fraction));
        self.link.write(|recorder| recorder.record_fraction(index, None, fraction));
    }

    /// Tells people something.
    pub fn message(&mut self, message: impl Into<Text>) {
        self.tell(Level::Info, message);
    }

    /// Warns people.
    pub fn warn(&mut self, message: impl Into<Text>) {
        self.tell(Level::Warning, message);
    }

    /// Tells people something that matters this much.
    pub fn tell(&mut self, level: Level, message: impl Into<Text>) {
        let message = message.into();
        self.update(|update| {
            update.level = Some(level);
            update.message = Some(message);
        });
    }

    /// Tells machines something. A value that cannot be JSON is recorded as the error that says why.
    pub fn metadata(&mut self, key: impl Into<String>, value: impl Serialize) {
        let value = serde_json::to_value(value).unwrap_or_else(|error| Value::from(format!("<{error}>")));
        self.update(|update| {
            update.metadata.insert(key.into(), value);
        });
    }

    /// Passes on a line that a command wrote to its standard output.
    pub fn stdout(&mut self, line: impl Into<Text>) {
        self.record(|step| Kind::Stdout(OutputLine { step, line: line.into() }));
    }

    /// Passes on a line that a command wrote to its standard error.
    pub fn stderr(&mut self, line: impl Into<Text>) {
        self.record(|step| Kind::Stderr(OutputLine { step, line: line.into() }));
    }

    /// What an earlier step of this run handed on, read from the record; `None` where it has not completed, or is a
    /// step of another workflow.
    ///
    /// An undo finds here what it has to take back: of a step that was to run again and has not completed since, what it
    /// handed on before. Fails with [`JournalError::Output`] where what was recorded is not of the step's type any more.
    pub fn output<S: Step>(&self, step: S) -> Result<Option<S::Output>, JournalError> {
        let find = if self.phase == Phase::Undo { StepState::output_to_undo } else { StepState::output };
        let read = self.link.read(|recorder| recorder.state().read(step, find));
        let (run, step) = (self.run(), S::STEP.id());
        read.map_err(|source| JournalError::Output { run: run.clone(), step: step.to_owned(), source })
    }

    fn update(&mut self, set: impl FnOnce(&mut StepUpdate)) {
        self.record(|step| {
            let mut update = StepUpdate::of(step);
            set(&mut update);
            Kind::StepUpdate(Box::new(update))
        });
    }

    /// Records news of the step.
    fn record(&mut self, kind: impl FnOnce(StepRef) -> Kind) {
        #[cfg(feature = "runner")]
        if self.phase == Phase::Skip {
            return;
        }
        let index = self.index;
        self.link.write(|recorder| recorder.record_news(kind(recorder.state().step_ref(index))));
    }
}

/// A share of something, whatever a body takes for one.
fn fraction(fraction: f64) -> f64 {
    if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) }
}
