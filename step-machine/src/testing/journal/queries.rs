//! Finding runs.

use std::time::Duration;

use super::Rule;
use super::scene::{
    NEWS, Outcome, START, append, append_last, ensure, equal, event, event_at, events, failure, found, kept, lease,
    moment, settled, summary,
};
use crate::event::RunStatus;
use crate::journal::{Journal, RunQuery};

pub(super) const RULES: &[Rule] = &[
    ("a run that the journal does not have loads as nothing", unknown),
    ("runs are found by id, nested or not", by_id),
    ("runs are found by workflow, status and labels", by_columns),
    ("runs are found by how long they are silent", by_silence),
    ("that a step has stalled is not heard of the run", stalled),
    ("nested runs are found only where they are asked for", nested),
    ("the newest comes first, and a limit leaves the others out", order_and_limit),
    ("a summary says where the run is", where_it_is),
    ("lines of output leave the phase and the progress as they were", output_lines),
    ("a summary has the metadata of all steps, the later before the earlier", metadata),
    ("a summary says what went wrong, until the run goes on", error),
];

fn unknown(journal: &dyn Journal) -> Outcome {
    kept(journal, "r", &[])?;
    equal("runs", &found(journal, &RunQuery::of("r"))?, &Vec::new())
}

fn by_id(journal: &dyn Journal) -> Outcome {
    settled(journal, "a", 0, "", None)?;
    settled(journal, "b", 0, PARENT, None)?;
    for run in ["a", "b"] {
        equal("runs", &found(journal, &RunQuery::of(run))?, &vec![run.to_owned()])?;
    }
    equal("runs", &found(journal, &RunQuery::of("a%"))?, &Vec::new())
}

const PARENT: &str = r#","parent":{"run":"a","step":"a"}"#;

fn by_columns(journal: &dyn Journal) -> Outcome {
    settled(journal, "a", 3, r#","labels":{"who":"anna","why":"it's"}"#, Some("completed"))?;
    settled(journal, "b", 2, r#","labels":{"who":"bert"}"#, None)?;
    settled(journal, "c", 1, r#","labels":{"who":"anna"}"#, Some("failed"))?;
    let cases = [
        (RunQuery::all(), "abc"),
        (RunQuery::all().workflow("w"), "abc"),
        (RunQuery::all().workflow("other"), ""),
        (RunQuery::unfinished(), "b"),
        (RunQuery::all().status(RunStatus::Failed).status(RunStatus::Running), "bc"),
        (RunQuery::all().status(RunStatus::Stuck), ""),
        (RunQuery::all().label("who", "anna"), "ac"),
        (RunQuery::all().label("who", "anna").label("why", "it's"), "a"),
        (RunQuery::all().label("why", "anna"), ""),
        (RunQuery::all().label("who", "anna").status(RunStatus::Failed), "c"),
    ];
    cases.iter().try_for_each(|(query, expected)| equal("runs", &found(journal, query)?.concat(), &(*expected).into()))
}

fn by_silence(journal: &dyn Journal) -> Outcome {
    settled(journal, "a", 10, "", None)?;
    settled(journal, "b", 20, "", None)?;
    let mut query = RunQuery::all();
    for (second, expected) in [(9, ""), (10, "a"), (19, "a"), (20, "ba")] {
        query.silent_since = Some(moment(second));
        equal("runs", &found(journal, &query)?.concat(), &expected.to_owned())?;
    }
    equal("runs", &found(journal, &RunQuery::all().silent_for(Duration::MAX))?, &Vec::new())
}

/// A run that hangs is to be found, also where its own process has noticed.
fn stalled(journal: &dyn Journal) -> Outcome {
    let stalled = |seq| event("r", seq, r#""type":"stalled","step":"a","silent_ms":1000.0"#);
    let first = lease(journal, "r")?;
    append(journal, &first, &events("r", 2)?)?;
    append_last(journal, &first, &[stalled(3)?])?;
    equal("after a silence", &summary(journal, "r")?.updated_at, &moment(2))?;
    let other = lease(journal, "r")?;
    append(journal, &other, &[stalled(4)?])?;
    equal("in another lease", &summary(journal, "r")?.updated_at, &moment(2))?;
    append(journal, &other, &[event("r", 5, NEWS)?, stalled(6)?])?;
    equal("after news", &summary(journal, "r")?.updated_at, &moment(5))
}

fn nested(journal: &dyn Journal) -> Outcome {
    settled(journal, "a", 1, "", None)?;
    settled(journal, "b", 0, PARENT, None)?;
    equal("runs", &found(journal, &RunQuery::all())?.concat(), &"a".to_owned())?;
    equal("runs", &found(journal, &RunQuery::all().with_nested())?.concat(), &"ab".to_owned())?;
    equal("parent", &summary(journal, "b")?.parent, &Some("a".into()))
}

fn order_and_limit(journal: &dyn Journal) -> Outcome {
    for (run, second) in [("a", 2), ("b", 4), ("c", 1), ("d", 3)] {
        settled(journal, run, second, "", None)?;
    }
    equal("runs", &found(journal, &RunQuery::all())?.concat(), &"bdac".to_owned())?;
    equal("runs", &found(journal, &RunQuery::all().limit(2))?.concat(), &"bd".to_owned())?;
    let begun = RunQuery::all().last_begun_first();
    equal("runs", &found(journal, &begun)?.concat(), &"dcba".to_owned())?;
    equal("runs", &found(journal, &begun.limit(2))?.concat(), &"dc".to_owned())?;
    equal("runs", &found(journal, &RunQuery::all().limit(0))?.concat(), &String::new())
}

/// An event with a progress after it.
const AT_A: &str = r#""type":"step_start","step":"a","attempt":1,"progress":{"percentage":12.5,"step_number":1,"total_steps":2,"completed":0,"current":"a"}"#;

fn where_it_is(journal: &dyn Journal) -> Outcome {
    let lease = lease(journal, "r")?;
    append(journal, &lease, &[event_at("r", 1, 5, &format!(r#"{START},"labels":{{"who":"anna"}}"#))?])?;
    let first = summary(journal, "r")?;
    equal("phase", &first.phase, &None)?;
    append(journal, &lease, &[event_at("r", 2, 7, AT_A)?])?;
    let found = summary(journal, "r")?;
    equal("phase", &found.phase.as_deref(), &Some("a"))?;
    equal("progress", &found.percentage, &12.5)?;
    equal("times", &(found.started_at, found.updated_at), &(moment(5), moment(7)))?;
    equal("status", &found.status, &RunStatus::Running)?;
    equal("labels", &found.labels.get("who").map(String::as_str), &Some("anna"))?;
    ensure(found.owner.is_some_and(|owner| owner.pid == std::process::id()), "the owner is not this process")
}

fn output_lines(journal: &dyn Journal) -> Outcome {
    let first = lease(journal, "r")?;
    append(journal, &first, &[event("r", 1, START)?, event("r", 2, AT_A)?])?;
    let line = r#""type":"stdout","step":"a","line":"hello""#;
    append_last(journal, &first, &[event("r", 3, line)?])?;
    // Also where another lease goes on.
    append(journal, &lease(journal, "r")?, &[event("r", 4, line)?])?;
    let found = summary(journal, "r")?;
    equal("phase", &(found.phase.as_deref(), found.percentage), &(Some("a"), 12.5))?;
    equal("time", &found.updated_at, &moment(4))
}

fn metadata(journal: &dyn Journal) -> Outcome {
    let first = lease(journal, "r")?;
    append(journal, &first, &[event("r", 1, START)?, told(2, r#"{"a":1,"b":{"x":1},"d":4}"#)?])?;
    append(journal, &first, &[told(3, r#"{"b":{"y":2},"c":"it's"}"#)?, told(4, r#"{"d":null}"#)?])?;
    journal.release(&first).wait()?;
    append(journal, &lease(journal, "r")?, &[told(5, r#"{"a":2}"#)?])?;
    let found = serde_json::Value::Object(summary(journal, "r")?.metadata);
    equal("metadata", &found, &serde_json::json!({"a": 2, "b": {"y": 2}, "c": "it's", "d": null}))
}

fn told(seq: u64, metadata: &str) -> Result<crate::event::Event, super::scene::Broken> {
    event("r", seq, &format!(r#""type":"step_update","step":"a","metadata":{metadata}"#))
}

fn error(journal: &dyn Journal) -> Outcome {
    let lease = lease(journal, "r")?;
    let end = format!(r#""type":"run_end","status":"failed"{}"#, failure("r"));
    append(journal, &lease, &[event("r", 1, START)?, event("r", 2, &end)?])?;
    let found = summary(journal, "r")?;
    equal("status and error", &(found.status, found.error.as_deref()), &(RunStatus::Failed, Some("it broke")))?;
    append(journal, &lease, &[event("r", 3, r#""type":"run_resume""#)?])?;
    let found = summary(journal, "r")?;
    equal("status and error", &(found.status, found.error), &(RunStatus::Running, None))
}
