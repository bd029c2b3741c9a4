//! What a step's body may do with its context.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use step_machine::event::{Level, StepStatus};
use step_machine::{RunState, StepContext, Workflow};

use crate::support::{Recorded, TextJournal, Trouble, ok, refuse};

#[derive(Workflow)]
enum Copy {
    #[step(output = Copied)]
    Files,
    #[step(critical = false, output = Option<u8>)]
    Links,
    Check,
}
use copy::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Copied {
    names: Vec<String>,
    ratio: f64,
}

fn copied() -> Copied {
    // A number that only survives where text is read back to the last bit.
    Copied { names: vec!["a".to_owned(), "ü\n".to_owned()], ratio: 1.679_714_759_890_450_3 }
}

/// The events that `body` leaves between the start and the end of its step, and the state after the run.
fn told(body: impl FnOnce(&mut StepContext)) -> (Recorded, RunState, Vec<String>) {
    let seen = Recorded::new();
    let run = Copy::machine().id("r").observe(seen.clone()).begin().unwrap();
    let result = run.step(Files, |cx| {
        body(cx);
        Ok::<_, Trouble>(copied())
    });
    let (run, _) = result.unwrap();
    let (state, lines) = (run.state().clone(), seen.lines()[2..seen.len() - 1].to_vec());
    (seen, state, lines)
}

#[test]
fn messages_reach_people_with_a_level() {
    let (_, state, lines) = told(|cx| {
        cx.message("copying");
        cx.warn(format!("{} is large", "a"));
        cx.tell(Level::Debug, "looking");
        cx.tell(Level::Error, "one was lost");
        cx.tell(Level::Success, "all there");
    });
    assert_eq!(
        lines,
        [
            "step_update files info: copying",
            "step_update files warning: a is large",
            "step_update files debug: looking",
            "step_update files error: one was lost",
            "step_update files success: all there",
        ]
    );
    assert_eq!(state.step("files").unwrap().message(), Some((Level::Success, "all there")));
}

#[test]
fn a_fraction_outside_of_its_range_is_the_nearer_end() {
    let (seen, _, lines) = told(|cx| {
        for fraction in [-1.0, 0.25, 7.0, f64::NEG_INFINITY, f64::INFINITY, f64::NAN] {
            cx.progress(fraction);
        }
    });
    let fractions: Vec<_> = lines.iter().map(|line| line.strip_prefix("step_update files ").unwrap()).collect();
    assert_eq!(fractions, ["0", "0.25", "1", "0", "1", "0"]);
    let percentages: Vec<f64> =
        seen.events()[2..].iter().map(|event| event.progress.as_ref().unwrap().percentage).collect();
    assert_eq!(percentages, [0.0, 8.33, 33.33, 33.33, 33.33, 33.33, 33.33, 33.33], "shown progress never falls");
}

#[test]
fn the_fraction_of_a_step_is_what_it_told_last_until_it_is_done() {
    let run = Copy::machine().begin().unwrap();
    let (run, _) = run.step(Files, |_| Ok::<_, Trouble>(copied())).unwrap();
    let failure = {
        let (run, _) = run.step(Links, |_| Ok::<_, Trouble>(None));
        run.step(Check, |cx| {
            cx.progress(0.75);
            Err(Trouble::Network)
        })
    };
    let failure = failure.unwrap_err();
    let fractions: Vec<_> = failure.state().unwrap().steps().iter().map(step_machine::StepState::fraction).collect();
    assert_eq!(fractions, [1.0, 1.0, 0.75]);
}

#[test]
fn metadata_is_for_machines_and_the_last_value_of_a_key_stays() {
    let (_, state, lines) = told(|cx| {
        cx.metadata("files", 3);
        cx.metadata("files", [1, 2]);
        cx.metadata(String::from("who"), json!({ "name": "anna" }));
    });
    assert_eq!(
        lines,
        ["step_update files files=3", "step_update files files=[1,2]", "step_update files who={\"name\":\"anna\"}"]
    );
    let metadata = state.step("files").unwrap().metadata().unwrap();
    assert_eq!(json!(metadata), json!({ "files": [1, 2], "who": { "name": "anna" } }));
}

#[test]
fn metadata_that_cannot_be_json_is_recorded_as_the_reason() {
    let (_, state, lines) = told(|cx| cx.metadata("points", BTreeMap::from([((1, 2), 3)])));
    assert_eq!(lines, ["step_update files points=\"<key must be a string>\""]);
    assert_eq!(state.step("files").unwrap().status(), StepStatus::Completed);
}

#[test]
fn output_lines_are_events_without_progress() {
    let (seen, _, lines) = told(|cx| {
        cx.stdout("cp a b");
        cx.stderr("b was there");
    });
    assert_eq!(lines, ["stdout files cp a b", "stderr files b was there"]);
    let has_progress: Vec<_> = seen.events().iter().map(|event| event.progress.is_some()).collect();
    assert_eq!(has_progress, [true, true, false, false, true, true]);
    let text = serde_json::to_value(&seen.events()[2]).unwrap();
    assert_eq!(text.get("progress"), None, "not even a null in the text");
}

#[test]
fn a_body_knows_its_run_and_its_step() {
    let (_, _, _) = told(|cx| {
        assert_eq!(cx.run().to_string(), "r");
        assert_eq!(cx.step(), "files");
        assert_eq!(cx.attempt(), 1);
        assert!(!cx.interrupted());
    });
}

#[test]
fn the_idempotency_key_is_one_for_a_step_of_a_run_in_all_attempts_and_processes() {
    let journal = TextJournal::new();
    let mut keys = Vec::new();
    for _ in 0..3 {
        let run = Copy::machine().id("r").journal(journal.clone()).begin().unwrap();
        let failed = run.step(Files, |cx| {
            keys.push((cx.idempotency_key(), cx.attempt()));
            Err(Trouble::Network)
        });
        drop(failed.unwrap_err());
    }
    let key = |attempt| ("copy/r/files".to_owned(), attempt);
    assert_eq!(keys, [key(1), key(2), key(3)]);

    let mut others = vec![keys[0].0.clone()];
    for id in [Some("r2"), None, None] {
        let builder = Copy::machine();
        let run = id.map_or(Copy::machine(), |id| builder.id(id)).begin().unwrap();
        let (run, _) = run
            .step(Files, |cx| {
                others.push(cx.idempotency_key());
                Ok::<_, Trouble>(copied())
            })
            .unwrap();
        let (run, _) = run.step(Links, |cx| {
            others.push(cx.idempotency_key());
            Err(Trouble::Network)
        });
        drop(run);
    }
    let all = others.len();
    others.sort();
    others.dedup();
    assert_eq!((others.len(), all), (7, 7), "{others:?}");
}

/// What `check` finds of the steps before it.
type Found = (Option<Copied>, Option<Option<u8>>, Option<()>);

fn find(cx: &mut StepContext) -> Found {
    (cx.output(Files).unwrap(), cx.output(Links).unwrap(), cx.output(Check).unwrap())
}

#[test]
fn a_body_finds_the_outputs_of_earlier_steps() {
    let run = Copy::machine().begin().unwrap();
    let run = run.step(Files, |cx| {
        assert_eq!(find(cx), (None, None, None));
        Ok::<_, Trouble>(copied())
    });
    let (run, _) = run.unwrap().0.step(Links, |_| Ok::<_, Trouble>(None));
    let mut found = None;
    let run = run.step(Check, |cx| {
        found = Some(find(cx));
        Ok::<(), Trouble>(())
    });
    run.unwrap().finish().unwrap();
    // A step that completed with the output `None` is not one that has not completed.
    assert_eq!(found, Some((Some(copied()), Some(None), None)));
}

#[test]
fn a_body_finds_the_same_outputs_in_another_process() {
    let journal = TextJournal::new();
    let builder = || Copy::machine().id("r").journal(journal.clone());
    let (run, _) = builder().begin().unwrap().step(Files, |_| Ok::<_, Trouble>(copied())).unwrap();
    let (run, _) = run.step(Links, |_| Ok::<_, Trouble>(None));
    drop(run);

    let (run, files) = builder().begin().unwrap().step(Files, |_| Err(Trouble::Network)).unwrap();
    assert_eq!(files, copied());
    let (run, links) = run.step(Links, |_| Err(Trouble::Network));
    assert_eq!(links, Some(None));
    let mut found = None;
    let run = run.step(Check, |cx| {
        found = Some(find(cx));
        Ok::<(), Trouble>(())
    });
    run.unwrap().finish().unwrap();
    assert_eq!(found, Some((Some(copied()), Some(None), None)));
}

#[test]
fn a_step_that_failed_hands_nothing_on() {
    let run = Copy::machine().begin().unwrap();
    let (run, _) = run.step(Files, |_| Ok::<_, Trouble>(copied())).unwrap();
    let (run, links) = run.step(Links, |_| Err(Trouble::Network));
    assert_eq!(links, None);
    let run = run.step(Check, |cx| {
        assert_eq!(cx.output(Links).unwrap(), None);
        ok(cx)
    });
    run.unwrap().finish().unwrap();
}

#[derive(Workflow, Debug, PartialEq)]
enum Points {
    #[step(output = BTreeMap<(u8, u8), u8>)]
    Collect,
}

#[test]
fn an_output_that_cannot_be_json_fails_its_step() {
    let seen = Recorded::new();
    let run = Points::machine().observe(seen.clone()).begin().unwrap();
    let failure = run.step(points::Collect, |_| Ok::<_, Trouble>(BTreeMap::from([((1, 2), 3)]))).unwrap_err();
    assert_eq!(seen.lines()[2..], ["step_end collect failed: output", "run_end failed"]);
    assert_eq!(failure.cause().to_string(), "its output cannot be recorded as JSON: key must be a string");
    assert_eq!(failure.step(), Some(Points::Collect));
}

#[test]
fn a_step_that_ends_without_a_word_tells_nothing() {
    let run = Copy::machine().begin().unwrap();
    let failure = run.step(Files, |cx| refuse(cx).map(|()| copied())).unwrap_err();
    let step = failure.state().unwrap().step("files").unwrap();
    assert_eq!((step.message(), step.tasks().len()), (None, 0));
    assert_eq!(step.metadata().map(serde_json::Map::len), Some(0));
}

#[derive(Workflow)]
#[workflow(name = "copy")]
enum Renamed {
    #[step(undo, alias = "files")]
    Everything,
}

/// Has a step with the id of one of `Copy`.
#[derive(Workflow)]
#[workflow(name = "other", steps = other)]
enum Other {
    #[step(output = u8)]
    Files,
}

#[test]
fn an_undo_has_a_key_of_its_own_and_a_renamed_step_keeps_its_own() {
    let mut keys = Vec::new();
    let run = Renamed::machine().id("r").begin().unwrap();
    let failure = run.step(renamed::Everything, |cx| {
        keys.push(cx.idempotency_key());
        Err(Trouble::Network)
    });
    drop(failure.unwrap_err().rollback(|_, cx| {
        keys.push(cx.idempotency_key());
        Ok::<(), Trouble>(())
    }));
    assert_eq!(keys, ["copy/r/files", "copy/r/files/undo"]);
}

#[test]
fn the_output_of_another_workflow_is_not_found() {
    let run = Copy::machine().begin().unwrap();
    let (run, _) = run.step(Files, |_| Ok::<_, Trouble>(copied())).unwrap();
    let (run, _) = run.step(Links, |_| Ok::<_, Trouble>(None));
    let run = run.step(Check, |cx| {
        assert_eq!(cx.output(other::Files).unwrap(), None);
        ok(cx)
    });
    run.unwrap().finish().unwrap();
}
