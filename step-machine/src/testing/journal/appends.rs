//! What is appended: all of it, in order, or none.

use std::thread;

use super::Rule;
use super::scene::{
    Broken, NEWS, Outcome, START, append, append_news, awaited, claim, ensure, event, events, kept, lease, refused,
};
use crate::journal::{Append, Journal, JournalError, Waiting};

pub(super) const RULES: &[Rule] = &[
    ("events come back as they were, in order", as_they_were),
    ("an append is kept whole", whole),
    ("an append whose numbers have a gap is refused whole", gap_inside),
    ("an append that does not follow is refused, and with it all later ones of its lease", after_a_failure),
    ("a run goes on by another lease after an append that failed", another_lease),
    ("what nobody waits for is kept, in order", unwaited),
    ("an append of nothing is answered after those before it", barrier),
    ("a reply can be awaited", asynchronous),
    ("whoever waits, the result is the same", every_waiting),
    ("many threads write to many runs at once", many_threads),
    ("what was acknowledged is seen by the next load", seen_at_once),
];

fn is_conflict(error: &JournalError) -> bool {
    matches!(error, JournalError::Conflict { .. })
}

const ALL_KINDS: [&str; 9] = [
    r#""type":"run_start","plan":{"workflow":"w","steps":[{"id":"a","name":"A"}]},"labels":{"who":"Änne"},"input":null"#,
    r#""type":"step_start","step":"a","attempt":2,"interrupted":true"#,
    r#""type":"stdout","step":"a","line":"say \"all\"\u0000\n""#,
    r#""type":"step_update","step":"a","fraction":0.1,"metadata":{"files":[1,null,{"a":2.5e-7}]}"#,
    r#""type":"step_retry","step":"a","attempt":1,"delay_ms":0.000001,"error":{"kind":"k","message":"m"}"#,
    r#""type":"step_end","step":"a","status":"completed","attempt":2,"duration_ms":1.5,"attempt_ms":1.5,"output":null"#,
    r#""type":"of_tomorrow","what":{"deep":[true]}"#,
    r#""type":"run_resume","progress":{"percentage":33.3,"step_number":1,"total_steps":1,"completed":0,"current":"a"}"#,
    r#""type":"run_end","status":"completed","warnings":0"#,
];

fn as_they_were(journal: &dyn Journal) -> Outcome {
    let events = (1..).zip(ALL_KINDS).map(|(seq, fields)| event("r", seq, fields)).collect::<Result<Vec<_>, _>>()?;
    let lease = lease(journal, "r")?;
    for some in events.chunks(2) {
        append(journal, &lease, some)?;
    }
    kept(journal, "r", &events)
}

fn whole(journal: &dyn Journal) -> Outcome {
    let events = events("r", 5)?;
    let lease = lease(journal, "r")?;
    append(journal, &lease, &events[..3])?;
    kept(journal, "r", &events[..3])?;
    append(journal, &lease, &events[3..])?;
    kept(journal, "r", &events)
}

fn gap_inside(journal: &dyn Journal) -> Outcome {
    let lease = lease(journal, "r")?;
    let events = [event("r", 1, START)?, event("r", 3, NEWS)?];
    refused("events 1 and 3", append(journal, &lease, &events), |error| {
        matches!(error, JournalError::Conflict { found: 3, last: 1, .. })
    })?;
    kept(journal, "r", &[])
}

fn after_a_failure(journal: &dyn Journal) -> Outcome {
    let events = events("r", 3)?;
    let lease = lease(journal, "r")?;
    append(journal, &lease, &events[..1])?;
    refused("event 3 after event 1", append(journal, &lease, &events[2..]), |error| {
        matches!(error, JournalError::Conflict { found: 3, last: 1, .. })
    })?;
    refused("event 2 after that", append(journal, &lease, &events[1..2]), |_| true)?;
    refused("nothing after that", append(journal, &lease, &[]), |_| true)?;
    kept(journal, "r", &events[..1])
}

fn another_lease(journal: &dyn Journal) -> Outcome {
    let events = events("r", 2)?;
    let first = lease(journal, "r")?;
    append(journal, &first, &events[..1])?;
    refused("event 1 again", append(journal, &first, &events[..1]), is_conflict)?;
    journal.release(&first).wait()?;
    let second = lease(journal, "r")?;
    append(journal, &second, &events[1..])?;
    kept(journal, "r", &events)
}

fn unwaited(journal: &dyn Journal) -> Outcome {
    let events = events("r", 300)?;
    let lease = lease(journal, "r")?;
    for event in &events[..299] {
        append_news(journal, &lease, std::slice::from_ref(event));
    }
    append(journal, &lease, &events[299..])?;
    kept(journal, "r", &events)
}

fn barrier(journal: &dyn Journal) -> Outcome {
    let events = events("r", 50)?;
    let lease = lease(journal, "r")?;
    append_news(journal, &lease, &events);
    append(journal, &lease, &[])?;
    kept(journal, "r", &events)
}

fn asynchronous(journal: &dyn Journal) -> Outcome {
    let events = events("r", 2)?;
    let claimed = awaited(journal.claim(&crate::journal::Claim::of("r")))?;
    for event in &events {
        awaited(journal.append(Append::new(&claimed.lease, std::slice::from_ref(event))))?;
    }
    let found = awaited(journal.load(&"r".into()))?;
    ensure(found == events, format_args!("{found:?}"))
}

fn every_waiting(journal: &dyn Journal) -> Outcome {
    let events = events("r", 8)?;
    let lease = lease(journal, "r")?;
    let all = [Waiting::Thread, Waiting::Task, Waiting::Sibling, Waiting::Nobody];
    for (event, waiting) in events.iter().zip(all.iter().cycle()) {
        journal.append(Append { waiting: *waiting, ..Append::new(&lease, std::slice::from_ref(event)) }).wait()?;
    }
    kept(journal, "r", &events)
}

fn many_threads(journal: &dyn Journal) -> Outcome {
    let drive = |name: String| -> Outcome {
        let events = events(&name, 20)?;
        let lease = claim(journal, &name)?.lease;
        for event in &events {
            append(journal, &lease, std::slice::from_ref(event))?;
        }
        journal.release(&lease).wait()?;
        kept(journal, &name, &events)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|at| scope.spawn(move || drive(format!("run-{at}")))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(Broken("a panic".to_owned()))))
    })
}

fn seen_at_once(journal: &dyn Journal) -> Outcome {
    let events = events("r", 30)?;
    let lease = lease(journal, "r")?;
    for upto in 1..=events.len() {
        append(journal, &lease, &events[upto - 1..upto])?;
        kept(journal, "r", &events[..upto])?;
    }
    Ok(())
}
