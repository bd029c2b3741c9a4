//! `--drive machine`: the steps called one after the other, in an order that the compiler checks.
//!
//! A Ctrl-C drops the future that walks the steps, and with it whatever the running step does. Without a journal nothing
//! of the run is left then, so everything that it had made is removed from outside of it.

use std::convert::Infallible;
use std::error::Error;
use std::future;
use std::sync::{Arc, Mutex, PoisonError};

use step_machine::event::{FailureRecord, Kind};
use step_machine::observe::{Callbacks, callbacks};
use step_machine::{Failure, FailureContext, MachineBuilder, Report, RunId, StepContext};
use step_machine_examples::cli::{Kept, is_refused};
use step_machine_examples::steps::provision_step::{
    CloudInitWait, GetInstanceInfo, OpenTofuApply, OpenTofuInit, OpenTofuPlan, OpenTofuValidate,
    RenderAnsibleTemplates, RenderOpenTofuTemplates, WaitSshConnectivity,
};
use step_machine_examples::steps::{InstanceInfo, ProvisionStep};

use crate::command::{NOT_WANTED, ProvisionCommand};
use crate::drive::Outcome;
use crate::error::ProvisionError;

type Completed = (Report<ProvisionStep>, InstanceInfo);

/// Runs the command to its end, its failure or a Ctrl-C, and takes back what it leaves half done.
pub(crate) async fn drive(
    command: &ProvisionCommand,
    machine: MachineBuilder<ProvisionStep>,
    kept: &Kept,
    rollback: bool,
) -> Result<Outcome, Box<dyn Error>> {
    let last = LastFailure::default();
    let ended = tokio::select! {
        // First: a run that fails at the very moment of a Ctrl-C counts as cancelled.
        biased;
        signal = tokio::signal::ctrl_c() => Err(signal),
        ended = execute(command, machine.observe(last.keeper())) => Ok(ended),
    };
    // From here on a Ctrl-C has no effect: taking back is not to be left half done.
    match ended {
        Ok(Ok((report, instance))) => Ok(Outcome::Up(report, instance)),
        Ok(Err(failure)) if is_refused(&failure) => Ok(Outcome::Refused(failure.into_context())),
        Ok(Err(failure)) if rollback => take_back(command, failure).await,
        Ok(Err(failure)) => Ok(Outcome::Failed(failure.into_context())),
        Err(signal) => {
            signal?;
            let Some(failure) = last.context()? else { return last.unrecorded() };
            if !rollback {
                return Ok(Outcome::Cancelled(failure));
            }
            command.site.clear()?;
            kept.give_up(&failure.record().run, "what it had made was removed after a Ctrl-C")?;
            Ok(Outcome::Removed(failure))
        }
    }
}

/// Takes back what a run did, or what is left of that.
pub(crate) async fn take_back(
    command: &ProvisionCommand,
    failure: Failure<ProvisionStep, ProvisionError>,
) -> Result<Outcome, Box<dyn Error>> {
    let taken_back = failure.rollback_async(async |step, cx| undo(command, step, cx).await);
    // Heard from here on, where it was not before, and without an effect.
    let ctrl_c = async {
        let _ = tokio::signal::ctrl_c().await;
        future::pending::<Infallible>().await
    };
    tokio::select! {
        never = ctrl_c => match never {},
        failure = taken_back => Ok(if is_refused(&failure) {
            Outcome::Refused(failure.into_context())
        } else {
            Outcome::Failed(failure.into_context())
        }),
    }
}

/// The steps, in order. Where it stopped, the failure says.
async fn execute(
    command: &ProvisionCommand,
    machine: MachineBuilder<ProvisionStep>,
) -> Result<Completed, Failure<ProvisionStep, ProvisionError>> {
    let run = machine.begin()?;
    let run = run.step(RenderOpenTofuTemplates, |cx| command.render_tofu(cx))?;
    let run = run.step_async(OpenTofuInit, async |cx| command.init(cx).await).await?;
    let run = run.step_async(OpenTofuValidate, async |cx| command.validate(cx).await).await?;
    let run = run.step_async(OpenTofuPlan, async |cx| command.plan(cx).await).await?;
    let run = run.step_async(OpenTofuApply, async |cx| command.apply(cx).await).await?;
    let (run, instance) = run.step_async(GetInstanceInfo, async |cx| command.instance(cx).await).await?;
    let run = run.step(RenderAnsibleTemplates, |cx| command.render_ansible(&instance, cx))?;
    // Waits on this thread, for a few seconds at most; a Ctrl-C takes effect at the next `await`, if it comes to one.
    let run = run.step_retry(WaitSshConnectivity, |cx| command.connect(&instance, cx))?;
    let run = if command.order.cloud_init {
        run.step_async(CloudInitWait, async |cx| command.first_boot(&instance, cx).await).await?
    } else {
        run.skip(CloudInitWait, NOT_WANTED)
    };
    Ok((run.finish()?, instance))
}

/// Takes back what `step` has done, or has half done.
async fn undo(command: &ProvisionCommand, step: ProvisionStep, cx: &mut StepContext) -> Result<(), ProvisionError> {
    match step {
        ProvisionStep::OpenTofuApply => command.destroy(cx).await,
        // No other step declares an undo.
        _ => Ok(()),
    }
}

/// Which run it was, and what its last event knows of its failure. A run whose future is dropped hands out nothing else.
#[derive(Default)]
struct LastFailure(Arc<Mutex<(Option<RunId>, Option<FailureRecord>)>>);

impl LastFailure {
    fn keeper(&self) -> Callbacks {
        let kept = self.0.clone();
        callbacks().on_any(move |event| {
            let (run, failure) = &mut *kept.lock().unwrap_or_else(PoisonError::into_inner);
            run.get_or_insert_with(|| event.run.clone());
            if let Kind::RunEnd(end) = &event.kind {
                failure.clone_from(&end.failure);
            }
        })
    }

    /// `None` where the run has no end: its journal did not take it, and so nobody was told.
    fn context(&self) -> Result<Option<FailureContext<ProvisionStep>>, Box<dyn Error>> {
        let failure = self.0.lock().unwrap_or_else(PoisonError::into_inner).1.take();
        Ok(failure.map(FailureContext::from_record).transpose()?)
    }

    /// What the run has made stays: it goes on from there once its journal can be written.
    fn unrecorded(&self) -> Result<Outcome, Box<dyn Error>> {
        let run = self.0.lock().unwrap_or_else(PoisonError::into_inner).0.take();
        Ok(Outcome::Unrecorded(run.ok_or("cancelled before the run began")?))
    }
}
