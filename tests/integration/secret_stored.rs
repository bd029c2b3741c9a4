//! What a database has of an output that is secret, and of values that are redacted by key: nothing that can be read.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use step_machine::event::RunStatus;
use step_machine::journal::RunQuery;
use step_machine::{Journal, MachineBuilder, SqliteJournal, StepContext};

use crate::secret::deploy::{GetToken, Start, Upload};
use crate::secret::{Deploy, PASSWORD, Token, sealer, token};
use crate::sqlite::queries::{documented, rows};
use crate::support::{Trouble, ok, unreachable_body};

const LABEL: &str = "hunter2-4712";
const METADATA: &str = "hunter2-4713";
const INPUT: &str = "hunter2-4714";

/// A journal in a database, and what others find there.
struct Stored<'a> {
    open: &'a dyn Fn() -> Arc<dyn Journal>,
    /// The rows of a query.
    rows: &'a dyn Fn(&str) -> Vec<String>,
    /// All that there is, as text.
    all: &'a dyn Fn() -> String,
    /// The query for the output of a step, as the page has it.
    output: String,
}

fn builder(journal: &Arc<dyn Journal>) -> MachineBuilder<Deploy> {
    let run = Deploy::machine().id("web-42").journal(journal.clone()).codec(sealer());
    let run = run.redact("api-token").redact("password").redact("pin");
    run.label("ticket", "OPS-12").label("api-token", LABEL).input(json!({ "host": "web-1", "pin": INPUT }))
}

fn get_token(cx: &mut StepContext) -> Result<Token, Trouble> {
    cx.metadata("password", METADATA);
    cx.metadata("user", "anna-4715");
    Ok(token())
}

impl Stored<'_> {
    fn test(&self) {
        let journal = (self.open)();
        let (run, _) = builder(&journal).begin().unwrap().step(GetToken, get_token).unwrap();
        let (run, _) = run.step(Start, |_| Ok::<_, Trouble>(8080)).unwrap();
        self.assert_nothing_is_told();
        assert_eq!(
            (self.rows)("SELECT step, CASE WHEN has_output THEN 'has' ELSE 'no' END FROM steps ORDER BY seq"),
            ["get-token | has", "start | has"]
        );
        drop((run, journal));

        // As another process does that goes on.
        let journal = (self.open)();
        let (run, again) = builder(&journal).begin().unwrap().step(GetToken, unreachable_body).unwrap();
        assert_eq!(again, token());
        let (run, port) = run.step(Start, unreachable_body).unwrap();
        assert_eq!(port, 8080);
        let report = run.step(Upload, ok).unwrap().finish().unwrap();
        assert_eq!(report.state().status(), RunStatus::Completed);
        assert_eq!(report.state().output(GetToken).unwrap(), Some(token()));
        self.assert_nothing_is_told();
        assert_eq!(
            (self.rows)("SELECT step, CASE WHEN has_output THEN 'has' ELSE 'no' END FROM steps ORDER BY seq"),
            ["get-token | has", "start | has", "upload | no"]
        );
        let output = |step: &str| (self.rows)(&self.output.replace("'build'", &format!("'{step}'")));
        assert_eq!((output("start"), output("get-token")), (vec!["8080".to_owned()], vec!["-".to_owned()]));
        let listed = journal.list(&RunQuery::of("web-42")).wait().unwrap();
        assert_eq!((&*listed[0].labels["api-token"], &*listed[0].labels["ticket"]), ("[redacted]", "OPS-12"));
    }

    fn assert_nothing_is_told(&self) {
        let (rows, all) = (self.rows, (self.all)());
        let views =
            ["SELECT * FROM runs", "SELECT * FROM steps", "SELECT * FROM events"].map(|query| rows(query).join("\n"));
        for hidden in [PASSWORD, LABEL, METADATA, INPUT] {
            assert!(!all.contains(hidden), "the database has {hidden}");
            for view in &views {
                assert!(!view.contains(hidden), "a view has {hidden}:\n{view}");
            }
        }
        // What is no secret is found just there.
        for shown in ["OPS-12", "anna-4715", "x1.a."] {
            assert!(all.contains(shown), "the database does not have {shown}");
        }
        let columns = rows(
            "SELECT labels ->> 'api-token', labels ->> 'ticket', metadata ->> 'password', metadata ->> 'user' FROM runs",
        );
        assert_eq!(columns, ["[redacted] | OPS-12 | [redacted] | anna-4715"]);
        let sealed =
            rows("SELECT body ->> 'secret', body ->> 'sealed' FROM events WHERE type = 'step_end' ORDER BY seq");
        assert!(sealed[0].contains(" | x1.a.") && sealed[1] == "- | -", "{sealed:?}");
    }
}

fn documented_output(database: &str) -> String {
    documented(database).into_iter().find(|query| query.contains("AS output")).unwrap()
}

/// All bytes of all files of a folder, and of its folders.
fn bytes(folder: &Path) -> Vec<u8> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { bytes(&path) } else { fs::read(&path).unwrap() }).collect()
}

#[test]
fn a_file_has_no_secret_in_any_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let wal = folder.path().join("runs.db-wal");
    let stored = Stored {
        open: &|| Arc::new(SqliteJournal::open(&path).unwrap()),
        rows: &|query| rows(&path, query),
        all: &|| {
            assert!(fs::metadata(&wal).unwrap().len() > 0, "the journal is open, and its WAL has something");
            String::from_utf8_lossy(&bytes(folder.path())).into_owned()
        },
        output: documented_output("SQLite"),
    };
    stored.test();
}

#[cfg(unix)]
#[test]
fn a_server_has_no_secret_in_any_row() {
    let place = crate::postgres::Place::new();
    let tables = ["run", "record", "owner", "exclusive"];
    let stored = Stored {
        open: &|| Arc::new(place.open()),
        rows: &|query| place.rows(query),
        all: &|| {
            let rows = tables.map(|table| place.rows(&format!("SELECT {table}::text FROM {table}")).join("\n"));
            rows.join("\n")
        },
        output: documented_output("PostgreSQL"),
    };
    stored.test();
}
