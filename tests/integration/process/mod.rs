//! Commands of a step: real processes, whose lines become events and which leave nothing behind.

mod ends;
mod errors;
mod output;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use step_machine::event::{Event, Kind, OutputLine};
use step_machine::process::{Command, CommandError, CommandOutput};
use step_machine::{Failure, Observer, StepContext, Workflow};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::support::Recorded;

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Deploy {
    Apply,
}
use deploy::Apply;

/// Long for a test, and what a command that hangs is told by.
const PATIENCE: Duration = Duration::from_secs(60);

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script);
    command
}

/// Runs a body as the one step of a run.
async fn drive(
    observer: impl Observer + 'static,
    body: impl AsyncFnOnce(&mut StepContext) -> Result<(), CommandError>,
) -> Result<(), Failure<Deploy, CommandError>> {
    let run = Deploy::machine().observe(observer).begin()?;
    run.step_async(Apply, body).await?.finish()?;
    Ok(())
}

/// Runs a script as the one command of the one step of a run.
async fn output(observer: impl Observer + 'static, script: &str) -> Result<CommandOutput, CommandError> {
    let mut result = None;
    let body = async |cx: &mut StepContext| {
        result = Some(cx.command(sh(script)).await);
        Ok(())
    };
    timeout(PATIENCE, drive(observer, body)).await.expect("the command hangs").unwrap();
    result.unwrap()
}

/// The lines that commands wrote: `1` stands for standard output, `2` for standard error.
fn written(seen: &Recorded) -> Vec<String> {
    let line = |event: &Event| match &event.kind {
        Kind::Stdout(output) => Some(format!("1 {}", output.line)),
        Kind::Stderr(output) => Some(format!("2 {}", output.line)),
        _ => None,
    };
    seen.events().iter().filter_map(line).collect()
}

/// Counts lines and remembers none.
#[derive(Clone, Default)]
struct Count {
    lines: Arc<AtomicUsize>,
    wait: Duration,
}

impl Count {
    fn lines(&self) -> usize {
        self.lines.load(Ordering::Relaxed)
    }
}

impl Observer for Count {
    fn stdout(&mut self, _: &Event, _: &OutputLine) {
        self.lines.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(self.wait);
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
