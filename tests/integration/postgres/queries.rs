//! What other programs see of a journal, by SQL.

use step_machine::journal::{Journal, RunQuery};
use step_machine::{PostgresJournal, RunState};

use super::Place;
use crate::sqlite::queries::fill;

fn journal(place: &Place) -> PostgresJournal {
    let journal = place.open();
    fill(&journal);
    journal
}

#[test]
fn what_is_asked_of_deployments_is_one_query() {
    let place = Place::new();
    let _journal = journal(&place);
    let query = "SELECT id, phase, progress, metadata->>'buildType', updated_at IS NULL, status FROM runs ORDER BY id";
    assert_eq!(
        place.rows(query),
        [
            "web-42 | health-check | 100 | static | f | completed",
            "web-43 | health-check | 80 | static | f | rolled_back",
            "web-44 | build | 20 | static | f | running",
        ]
    );
    assert!(place.rows("SELECT id FROM runs WHERE updated_at < now() - interval '5 minutes'").is_empty());
    let pid = std::process::id();
    assert_eq!(
        place.rows("SELECT id, owner_pid, error FROM runs ORDER BY id"),
        ["web-42 | - | -".to_owned(), "web-43 | - | connection refused".to_owned(), format!("web-44 | {pid} | -")]
    );
}

#[test]
fn the_steps_are_as_the_fold_has_them() {
    let place = Place::new();
    let journal = journal(&place);
    for run in ["web-42", "web-43", "web-44"] {
        let events = journal.load(&run.into()).wait().unwrap();
        let state = RunState::fold(&events).unwrap().unwrap();
        let expected: Vec<String> = (state.plan().steps.iter())
            .map(|info| (info, state.step(&info.id).unwrap()))
            .filter(|(_, step)| step.status().as_str() != "pending")
            .map(|(info, step)| format!("{} | {} | {}", info.id, step.status(), step.attempts()))
            .collect();
        let query = format!("SELECT step, status, attempts FROM steps WHERE run = '{run}' ORDER BY seq");
        assert_eq!(place.rows(&query), expected, "{run}");
    }
    let query = "SELECT run, step, error_kind, has_output, ended_at >= started_at, duration_ms >= 0 FROM steps
        WHERE error_kind <> '-' OR has_output ORDER BY run, seq";
    assert_eq!(
        place.rows(query),
        [
            "web-42 | build | - | t | t | t",
            "web-42 | scan | lost | f | t | t",
            "web-43 | build | - | t | t | t",
            "web-43 | health-check | network | f | t | t",
            "web-44 | build | - | t | t | t"
        ]
    );
}

#[test]
fn the_events_are_all_there() {
    let place = Place::new();
    let journal = journal(&place);
    let events = journal.load(&"web-42".into()).wait().unwrap();
    let expected: Vec<_> = events
        .iter()
        .map(|event| format!("{} | {} | {}", event.seq, event.event_type(), event.step().unwrap_or("-")))
        .collect();
    assert_eq!(place.rows("SELECT seq, type, step FROM events WHERE run = 'web-42' ORDER BY seq"), expected);
}

#[test]
fn a_summary_says_what_the_view_says() {
    let place = Place::new();
    let journal = journal(&place);
    let listed = journal.list(&RunQuery::all().label("who", "anna")).wait().unwrap();
    let micros = |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    let expected: Vec<_> = (listed.iter())
        .map(|run| format!("{} | {} | {}", run.run, micros(run.started_at), micros(run.updated_at)))
        .collect();
    let query = "SELECT id, (extract(epoch from started_at) * 1000000)::bigint,
        (extract(epoch from updated_at) * 1000000)::bigint FROM runs ORDER BY updated_at DESC";
    assert_eq!(place.rows(query), expected);
    assert_eq!(journal.list(&RunQuery::all().label("who", "ben")).wait().unwrap(), []);
    assert_eq!(journal.list(&RunQuery::unfinished().limit(1)).wait().unwrap().len(), 1);
}

#[test]
fn what_is_asked_of_one_run_reads_only_that_one() {
    let place = Place::new();
    let _journal = journal(&place);
    for query in [
        "SELECT * FROM runs WHERE id = 'web-42'",
        "SELECT * FROM runs WHERE status IN ('running', 'rolling_back')",
        "SELECT * FROM events WHERE run = 'web-42'",
        "SELECT * FROM steps WHERE run = 'web-42'",
    ] {
        // With so few rows it would be quicker to read all.
        let plan = place.rows(&format!("SET enable_seqscan = off; EXPLAIN {query}")).join("\n");
        assert!(!plan.contains("Seq Scan on run") && !plan.contains("Seq Scan on record"), "{query}\n{plan}");
    }
}
