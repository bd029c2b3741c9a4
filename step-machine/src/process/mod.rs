//! Commands of a step: their lines become events, and none outlives the step that runs it.
//!
//! - **Lines.** Standard output and standard error are read at once and passed on line by line as they come. A line ends
//!   at `\n`, `\r\n` or `\r`, so that each state of a progress bar is a line; a last line needs no end. What is no UTF-8
//!   becomes U+FFFD. Of a line longer than [`LINE_LIMIT`] the rest is left out, and its end says how many bytes that is.
//! - **Memory.** What is kept is bounded, however much a command writes: it is read no faster than observers and journal
//!   take its lines.
//! - **End.** On Unix a command leads a process group of its own. When the future is dropped, as by a timeout or a
//!   cancelled run, the whole group is killed with `SIGKILL` and waited for. Out of reach are processes that left the
//!   group, as daemons do, and those that run as another user. On other systems only the command itself is killed.
//! - **Left behind.** What a command leaves running when it ends by itself may go on. Where it holds the outputs open,
//!   they are read for [`GRACE`] and then closed, so that nothing waits for it; everything that the command itself wrote
//!   is read in any case.
//! - **Terminal.** Standard input is empty, or what [`StepContext::command_with_input`] is given. Outside of the
//!   terminal's foreground group, a command that asks a person at the terminal would stop for ever: give it the option
//!   that keeps it from asking, such as `-input=false` or `BatchMode=yes`.
//!
//! A runtime of tokio with I/O and time enabled has to drive the step.

mod error;
mod group;
mod lines;
mod output;
mod running;

use std::borrow::BorrowMut;
use std::time::Duration;

pub use error::CommandError;
pub use output::{Captured, CommandOutput};
pub use tokio::process::Command;

use crate::context::StepContext;

/// How many bytes of a line are passed on.
pub const LINE_LIMIT: usize = 16 * 1024;

/// How many bytes of a command's standard output are kept, the last ones.
pub const STDOUT_KEPT: usize = 1024 * 1024;

/// How many bytes of a command's standard error are kept, the last ones.
pub const STDERR_KEPT: usize = 64 * 1024;

/// How long outputs are read on that something else holds open after the command's end.
pub const GRACE: Duration = Duration::from_millis(200);

impl StepContext {
    /// Runs `command` to its end; its lines of output become events. Needs the feature `process`.
    ///
    /// Takes a [`Command`] or `&mut Command`, as its builder gives; one of the standard library comes with
    /// `Command::from`. Its standard streams, process group and what happens when it is dropped are set here; the
    /// [module](crate::process) tells how. Its standard input is empty.
    ///
    /// Dropping the future kills the command and all that it started.
    ///
    /// # Errors
    ///
    /// Fails where the command cannot be started, and where it ends with another exit code than 0 or by a signal.
    ///
    /// # Panics
    ///
    /// Panics in a runtime whose I/O or time is not enabled.
    ///
    /// # Examples
    ///
    /// ```
    /// use step_machine::Workflow;
    /// use step_machine::process::{Command, CommandError};
    ///
    /// #[derive(Workflow)]
    /// enum Deploy {
    ///     #[step(output = u16)]
    ///     GetPort,
    /// }
    ///
    /// async fn deploy() -> Result<u16, Box<dyn std::error::Error>> {
    ///     let run = Deploy::machine().begin()?;
    ///     let (run, port) = run
    ///         .step_async(deploy::GetPort, async |cx| {
    ///             let output = cx.command(Command::new("sh").args(["-c", "echo 8080"])).await?;
    ///             Ok::<_, CommandError>(output.stdout().end().trim().parse().unwrap_or(80))
    ///         })
    ///         .await?;
    ///     run.finish()?;
    ///     Ok(port)
    /// }
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// assert_eq!(runtime.block_on(deploy())?, 8080);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn command(&mut self, mut command: impl BorrowMut<Command>) -> Result<CommandOutput, CommandError> {
        running::run(self, command.borrow_mut(), None).await
    }

    /// [`command`](Self::command) with text or bytes for its standard input, such as a secret that must not stand among
    /// its arguments. Input that the command does not read is no error.
    pub async fn command_with_input(
        &mut self,
        mut command: impl BorrowMut<Command>,
        input: impl Into<Vec<u8>>,
    ) -> Result<CommandOutput, CommandError> {
        running::run(self, command.borrow_mut(), Some(input.into())).await
    }
}
