//! A run from its begin to whatever end it comes to.

use std::error::Error;
use std::process::ExitCode;

use step_machine::event::RunStatus;
use step_machine::runner::{HandlerFor, Runner};
use step_machine::{Failure, FailureContext, Report, StepError, Workflow};
use step_machine_examples::cli::{
    CANCELLED, FAILED, WARNINGS, complain, is_refused, shown, tell, tell_failure, with_word_of_ctrl_c,
};

use crate::cli::Flow;
use crate::health;
use crate::job::Job;
use crate::sabotage::Saboteur;
use crate::source::Puller;

/// The exit code, or why there was no run.
pub(crate) type Done = Result<ExitCode, Box<dyn Error>>;

/// Runs it, and tells how that went.
pub(crate) fn carry_out<'h, W, P>(flow: &Flow, job: &Job, pullers: &[&Puller], run: Runner<'h, W, P>) -> Done
where
    W: Workflow,
    P: HandlerFor<W> + 'h,
{
    if let Some(form) = flow.plan {
        tell(&form.write(&run.plan())?);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(mut failure) = job.kept.was_taken_back::<W>() {
        pullers.iter().try_for_each(|puller| puller.forget())?;
        flow.tell(&mut failure, job);
        return Ok(ExitCode::from(FAILED));
    }
    let run = flow.observed(run, job).ctrl_c().rollback_on_cancel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(with_word_of_ctrl_c(run));
    let is_over = match &ended {
        Ok(report) => report.state().status() == RunStatus::Completed,
        Err(failure) => failure.state().or(job.kept.earlier()).is_none_or(|run| run.status() == RunStatus::RolledBack),
    };
    // A run that may go on needs its source.
    if is_over {
        pullers.iter().try_for_each(|puller| puller.forget())?;
    }
    match ended {
        Ok(report) => Ok(flow.completed(&report, job)),
        Err(failure) => Ok(flow.failed(failure, job)),
    }
}

impl Flow {
    fn observed<'h, W: Workflow, P: HandlerFor<W>>(&self, run: Runner<'h, W, P>, job: &Job) -> Runner<'h, W, P> {
        let run = job.kept.runner(run).label("application", &*job.what.app).input(&job.what);
        // One publication of an application at a time.
        let run = self.stalled.runner(run.exclusive(&*job.what.app));
        let run = match &job.fail_at {
            Some(path) => run.observe(Saboteur::new(path, job)),
            None => run,
        };
        run.observe(self.format.observer(false, &job.kept))
    }

    /// Says something for people.
    fn say(&self, line: &str) {
        self.format.say(line);
    }

    fn completed<W: Workflow>(&self, report: &Report<W>, job: &Job) -> ExitCode {
        if report.state().status() != RunStatus::Completed {
            self.say(&format!("the source is there: {}", shown(&job.place.source(&job.what.publication()))));
            return ExitCode::SUCCESS;
        }
        self.format.say_completed(report);
        let warnings = report.warnings().count();
        if let Some(url) = health::url(&job.place, &job.what.app) {
            self.say(&format!("{} answers at {url}", job.what.app));
            self.say(&format!("end it: {}", self.place.command_line("stop")));
        }
        ExitCode::from(if self.strict && warnings > 0 { WARNINGS } else { 0 })
    }

    /// Tells the whole story of a failure, and how the run goes on where that is this process's business.
    fn failed<W: Workflow, E: StepError>(&self, failure: Failure<W, E>, job: &Job) -> ExitCode {
        let is_refused = is_refused(&failure);
        let mut failure = failure.into_context();
        self.tell(&mut failure, job);
        if !is_refused {
            job.kept.tell_how_to_go_on(&failure.record().run);
        }
        ExitCode::from(if failure.kind() == "cancelled" { CANCELLED } else { FAILED })
    }

    /// Writes the trace of a failure and tells the whole story.
    fn tell<W: Workflow>(&self, failure: &mut FailureContext<W>, job: &Job) {
        let traces = self.trace_dir.clone().unwrap_or_else(|| job.place.traces());
        if let Err(error) = failure.write_trace(&traces) {
            complain(&format!("cannot write a trace to {}: {error}", traces.display()));
        }
        tell_failure(self.format, failure);
    }
}
