//! Who may write to which run.

use super::Rule;
use super::scene::{
    Outcome, append, append_last, claim, ensure, equal, events, exclusive, found, kept, lease, refused, summary,
};
use crate::journal::{Claim, Journal, JournalError, RunQuery};

pub(super) const RULES: &[Rule] = &[
    ("a run that the journal does not have can be claimed, and is in no list before its first event", new_run),
    ("a run that is held cannot be claimed", held),
    ("a run that was given back can be claimed, with all its events, under a higher epoch", given_back),
    ("an append can give the run back", release_with_events),
    ("an append that failed does not give the run back", failed_release),
    ("a lease that was given back is worth nothing", old_lease),
    ("a run that was taken over refuses its old lease, and keeps nothing of it", taken_over),
    ("a lease that was taken over cannot give the run back", old_release),
    ("the lease of a run that never had an event fits no later one", no_event),
    ("a name that a run holds can be claimed by no other", names),
    ("a name is free once its run was given back", freed_names),
    ("a claim that fails takes nothing", failed_claim),
    ("a name that is taken over ends the lease of the run that held it", names_taken_over),
    ("a lease holds the names that were asked for with it, and no others", names_of_a_lease),
];

fn is_owned(error: &JournalError) -> bool {
    matches!(error, JournalError::Owned { owner, .. } if owner.pid == std::process::id())
}

fn is_taken_over(error: &JournalError) -> bool {
    matches!(error, JournalError::TakenOver { .. })
}

fn is_exclusive(error: &JournalError) -> bool {
    matches!(error, JournalError::Exclusive { name, holder, .. } if name == "web" && *holder == "a".into())
}

fn new_run(journal: &dyn Journal) -> Outcome {
    kept(journal, "r", &[])?;
    let claimed = claim(journal, "r")?;
    equal("events", &claimed.events, &Vec::new())?;
    equal("runs in the list", &found(journal, &RunQuery::all())?, &Vec::new())
}

fn held(journal: &dyn Journal) -> Outcome {
    let _first = lease(journal, "r")?;
    refused("a second claim", claim(journal, "r"), is_owned)?;
    lease(journal, "other").map(drop)
}

fn given_back(journal: &dyn Journal) -> Outcome {
    let events = events("r", 3)?;
    let first = lease(journal, "r")?;
    append(journal, &first, &events)?;
    ensure(summary(journal, "r")?.owner.is_some(), "the list does not say who drives the run")?;
    journal.release(&first).wait()?;
    equal("owner", &summary(journal, "r")?.owner, &None)?;
    let second = claim(journal, "r")?;
    equal("events", &second.events, &events)?;
    ensure(second.lease.epoch > first.epoch, "the epoch did not go up")
}

fn release_with_events(journal: &dyn Journal) -> Outcome {
    let events = events("r", 2)?;
    let first = lease(journal, "r")?;
    append(journal, &first, &events[..1])?;
    append_last(journal, &first, &events[1..])?;
    equal("owner", &summary(journal, "r")?.owner, &None)?;
    equal("events", &claim(journal, "r")?.events, &events)?;
    refused("an append of the old lease", append(journal, &first, &[]), is_taken_over)
}

fn failed_release(journal: &dyn Journal) -> Outcome {
    let events = events("r", 2)?;
    let first = lease(journal, "r")?;
    refused("event 2 first", append_last(journal, &first, &events[1..]), |_| true)?;
    refused("a second claim", claim(journal, "r"), is_owned)?;
    journal.release(&first).wait()?;
    lease(journal, "r").map(drop)
}

fn old_lease(journal: &dyn Journal) -> Outcome {
    let events = events("r", 2)?;
    let first = lease(journal, "r")?;
    append(journal, &first, &events[..1])?;
    journal.release(&first).wait()?;
    refused("an append", append(journal, &first, &events[1..]), is_taken_over)?;
    journal.release(&first).wait()?;
    kept(journal, "r", &events[..1])
}

fn taken_over(journal: &dyn Journal) -> Outcome {
    let events = events("r", 3)?;
    let first = lease(journal, "r")?;
    append(journal, &first, &events[..1])?;
    let second = journal.claim(&exclusive("r", &[], true)).wait()?;
    equal("events", &second.events, &events[..1].to_vec())?;
    refused("an append of the old lease", append(journal, &first, &events[1..2]), is_taken_over)?;
    append(journal, &second.lease, &events[1..2])?;
    refused("another one of the old lease", append(journal, &first, &events[2..]), is_taken_over)?;
    kept(journal, "r", &events[..2])
}

fn old_release(journal: &dyn Journal) -> Outcome {
    let events = events("r", 2)?;
    let first = lease(journal, "r")?;
    append(journal, &first, &events[..1])?;
    let second = journal.claim(&exclusive("r", &[], true)).wait()?;
    journal.release(&first).wait()?;
    refused("a third claim", claim(journal, "r"), is_owned)?;
    append(journal, &second.lease, &events[1..])?;
    kept(journal, "r", &events)
}

fn no_event(journal: &dyn Journal) -> Outcome {
    let first = lease(journal, "r")?;
    let second = journal.claim(&exclusive("r", &[], true)).wait()?.lease;
    journal.release(&second).wait()?;
    let _third = lease(journal, "r")?;
    for old in [&first, &second] {
        refused("an append of an old lease", append(journal, old, &events("r", 1)?), is_taken_over)?;
    }
    kept(journal, "r", &[])
}

fn names(journal: &dyn Journal) -> Outcome {
    journal.claim(&exclusive("a", &["web", "db"], false)).wait()?;
    refused("a claim of the name", journal.claim(&exclusive("b", &["web"], false)).wait(), is_exclusive)?;
    journal.claim(&exclusive("c", &["mail"], false)).wait()?;
    Ok(())
}

fn freed_names(journal: &dyn Journal) -> Outcome {
    let a = journal.claim(&exclusive("a", &["web"], false)).wait()?.lease;
    append(journal, &a, &events("a", 1)?)?;
    journal.release(&a).wait()?;
    let b = journal.claim(&exclusive("b", &["web"], false)).wait()?.lease;
    append_last(journal, &b, &events("b", 1)?)?;
    journal.claim(&exclusive("c", &["web"], false)).wait()?;
    Ok(())
}

fn failed_claim(journal: &dyn Journal) -> Outcome {
    journal.claim(&exclusive("a", &["web"], false)).wait()?;
    refused("both names", journal.claim(&exclusive("b", &["db", "web"], false)).wait(), is_exclusive)?;
    refused("both names again", journal.claim(&exclusive("b", &["web", "db"], false)).wait(), is_exclusive)?;
    journal.claim(&exclusive("c", &["db"], false)).wait()?;
    lease(journal, "b").map(drop)
}

fn names_taken_over(journal: &dyn Journal) -> Outcome {
    let events = events("a", 2)?;
    let a = journal.claim(&exclusive("a", &["web"], false)).wait()?.lease;
    append(journal, &a, &events[..1])?;
    let b = journal.claim(&exclusive("b", &["web"], true)).wait()?.lease;
    refused("an append of the run that held it", append(journal, &a, &events[1..]), is_taken_over)?;
    equal("events", &claim(journal, "a")?.events, &events[..1].to_vec())?;
    append(journal, &b, &super::scene::events("b", 1)?)?;
    Ok(())
}

fn names_of_a_lease(journal: &dyn Journal) -> Outcome {
    journal.claim(&exclusive("a", &["web"], false)).wait()?;
    journal.claim(&Claim { take_over: true, ..Claim::of("a") }).wait()?;
    journal.claim(&exclusive("b", &["web"], false)).wait()?;
    Ok(())
}
