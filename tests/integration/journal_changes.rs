//! Resuming with an enum that changed since the run began.

mod inside;
mod runner;

use step_machine::event::{RunStatus, StepStatus};
use step_machine::{Cause, JournalError, MachineBuilder, PlanChange, StepContext, Workflow};

use crate::support::{TextJournal, Trouble, ok, refuse, unreachable_body};

/// What the runs here begin with.
#[derive(Workflow)]
#[workflow(name = "release")]
enum First {
    #[step(output = String)]
    Fetch,
    Build,
    Test,
    Publish,
}

fn fetch(_: &mut StepContext) -> Result<String, Trouble> {
    Ok("main".to_owned())
}

/// A run of [`First`] that has built and failed its tests.
fn built() -> TextJournal {
    let journal = TextJournal::new();
    let (run, _) =
        First::machine().id("r").journal(journal.clone()).begin().unwrap().step(first::Fetch, fetch).unwrap();
    drop(run.step(first::Build, ok).unwrap().step(first::Test, refuse).unwrap_err());
    journal
}

/// A run of [`First`] that has completed.
fn completed() -> TextJournal {
    let journal = TextJournal::new();
    let (run, _) =
        First::machine().id("r").journal(journal.clone()).begin().unwrap().step(first::Fetch, fetch).unwrap();
    let run = run.step(first::Build, ok).unwrap().step(first::Test, ok).unwrap();
    run.step(first::Publish, ok).unwrap().finish().unwrap();
    journal
}

/// What keeps `W` from going on with the run of [`built`].
fn changes<W: Workflow>(builder: MachineBuilder<W>) -> (Vec<PlanChange>, String) {
    let journal = built();
    let before = journal.lines("r");
    let error = builder.id("r").journal(journal.clone()).begin().unwrap_err();
    assert_eq!(journal.lines("r"), before, "the check comes before any side effect");
    let text = error.to_string();
    let JournalError::PlanChanged { changes, .. } = error else { panic!("{error:?}") };
    (changes, text)
}

mod added {
    /// Two steps more, none of them reached, and one that was not reached is gone.
    #[derive(step_machine::Workflow)]
    #[workflow(name = "release")]
    pub(super) enum Added {
        #[step(output = String)]
        Fetch,
        Build,
        Test,
        Sign,
        Upload,
    }
}

#[test]
fn steps_that_were_not_reached_may_come_and_go() {
    use added::added::{Build, Fetch, Sign, Test, Upload};
    let journal = built();
    let run = added::Added::machine().id("r").journal(journal.clone()).begin().unwrap();
    let (run, branch) = run.step(Fetch, unreachable_body).unwrap();
    assert_eq!(branch, "main");
    let run = run.step(Build, unreachable_body).unwrap().step(Test, ok).unwrap();
    let report = run.step(Sign, ok).unwrap().step(Upload, ok).unwrap().finish().unwrap();
    assert_eq!(
        journal.lines("r")[7..],
        [
            "run_end failed",
            "run_resume",
            "step_start test #2",
            "step_end test completed #2",
            "step_start sign",
            "step_end sign completed",
            "step_start upload",
            "step_end upload completed",
            "run_end completed",
        ]
    );
    // A reader that has only the journal comes to the same state, new steps included.
    assert_eq!(journal.fold("r").unwrap().as_ref(), Some(report.state()));
    let percentages: Vec<f64> =
        journal.events("r").iter().map(|event| event.progress.as_ref().unwrap().percentage).collect();
    assert_eq!(percentages[6..], [50.0, 50.0, 50.0, 50.0, 60.0, 60.0, 80.0, 80.0, 100.0, 100.0]);
}

mod renamed {
    /// Settled, interrupted and unreached steps under other names.
    #[derive(step_machine::Workflow)]
    #[workflow(name = "release")]
    pub(super) enum Renamed {
        #[step(output = String, alias = "fetch")]
        Download,
        #[step(alias = "build")]
        Compile,
        #[step(alias = "test")]
        Verify,
        Publish,
    }
}

#[test]
fn a_renamed_step_is_found_by_its_alias() {
    use renamed::renamed::{Compile, Download, Publish, Verify};
    let journal = built();
    let run = renamed::Renamed::machine().id("r").journal(journal.clone()).begin().unwrap();
    let (run, branch) = run.step(Download, unreachable_body).unwrap();
    assert_eq!(branch, "main");
    let run = run.step(Compile, unreachable_body).unwrap().step(Verify, |cx| {
        assert_eq!(cx.attempt(), 2);
        assert_eq!(cx.output(Download).unwrap().as_deref(), Some("main"));
        Ok::<(), Trouble>(())
    });
    let report = run.unwrap().step(Publish, ok).unwrap().finish().unwrap();
    assert_eq!(journal.lines("r")[8..10], ["run_resume", "step_start verify #2"]);
    for id in ["build", "compile"] {
        assert_eq!(report.state().step(id).unwrap().status(), StepStatus::Completed, "{id}");
    }
    assert_eq!(journal.fold("r").unwrap().as_ref(), Some(report.state()));
}

mod ruled {
    /// The same steps with other rules.
    #[derive(step_machine::Workflow)]
    #[workflow(name = "release", on_failure = "rollback")]
    pub(super) enum Ruled {
        // What was recorded is there still; nobody asks for it any more.
        #[step(name = "Get the sources", weight = 5)]
        Fetch,
        #[step(undo, skippable)]
        Build,
        #[step(critical = false, retry(attempts = 2, delay = "0s"))]
        Test,
        #[step(timeout = "5m")]
        Publish,
    }
}

/// How a run goes on whose rules have changed.
const RULED: [&str; 8] = [
    "run_resume",
    "step_start test #2",
    "step_retry test #2 in 0ns after network",
    "step_start test #3",
    "step_end test skipped #3, failed: network",
    "step_start publish",
    "step_end publish completed",
    "run_end completed, warnings: 1",
];

#[test]
fn rules_may_change() {
    use ruled::ruled::{Build, Fetch, Publish, Test};
    let journal = built();
    let run = ruled::Ruled::machine().id("r").journal(journal.clone()).begin().unwrap();
    let run = run.step(Fetch, unreachable_body).unwrap().skip(Build, "too late to skip");
    let run = run.step_retry(Test, refuse).step(Publish, ok).unwrap();
    let report = run.finish().unwrap();
    assert_eq!(report.state().step("build").unwrap().status(), StepStatus::Completed);
    assert_eq!(journal.lines("r")[8..], RULED);
}

mod lost {
    #[derive(step_machine::Workflow)]
    #[workflow(name = "release")]
    pub(super) enum Lost {
        Fetch,
        Publish,
    }
}

mod reordered {
    #[derive(step_machine::Workflow)]
    #[workflow(name = "release")]
    pub(super) enum Reordered {
        Build,
        Fetch,
        Test,
        Publish,
    }
}

mod inserted {
    #[derive(step_machine::Workflow)]
    #[workflow(name = "release")]
    pub(super) enum Inserted {
        Fetch,
        Lint,
        Scan,
        Build,
        Test,
        Publish,
    }
}

mod upside_down {
    #[derive(step_machine::Workflow)]
    #[workflow(name = "release")]
    pub(super) enum UpsideDown {
        Lint,
        Test,
        Fetch,
    }
}

#[test]
fn a_step_that_began_cannot_be_lost() {
    let (found, text) = changes(lost::Lost::machine());
    let lost = |step: &str| PlanChange::Lost { step: step.to_owned() };
    assert_eq!(found, [lost("build"), lost("test")]);
    assert_eq!(
        text,
        "run r: the workflow changed since: step `build` is gone (if it was renamed, give it `alias = \"build\"`), \
         step `test` is gone (if it was renamed, give it `alias = \"test\"`); resume it with the version that began \
         it, or begin again under another id"
    );
}

#[test]
fn steps_that_began_cannot_change_places() {
    let (found, text) = changes(reordered::Reordered::machine());
    assert_eq!(found, [PlanChange::Reordered { first: "fetch".to_owned(), second: "build".to_owned() }]);
    assert!(text.contains("step `build` now comes before `fetch`"), "{text}");
}

#[test]
fn no_step_can_be_put_before_one_that_is_settled() {
    let (found, text) = changes(inserted::Inserted::machine());
    let inserted = |step: &str| PlanChange::Inserted { step: step.to_owned(), before: "build".to_owned() };
    assert_eq!(found, [inserted("lint"), inserted("scan")]);
    assert!(text.contains("step `lint` now comes before `build`, which is settled"), "{text}");
}

#[test]
fn all_differences_are_told_at_once() {
    let (found, _) = changes(upside_down::UpsideDown::machine());
    assert_eq!(
        found,
        [
            PlanChange::Lost { step: "build".to_owned() },
            PlanChange::Reordered { first: "fetch".to_owned(), second: "test".to_owned() },
            PlanChange::Inserted { step: "lint".to_owned(), before: "fetch".to_owned() },
        ]
    );
}

#[test]
fn a_completed_run_is_over_for_an_enum_with_more_steps() {
    let journal = completed();
    let before = journal.lines("r");
    let error = longer::Longer::machine().id("r").journal(journal.clone()).begin().unwrap_err();
    assert!(matches!(error, JournalError::Over { status: RunStatus::Completed, .. }), "{error:?}");
    assert_eq!(journal.lines("r"), before);
}

mod longer {
    #[derive(Debug, step_machine::Workflow)]
    #[workflow(name = "release")]
    pub(super) enum Longer {
        #[step(output = String)]
        Fetch,
        Build,
        Test,
        Publish,
        Announce,
    }
}

#[test]
fn a_completed_run_replays_under_another_name_of_a_step() {
    use renamed::renamed::{Compile, Download, Publish, Verify};
    let journal = completed();
    let before = journal.lines("r");
    let run = renamed::Renamed::machine().id("r").journal(journal.clone()).begin().unwrap();
    let (run, branch) = run.step(Download, unreachable_body).unwrap();
    let run = run.step(Compile, unreachable_body).unwrap().step(Verify, unreachable_body).unwrap();
    run.step(Publish, unreachable_body).unwrap().finish().unwrap();
    assert_eq!(branch, "main");
    assert_eq!(journal.lines("r"), before);
}

mod asking {
    /// Asks for an output that the run did not record, and no more for one that it did.
    #[derive(Debug, PartialEq, step_machine::Workflow)]
    #[workflow(name = "release")]
    pub(super) enum Asking {
        Fetch,
        #[step(output = u32)]
        Build,
        Test,
        Publish,
    }
}

#[test]
fn an_output_that_was_not_recorded_is_a_failure_that_names_its_step() {
    let run = asking::Asking::machine().id("r").journal(built()).begin().unwrap();
    let run = run.step(asking::asking::Fetch, unreachable_body).unwrap();
    let failure = run.step(asking::asking::Build, unreachable_body).unwrap_err();
    assert_eq!(failure.step(), Some(asking::Asking::Build));
    let Cause::Journal(JournalError::Output { step, source, .. }) = failure.cause() else {
        panic!("not the journal: {:?}", failure.cause())
    };
    assert_eq!((step.as_str(), source.to_string().as_str()), ("build", "invalid type: null, expected u32"));
}
