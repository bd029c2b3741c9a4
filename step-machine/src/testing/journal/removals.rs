//! Giving runs up, and removing them.

use std::time::Duration;

use super::Rule;
use super::scene::{
    Outcome, STEP, append, claim, ensure, equal, event, events, exclusive, found, kept, lease, moment, refused,
    settled, summary,
};
use crate::journal::{Journal, JournalError, RunQuery};

pub(super) const RULES: &[Rule] = &[
    ("only a run that the journal has can be abandoned", abandon_unknown),
    ("a run that is held cannot be abandoned", abandon_held),
    ("an abandoned run cannot be claimed, not even by force", abandoned),
    ("an abandoned run is found only where it is asked for, and can still be loaded", abandoned_in_the_list),
    ("only runs that are over are pruned", prune_by_status),
    ("only runs that were over before then are pruned", prune_by_time),
    ("an abandoned run is pruned whatever its status", prune_abandoned),
    ("a run that is held is not pruned", prune_held),
    ("what is nested goes with the run that it is in, and not without", prune_nested),
    ("a run of which a nested one is held is not pruned", prune_nested_held),
    ("the id of a run that was pruned is free", pruned_id),
];

fn abandon_unknown(journal: &dyn Journal) -> Outcome {
    let is_not_found = |error: &JournalError| matches!(error, JournalError::NotFound { .. });
    refused("an unknown run", journal.abandon(&"r".into(), "why").wait(), is_not_found)
}

fn abandon_held(journal: &dyn Journal) -> Outcome {
    append(journal, &lease(journal, "r")?, &events("r", 1)?)?;
    let is_owned = |error: &JournalError| matches!(error, JournalError::Owned { .. });
    refused("a run that is held", journal.abandon(&"r".into(), "why").wait(), is_owned)?;
    equal("abandoned", &summary(journal, "r")?.abandoned, &None)
}

fn abandoned(journal: &dyn Journal) -> Outcome {
    settled(journal, "r", 1, "", None)?;
    journal.abandon(&"r".into(), "it's broken").wait()?;
    let is_abandoned =
        |error: &JournalError| matches!(error, JournalError::Abandoned { why, .. } if why == "it's broken");
    refused("a claim", claim(journal, "r"), is_abandoned)?;
    refused("a claim by force", journal.claim(&exclusive("r", &[], true)).wait(), is_abandoned)
}

fn abandoned_in_the_list(journal: &dyn Journal) -> Outcome {
    settled(journal, "r", 1, "", None)?;
    journal.abandon(&"r".into(), "why").wait()?;
    equal("runs", &found(journal, &RunQuery::all())?, &Vec::new())?;
    equal("runs", &found(journal, &RunQuery::all().with_abandoned())?, &vec!["r".to_owned()])?;
    let abandoned = summary(journal, "r")?.abandoned;
    ensure(abandoned.is_some_and(|abandoned| abandoned.why == "why"), "the list does not say why")?;
    kept(journal, "r", &events("r", 1)?)
}

fn prune_by_status(journal: &dyn Journal) -> Outcome {
    let over = ["completed", "failed", "cancelled", "rolled_back"];
    for status in over.into_iter().chain(["stuck"]) {
        settled(journal, status, 1, "", Some(status))?;
    }
    settled(journal, "running", 1, "", None)?;
    equal("removed", &journal.prune(moment(9)).wait()?, &over.len())?;
    let mut left = found(journal, &RunQuery::all())?;
    left.sort();
    equal("left", &left, &vec!["running".to_owned(), "stuck".to_owned()])?;
    kept(journal, "completed", &[])
}

fn prune_by_time(journal: &dyn Journal) -> Outcome {
    settled(journal, "a", 10, "", Some("completed"))?;
    settled(journal, "b", 20, "", Some("completed"))?;
    for (second, removed) in [(10, 0), (11, 1), (20, 0), (21, 1)] {
        equal("removed", &journal.prune(moment(second)).wait()?, &removed)?;
    }
    // Later than a store may have a word for.
    settled(journal, "c", 30, "", Some("completed"))?;
    let far = moment(0).checked_add(Duration::from_secs(1 << 50)).unwrap_or(moment(99));
    equal("removed", &journal.prune(far).wait()?, &1)
}

fn prune_abandoned(journal: &dyn Journal) -> Outcome {
    settled(journal, "r", 1, "", None)?;
    equal("removed", &journal.prune(moment(9)).wait()?, &0)?;
    journal.abandon(&"r".into(), "why").wait()?;
    equal("removed", &journal.prune(moment(9)).wait()?, &1)?;
    equal("runs", &found(journal, &RunQuery::of("r"))?, &Vec::new())
}

fn prune_held(journal: &dyn Journal) -> Outcome {
    settled(journal, "r", 1, "", Some("failed"))?;
    let held = lease(journal, "r")?;
    equal("removed", &journal.prune(moment(9)).wait()?, &0)?;
    journal.release(&held).wait()?;
    equal("removed", &journal.prune(moment(9)).wait()?, &1)
}

fn prune_nested(journal: &dyn Journal) -> Outcome {
    let within = |run: &str| format!(r#","parent":{{"run":"{run}","step":"a"}}"#);
    settled(journal, "a", 1, "", None)?;
    settled(journal, "b", 1, &within("a"), Some("completed"))?;
    settled(journal, "x", 1, "", Some("completed"))?;
    settled(journal, "y", 1, &within("x"), Some("completed"))?;
    settled(journal, "z", 1, &within("y"), None)?;
    equal("removed", &journal.prune(moment(9)).wait()?, &1)?;
    let mut left = found(journal, &RunQuery::all().with_nested())?;
    left.sort();
    equal("left", &left.concat(), &"ab".to_owned())
}

fn prune_nested_held(journal: &dyn Journal) -> Outcome {
    let within = |run: &str| format!(r#","parent":{{"run":"{run}","step":"a"}}"#);
    settled(journal, "x", 1, "", Some("failed"))?;
    settled(journal, "y", 1, &within("x"), None)?;
    settled(journal, "z", 1, &within("y"), None)?;
    settled(journal, "other", 1, "", Some("failed"))?;
    let held = lease(journal, "z")?;
    equal("removed", &journal.prune(moment(9)).wait()?, &1)?;
    append(journal, &held, &[event("z", 2, STEP)?])?;
    let mut left = found(journal, &RunQuery::all().with_nested())?;
    left.sort();
    equal("left", &left.concat(), &"xyz".to_owned())?;
    journal.release(&held).wait()?;
    equal("removed", &journal.prune(moment(9)).wait()?, &1)?;
    equal("runs", &found(journal, &RunQuery::all().with_nested())?, &Vec::new())
}

fn pruned_id(journal: &dyn Journal) -> Outcome {
    settled(journal, "r", 1, "", Some("completed"))?;
    equal("removed", &journal.prune(moment(9)).wait()?, &1)?;
    equal("events", &claim(journal, "r")?.events, &Vec::new())
}
