//! What other programs see of a journal, by SQL.

use std::path::Path;

use rusqlite::types::Value;
use step_machine::event::RunStatus;
use step_machine::journal::{Journal, RunQuery};
use step_machine::{RunState, SqliteJournal, Workflow};

use super::{open, sql};
use crate::support::{Trouble, ok};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(name = "publish", on_failure = "rollback")]
enum Publish {
    #[step(output = String)]
    Build,
    #[step(retry(attempts = 2, delay = "0s"), undo)]
    CopyFiles,
    #[step(critical = false)]
    Scan,
    #[step(skippable)]
    Announce,
    HealthCheck,
}
use publish::*;

fn journal(path: &Path) -> SqliteJournal {
    let journal = open(path);
    fill(&journal);
    journal
}

/// One run that completed, one that failed and was rolled back, one that is left where it was.
pub(crate) fn fill<J: Journal + Clone + 'static>(journal: &J) {
    let begin = |id: &str| Publish::machine().id(id).label("who", "anna").journal(journal.clone()).begin().unwrap();
    let build = |cx: &mut step_machine::StepContext| {
        cx.metadata("buildType", "static");
        Ok::<_, Trouble>("v1.tar".to_owned())
    };
    let (run, _) = begin("web-42").step(Build, build).unwrap();
    let mut first = true;
    let flaky =
        |_: &mut step_machine::StepContext| if std::mem::take(&mut first) { Err(Trouble::Network) } else { Ok(()) };
    let run = run.step_retry(CopyFiles, flaky).unwrap().step(Scan, |_| Err(Trouble::Lost));
    run.skip(Announce, "quiet").step(HealthCheck, ok).unwrap().finish().unwrap();

    let (run, _) = begin("web-43").step(Build, build).unwrap();
    let run = run.step(CopyFiles, ok).unwrap().step(Scan, ok).skip(Announce, "quiet");
    let _ = run.step(HealthCheck, |_| Err(Trouble::Network)).unwrap_err().rollback(|_, _| Ok::<_, Trouble>(()));

    let (run, _) = begin("web-44").step(Build, build).unwrap();
    std::mem::forget(run);
}

/// The rows that a query finds, as text.
pub(crate) fn rows(path: &Path, query: &str) -> Vec<String> {
    let connection = sql(path);
    let mut select = connection.prepare(query).unwrap();
    let columns = select.column_count();
    let text = |value: Value| match value {
        Value::Null => "-".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => format!("{number:.0}"),
        Value::Text(text) => text,
        Value::Blob(_) => "blob".to_owned(),
    };
    let rows = select.query_map([], |row| {
        let columns = (0..columns).map(|at| row.get(at).map(text)).collect::<Result<Vec<_>, _>>();
        columns.map(|columns| columns.join(" | "))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_is_asked_of_deployments_is_one_query() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let _journal = journal(&path);
    let query = "SELECT id, phase, progress, metadata->>'buildType', status FROM runs ORDER BY id";
    assert_eq!(
        rows(&path, query),
        [
            "web-42 | health-check | 100 | static | completed",
            "web-43 | health-check | 80 | static | rolled_back",
            "web-44 | build | 20 | static | running",
        ]
    );
    let silent = "SELECT id FROM runs WHERE updated_at < strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-5 minutes')";
    assert!(rows(&path, silent).is_empty());
    let pid = std::process::id();
    assert_eq!(
        rows(&path, "SELECT id, owner_pid, error FROM runs ORDER BY id"),
        ["web-42 | - | -".to_owned(), "web-43 | - | connection refused".to_owned(), format!("web-44 | {pid} | -")]
    );
}

#[test]
fn the_steps_are_as_the_fold_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = journal(&path);
    for run in ["web-42", "web-43", "web-44"] {
        let events = journal.load(&run.into()).wait().unwrap();
        let state = RunState::fold(&events).unwrap().unwrap();
        let expected: Vec<String> = (state.plan().steps.iter())
            .map(|info| (info, state.step(&info.id).unwrap()))
            .filter(|(_, step)| step.status().as_str() != "pending")
            .map(|(info, step)| format!("{} | {} | {}", info.id, step.status(), step.attempts()))
            .collect();
        let query = format!("SELECT step, status, attempts FROM steps WHERE run = '{run}' ORDER BY seq");
        assert_eq!(rows(&path, &query), expected, "{run}");
    }
    assert_eq!(
        rows(&path, "SELECT run, step, error_kind, has_output FROM steps WHERE error_kind <> '-' OR has_output"),
        [
            "web-42 | build | - | 1",
            "web-42 | scan | lost | 0",
            "web-43 | build | - | 1",
            "web-43 | health-check | network | 0",
            "web-44 | build | - | 1"
        ]
    );
}

#[test]
fn the_events_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = journal(&path);
    let events = journal.load(&"web-42".into()).wait().unwrap();
    let expected: Vec<_> = events
        .iter()
        .map(|event| format!("{} | {} | {}", event.seq, event.event_type(), event.step().unwrap_or("-")))
        .collect();
    assert_eq!(rows(&path, "SELECT seq, type, step FROM events WHERE run = 'web-42' ORDER BY seq"), expected);
}

#[test]
fn a_summary_says_what_the_view_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = journal(&path);
    let listed = journal.list(&RunQuery::all().label("who", "anna")).wait().unwrap();
    let text = |time| humantime::format_rfc3339_micros(time).to_string();
    let expected: Vec<_> = (listed.iter())
        .map(|run| format!("{} | {} | {}", run.run, text(run.started_at), text(run.updated_at)))
        .collect();
    assert_eq!(rows(&path, "SELECT id, started_at, updated_at FROM runs ORDER BY updated_at DESC"), expected);
    assert_eq!(journal.list(&RunQuery::all().status(RunStatus::RolledBack)).wait().unwrap().len(), 1);
}

/// The queries of the page for this database.
pub(crate) fn documented(database: &str) -> Vec<String> {
    let page = include_str!("../../../docs/journal.md");
    page.split(&format!("{database}:\n\n```sql\n"))
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn what_is_asked_of_one_run_reads_only_that_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let _journal = journal(&path);
    for query in [
        "SELECT * FROM runs WHERE id = 'web-42'",
        "SELECT * FROM runs WHERE status IN ('running', 'rolling_back')",
        "SELECT * FROM events WHERE run = 'web-42'",
        "SELECT * FROM steps WHERE run = 'web-42'",
    ] {
        let plan = rows(&path, &format!("EXPLAIN QUERY PLAN {query}")).join("\n");
        let scans_all = plan.lines().any(|line| line.ends_with("SCAN run") || line.ends_with("SCAN record"));
        assert!(!scans_all, "{query}\n{plan}");
    }
}
