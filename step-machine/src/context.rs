//! What a step's body may do: tell how far it is, what it finds, and ask who it is.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::event::{Kind, Level, OutputLine, StepUpdate, Text};
use crate::failure::StepError;
use crate::journal::JournalError;
use crate::recorder::Recorder;
use crate::run_id::RunId;
use crate::state::StepState;
use crate::time::LONGEST_SPAN;
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
    pub(crate) recorder: Recorder,
    pub(crate) index: usize,
    pub(crate) undoing: bool,
}

impl StepContext {
    #[inline]
    pub(crate) fn new(recorder: Recorder) -> Self {
        Self { recorder, index: 0, undoing: false }
    }

    pub(crate) fn step_state(&self) -> &StepState {
        &self.recorder.state().steps()[self.index]
    }

    pub(crate) fn info(&self) -> &StepInfo {
        &self.recorder.state().plan().steps[self.index]
    }

    /// The run.
    pub fn run(&self) -> &RunId {
        self.recorder.state().run()
    }

    /// The id of the step.
    pub fn step(&self) -> &str {
        &self.info().id
    }

    /// Which attempt this is, from 1; goes on counting when a run is resumed. In an undo, the attempt at undoing.
    pub fn attempt(&self) -> u32 {
        if self.undoing { self.step_state().undo_attempts() } else { self.step_state().attempts() }
    }

    /// Whether an earlier attempt began and its end is not known: it may have done all, some or nothing of its work.
    pub fn interrupted(&self) -> bool {
        self.step_state().is_interrupted()
    }

    /// A text that is the same for all attempts at this step of this run, in all processes, and for nothing else; in an
    /// undo, for all attempts at undoing it.
    ///
    /// A step that was renamed keeps it as long as it has its `alias`. Hand it to services that take an idempotency
    /// key, so that an attempt which is repeated has one effect.
    pub fn idempotency_key(&self) -> String {
        // A step that was renamed keeps the key that it had under its old id.
        let info = self.info();
        let step = info.aliases.first().unwrap_or(&info.id);
        let undo = if self.undoing { "/undo" } else { "" };
        format!("{}/{}/{step}{undo}", self.recorder.state().workflow(), self.run())
    }

    /// Tells how much of the step is done, from 0 to 1; a number outside is taken as the nearer end.
    pub fn progress(&mut self, fraction: f64) {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        self.update(|update| update.fraction = Some(fraction));
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
        let line = self.line(line.into());
        self.recorder.record(Kind::Stdout(line));
    }

    /// Passes on a line that a command wrote to its standard error.
    pub fn stderr(&mut self, line: impl Into<Text>) {
        let line = self.line(line.into());
        self.recorder.record(Kind::Stderr(line));
    }

    /// What an earlier step of this run handed on, read from the record; `None` where it has not completed, or is a
    /// step of another workflow.
    ///
    /// An undo finds here what it has to take back. Fails with [`JournalError::Output`] where what was recorded is not
    /// of the step's type any more.
    pub fn output<S: Step>(&self, step: S) -> Result<Option<S::Output>, JournalError> {
        let _ = step;
        let state = self.recorder.state();
        let step = state.step(S::STEP.id()).filter(|_| state.workflow() == S::Workflow::NAME);
        let Some(output) = step.and_then(StepState::output) else { return Ok(None) };
        let read = <S::Output as serde::Deserialize>::deserialize(output);
        read.map(Some).map_err(|source| JournalError::Output {
            run: state.run().clone(),
            step: S::STEP.id().to_owned(),
            source,
        })
    }

    fn line(&self, line: Text) -> OutputLine {
        OutputLine { step: self.recorder.state().step_ref(self.index), line }
    }

    fn update(&mut self, set: impl FnOnce(&mut StepUpdate)) {
        let mut update = StepUpdate {
            step: self.recorder.state().step_ref(self.index),
            fraction: None,
            level: None,
            message: None,
            metadata: Map::new(),
        };
        set(&mut update);
        self.recorder.record(Kind::StepUpdate(Box::new(update)));
    }

    /// How long to wait before trying again after `failed` attempts failed, the last one with `error`.
    pub(crate) fn wait_after<E: StepError>(&self, failed: u32, error: &E) -> Option<Duration> {
        let retry = self.info().retry?;
        if error.is_fatal() {
            return None;
        }
        let wait = retry.wait(failed, fastrand::f64())?;
        // No longer than what an event can carry.
        Some(error.retry_after().unwrap_or(wait).min(LONGEST_SPAN))
    }
}
