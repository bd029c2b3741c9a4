//! One event of each type with every field that it can have, as JSON, and a real run in which nearly all happens.

use std::collections::BTreeMap;

use step_machine::event::Event;
use step_machine::time::ManualClock;
use step_machine::{StepContext, Workflow};

use crate::support::{Recorded, TextJournal, Trouble, deep, ok};

const HEADER: &str =
    r#""v":1,"run":"web-42","workflow":"provision","seq":7,"at":"2026-01-01T00:00:01.500000Z","elapsed_ms":1500.25"#;

const PROGRESS: &str = r#""progress":{"percentage":33.33,"step_number":2,"total_steps":3,"completed":1,"current":"apply","eta_ms":3000.5}"#;

const ERROR: &str = r#"{"kind":"network","message":"connection refused","chain":["no route"],"effect":"unknown"}"#;

/// What a step fails with whose workflow inside failed.
const NESTED: &str = r#"{"kind":"network","message":"it failed","effect":"unknown","nested":FAILURE}"#;

const PLAN: &str = r#"{"workflow":"provision","description":"Bring it up","parallel":true,"on_failure":"rollback",
"deadline_ms":3600000.0,"steps":[{"id":"apply","name":"Apply","description":"Do it","aliases":["do"],"critical":false,
"skippable":true,"undo":true,"output":true,"secret":true,"needs":["init"],"retry":{"attempts":3,"delay_ms":2000.0,"factor":1.5,
"max_delay_ms":30000.0,"jitter":false},"timeout_ms":300000.0,"deadline_ms":600000.0,"weight":50.0,
"stalled_after_ms":60000.0,"nested":{"workflow":"other","parallel":false,"on_failure":"stop","steps":[{"id":"inner",
"name":"Inner","critical":true,"skippable":false,"undo":true,"output":false,"weight":1.0}]}},{"id":"init","name":"Init","critical":true,"skippable":false,
"undo":false,"output":false,"weight":1.0}]}"#;

const FAILURE: &str = r#"{"run":"web-42","workflow":"provision","step":"apply","step_number":1,"total_steps":2,
"attempt":3,"error":ERROR,"started_at":"2026-01-01T00:00:00.000000Z","step_started_at":"2026-01-01T00:00:00.250000Z",
"failed_at":"2026-01-01T00:00:01.500000Z","run_ms":1500.25,"step_ms":1250.25,"steps":[{"id":"apply","name":"Apply",
"status":"undone","before_undo":"failed","reason":"dropped","message":"connection refused","attempts":3,"started_ms":250.0,
"duration_ms":1250.25}],"metadata":{"hosts":["a"]},"rollback":{"status":"stuck","undos":[{"step":"apply",
"status":"undo_failed","message":"gone","error":ERROR}]},"trace_file":"traces/web-42.txt"}"#;

/// The name of every event type and the fields beside the header.
const FIELDS: [(&str, &str); 15] = [
    (
        "run_start",
        r#""plan":PLAN,"parent":{"run":"r0","step":"deploy","attempt":2},"forked":{"run":"r1","step":"apply"},"labels":{"who":"anna"},"input":{"host":"web"}"#,
    ),
    ("run_resume", r#""rollback":true,"plan":PLAN,"again":["apply"],"parent_attempt":2"#),
    ("step_start", r#""step":"apply","attempt":2,"interrupted":true"#),
    (
        "step_update",
        r#""step":"apply","fraction":0.25,"level":"warning","message":"slow","metadata":{"files":[1,null,{"a":2.5}]},"thinned":7"#,
    ),
    ("step_retry", r#""step":"apply","attempt":1,"delay_ms":2000.5,"error":ERROR"#),
    (
        "step_end",
        r#""step":"apply","status":"skipped","reason":"requested","message":"not today","attempt":2,"duration_ms":12.5,"attempt_ms":2.25,"error":NESTED,"output":null,"secret":true,"sealed":"x1.a.AAAA""#,
    ),
    ("stdout", r#""step":"apply","line":"über \"all\"""#),
    ("stderr", r#""step":"apply","line":"""#),
    ("task_start", r#""step":"apply","task":"host-1","name":"Host 1""#),
    ("task_update", r#""step":"apply","task":"host-1","fraction":1.0,"message":"half","thinned":7"#),
    ("task_end", r#""step":"apply","task":"host-1","status":"completed","message":"done""#),
    ("stalled", r#""step":"apply","silent_ms":60000.0"#),
    ("undo_start", r#""step":"apply","attempt":2"#),
    ("undo_end", r#""step":"apply","status":"undo_failed","duration_ms":1.5,"message":"left","error":ERROR"#),
    ("run_end", r#""status":"stuck","warnings":1,"failure":FAILURE"#),
];

/// One event of each type, by its type, as JSON text.
pub(crate) fn samples() -> Vec<(&'static str, String)> {
    let sample = |(name, fields): (&'static str, &str)| {
        let fields =
            fields.replace("NESTED", NESTED).replace("FAILURE", FAILURE).replace("PLAN", PLAN).replace("ERROR", ERROR);
        // Output lines have no progress.
        let progress = if name.starts_with("std") { String::new() } else { format!(",{PROGRESS}") };
        (name, format!(r#"{{{HEADER},"type":"{name}",{fields}{progress}}}"#).replace('\n', ""))
    };
    FIELDS.map(sample).to_vec()
}

/// The sample of a type.
pub(crate) fn sample(name: &str) -> String {
    samples().into_iter().find(|(sample, _)| *sample == name).unwrap().1
}

/// Provision a thing.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(name = "rich", on_failure = "rollback", deadline = "1h")]
pub(crate) enum Rich {
    /// Get the parts.
    #[step(output = BTreeMap<String, Option<f64>>, weight = 2.5, undo)]
    Fetch,
    #[step(retry(attempts = 3, delay = "1s", max_delay = "5s", jitter = false), undo)]
    Init,
    #[step(critical = false)]
    Scan,
    #[step(skippable, needs(Fetch))]
    Announce,
    #[step(undo, timeout = "5m", alias = "do")]
    Apply,
    Check,
}

/// The events of a run that was cancelled, interrupted, resumed, retried, warned, failed, rolled back in parts and in
/// the end for good.
pub(crate) fn rich_run() -> Vec<Event> {
    use rich::{Announce, Apply, Fetch, Init, Scan};
    let (journal, clock, seen) = (TextJournal::new(), ManualClock::new(), Recorded::new());
    let builder = || {
        let builder = Rich::machine().id("rich/1").journal(journal.clone()).clock(clock.clone());
        builder.observe(seen.clone()).label("who", "anna").input(["web", "db"])
    };
    let fetch = |cx: &mut StepContext| {
        cx.message("fetching");
        cx.progress(1.0 / 3.0);
        cx.metadata("parts", 2);
        cx.stdout("got a");
        cx.stderr("b is late");
        clock.advance(std::time::Duration::from_micros(1_234_567));
        Ok::<_, Trouble>(BTreeMap::from([("a".to_owned(), None), ("b".to_owned(), Some(0.1))]))
    };
    let (run, _) = builder().begin().unwrap().step(Fetch, fetch).unwrap();
    drop(run);

    let (run, _) = builder().begin().unwrap().step(Fetch, fetch).unwrap();
    let step_machine::Entry::Run(guard) = run.enter(Init) else { panic!("the step has not settled") };
    // A crash: the run ends without a word.
    std::mem::forget(guard);

    let (run, _) = builder().take_over().begin().unwrap().step(Fetch, fetch).unwrap();
    let run = run.step_retry(Init, |cx| match cx.attempt() {
        2 => Err(deep()),
        3 => Err(Trouble::Busy { wait: std::time::Duration::from_millis(7) }),
        _ => Ok(()),
    });
    let run = run.unwrap().step(Scan, |_| Err(deep())).skip(Announce, "nobody is awake");
    let failure = run.step(Apply, |cx| ok(cx).and(Err(Trouble::Lost))).unwrap_err();
    let failure = failure.rollback(|step, _| if step == Rich::Init { Err(deep()) } else { Ok(()) });
    drop(failure.skip_undo(Rich::Init, "by hand").rollback(|_, _| Ok::<(), Trouble>(())));
    assert_eq!(journal.events("rich/1"), seen.events());
    seen.events()
}
