//! Rolling back in the typed machine: which undos run, in which order, and what is on record after them.

use std::time::Duration;

use step_machine::event::{RunStatus, StepStatus};
use step_machine::time::ManualClock;
use step_machine::{Cause, Failure, StepContext, Workflow};

use crate::support::{Recorded, Trouble, block_on, chain, deep, give_way, ok};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Provision {
    #[step(undo, output = String)]
    Network,
    /// Has nothing to take back.
    Template,
    #[step(undo, retry(attempts = 3, delay = "1s", jitter = false))]
    Server,
    #[step(undo, critical = false)]
    Backup,
    #[step(undo, skippable)]
    Mail,
    #[step(undo)]
    Dns,
    #[step(undo)]
    Users,
}
use provision::*;

type Failed = Failure<Provision, Trouble>;

/// A run that fails half-way through `Dns`, with `Backup` failed before and `Mail` skipped.
fn fail(seen: &Recorded, error: Trouble) -> Failed {
    let clock = ManualClock::new();
    let run = Provision::machine().id("r").clock(clock).observe(seen.clone()).begin().unwrap();
    let (run, _) = run.step(Network, |_| Ok::<_, Trouble>("net-7".to_owned())).unwrap();
    let run = run.step(Template, ok).unwrap().step(Server, ok).unwrap();
    let run = run.step(Backup, |_| Err(Trouble::Lost)).skip(Mail, "no mail");
    run.step(Dns, |_| Err(error)).unwrap_err()
}

/// What an undo of every step that can be undone is recorded as.
const CLEAN: [&str; 9] = [
    "undo_start dns",
    "undo_end dns undone",
    "undo_start backup",
    "undo_end backup undone",
    "undo_start server",
    "undo_end server undone",
    "undo_start network",
    "undo_end network undone",
    "run_end rolled_back, warnings: 1",
];

fn undo_all(_: Provision, _: &mut StepContext) -> Result<(), Trouble> {
    Ok(())
}

/// The undos on record, as step, status and the error's kind or the message.
fn undos(failure: &Failed) -> Vec<String> {
    let rollback = failure.context().record().rollback.as_ref().unwrap();
    let told = rollback.undos.iter().map(|undo| {
        let error = undo.error.as_ref().map(|error| format!(": {}", error.message));
        let message = undo.message.as_ref().map(|message| format!(": {message}"));
        format!("{} {}{}", undo.step, undo.status, error.or(message).unwrap_or_default())
    });
    told.collect()
}

fn rollback_status(failure: &Failed) -> RunStatus {
    failure.context().record().rollback.as_ref().unwrap().status
}

#[test]
fn whatever_began_and_can_be_undone_is_undone_newest_first() {
    let seen = Recorded::new();
    let failure = fail(&seen, Trouble::Network);
    assert_eq!(seen.lines().last().unwrap(), "step_end dns failed: network", "the run stays open for its rollback");
    let earlier = seen.len();
    let mut undone = Vec::new();
    let failure = failure.rollback(|step, _| {
        undone.push(step);
        Ok::<(), Trouble>(())
    });
    // `Template` has no undo, `Mail` was skipped and `Users` never began; `Dns` and `Backup` failed half-way.
    assert_eq!(undone, [Provision::Dns, Provision::Backup, Provision::Server, Provision::Network]);
    assert_eq!(seen.lines_after(earlier), CLEAN);

    let statuses: Vec<_> = failure.state().unwrap().steps().iter().map(step_machine::StepState::status).collect();
    use StepStatus::{Completed, Pending, Skipped, Undone};
    assert_eq!(statuses, [Undone, Completed, Undone, Undone, Skipped, Undone, Pending]);
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
}

#[test]
fn a_clean_rollback_returns_the_original_failure() {
    let before = fail(&Recorded::new(), deep());
    let failure = fail(&Recorded::new(), deep()).rollback(undo_all);
    assert_eq!(failure.step(), Some(Provision::Dns));
    assert!(matches!(failure.cause(), Cause::Error(Trouble::Deep(_))), "{:?}", failure.cause());
    assert_eq!(chain(&failure), ["cannot reach the server", "the tunnel is closed", "no route to host"]);

    assert_eq!(rollback_status(&failure), RunStatus::RolledBack);
    assert_eq!(undos(&failure), ["dns undone", "backup undone", "server undone", "network undone"]);
    let (mut record, original) = (failure.context().record().clone(), before.context().record());
    record.rollback = None;
    for (now, then) in record.steps.iter_mut().zip(&original.steps) {
        now.status = then.status;
        now.before_undo = None;
    }
    assert_eq!(record, *original, "beside the rollback nothing of the failure has changed");
}

#[test]
fn an_undo_that_fails_leaves_the_run_stuck_and_the_others_still_run() {
    let seen = Recorded::new();
    let failure = fail(&seen, Trouble::Network);
    let earlier = seen.len();
    let failure = failure.rollback(|step, _| match step {
        Provision::Backup => Err(Trouble::Template),
        Provision::Network => Err(Trouble::Lost),
        _ => Ok(()),
    });
    assert_eq!(
        seen.lines_after(earlier),
        [
            "undo_start dns",
            "undo_end dns undone",
            "undo_start backup",
            "undo_end backup undo_failed: template",
            "undo_start server",
            "undo_end server undone",
            "undo_start network",
            "undo_end network undo_failed: lost",
            "run_end stuck, warnings: 1",
        ]
    );
    assert_eq!(rollback_status(&failure), RunStatus::Stuck);
    assert_eq!(
        undos(&failure),
        [
            "dns undone",
            "backup undo_failed: the template is broken",
            "server undone",
            "network undo_failed: the answer never came",
        ]
    );
    assert!(matches!(failure.cause(), Cause::Error(Trouble::Network)), "the first error is still the cause");
    assert_eq!(failure.state().unwrap().step("network").unwrap().status(), StepStatus::UndoFailed);
}

#[test]
fn a_stuck_run_goes_on_with_the_undos_that_are_left() {
    let seen = Recorded::new();
    let failure = fail(&seen, Trouble::Network).rollback(|step, _| match step {
        Provision::Backup => Err(Trouble::Template),
        _ => Ok(()),
    });
    let earlier = seen.len();
    let failure = failure.rollback(undo_all);
    assert_eq!(
        seen.lines_after(earlier),
        ["run_resume rollback", "undo_start backup #2", "undo_end backup undone", "run_end rolled_back, warnings: 1"]
    );
    assert_eq!(rollback_status(&failure), RunStatus::RolledBack);

    let earlier = seen.len();
    drop(failure.rollback(|step, _| -> Result<(), Trouble> { panic!("{step:?} is undone already") }));
    assert_eq!(seen.len(), earlier, "nothing is left to do");
}

#[test]
fn an_undo_follows_the_retry_rule_of_its_step() {
    let (seen, clock) = (Recorded::new(), ManualClock::new());
    let run = Provision::machine().clock(clock).observe(seen.clone()).begin().unwrap();
    let (run, _) = run.step(Network, |_| Ok::<_, Trouble>(String::new())).unwrap();
    let failure = run.step(Template, ok).unwrap().step(Server, |_| Err(Trouble::Network)).unwrap_err();
    let earlier = seen.len();
    let mut attempts = Vec::new();
    let failure = failure.rollback(|step, cx| {
        attempts.push((step, cx.attempt()));
        match (step, cx.attempt()) {
            (Provision::Server, 3) => Ok(()),
            _ => Err(Trouble::Network),
        }
    });
    use Provision as P;
    assert_eq!(attempts, [(P::Server, 1), (P::Server, 2), (P::Server, 3), (P::Network, 1)]);
    assert_eq!(
        seen.lines_after(earlier),
        [
            "undo_start server",
            "step_retry server in 1s after network",
            "undo_start server #2",
            "step_retry server #2 in 2s after network",
            "undo_start server #3",
            "undo_end server undone",
            "undo_start network",
            "undo_end network undo_failed: network",
            "run_end stuck",
        ]
    );
    let server = failure.state().unwrap().step("server").unwrap();
    assert_eq!((server.undo_attempts(), server.attempts()), (3, 1));
    assert_eq!(server.undo_error(), None);
    let record = failure.context().record();
    assert_eq!(failure.state().unwrap().elapsed(), Duration::from_secs(3), "the waits took their time");
    assert_eq!(record.run_duration, Duration::ZERO, "the waits of the rollback are not part of the failure");
}

#[test]
fn a_fatal_error_of_an_undo_is_not_tried_again_and_each_rollback_has_all_attempts() {
    let seen = Recorded::new();
    let failure = fail(&seen, Trouble::Network);
    let earlier = seen.len();
    let failure = failure.rollback(|step, _| match step {
        Provision::Server => Err(Trouble::Template),
        _ => Ok(()),
    });
    let undos_of_server =
        |lines: Vec<String>| lines.into_iter().filter(|line| line.starts_with("undo_start server")).collect::<Vec<_>>();
    assert_eq!(undos_of_server(seen.lines_after(earlier)), ["undo_start server"]);

    let earlier = seen.len();
    let failure = failure.rollback(|_, _| Err(Trouble::Network));
    assert_eq!(
        undos_of_server(seen.lines_after(earlier)),
        ["undo_start server #2", "undo_start server #3", "undo_start server #4"]
    );
    assert_eq!(rollback_status(&failure), RunStatus::Stuck);
}

#[test]
fn one_undo_can_be_skipped_by_name_with_a_reason() {
    let seen = Recorded::new();
    let failure = fail(&seen, Trouble::Network);
    let earlier = seen.len();
    let failure = failure.skip_undo(Provision::Server, "a person looks at it").rollback(undo_all);
    assert_eq!(
        seen.lines_after(earlier),
        [
            "undo_start dns",
            "undo_end dns undone",
            "undo_start backup",
            "undo_end backup undone",
            "undo_end server skipped: a person looks at it",
            "undo_start network",
            "undo_end network undone",
            "run_end rolled_back, warnings: 1",
        ]
    );
    assert!(undos(&failure).contains(&"server skipped: a person looks at it".to_owned()), "{:?}", undos(&failure));
    let server = failure.state().unwrap().step("server").unwrap();
    assert_eq!((server.status(), server.undo_message()), (StepStatus::Completed, Some("a person looks at it")));
}

#[test]
fn skipping_the_undo_that_is_stuck_ends_the_rollback_cleanly() {
    let seen = Recorded::new();
    let failure = fail(&seen, Trouble::Network).rollback(|step, _| match step {
        Provision::Network => Err(Trouble::Lost),
        _ => Ok(()),
    });
    let earlier = seen.len();
    let failure = failure.skip_undo(Provision::Network, "it is gone already").rollback(undo_all);
    assert_eq!(
        seen.lines_after(earlier),
        ["run_resume rollback", "undo_end network skipped: it is gone already", "run_end rolled_back, warnings: 1"]
    );
    assert_eq!(rollback_status(&failure), RunStatus::RolledBack);
}

#[test]
fn an_undo_finds_the_output_of_its_step_and_may_tell_what_it_does() {
    let seen = Recorded::new();
    let failure = fail(&seen, Trouble::Network);
    let earlier = seen.len();
    let mut outputs = Vec::new();
    let failure = failure.rollback(|step, cx| {
        outputs.push(cx.output(Network).unwrap());
        if step == Provision::Network {
            cx.message("releasing net-7");
            cx.stdout("done");
        }
        Ok::<(), Trouble>(())
    });
    assert_eq!(outputs, vec![Some("net-7".to_owned()); 4]);
    assert_eq!(
        seen.lines_after(earlier)[6..],
        [
            "undo_start network",
            "step_update network info: releasing net-7",
            "stdout network done",
            "undo_end network undone",
            "run_end rolled_back, warnings: 1",
        ]
    );
    drop(failure);

    // A step that failed half-way is undone without an output.
    let run = Provision::machine().begin().unwrap();
    let failure = run.step(Network, |_| Err::<String, _>(Trouble::Network)).unwrap_err();
    let mut output = Some(Some("?".to_owned()));
    drop(failure.rollback(|_, cx| {
        output = cx.output(Network).ok();
        Ok::<(), Trouble>(())
    }));
    assert_eq!(output, Some(None));
}

#[test]
fn undos_may_wait() {
    let seen = Recorded::new();
    let failure = fail(&seen, Trouble::Network);
    let earlier = seen.len();
    let failure = block_on(failure.rollback_async(async |_, _| {
        give_way().await;
        Ok::<(), Trouble>(())
    }));
    assert_eq!(seen.lines_after(earlier), CLEAN);
    assert_eq!(rollback_status(&failure), RunStatus::RolledBack);

    // Waiting for another attempt needs a timer, so there is one.
    let failure = fail(&seen, Trouble::Network);
    let earlier = seen.len();
    drop(block_on(failure.rollback_async(async |_, _| Err(Trouble::Network))));
    assert_eq!(seen.lines_after(earlier)[4..6], ["undo_start server", "undo_end server undo_failed: network"]);
}

#[test]
fn a_failure_that_is_not_rolled_back_ends_its_run_as_failed() {
    let seen = Recorded::new();
    let failure = fail(&seen, Trouble::Network);
    let earlier = seen.len();
    drop(failure);
    assert_eq!(seen.lines_after(earlier), ["run_end failed, warnings: 1"]);

    let failure = fail(&seen, Trouble::Network);
    let earlier = seen.len();
    let context = failure.into_context();
    assert_eq!(seen.lines_after(earlier), ["run_end failed, warnings: 1"]);
    assert_eq!(context.record().rollback, None);
}
