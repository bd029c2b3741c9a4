//! Many runs that are removed, while others write.

use std::time::SystemTime;

use step_machine::journal::{Append, Claim, Journal, RunQuery};

use super::{event, events, open, sql};
use crate::damaged_rows::{Driven, fill, is_not_removed_for_a_time_that_was_changed};

const RUNS: usize = 1_203;

#[test]
fn runs_are_removed_a_part_at_a_time_so_that_others_write_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let replies: Vec<_> = (0..RUNS)
        .map(|run| {
            let id = format!("r{run}");
            let mut all = events(&id, 1);
            all.push(event(&id, 2, r#""type":"run_end","status":"cancelled""#));
            let lease = journal.claim(&Claim::of(id.as_str())).wait().unwrap().lease;
            let mut append = Append::new(&lease, &all);
            append.release = true;
            journal.append(append)
        })
        .collect();
    for reply in replies {
        reply.wait().unwrap();
    }

    // What is asked for while another program writes waits for it, in this order.
    let other = sql(&path);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let pruned = journal.prune(SystemTime::now());
    let last = format!("r{}", RUNS - 1);
    let claimed = journal.claim(&Claim::of(last.as_str()));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(claimed.wait().unwrap().events.len(), 2, "it is claimed before its turn to be removed comes");
    assert_eq!(pruned.wait().unwrap(), RUNS - 1);
    let left = journal.list(&RunQuery::all()).wait().unwrap();
    assert_eq!(left.iter().map(|run| run.run.to_string()).collect::<Vec<_>>(), [last]);
    assert_eq!(sql(&path).query_row("SELECT count(*) FROM record", [], |row| row.get(0)), Ok(1));
}

#[test]
fn a_run_whose_time_was_changed_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    fill(&open(&path), Driven::Together);
    let change = |row: &str| {
        let changed = sql(&path).execute(&format!("UPDATE record SET at_us = 0 WHERE {row}"), []);
        assert_eq!(changed.unwrap(), 1);
    };
    is_not_removed_for_a_time_that_was_changed(&open(&path), change);
}
