//! Child processes whose lines become events of their step.

use std::io;
use std::process::{ExitStatus, Stdio};

use step_machine::StepContext;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// How much of what a command wrote to its standard error an error repeats: the end, where the reason stands.
const LAST_LINES: usize = 12;

/// Why a command did not do what it is for.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be run at all.
    #[error("cannot run {program}")]
    NotRun {
        /// The program.
        program: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// It ran and failed.
    #[error("{status}: {stderr}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to its standard error.
        stderr: String,
    },
}

/// Runs `command`, passes its lines on, and returns its standard output. Dropped before its end, it kills the command.
pub async fn run(mut command: Command, cx: &mut StepContext) -> Result<String, CommandError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // A Ctrl-C is for the flow, which then ends its commands itself.
    #[cfg(unix)]
    command.process_group(0);
    let outcome = stream(&mut command, cx).await;
    let (status, stdout, stderr) = outcome.map_err(|source| CommandError::NotRun {
        program: command.as_std().get_program().display().to_string(),
        source,
    })?;
    if status.success() {
        return Ok(stdout);
    }
    let first = stderr.len().saturating_sub(LAST_LINES);
    Err(CommandError::Failed { status, stderr: stderr[first..].join("\n") })
}

async fn stream(command: &mut Command, cx: &mut StepContext) -> io::Result<(ExitStatus, String, Vec<String>)> {
    let mut child = command.spawn()?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("the command has no pipes"));
    };
    let (mut stdout, mut stderr) = (BufReader::new(stdout).lines(), BufReader::new(stderr).lines());
    let (mut text, mut errors) = (String::new(), Vec::new());
    let (mut more_stdout, mut more_stderr) = (true, true);
    // Both at once: a command that fills one pipe while the other is read would never end.
    while more_stdout || more_stderr {
        tokio::select! {
            line = stdout.next_line(), if more_stdout => match line? {
                Some(line) => {
                    text.push_str(&line);
                    text.push('\n');
                    cx.stdout(line);
                }
                None => more_stdout = false,
            },
            line = stderr.next_line(), if more_stderr => match line? {
                Some(line) => {
                    errors.push(line.clone());
                    cx.stderr(line);
                }
                None => more_stderr = false,
            },
        }
    }
    Ok((child.wait().await?, text, errors))
}
