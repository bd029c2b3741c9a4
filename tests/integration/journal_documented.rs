//! The queries of `docs/journal.md`, and the rows that they give of journals whose runs are known.

use std::time::{Duration, SystemTime};

use step_machine::event::Event;
use step_machine::journal::{Append, Claim, Lease};
use step_machine::time::ManualClock;
use step_machine::{Journal, MemoryJournal, SqliteJournal, StepContext, StepError, Workflow};

use crate::sqlite::event;
use crate::sqlite::queries::{documented, rows};
use crate::support::seed;

/// The run of which something was just heard.
const SPEAKS: &str = "web-49/build/upload/apply/disk";

const FIVE_MINUTES: Duration = Duration::from_secs(300);

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(name = "publish", on_failure = "rollback")]
enum Publish {
    #[step(output = String)]
    Build,
    #[step(retry(attempts = 2, delay = "0s"), undo)]
    CopyFiles,
    #[step(critical = false)]
    Scan,
    HealthCheck,
}
use publish::*;

#[derive(Debug, thiserror::Error, StepError)]
enum PublishError {
    #[error("{0} does not answer")]
    #[step_error(kind = "network")]
    Silent(&'static str),
    #[error("the list is of last year")]
    #[step_error(kind = "outdated")]
    Old,
}

/// How a run of the first hours of 2026 goes.
#[derive(Default)]
struct Course {
    hour: u64,
    /// How many seconds it builds.
    build: u64,
    /// Who does not answer while files are copied, the first time.
    copy: Option<&'static str>,
    scan_fails: bool,
    /// Who does not answer at the end.
    health: Option<&'static str>,
}

impl Course {
    /// Its events: all of them, or as many as there are up to where its process died.
    fn events(&self, id: &str) -> Vec<Event> {
        let (clock, journal) = (ManualClock::new(), MemoryJournal::new());
        clock.advance(Duration::from_secs(self.hour * 3600));
        let seconds = |seconds| clock.advance(Duration::from_secs(seconds));
        let run = Publish::machine().id(id).clock(clock.clone()).journal(journal.clone()).begin().unwrap();
        let build = |cx: &mut StepContext| {
            cx.metadata("buildType", "static");
            cx.stdout("42 files");
            seconds(self.build);
            Ok::<_, PublishError>(format!("{id}.tar"))
        };
        let (run, _) = run.step(Build, build).unwrap();
        let mut silent = self.copy;
        let copy = |_: &mut StepContext| {
            seconds(2);
            silent.take().map_or(Ok(()), |host| Err(PublishError::Silent(host)))
        };
        let run = run.step_retry(CopyFiles, copy).unwrap();
        let run = run.step(Scan, |_| if self.scan_fails { Err(PublishError::Old) } else { Ok(()) });
        let checked = run.step(HealthCheck, |_| {
            seconds(3);
            self.health.map_or(Ok(()), |host| Err(PublishError::Silent(host)))
        });
        match checked {
            Ok(run) => drop(run.finish().unwrap()),
            Err(failure) => {
                let _ = failure.rollback(|_, _| {
                    seconds(1);
                    Ok::<_, PublishError>(())
                });
            }
        }
        journal.load(&id.into()).wait().unwrap()
    }
}

/// The first events, up to the first of this type.
fn up_to(mut events: Vec<Event>, last: &str) -> Vec<Event> {
    let at = events.iter().position(|event| event.event_type().to_string() == last).unwrap();
    events.truncate(at + 1);
    events
}

/// Fills a journal; the lease is of the run that is just driven.
fn fill(journal: &dyn Journal) -> Lease {
    let finished = Course { hour: 1, build: 10, copy: Some("the store"), scan_fails: true, health: None };
    seed(journal, &finished.events("web-42"));
    let failed = |hour, build, host| Course { hour, build, health: Some(host), ..Course::default() };
    seed(journal, &failed(2, 20, "web-43").events("web-43"));
    seed(journal, &failed(3, 30, "web-44").events("web-44"));
    // Three that their processes left: forwards, backwards, and one that was given up.
    let left = |hour| Course { hour, build: 40, copy: Some("the store"), ..Course::default() };
    let mut silent = up_to(left(4).events("web-45"), "step_retry");
    let retried = silent.last().unwrap().seq;
    silent.push(stalled(&silent[0], retried + 1));
    seed(journal, &silent);
    seed(journal, &up_to(failed(5, 20, "web-46").events("web-46"), "undo_start"));
    seed(journal, &up_to(left(6).events("web-47"), "step_retry"));
    journal.abandon(&"web-47".into(), "nobody asks for it").wait().unwrap();
    seed(journal, &[nested("web-45", "web-45/copy-files/upload")]);
    // One that is silent itself, and so is what is nested in it; but not what is nested in that.
    seed(journal, &up_to(left(7).events("web-49"), "step_start"));
    seed(journal, &[nested("web-49", "web-49/build/upload")]);
    let mut speaks = nested("web-49/build/upload", SPEAKS);
    speaks.at = SystemTime::now();
    seed(journal, &[speaks]);
    // And one that is just driven.
    let lease = journal.claim(&Claim::of("web-48")).wait().unwrap().lease;
    journal.append(Append::new(&lease, &begun("web-48"))).wait().unwrap();
    lease
}

/// That nothing is heard of a step, said just now: nothing is heard of the run by that.
fn stalled(first: &Event, seq: u64) -> Event {
    let now = humantime::format_rfc3339_micros(SystemTime::now());
    let elapsed = SystemTime::now().duration_since(first.at).unwrap().as_millis();
    Event::from_json(&format!(
        r#"{{"v":1,"run":"{}","workflow":"publish","seq":{seq},"at":"{now}","elapsed_ms":{elapsed}.0,
            "type":"stalled","step":"copy-files","silent_ms":300000.0}}"#,
        first.run
    ))
    .unwrap()
}

/// A run inside of another one, and silent.
fn nested(outer: &str, id: &str) -> Event {
    let plan = r#"{"workflow":"provision","steps":[{"id":"apply","name":"Apply"}]}"#;
    event(id, 1, &format!(r#""type":"run_start","plan":{plan},"parent":{{"run":"{outer}","step":"build"}}"#))
}

/// A run of now that begins its first step.
fn begun(id: &str) -> Vec<Event> {
    let journal = MemoryJournal::new();
    drop(Publish::machine().id(id).journal(journal.clone()).begin().unwrap().step(Build, |_| Err(PublishError::Old)));
    up_to(journal.load(&id.into()).wait().unwrap(), "step_start")
}

/// What each query of the page gives, in its order. A time of `web-48`, which runs now, is its own.
fn expected(journal: &dyn Journal) -> Vec<(&'static str, Vec<String>)> {
    let find = |run: &str| journal.list(&step_machine::journal::RunQuery::of(run)).wait().unwrap().remove(0);
    let now = find("web-48");
    let updated = humantime::format_rfc3339_micros(now.updated_at);
    let spoke = humantime::format_rfc3339_micros(find(SPEAKS).updated_at);
    let owner = now.owner.unwrap();
    let owner = format!("{} | {}", owner.host, owner.pid);
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    vec![
        (
            "where runs are",
            vec![
                "web-42 | health-check | 100 | static | 2026-01-01T01:00:17.000000Z | completed".to_owned(),
                "web-43 | health-check | 75 | static | 2026-01-01T02:00:26.000000Z | rolled_back".to_owned(),
                "web-44 | health-check | 75 | static | 2026-01-01T03:00:36.000000Z | rolled_back".to_owned(),
                "web-45 | copy-files | 25 | static | 2026-01-01T04:00:42.000000Z | running".to_owned(),
                "web-45/copy-files/upload | - | 0 | - | 2026-01-01T00:00:01.000000Z | running".to_owned(),
                "web-46 | health-check | 75 | static | 2026-01-01T05:00:25.000000Z | rolling_back".to_owned(),
                "web-47 | copy-files | 25 | static | 2026-01-01T06:00:42.000000Z | running".to_owned(),
                format!("web-48 | build | 0 | - | {updated} | running"),
                "web-49 | build | 0 | - | 2026-01-01T07:00:00.000000Z | running".to_owned(),
                "web-49/build/upload | - | 0 | - | 2026-01-01T00:00:01.000000Z | running".to_owned(),
                format!("{SPEAKS} | - | 0 | - | {spoke} | running"),
            ],
        ),
        (
            "unfinished runs",
            vec![
                format!("web-48 | publish | build | 0 | {owner}"),
                "web-49 | publish | build | 0 | - | -".to_owned(),
                "web-46 | publish | health-check | 75 | - | -".to_owned(),
                "web-45 | publish | copy-files | 25 | - | -".to_owned(),
            ],
        ),
        (
            "stalled runs",
            lines(&[
                "web-45 | copy-files | 2026-01-01T04:00:42.000000Z | - | -",
                "web-46 | health-check | 2026-01-01T05:00:25.000000Z | - | -",
            ]),
        ),
        (
            "the slowest steps",
            lines(&[
                // 10, 20, 30, 40, 20 and 40 s; once 4 s and once 2 s, where it was not undone; none of the scans is slow.
                "publish | build | 6 | 26667 | 40000",
                "publish | copy-files | 2 | 3000 | 4000",
                "publish | health-check | 1 | 3000 | 3000",
                "publish | scan | 3 | 0 | 0",
            ]),
        ),
        (
            "the most frequent failures",
            lines(&[
                "publish | health-check | network | 3 | 2026-01-01T05:00:25.000000Z | web-46 does not answer",
                "publish | scan | outdated | 1 | 2026-01-01T01:00:14.000000Z | the list is of last year",
            ]),
        ),
        (
            "the timeline of one run",
            lines(&[
                "1 | 2026-01-01T01:00:00.000000Z | run_start | - | -",
                "2 | 2026-01-01T01:00:00.000000Z | step_start | build | -",
                "3 | 2026-01-01T01:00:00.000000Z | step_update | build | -",
                "4 | 2026-01-01T01:00:00.000000Z | stdout | build | 42 files",
                "5 | 2026-01-01T01:00:10.000000Z | step_end | build | completed",
                "6 | 2026-01-01T01:00:10.000000Z | step_start | copy-files | -",
                "7 | 2026-01-01T01:00:12.000000Z | step_retry | copy-files | the store does not answer",
                "8 | 2026-01-01T01:00:12.000000Z | step_start | copy-files | -",
                "9 | 2026-01-01T01:00:14.000000Z | step_end | copy-files | completed",
                "10 | 2026-01-01T01:00:14.000000Z | step_start | scan | -",
                "11 | 2026-01-01T01:00:14.000000Z | step_end | scan | the list is of last year",
                "12 | 2026-01-01T01:00:14.000000Z | step_start | health-check | -",
                "13 | 2026-01-01T01:00:17.000000Z | step_end | health-check | completed",
                "14 | 2026-01-01T01:00:17.000000Z | run_end | - | completed",
            ]),
        ),
        (
            "how long the steps of one run took",
            lines(&[
                "build | completed | 1 | 10000 | -",
                "copy-files | completed | 2 | 4000 | -",
                "scan | skipped | 1 | 0 | the list is of last year",
                "health-check | completed | 1 | 3000 | -",
            ]),
        ),
        ("the output of a step", lines(&["\"web-42.tar\""])),
    ]
}

/// Asks each query of the page, and compares the rows.
fn gives(journal: &dyn Journal, database: &str, ask: impl Fn(&str) -> Vec<String>) {
    let _driven = fill(journal);
    let (queries, expected) = (documented(database), expected(journal));
    assert_eq!(queries.len(), expected.len(), "{database}");
    for (at, (query, (title, expected))) in queries.iter().zip(expected).enumerate() {
        let mut found = ask(query);
        if at == 0 {
            // It asks for no order.
            found.sort();
        }
        assert_eq!(found, expected, "{database}, {title}:\n{query}");
    }
    stalled_are_those_that_the_library_finds(journal, &ask(&queries[2]));
}

fn stalled_are_those_that_the_library_finds(journal: &dyn Journal, rows: &[String]) {
    let listed = journal.stalled(FIVE_MINUTES).wait().unwrap();
    // The library tells the newest first, the page the oldest.
    let listed: Vec<_> = listed.iter().rev().map(|run| run.run.to_string()).collect();
    let found: Vec<_> = rows.iter().map(|row| row.split(" | ").next().unwrap()).collect();
    assert_eq!(found, listed);
}

#[test]
fn the_documented_queries_give_the_rows_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    gives(&SqliteJournal::open(&path).unwrap(), "SQLite", |query| rows(&path, query));
}

#[cfg(unix)]
#[test]
fn the_documented_queries_give_the_rows_that_are_there_on_a_server() {
    /// A time of the server as the other journal writes it.
    fn time(column: &str) -> String {
        let Some((day, clock)) = column.strip_suffix("+00").and_then(|time| time.split_once(' ')) else {
            // A number without its fraction, as the other journal's are shown.
            let number = column.parse::<f64>().ok().filter(|_| column.contains('.'));
            return number.map_or_else(|| column.to_owned(), |number| format!("{number:.0}"));
        };
        let (seconds, fraction) = clock.split_once('.').unwrap_or((clock, ""));
        format!("{day}T{seconds}.{fraction:0<6}Z")
    }
    let place = crate::postgres::Place::new();
    gives(&place.open(), "PostgreSQL", |query| {
        let rows = place.rows(&format!("SET TIME ZONE 'UTC'; {query}"));
        rows.iter().map(|row| row.split(" | ").map(time).collect::<Vec<_>>().join(" | ")).collect()
    });
}
