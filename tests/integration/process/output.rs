//! Lines, what is kept of them, and what they cost.

use std::collections::BTreeMap;
use std::process::Command as Shell;
use std::time::Duration;

use step_machine::process::{Command, CommandError, LINE_LIMIT, STDERR_KEPT, STDOUT_KEPT};
use step_machine::{StepContext, Workflow};
use tokio::time::{sleep, timeout};

use super::{Count, PATIENCE, drive, output, runtime, sh, written};
use crate::support::Recorded;

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    #[step(output = BTreeMap<String, u16>)]
    Ports,
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
fn many_lines_take_no_memory_of_their_own() {
    let (count, runtime) = (Count::default(), runtime());
    let (mut result, observer) = (None, count.clone());
    // Both outputs, each longer than what is kept of it.
    let script = "seq 300000; seq 100000 >&2";
    let used = allocation_counter::measure(|| result = Some(runtime.block_on(output(observer, script))));
    let result = result.unwrap().unwrap();
    assert_eq!(count.lines(), 300_000);
    for (kept, limit, last) in [(result.stdout(), STDOUT_KEPT, 300_000), (result.stderr(), STDERR_KEPT, 100_000)] {
        let numbers: Vec<u32> = kept.end().lines().map(|line| line.parse().unwrap()).collect();
        assert!(kept.end().len() <= limit && kept.end().len() > limit - 8, "{}", kept.end().len());
        let first = last - u32::try_from(numbers.len()).unwrap() + 1;
        assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
        let all: usize = (1..=last).map(|number| number.to_string().len() + 1).sum();
        assert_eq!((kept.whole(), kept.lost()), (None, (all - kept.end().len()) as u64));
    }
    println!("400,000 lines: {} bytes at most", used.bytes_max);
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
