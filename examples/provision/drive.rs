//! The command from its begin to whatever end it comes to.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use step_machine::event::{EventType, FailureRecord, Kind};
use step_machine::observe::{Callbacks, callbacks};
use step_machine::{FailureContext, MachineBuilder, Report};
use step_machine_examples::steps::{InstanceInfo, ProvisionStep};

use crate::command::ProvisionCommand;

/// How a run ended.
pub(crate) enum Outcome {
    Up(Report<ProvisionStep>, InstanceInfo),
    Failed(FailureContext<ProvisionStep>),
    Cancelled(FailureContext<ProvisionStep>),
}

/// Runs the command to its end, its failure or a Ctrl-C, and takes back what it leaves half done.
pub(crate) async fn drive(
    command: &ProvisionCommand,
    machine: MachineBuilder<ProvisionStep>,
    rollback: bool,
) -> Result<Outcome, Box<dyn Error>> {
    let last = LastFailure::default();
    let ended = tokio::select! {
        // First: a run that fails at the very moment of a Ctrl-C counts as cancelled.
        biased;
        signal = tokio::signal::ctrl_c() => Err(signal),
        ended = command.execute(machine.observe(last.keeper())) => Ok(ended),
    };
    // From here on a Ctrl-C has no effect: taking back is not to be left half done.
    match ended {
        Ok(Ok((report, instance))) => Ok(Outcome::Up(report, instance)),
        Ok(Err(failure)) if rollback => {
            let failure = failure.rollback_async(async |step, cx| command.undo(step, cx).await).await;
            Ok(Outcome::Failed(failure.into_context()))
        }
        Ok(Err(failure)) => Ok(Outcome::Failed(failure.into_context())),
        Err(signal) => {
            signal?;
            if rollback {
                // The run is over, and a killed `tofu` may have left its state locked: no way but the direct one.
                command.site.clear()?;
            }
            Ok(Outcome::Cancelled(last.context()?))
        }
    }
}

/// What the last event of a run knows of its failure. A run whose future is dropped hands out nothing else.
#[derive(Default)]
struct LastFailure(Arc<Mutex<Option<FailureRecord>>>);

impl LastFailure {
    fn keeper(&self) -> Callbacks {
        let kept = self.0.clone();
        callbacks().on(EventType::RunEnd, move |event| {
            if let Kind::RunEnd(end) = &event.kind {
                kept.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&end.failure);
            }
        })
    }

    fn context(&self) -> Result<FailureContext<ProvisionStep>, Box<dyn Error>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(FailureContext::from_record(kept.ok_or("the run ended without a record of it")?)?)
    }
}
