//! A command from its start to its end: both outputs read at once, its input written beside.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{Sleep, sleep};

use super::error::last_lines;
use super::group::Group;
use super::lines::Lines;
use super::output::Tail;
use super::{CommandError, CommandOutput, GRACE, STDERR_KEPT, STDOUT_KEPT};
use crate::context::StepContext;

/// How much is read at once.
const CHUNK: usize = 8 * 1024;

/// How many chunks of each output are read after the command's end: as much as a pipe can hold, 1 MiB. All that the
/// command itself wrote is among them; a process that it left behind may go on for ever.
const CHUNKS_AFTER_END: usize = 128;

/// Runs a command to its end.
pub(super) async fn run(
    cx: &mut StepContext,
    command: &mut Command,
    input: Option<Vec<u8>>,
) -> Result<CommandOutput, CommandError> {
    let program = command.as_std().get_program().display().to_string();
    let mut running = match Running::start(command, input) {
        Ok(running) => running,
        Err(source) => return Err(CommandError::NotStarted { program, source }),
    };
    match running.follow(cx).await {
        Ok(status) => running.outcome(program, status),
        Err(source) => Err(CommandError::Io { program, source }),
    }
}

struct Running {
    // First, so that it is killed before its pipes are closed.
    group: Group,
    stdin: Option<Input>,
    stdout: Output<ChildStdout>,
    stderr: Output<ChildStderr>,
    status: Option<ExitStatus>,
    grace: Option<Grace>,
}

impl Running {
    fn start(command: &mut Command, input: Option<Vec<u8>>) -> io::Result<Self> {
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = Group::spawn(command)?;
        let child = &mut group.child;
        let stdin = child.stdin.take().zip(input).map(|(pipe, bytes)| Input { pipe, bytes, written: 0 });
        let stdout = Output::new(child.stdout.take(), STDOUT_KEPT);
        let stderr = Output::new(child.stderr.take(), STDERR_KEPT);
        Ok(Self { group, stdin, stdout, stderr, status: None, grace: None })
    }

    async fn follow(&mut self, cx: &mut StepContext) -> io::Result<ExitStatus> {
        let status = loop {
            if let Some(status) = poll_fn(|task| self.turn(cx, task)).await? {
                break status;
            }
            // A command that never stops writing must not keep timers and other tasks from their turn.
            tokio::task::yield_now().await;
        };
        self.group.let_go();
        self.stdout.lines.finish().into_iter().for_each(|line| cx.stdout(line));
        self.stderr.lines.finish().into_iter().for_each(|line| cx.stderr(line));
        Ok(status)
    }

    /// Does what can be done now, a chunk of each output at most. Ready with the status at the command's end, and
    /// without one where there may be more to do.
    fn turn(&mut self, cx: &mut StepContext, task: &mut Context<'_>) -> Poll<io::Result<Option<ExitStatus>>> {
        self.poll_input(task)?;
        // The exit is asked for before the outputs are: what was written before it is known to be there by then.
        if self.status.is_none()
            && let Poll::Ready(status) = self.group.poll_exit(task)
        {
            self.status = Some(status?);
        }
        let read = self.stdout.poll(task, |line| cx.stdout(line))? | self.stderr.poll(task, |line| cx.stderr(line))?;
        if let Some(status) = self.status
            && (self.outputs_ended() || self.grace.get_or_insert_with(Grace::new).is_over(read, task))
        {
            return Poll::Ready(Ok(Some(status)));
        }
        if read { Poll::Ready(Ok(None)) } else { Poll::Pending }
    }

    fn outputs_ended(&self) -> bool {
        self.stdout.pipe.is_none() && self.stderr.pipe.is_none()
    }

    fn poll_input(&mut self, task: &mut Context<'_>) -> io::Result<()> {
        let Some(input) = &mut self.stdin else { return Ok(()) };
        let Poll::Ready(written) = input.poll(task) else { return Ok(()) };
        // Closed: the command reads until the end.
        self.stdin = None;
        match written {
            // It did not want all of it, and whether that is a fault is told by its exit code.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    fn outcome(self, program: String, status: ExitStatus) -> Result<CommandOutput, CommandError> {
        let stderr = self.stderr.kept.into_captured();
        if status.success() {
            return Ok(CommandOutput { status, stdout: self.stdout.kept.into_captured(), stderr });
        }
        Err(CommandError::Failed { program, status, stderr: last_lines(stderr.end()) })
    }
}

struct Input {
    pipe: ChildStdin,
    bytes: Vec<u8>,
    written: usize,
}

impl Input {
    fn poll(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.bytes.len() {
            let pipe = Pin::new(&mut self.pipe);
            self.written += ready!(pipe.poll_write(task, &self.bytes[self.written..]))?;
        }
        Poll::Ready(Ok(()))
    }
}

struct Output<R> {
    /// `None` once it has ended.
    pipe: Option<R>,
    lines: Lines,
    kept: Tail,
}

impl<R: AsyncRead + Unpin> Output<R> {
    fn new(pipe: Option<R>, kept: usize) -> Self {
        Self { pipe, lines: Lines::default(), kept: Tail::new(kept) }
    }

    /// Reads a chunk and passes on its lines; whether there was one.
    fn poll(&mut self, task: &mut Context<'_>, pass: impl FnMut(String)) -> io::Result<bool> {
        let Some(pipe) = &mut self.pipe else { return Ok(false) };
        let mut chunk = [MaybeUninit::uninit(); CHUNK];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        let Poll::Ready(read) = Pin::new(pipe).poll_read(task, &mut chunk) else { return Ok(false) };
        read?;
        if chunk.filled().is_empty() {
            self.pipe = None;
            return Ok(false);
        }
        self.kept.push(chunk.filled());
        self.lines.push(chunk.filled(), pass);
        Ok(true)
    }
}

/// How long the outputs are read after the command's end, where a process that it started holds them open.
struct Grace {
    wait: Pin<Box<Sleep>>,
    chunks: usize,
}

impl Grace {
    fn new() -> Self {
        Self { wait: Box::pin(sleep(GRACE)), chunks: CHUNKS_AFTER_END }
    }

    fn is_over(&mut self, read: bool, task: &mut Context<'_>) -> bool {
        if read {
            // The time counts only where nothing is there to be read: a slow observer may have used it up.
            self.chunks -= 1;
            return self.chunks == 0;
        }
        self.wait.as_mut().poll(task).is_ready()
    }
}
