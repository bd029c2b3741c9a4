//! Commands of a step: real processes, whose lines become events and which leave nothing behind.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::process::Command as Shell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use step_machine::event::{Effect, Event, Kind, OutputLine};
use step_machine::process::{Command, CommandError, CommandOutput, LINE_LIMIT, STDERR_KEPT, STDOUT_KEPT};
use step_machine::{Failure, Observer, StepContext, StepError, Workflow};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use crate::support::{Recorded, block_on};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Deploy {
    Apply,
}
use deploy::Apply;

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    #[step(output = BTreeMap<String, u16>)]
    Ports,
}

/// Long for a test, and what a command that hangs is told by.
const PATIENCE: Duration = Duration::from_secs(20);

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

/// The lines of standard output that are numbers, once there are so many.
async fn pids(seen: &Recorded, count: usize) -> Vec<u32> {
    let waited = timeout(PATIENCE, async {
        loop {
            let lines = written(seen);
            let pids: Vec<u32> = lines.iter().filter_map(|line| line[2..].parse().ok()).collect();
            if pids.len() >= count {
                return pids;
            }
            sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.expect("the command tells no process ids")
}

/// The state of a process, `Z` where it only waits to be waited for; `None` where there is none.
fn state(pid: u32) -> Option<char> {
    let shown = Shell::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    String::from_utf8(shown.stdout).unwrap().trim().chars().next()
}

/// Whether a process that is not ours to wait for is gone, in a moment at the latest.
fn is_gone(pid: u32) -> bool {
    let begun = Instant::now();
    while !matches!(state(pid), None | Some('Z')) {
        if begun.elapsed() > Duration::from_secs(2) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

fn end(pid: u32) {
    Shell::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
}

/// A script whose shell and whose child in the background tell their ids, and would run for ever.
const FAMILY: &str = "sleep 1000 & echo $$; echo $!; sleep 1000";

/// Counts lines and remembers none.
#[derive(Clone, Default)]
struct Count {
    lines: Arc<AtomicUsize>,
    wait: Duration,
}

impl Observer for Count {
    fn stdout(&mut self, _: &Event, _: &OutputLine) {
        self.lines.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(self.wait);
    }
}

#[tokio::test]
async fn lines_arrive_in_order_while_the_command_runs() {
    let seen = Recorded::new();
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let script = format!(
        "echo one; echo two >&2; until [ -e {0} ]; do sleep 0.01; done; echo three; printf four",
        gate.display()
    );
    let opener = async {
        while written(&seen).len() < 2 {
            sleep(Duration::from_millis(2)).await;
        }
        std::fs::write(&gate, "").unwrap();
    };
    let (result, ()) = tokio::join!(output(seen.clone(), &script), opener);
    let lines = written(&seen);
    let of = |stream: &str| lines.iter().filter(|line| line.starts_with(stream)).cloned().collect::<Vec<_>>();
    assert_eq!((of("1"), of("2")), (vec!["1 one".into(), "1 three".into(), "1 four".into()], vec!["2 two".into()]));
    let result = result.unwrap();
    assert_eq!(result.status().code(), Some(0));
    assert_eq!((result.stdout().whole(), result.stderr().whole()), (Some("one\nthree\nfour"), Some("two\n")));
}

#[tokio::test]
async fn lines_are_events_of_the_step_between_its_start_and_its_end() {
    let seen = Recorded::new();
    let body = async |cx: &mut StepContext| cx.command(Command::new("echo").arg("hello")).await.map(|_| ());
    drive(seen.clone(), body).await.unwrap();
    let expected = ["run_start", "step_start apply", "stdout apply hello", "step_end apply completed"];
    assert_eq!(seen.lines()[..4], expected);
}

#[tokio::test]
async fn several_commands_of_a_step_follow_each_other() {
    let seen = Recorded::new();
    let body = async |cx: &mut StepContext| {
        let mut again = sh("echo again");
        cx.command(&mut again).await?;
        cx.command(&mut again).await?;
        cx.message("between");
        let last = Command::from({
            let mut last = Shell::new("echo");
            last.arg("last");
            last
        });
        cx.command(last).await.map(|_| ())
    };
    drive(seen.clone(), body).await.unwrap();
    assert_eq!(
        seen.lines()[2..6],
        ["stdout apply again", "stdout apply again", "step_update apply info: between", "stdout apply last"]
    );
}

#[tokio::test]
async fn output_that_fits_is_whole_and_can_be_parsed() {
    let run = Ask::machine().begin().unwrap();
    let body = async |cx: &mut StepContext| {
        let output = cx.command(sh(r#"echo '{"ssh": 22,'; echo '"http": 80}'"#)).await?;
        Ok::<_, CommandError>(serde_json::from_str(output.stdout().whole().unwrap()).unwrap())
    };
    let (run, ports) = run.step_async(ask::Ports, body).await.unwrap();
    run.finish().unwrap();
    assert_eq!(ports, BTreeMap::from([("ssh".into(), 22), ("http".into(), 80)]));
}

#[tokio::test]
async fn output_of_one_line_over_the_limit_of_lines_is_whole_all_the_same() {
    let seen = Recorded::new();
    let result = output(seen.clone(), r#"printf '"'; head -c 100000 /dev/zero | tr '\0' x; printf '"'"#).await.unwrap();
    let text: String = serde_json::from_str(result.stdout().whole().unwrap()).unwrap();
    assert_eq!(text, "x".repeat(100_000));
    assert_eq!(
        written(&seen),
        [format!("1 \"{} [{} bytes left out]", "x".repeat(LINE_LIMIT - 1), 100_002 - LINE_LIMIT)]
    );
}

#[test]
fn a_line_of_ten_megabytes_takes_no_memory_of_its_own() {
    let seen = Recorded::new();
    let runtime = runtime();
    let script = "head -c 10000000 /dev/zero | tr '\\0' x; echo; echo after";
    let (mut result, observer) = (None, seen.clone());
    let used = allocation_counter::measure(|| result = Some(runtime.block_on(output(observer, script))));
    let stdout = result.unwrap().unwrap().stdout().clone();
    assert_eq!((stdout.whole(), stdout.end(), stdout.lost()), (None, "after\n", 10_000_001));
    let cut = format!("1 {} [{} bytes left out]", "x".repeat(LINE_LIMIT), 10_000_000 - LINE_LIMIT);
    assert_eq!(written(&seen), [cut.as_str(), "1 after"]);
    println!("a line of 10 MB: {} bytes at most", used.bytes_max);
    assert!(used.bytes_max < 2 * STDOUT_KEPT as u64, "{} bytes were taken", used.bytes_max);
}

#[test]
fn a_million_lines_take_no_memory_of_their_own() {
    let (count, runtime) = (Count::default(), runtime());
    let (mut result, observer) = (None, count.clone());
    // Both outputs, each longer than what is kept of it.
    let script = "seq 1000000; seq 100000 >&2";
    let used = allocation_counter::measure(|| result = Some(runtime.block_on(output(observer, script))));
    let result = result.unwrap().unwrap();
    assert_eq!(count.lines.load(Ordering::Relaxed), 1_000_000);
    for (kept, limit, last) in [(result.stdout(), STDOUT_KEPT, 1_000_000), (result.stderr(), STDERR_KEPT, 100_000)] {
        let numbers: Vec<u32> = kept.end().lines().map(|line| line.parse().unwrap()).collect();
        assert!(kept.end().len() <= limit && kept.end().len() > limit - 8, "{}", kept.end().len());
        let first = last - u32::try_from(numbers.len()).unwrap() + 1;
        assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
        let all: usize = (1..=last).map(|number| number.to_string().len() + 1).sum();
        assert_eq!((kept.whole(), kept.lost()), (None, (all - kept.end().len()) as u64));
    }
    println!("a million lines: {} bytes at most", used.bytes_max);
    assert!(used.bytes_max < 2 * STDOUT_KEPT as u64, "{} bytes were taken", used.bytes_max);
}

#[tokio::test]
async fn what_is_no_text_and_what_draws_itself_over_is_told_in_lines() {
    let seen = Recorded::new();
    let script = r"printf 'a\377b\n'; printf '\r10%%\r20%%\r\ndone\r\n\n\342\202'";
    let result = output(seen.clone(), script).await.unwrap();
    assert_eq!(written(&seen), ["1 a\u{FFFD}b", "1 10%", "1 20%", "1 done", "1 ", "1 \u{FFFD}"]);
    assert_eq!(result.stdout().whole(), Some("a\u{FFFD}b\n\r10%\r20%\r\ndone\r\n\n\u{FFFD}"));
}

#[tokio::test]
async fn an_exit_code_comes_with_the_last_lines_of_standard_error() {
    let body = async |cx: &mut StepContext| {
        let script = "echo no; echo first >&2; echo; printf 'last\\n\\n' >&2; exit 3";
        cx.command(sh(script).arg("pass").arg("t0ps3cret").env("TOKEN", "t0ps3cret")).await.map(|_| ())
    };
    let failure = drive(Recorded::new(), body).await.unwrap_err();
    let record = failure.context().record().error.clone();
    assert_eq!((&*record.kind, record.effect), ("command-execution", Effect::Known));
    assert_eq!(record.message, "`sh` ended with exit code 3:\nfirst\nlast");
    assert!(!format!("{failure:#} {failure:?}").contains("t0ps3cret"));
}

#[tokio::test]
async fn an_error_of_one_line_is_one_line() {
    let error = output(Recorded::new(), "echo boom >&2; exit 1").await.unwrap_err();
    assert_eq!(error.to_string(), "`sh` ended with exit code 1: boom");
    let error = output(Recorded::new(), "exit 255").await.unwrap_err();
    assert_eq!(error.to_string(), "`sh` ended with exit code 255");
    let CommandError::Failed { program, status, stderr } = &error else { panic!("{error:?}") };
    assert_eq!((program.as_str(), status.code(), stderr.as_str()), ("sh", Some(255), ""));
    assert!(!error.is_fatal());
}

#[tokio::test]
async fn a_command_that_a_signal_ended_may_have_done_anything() {
    let error = output(Recorded::new(), "echo half >&2; kill -TERM $$").await.unwrap_err();
    assert_eq!(error.to_string(), "`sh` was ended by signal: 15 (SIGTERM): half");
    assert_eq!((error.kind(), error.effect(), error.is_fatal()), ("command-execution", Effect::Unknown, false));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_fatal() {
    let body = async |cx: &mut StepContext| cx.command(Command::new("/no/such/program")).await.map(|_| ());
    let failure = drive(Recorded::new(), body).await.unwrap_err();
    let record = failure.context().record().error.clone();
    assert_eq!((&*record.kind, record.effect), ("command-execution", Effect::Known));
    assert_eq!(record.message, "`/no/such/program` could not be started");
    assert!(record.chain[0].starts_with("No such file"), "{:?}", record.chain);

    let missing = || std::io::Error::from(ErrorKind::NotFound);
    assert!(CommandError::NotStarted { program: "x".into(), source: missing() }.is_fatal());
    let busy = ErrorKind::ExecutableFileBusy.into();
    assert!(!CommandError::NotStarted { program: "x".into(), source: busy }.is_fatal());
    let lost = CommandError::Io { program: "x".into(), source: missing() };
    assert_eq!((lost.is_fatal(), lost.effect()), (false, Effect::Unknown));
}

#[test]
fn without_a_runtime_a_command_is_an_error_and_no_panic() {
    let body = async |cx: &mut StepContext| cx.command(sh("true")).await.map(|_| ());
    let failure = block_on(drive(Recorded::new(), body)).unwrap_err();
    assert_eq!(failure.context().record().error.message, "`sh` could not be started");
}

#[tokio::test]
async fn a_command_that_is_dropped_takes_all_that_it_started_with_it() {
    let seen = Recorded::new();
    let pids = tokio::select! {
        result = output(seen.clone(), FAMILY) => panic!("ended: {result:?}"),
        pids = pids(&seen, 2) => pids,
    };
    assert_eq!(state(pids[0]), None, "the command is a zombie, or lives");
    assert!(is_gone(pids[1]), "what the command started lives");
}

#[tokio::test]
async fn a_timeout_ends_a_command_that_writes_for_ever() {
    let (seen, count, begun) = (Recorded::new(), Count::default(), Instant::now());
    let body = async |cx: &mut StepContext| cx.command(sh("yes >&2 & echo $$; echo $!; exec yes")).await.map(|_| ());
    let run = Deploy::machine().observe(NotTheEndless(seen.clone())).observe(count.clone()).begin().unwrap();
    assert!(timeout(Duration::from_millis(300), run.step_async(Apply, body)).await.is_err());
    // It is not the command that decides when its timeout comes.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(count.lines.load(Ordering::Relaxed) > 1000);
    let pids = pids(&seen, 2).await;
    assert_eq!(state(pids[0]), None);
    assert!(is_gone(pids[1]));
}

/// Remembers all but the lines of an endless output.
struct NotTheEndless(Recorded);

impl Observer for NotTheEndless {
    fn stdout(&mut self, event: &Event, output: &OutputLine) {
        if output.line != "y" {
            self.0.event(event);
        }
    }
}

#[tokio::test]
async fn an_endless_command_lets_other_tasks_run() {
    let ticks = async {
        for _ in 0..20 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let begun = Instant::now();
    tokio::select! {
        biased;
        result = output(Count::default(), "exec yes") => panic!("ended: {result:?}"),
        () = ticks => {}
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn a_runtime_that_shuts_down_takes_its_commands_with_it() {
    let (seen, runtime) = (Recorded::new(), runtime());
    let observer = seen.clone();
    let pids = runtime.block_on(async {
        // It has to be a task: a future of the runtime itself is dropped before the runtime shuts down.
        tokio::spawn(async move { output(observer, FAMILY).await });
        pids(&seen, 2).await
    });
    drop(runtime);
    assert_eq!(state(pids[0]), None);
    assert!(is_gone(pids[1]));
}

#[tokio::test]
async fn a_process_left_behind_keeps_nobody_waiting_and_lives_on() {
    let (seen, begun) = (Recorded::new(), Instant::now());
    let result = output(seen.clone(), "sleep 1000 & echo $!; printf done").await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let pid = pids(&seen, 1).await[0];
    assert_eq!(written(&seen)[1..], ["1 done"]);
    assert_eq!(result.stdout().whole(), Some(&*format!("{pid}\ndone")));
    assert!(matches!(state(pid), Some('S' | 'R')), "{:?}", state(pid));
    end(pid);
}

#[tokio::test]
async fn a_process_left_behind_that_writes_for_ever_keeps_nobody_waiting() {
    for script in ["yes & echo $! >&2", "(while echo x; do sleep 0.1; done) & echo $! >&2"] {
        let begun = Instant::now();
        let result = output(Count::default(), script).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10), "{script}: {:?}", begun.elapsed());
        // Its output is closed, and so is it.
        assert!(is_gone(result.stderr().end().trim().parse().unwrap()), "{script}");
    }
}

#[tokio::test]
async fn what_a_process_left_behind_writes_at_once_is_told() {
    let seen = Recorded::new();
    output(seen.clone(), "(sleep 0.05; echo late; echo later >&2) & echo early").await.unwrap();
    let mut lines = written(&seen);
    lines.sort();
    assert_eq!(lines, ["1 early", "1 late", "2 later"]);
}

#[tokio::test]
async fn all_that_a_command_wrote_is_told_however_slow_the_observers_are() {
    // A full pipe takes three times the grace to tell.
    let observer = Count { wait: Duration::from_millis(2), ..Count::default() };
    let script = "sleep 1000 & echo $! >&2; seq -f '%0199.0f' 300; echo";
    let result = output(observer.clone(), script).await.unwrap();
    end(result.stderr().end().trim().parse().unwrap());
    assert_eq!(observer.lines.load(Ordering::Relaxed), 301);
}

#[tokio::test]
async fn a_command_dropped_in_its_grace_takes_what_it_left_behind_with_it() {
    let seen = Recorded::new();
    let pid = tokio::select! {
        result = output(seen.clone(), "sleep 1000 & echo $!") => panic!("ended: {result:?}"),
        pids = pids(&seen, 1) => pids[0],
    };
    assert!(is_gone(pid));
}

#[tokio::test]
async fn both_outputs_are_read_at_once() {
    let seen = Recorded::new();
    let result = output(seen, "seq 100000 >&2; seq 100000; seq 100000 >&2").await.unwrap();
    assert_eq!(
        (result.stdout().end().lines().last(), result.stderr().end().lines().last()),
        (Some("100000"), Some("100000"))
    );
}

#[tokio::test]
async fn standard_input_is_empty_or_what_is_given() {
    let mut results = Vec::new();
    let body = async |cx: &mut StepContext| {
        results.push(cx.command(Command::new("cat")).await?);
        results.push(cx.command_with_input(Command::new("cat"), "a secret").await?);
        // More than the pipes hold, there and back; and what nobody wants.
        results.push(cx.command_with_input(Command::new("cat"), "x\n".repeat(STDOUT_KEPT / 2)).await?);
        results.push(cx.command_with_input(sh("exec <&-; echo"), vec![0; STDOUT_KEPT]).await?);
        Ok(())
    };
    timeout(PATIENCE, drive(Count::default(), body)).await.expect("the command hangs").unwrap();
    let texts: Vec<_> = results.iter().map(|result| result.stdout().whole().unwrap()).collect();
    assert_eq!(texts, ["", "a secret", &*"x\n".repeat(STDOUT_KEPT / 2), "\n"]);
}

#[test]
fn a_command_may_run_on_any_thread() {
    fn is_send(_: impl Send) {}
    let _ = |cx: &mut StepContext| is_send(cx.command(Command::new("true")));
    let _ = |cx: &mut StepContext| is_send(cx.command(Command::new("true").arg("x")));
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
