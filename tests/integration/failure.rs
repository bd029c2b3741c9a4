//! What is known when a run does not complete: the context, its texts, its JSON and its trace.

use std::error::Error;
use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use step_machine::event::{Effect, Kind, Reason, StepStatus};
use step_machine::time::ManualClock;
use step_machine::{Cause, Failure, FailureContext, JournalError, MachineBuilder, Workflow};

use crate::support::{Recorded, TextJournal, Trouble, chain, deep, ok};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Provision {
    RenderTemplates,
    #[step(skippable)]
    Announce,
    #[step(critical = false)]
    ScanHosts,
    #[step(name = "Apply the plan", retry(attempts = 2, delay = "2s", jitter = false), undo)]
    OpenTofuApply,
    WaitSsh,
    Notify,
}
use provision::*;

type Failed = Failure<Provision, Trouble>;

/// A run that fails in its fourth step, at times that never change.
fn fail(builder: MachineBuilder<Provision>, error: fn() -> Trouble) -> Failed {
    let clock = ManualClock::new();
    let takes = |millis| clock.advance(Duration::from_millis(millis));
    let run = builder.id("web-42").clock(clock.clone()).begin().unwrap();
    let run = run.step(RenderTemplates, |_| Ok::<(), Trouble>(takes(12))).unwrap();
    let run = run.skip(Announce, "nobody is awake\nsecond line").step(ScanHosts, |_| {
        takes(500);
        Err(Trouble::Network)
    });
    let failure = run.step_retry(OpenTofuApply, |cx| {
        cx.metadata("plan", json!({ "add": 3 }));
        cx.metadata("workspace", "prod");
        takes(45_250);
        Err::<(), _>(error())
    });
    failure.unwrap_err()
}

fn failure() -> Failed {
    fail(Provision::machine(), deep)
}

#[test]
fn the_context_says_what_failed_where_and_when() {
    let failure = failure();
    let context = failure.context();
    assert_eq!(context.step(), Some(Provision::OpenTofuApply));
    assert_eq!(context.kind(), "deep");
    assert_eq!(context.completed().collect::<Vec<_>>(), [Provision::RenderTemplates]);
    assert_eq!(context.skipped().collect::<Vec<_>>(), [Provision::Announce, Provision::ScanHosts]);
    assert_eq!(context.never_ran().collect::<Vec<_>>(), [Provision::WaitSsh, Provision::Notify]);

    let record = context.record();
    assert_eq!((record.run.to_string().as_str(), &*record.workflow), ("web-42", "provision"));
    assert_eq!(record.step.as_ref().unwrap(), "open-tofu-apply");
    assert_eq!((record.step_number, record.total_steps, record.attempt), (4, 6, 2));
    assert_eq!(record.error.message, "cannot reach the server");
    assert_eq!(record.error.chain, ["the tunnel is closed", "no route to host"]);
    assert_eq!(record.error.effect, Effect::Known);
    let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600) + Duration::from_millis(millis);
    assert_eq!((record.started_at, record.step_started_at, record.failed_at), (at(0), at(512), at(93_012)));
    assert_eq!(record.run_duration, Duration::from_millis(93_012));
    assert_eq!(record.step_duration, Duration::from_millis(92_500));
    assert_eq!(json!(record.metadata), json!({ "plan": { "add": 3 }, "workspace": "prod" }));
    assert_eq!((record.rollback.as_ref(), record.trace_file.as_ref()), (None, None));
}

#[test]
fn the_context_has_a_row_for_every_step() {
    let failure = failure();
    let steps = &failure.context().record().steps;
    let told: Vec<_> = steps.iter().map(|row| (row.id.id(), row.status, row.reason, row.attempts)).collect();
    use StepStatus::{Completed, Failed, Pending, Skipped};
    assert_eq!(
        told,
        [
            ("render-templates", Completed, None, 1),
            ("announce", Skipped, Some(Reason::Requested), 0),
            ("scan-hosts", Skipped, Some(Reason::Failed), 1),
            ("open-tofu-apply", Failed, None, 2),
            ("wait-ssh", Pending, None, 0),
            ("notify", Pending, None, 0),
        ]
    );
    let messages: Vec<_> = steps.iter().map(|row| row.message.as_deref().unwrap_or_default()).collect();
    let expected = ["", "nobody is awake\nsecond line", "connection refused", "cannot reach the server", "", ""];
    assert_eq!(messages, expected);
    let millis: Vec<_> = steps.iter().map(|row| (row.started.as_millis(), row.duration.as_millis())).collect();
    assert_eq!(millis, [(0, 12), (0, 0), (12, 500), (512, 92_500), (0, 0), (0, 0)]);
    assert_eq!(steps[3].name, "Apply the plan");
}

#[test]
fn one_line_says_what_failed_and_leaves_the_error_to_its_source() {
    let failure = failure();
    let line = "step 4/6 `open-tofu-apply` of `provision` failed (deep) after 1m 32s";
    assert_eq!(failure.to_string(), line);
    assert_eq!(failure.context().to_string(), line);
    assert_eq!(chain(&failure), ["cannot reach the server", "the tunnel is closed", "no route to host"]);
}

const STORY: &str = "\
step 4/6 `open-tofu-apply` of `provision` failed (deep) after 1m 32s

run       web-42
workflow  provision
started   2026-01-01T00:00:00.000Z
failed    2026-01-01T00:01:33.012Z
took      1m 33s
attempt   2
effect    known: the step reported its failure itself

error (deep)
  0: cannot reach the server
  1: the tunnel is closed
  2: no route to host

steps
  ✓ 1/6  Render templates  completed in 0.012 s, begun at 0.000 s
  - 2/6  Announce          skipped: nobody is awake
  - 3/6  Scan hosts        skipped in 0.500 s, begun at 0.012 s: connection refused
  ✗ 4/6  Apply the plan    failed in 1m 32s, begun at 0.512 s, 2 attempts
    5/6  Wait ssh          never ran
    6/6  Notify            never ran

metadata of the step
  plan: {\"add\":3}
  workspace: \"prod\"";

#[test]
fn the_alternate_text_is_the_whole_story() {
    let failure = failure();
    assert_eq!(format!("{failure:#}"), STORY);
    assert_eq!(format!("{:#}", failure.context()), STORY);
}

#[test]
fn the_story_tells_of_the_rollback_and_of_an_effect_that_is_not_known() {
    let failure = fail(Provision::machine(), || Trouble::Lost).rollback(|_, _| Err(deep()));
    let story = format!("{failure:#}");
    assert!(story.contains("\neffect    unknown: the step may or may not have done what it is for\n"), "{story}");
    assert!(
        story.contains("  Apply the plan    failed in 1m 32s, begun at 0.512 s, 2 attempts, not undone\n"),
        "{story}"
    );
    let rollback = "\nrollback (stuck)\n  open-tofu-apply: undo_failed (deep): cannot reach the server: \
                    the tunnel is closed: no route to host";
    assert!(story.ends_with(rollback), "{story}");

    let failure = failure_skipped();
    assert!(format!("{failure:#}").ends_with("\nrollback (rolled_back)\n  open-tofu-apply: skipped: in use"));
}

fn failure_skipped() -> Failed {
    failure().skip_undo(Provision::OpenTofuApply, "in use").rollback(|_, _| Ok::<(), Trouble>(()))
}

#[test]
fn a_text_of_several_lines_stays_one_level_of_the_story() {
    let run = Provision::machine().begin().unwrap();
    let failure = run.step(RenderTemplates, |_| Err(std::io::Error::other("first\nsecond"))).unwrap_err();
    assert!(format!("{failure:#}").contains("error (io)\n  0: first\n     second\n"), "{failure:#}");
}

#[test]
fn the_json_of_a_context_is_the_failure_of_the_last_event_and_reads_back() {
    let seen = Recorded::new();
    let failure = fail(Provision::machine().observe(seen.clone()), deep);
    let Kind::RunEnd(end) = &seen.events().last().unwrap().kind.clone() else { panic!("{:?}", seen.lines()) };
    let context = failure.into_context();
    assert_eq!(end.failure.as_ref(), Some(context.record()));

    let text = serde_json::to_string(&context).unwrap();
    let read: FailureContext<Provision> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, context);
    assert_eq!(read.step(), Some(Provision::OpenTofuApply));
    assert_eq!(format!("{read:#}"), STORY);
    assert_eq!(FailureContext::<Provision>::from_record(context.clone().into_record()).unwrap(), context);
}

#[derive(Workflow, Debug)]
#[workflow(name = "provision")]
enum Shorter {
    RenderTemplates,
    WaitSsh,
}

#[derive(Workflow, Debug)]
enum Other {
    RenderTemplates,
}

#[test]
fn a_context_of_another_workflow_or_of_unknown_steps_is_refused() {
    let text = serde_json::to_string(failure().context()).unwrap();
    let error = serde_json::from_str::<FailureContext<Other>>(&text).unwrap_err();
    assert_eq!(error.to_string(), "the failure is of workflow `provision`, not of `other`");
    let error = serde_json::from_str::<FailureContext<Shorter>>(&text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "workflow `provision` has no step `announce`; if it was renamed, give it `alias = \"announce\"`"
    );
    let without = text.replacen("\"run\"", "\"ran\"", 1);
    let error = serde_json::from_str::<FailureContext<Provision>>(&without).unwrap_err();
    assert!(error.to_string().starts_with("missing field `run`"), "{error}");
}

#[derive(Workflow, Debug, PartialEq)]
#[workflow(name = "provision")]
enum Renamed {
    #[step(alias = "render-templates")]
    Render,
    Announce,
    ScanHosts,
    #[step(alias = "open-tofu-apply")]
    Apply,
    WaitSsh,
    Notify,
}

#[test]
fn a_context_reads_back_after_its_steps_were_renamed() {
    let text = serde_json::to_string(failure().context()).unwrap();
    let read: FailureContext<Renamed> = serde_json::from_str(&text).unwrap();
    assert_eq!(read.step(), Some(Renamed::Apply));
    assert_eq!(read.completed().collect::<Vec<_>>(), [Renamed::Render]);
}

#[test]
fn a_trace_is_a_new_file_with_the_whole_story() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("traces/of/today");
    let mut failure = failure();
    let first = failure.write_trace(&folder).unwrap();
    assert_eq!(first, folder.join("20260101T000133Z-provision-web-42.trace.txt"));
    assert_eq!(fs::read_to_string(&first).unwrap(), format!("{STORY}\n"));
    assert_eq!(failure.context().record().trace_file.as_ref(), Some(&first));
    assert!(format!("{failure:#}").ends_with(&format!("\ntrace     {}", first.display())));

    // A trace never replaces another one.
    let second = failure.write_trace(&folder).unwrap();
    assert_eq!(second, folder.join("20260101T000133Z-provision-web-42-2.trace.txt"));
    assert_eq!(fs::read_to_string(&first).unwrap(), format!("{STORY}\n"));

    let failure = failure.rollback(|_, _| Ok::<(), Trouble>(()));
    assert_eq!(failure.context().record().trace_file.as_ref(), Some(&second), "the rollback keeps it");
}

#[test]
fn a_run_id_of_any_text_makes_a_name_that_every_file_system_takes() {
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(500);
    for (id, name) in [
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("a\\b:c*d?e\"f<g>h|i j\u{0}k\nl", "a_b_c_d_e_f_g_h_i_j_k_l"),
        ("été-日本", "_t_-__"),
        ("", ""),
        (long.as_str(), &long[..80]),
    ] {
        let run = Provision::machine().id(id).clock(ManualClock::new()).begin().unwrap();
        let mut context = run.step(RenderTemplates, |_| Err(Trouble::Lost)).unwrap_err().into_context();
        let path = context.write_trace(dir.path()).unwrap();
        let expected = format!("20260101T000000Z-provision-{name}.trace.txt");
        assert_eq!((path.parent(), path.file_name().unwrap().to_str()), (Some(dir.path()), Some(expected.as_str())));
        assert!(fs::read_to_string(path).unwrap().contains(&format!("\nrun       {id}\n")));
    }
}

#[test]
fn a_trace_that_cannot_be_written_is_an_error_and_not_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let mut failure = failure();
    failure.write_trace(&file).unwrap_err();
    assert_eq!(failure.context().record().trace_file, None);
}

#[test]
fn a_failure_is_an_error_like_any_other() {
    fn run() -> Result<(), Box<dyn Error + Send + Sync>> {
        let run = Provision::machine().begin()?;
        drop(run.step(RenderTemplates, |_| Err(deep()))?);
        Ok(())
    }
    let error = run().unwrap_err();
    let failure = error.downcast_ref::<Failed>().unwrap();
    assert_eq!(failure.step(), Some(Provision::RenderTemplates));
    assert!(error.source().unwrap().downcast_ref::<Trouble>().is_some());
}

#[test]
fn the_cause_can_be_taken_out_with_the_context() {
    let (context, cause) = failure().into_parts();
    assert_eq!(context.step(), Some(Provision::OpenTofuApply));
    let Cause::Error(Trouble::Deep(middle)) = cause else { panic!("{cause:?}") };
    assert_eq!(middle.to_string(), "the tunnel is closed");
}

#[test]
fn a_journal_error_becomes_a_failure_with_the_question_mark() {
    fn run(journal: TextJournal) -> Result<(), Failed> {
        let run = Provision::machine().id("web-42").journal(journal).begin()?;
        drop(run.step(RenderTemplates, ok)?);
        Ok(())
    }
    let journal = TextJournal::new();
    run(journal.clone()).unwrap();
    journal.damage("web-42", |lines| drop(lines.remove(0)));
    let failure = run(journal).unwrap_err();
    assert!(matches!(failure.cause(), Cause::Journal(JournalError::Corrupt { .. })), "{:?}", failure.cause());
    assert_eq!((failure.step(), failure.state()), (None, None));
    assert_eq!(failure.to_string(), "`provision` failed (journal) outside of its steps");
    assert_eq!(
        chain(&failure),
        [
            "run web-42: its journal is damaged; restore it, or begin again under another id",
            "event 2 (step_start of `render-templates`) is not legal: a run begins with run_start",
        ]
    );
    let record = failure.context().record();
    assert_eq!((record.step_number, record.total_steps, record.attempt), (0, 6, 0));
    assert_eq!(failure.context().never_ran().count(), 0, "nothing is known of its steps");
    assert_eq!(record.error.effect, Effect::Known);
    let read: FailureContext<Provision> =
        serde_json::from_value(serde_json::to_value(failure.context()).unwrap()).unwrap();
    assert_eq!(&read, failure.context());
    assert_eq!(
        format!("{failure:#}"),
        "\
`provision` failed (journal) outside of its steps

error (journal)
  0: run web-42: its journal is damaged; restore it, or begin again under another id
  1: event 2 (step_start of `render-templates`) is not legal: a run begins with run_start"
    );
    // There is nothing to undo in a run that did not begin.
    let failure = failure.rollback(|step, _| -> Result<(), Trouble> { panic!("{step:?} never began") });
    let failure = failure.skip_undo(Provision::OpenTofuApply, "there is none");
    assert_eq!(failure.context().record().rollback, None);
}

#[test]
fn debug_text_names_the_step_and_the_cause() {
    let text = format!("{:?}", failure());
    assert!(text.contains("step: Some(\"open-tofu-apply\")") && text.contains("cause: Error(Deep("), "{text}");
    let value: Value = serde_json::to_value(failure().context()).unwrap();
    assert_eq!(value["error"]["kind"], "deep");
}
