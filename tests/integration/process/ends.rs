//! What is left of a command that is dropped, and of what a command leaves running.

use std::process::Command as Shell;
use std::time::{Duration, Instant};

use step_machine::event::{Event, OutputLine};
use step_machine::{Observer, StepContext};
use tokio::time::{sleep, timeout};

use super::{Apply, Count, Deploy, PATIENCE, output, runtime, sh, written};
use crate::support::Recorded;

/// A script whose shell and whose child in the background tell their ids, and would run for ever.
const FAMILY: &str = "sleep 1000 & echo $$; echo $!; sleep 1000";

fn end(pid: u32) {
    Shell::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
}

/// Whether a process that is not ours to wait for is gone, in a moment at the latest.
fn is_gone(pid: u32) -> bool {
    let begun = Instant::now();
    while !matches!(state(pid), None | Some('Z')) {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// The state of a process, `Z` where it only waits to be waited for; `None` where there is none.
fn state(pid: u32) -> Option<char> {
    // Asked for without delay where that is possible: a zombie may be there for a moment only.
    if cfg!(target_os = "linux") {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        return stat.rsplit(") ").next()?.chars().next();
    }
    let shown = Shell::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    String::from_utf8(shown.stdout).unwrap().trim().chars().next()
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
async fn a_timeout_ends_a_command_and_all_that_it_started() {
    let mut seen = Recorded::new();
    // Until the command had the time to tell who it is.
    for wait in [50, 500, 5000] {
        assert!(timeout(Duration::from_millis(wait), output(seen.clone(), FAMILY)).await.is_err());
        if written(&seen).len() == 2 {
            break;
        }
        seen = Recorded::new();
    }
    let pids = pids(&seen, 2).await;
    assert_eq!(state(pids[0]), None);
    assert!(is_gone(pids[1]));
}

#[tokio::test]
async fn a_command_that_writes_for_ever_is_ended_as_any_other() {
    let (seen, count) = (Recorded::new(), Count::default());
    let body = async |cx: &mut StepContext| cx.command(sh("yes >&2 & echo $$; echo $!; exec yes")).await.map(|_| ());
    let run = Deploy::machine().observe(NotTheEndless(seen.clone())).observe(count.clone()).begin().unwrap();
    let enough = async {
        while count.lines() < 10_000 {
            sleep(Duration::from_millis(1)).await;
        }
        pids(&seen, 2).await
    };
    let pids = tokio::select! {
        _ = run.step_async(Apply, body) => panic!("ended"),
        pids = enough => pids,
    };
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
    let count = Count::default();
    let ticks = async {
        for _ in 0..20 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        biased;
        result = output(count.clone(), "exec yes") => panic!("ended: {result:?}"),
        () = ticks => {}
    }
    // A chunk of 4096 lines takes longer than a tick, so that there is about one for each.
    assert!(count.lines() < 20 * 8 * 4096, "{} lines in 20 ticks", count.lines());
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
    let seen = Recorded::new();
    let result = output(seen.clone(), "sleep 1000 & echo $!; printf done").await.unwrap();
    let pid = pids(&seen, 1).await[0];
    assert_eq!(written(&seen)[1..], ["1 done"]);
    assert_eq!(result.stdout().whole(), Some(&*format!("{pid}\ndone")));
    assert!(matches!(state(pid), Some('S' | 'R')), "{:?}", state(pid));
    end(pid);
}

#[tokio::test]
async fn a_process_left_behind_that_writes_for_ever_keeps_nobody_waiting() {
    // One that fills the pipe faster than it is read, and one that always writes before the grace would be over.
    let full = format!("yes {} & echo $! >&2", "x".repeat(255));
    for (script, limit) in [(&*full, 100_000), ("(while echo x; do sleep 0.1; done) & echo $! >&2", 30)] {
        let count = Count::default();
        let result = output(count.clone(), script).await.unwrap();
        assert!(count.lines() < limit, "{script}: {} lines", count.lines());
        // Its output is closed, and so is it.
        assert!(is_gone(result.stderr().end().trim().parse().unwrap()), "{script}");
    }
}

#[tokio::test]
async fn what_a_process_left_behind_writes_at_once_is_told() {
    let seen = Recorded::new();
    // There is a `$$` until the command was waited for.
    let script = "(while kill -0 $$ 2>&-; do :; done; echo late; echo later >&2) & echo early";
    output(seen.clone(), script).await.unwrap();
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
    assert_eq!(observer.lines(), 301);
}

#[tokio::test]
async fn a_command_dropped_in_its_grace_takes_what_it_left_behind_with_it() {
    let seen = Recorded::new();
    let ended = async {
        let pids = pids(&seen, 2).await;
        while state(pids[0]).is_some() {
            sleep(Duration::from_millis(1)).await;
        }
        pids[1]
    };
    let pid = tokio::select! {
        biased;
        pid = ended => pid,
        result = output(seen.clone(), "sleep 1000 & echo $$; echo $!") => panic!("ended: {result:?}"),
    };
    assert!(is_gone(pid));
}
