//! The run as numbers of the crate `metrics`.

use std::collections::HashMap;
use std::time::Duration;

use ::metrics::{
    Gauge, SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::Observer;
use crate::event::{
    ErrorRecord, Event, Reason, RunEnd, RunResume, RunStart, Stalled, StepEnd, StepRef, StepRetry, StepStart, UndoEnd,
    UndoStart,
};
use crate::run_id::RunId;

/// Counts and measures runs, steps and attempts for the recorder of the crate `metrics` that the program has installed.
/// Needs the feature `metrics`.
///
/// | Metric | Type | Labels | |
/// |---|---|---|---|
/// | `step_machine_runs_total` | counter | `workflow` `status` | ends of runs; a run that goes on ends again |
/// | `step_machine_steps_total` | counter | `workflow` `step` `status` | ends of steps; those that a copy took over do not count |
/// | `step_machine_retries_total` | counter | `workflow` `step` `phase` | attempts that another one followed |
/// | `step_machine_errors_total` | counter | `workflow` `step` `phase` `error_type` | attempts that failed, by the error's kind |
/// | `step_machine_undos_total` | counter | `workflow` `step` `status` | ends of undoing a step |
/// | `step_machine_stalls_total` | counter | `workflow` `step` | silences that were too long |
/// | `step_machine_run_duration_seconds` | histogram | `workflow` `status` | from the first start of a run, time between processes included |
/// | `step_machine_step_duration_seconds` | histogram | `workflow` `step` `status` | all attempts and the waits between them |
/// | `step_machine_undo_duration_seconds` | histogram | `workflow` `step` `status` | the same of undoing a step |
/// | `step_machine_attempt_duration_seconds` | histogram | `workflow` `step` `phase` | one attempt |
/// | `step_machine_runs_in_progress` | gauge | `workflow` | runs that this process drives |
/// | `step_machine_current_step` | gauge | `workflow` | number of the step that started last, from 1 |
/// | `step_machine_progress_ratio` | gauge | `workflow` | 0 to 1, by weight |
///
/// `phase` is `run` or `undo`, and `status` the word that the end's event has. No label is a run's id, which would make a
/// series of each run: of several runs of one workflow the last two gauges show the one that told something last, and
/// after a run they keep its last values. A workflow that runs inside a step counts under its own name too.
///
/// # Examples
///
/// ```
/// use step_machine::Workflow;
/// use step_machine::observe::Metrics;
///
/// #[derive(Workflow)]
/// enum Deploy { Start }
///
/// let run = Deploy::machine().observe(Metrics::new()).begin()?;
/// run.step(deploy::Start, |_| Ok::<(), std::io::Error>(()))?.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
#[must_use = "measures nothing before a run has it: `.observe(Metrics::new())`"]
pub struct Metrics {
    runs: HashMap<RunId, Run>,
}

/// A run that is going on, with what is set often.
struct Run {
    in_progress: Gauge,
    current_step: Gauge,
    progress: Gauge,
    attempts: HashMap<StepRef, Attempt>,
}

struct Attempt {
    phase: &'static str,
    /// From the run's start.
    began: Duration,
}

const RUN: &str = "run";
const UNDO: &str = "undo";

impl Metrics {
    /// Bounds in seconds for the buckets of the durations, from 10 ms to an hour, for exporters that ask for bounds: that
    /// of Prometheus gives quantiles of its own in place of a histogram where it has none.
    pub const DURATION_BUCKETS: [f64; 14] =
        [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

    /// An observer that counts and measures. It tells the recorder what each metric is, so the recorder has to be there.
    pub fn new() -> Self {
        describe();
        Self::default()
    }

    fn begin(&mut self, event: &Event) {
        let workflow = || event.workflow.clone();
        let run = Run {
            in_progress: gauge!("step_machine_runs_in_progress", "workflow" => workflow()),
            current_step: gauge!("step_machine_current_step", "workflow" => workflow()),
            progress: gauge!("step_machine_progress_ratio", "workflow" => workflow()),
            attempts: HashMap::new(),
        };
        run.in_progress.increment(1.0);
        if let Some(run) = self.runs.insert(event.run.clone(), run) {
            run.in_progress.decrement(1.0);
        }
        self.show(event);
    }

    fn show(&self, event: &Event) {
        if let (Some(run), Some(progress)) = (self.runs.get(&event.run), &event.progress) {
            run.progress.set(progress.percentage / 100.0);
            run.current_step.set(u32::try_from(progress.step_number).unwrap_or(u32::MAX));
        }
    }

    fn begin_attempt(&mut self, event: &Event, step: &StepRef, phase: &'static str) {
        if let Some(run) = self.runs.get_mut(&event.run) {
            run.attempts.insert(step.clone(), Attempt { phase, began: event.elapsed });
        }
    }

    /// Measures the attempt that ended, where one was going on, and counts what went wrong.
    fn end_attempt(&mut self, event: &Event, step: &StepRef, error: Option<&ErrorRecord>) -> &'static str {
        let attempt = self.runs.get_mut(&event.run).and_then(|run| run.attempts.remove(step));
        let phase = attempt.as_ref().map_or(RUN, |attempt| attempt.phase);
        if let Some(attempt) = attempt {
            let took = event.elapsed.saturating_sub(attempt.began);
            let labels = [label("workflow", &event.workflow), label("step", step.id()), label("phase", phase)];
            histogram!("step_machine_attempt_duration_seconds", &labels).record(took);
        }
        if let Some(error) = error {
            let labels = [
                label("workflow", &event.workflow),
                label("step", step.id()),
                label("phase", phase),
                label("error_type", &error.kind),
            ];
            counter!("step_machine_errors_total", &labels).increment(1);
        }
        phase
    }
}

type Label = (&'static str, SharedString);

fn label(key: &'static str, value: &str) -> Label {
    (key, SharedString::from_owned(value.to_owned()))
}

/// The labels of the end of something in a step.
fn ended(event: &Event, step: &StepRef, status: &str) -> [Label; 3] {
    [label("workflow", &event.workflow), label("step", step.id()), label("status", status)]
}

impl Observer for Metrics {
    fn name(&self) -> &'static str {
        "metrics"
    }

    fn run_start(&mut self, event: &Event, _: &RunStart) {
        self.begin(event);
    }

    fn run_resume(&mut self, event: &Event, _: &RunResume) {
        self.begin(event);
    }

    fn event(&mut self, event: &Event) {
        self.show(event);
    }

    fn step_start(&mut self, event: &Event, start: &StepStart) {
        self.begin_attempt(event, &start.step, RUN);
    }

    fn undo_start(&mut self, event: &Event, start: &UndoStart) {
        self.begin_attempt(event, &start.step, UNDO);
    }

    fn step_retry(&mut self, event: &Event, retry: &StepRetry) {
        let phase = self.end_attempt(event, &retry.step, Some(&retry.error));
        let labels = [label("workflow", &event.workflow), label("step", retry.step.id()), label("phase", phase)];
        counter!("step_machine_retries_total", &labels).increment(1);
    }

    fn step_end(&mut self, event: &Event, end: &StepEnd) {
        if end.reason == Some(Reason::Forked) {
            return;
        }
        self.end_attempt(event, &end.step, end.error.as_deref());
        let labels = ended(event, &end.step, end.status.as_str());
        counter!("step_machine_steps_total", &labels).increment(1);
        if end.attempt > 0 && end.reason != Some(Reason::Requested) {
            histogram!("step_machine_step_duration_seconds", &labels).record(end.duration);
        }
    }

    fn undo_end(&mut self, event: &Event, end: &UndoEnd) {
        let has_run = self.runs.get(&event.run).is_some_and(|run| run.attempts.contains_key(&end.step));
        self.end_attempt(event, &end.step, end.error.as_ref());
        let labels = ended(event, &end.step, end.status.as_str());
        counter!("step_machine_undos_total", &labels).increment(1);
        if has_run {
            histogram!("step_machine_undo_duration_seconds", &labels).record(end.duration);
        }
    }

    fn stalled(&mut self, event: &Event, stalled: &Stalled) {
        let labels = [label("workflow", &event.workflow), label("step", stalled.step.id())];
        counter!("step_machine_stalls_total", &labels).increment(1);
    }

    fn run_end(&mut self, event: &Event, end: &RunEnd) {
        let labels = [label("workflow", &event.workflow), label("status", end.status.as_str())];
        counter!("step_machine_runs_total", &labels).increment(1);
        histogram!("step_machine_run_duration_seconds", &labels).record(event.elapsed);
        if let Some(run) = self.runs.remove(&event.run) {
            run.in_progress.decrement(1.0);
        }
    }
}

/// Runs whose ends were not told, as their journal failed, are not driven any more either.
impl Drop for Metrics {
    fn drop(&mut self) {
        for run in self.runs.values() {
            run.in_progress.decrement(1.0);
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("runs", &self.runs.keys()).finish()
    }
}

fn describe() {
    let count = Unit::Count;
    describe_counter!("step_machine_runs_total", count, "Ends of runs; a run that goes on ends again.");
    describe_counter!("step_machine_steps_total", count, "Ends of steps.");
    describe_counter!("step_machine_retries_total", count, "Attempts that failed and that another one followed.");
    describe_counter!("step_machine_errors_total", count, "Attempts that failed, by the kind of the error.");
    describe_counter!("step_machine_undos_total", count, "Ends of undoing a step.");
    describe_counter!("step_machine_stalls_total", count, "Silences of steps that were too long.");
    let seconds = Unit::Seconds;
    describe_histogram!("step_machine_run_duration_seconds", seconds, "From the first start of a run to its end.");
    describe_histogram!("step_machine_step_duration_seconds", seconds, "A step, all its attempts together.");
    describe_histogram!("step_machine_undo_duration_seconds", seconds, "Undoing a step, all attempts together.");
    describe_histogram!("step_machine_attempt_duration_seconds", seconds, "One attempt at a step or at undoing it.");
    describe_gauge!("step_machine_runs_in_progress", count, "Runs that this process drives.");
    describe_gauge!("step_machine_current_step", count, "The number of the step that started last, from 1.");
    describe_gauge!("step_machine_progress_ratio", "How far the run is that told something last, from 0 to 1.");
}
