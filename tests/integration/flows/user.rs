//! A user at a terminal, with the examples built and a folder of its own.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use step_machine::event::{Event, EventLines, EventType, FailureRecord, Kind, RunEnd};
use step_machine::{FailureContext, Journal, RunState, SqliteJournal, Workflow};
use step_machine_examples::steps::ProvisionStep;
use tempfile::TempDir;

#[cfg(unix)]
use crate::postgres::Database;

/// The program of an example, built once as a user builds it.
pub(crate) fn program(example: &str) -> &'static Path {
    static PROGRAMS: OnceLock<Option<HashMap<String, PathBuf>>> = OnceLock::new();
    let build = || build(&["-p", "step-machine-examples", "--examples", "--features", "postgres"]);
    &PROGRAMS.get_or_init(build).as_ref().expect("the examples build")[example]
}

/// The programs that cargo builds where it is asked for `what`, by name.
pub(crate) fn build(what: &[&str]) -> Option<HashMap<String, PathBuf>> {
    // Into the folder that this test was built into, wherever the user has it.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--message-format=json-render-diagnostics"])
        .args(what)
        .arg("--target-dir")
        .arg(target)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    if !built.status.success() {
        return None;
    }
    let messages = String::from_utf8(built.stdout).unwrap();
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let example = |message: Value| {
        let program = message["executable"].as_str()?.into();
        Some((message["target"]["name"].as_str()?.to_owned(), program))
    };
    Some(messages.filter_map(example).collect())
}

/// A folder to run the examples in. No instance outlives it.
pub(crate) struct User {
    home: TempDir,
    /// Who walks the steps of `provision`.
    drive: &'static str,
    /// Where runs are kept that are not to be in files.
    #[cfg(unix)]
    database: Option<Database>,
}

/// What a command left on the screen.
#[derive(Debug)]
pub(crate) struct Screen {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl User {
    pub(crate) fn new() -> Self {
        Self::driving("machine")
    }

    /// A user who has `drive` walk the steps of `provision`.
    pub(crate) fn driving(drive: &'static str) -> Self {
        // Here, and not where the user is dropped, a build that fails may panic.
        program("provision");
        Self {
            home: tempfile::tempdir().unwrap(),
            drive,
            #[cfg(unix)]
            database: None,
        }
    }

    /// The same, whose runs are kept in a database of a server.
    #[cfg(unix)]
    pub(crate) fn with_database(mut self) -> Self {
        self.database = Some(Database::new());
        self
    }

    #[cfg(unix)]
    pub(crate) fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// The journal of this user; `None` where none was made yet.
    pub(crate) fn journal(&self) -> Option<Arc<dyn Journal>> {
        #[cfg(unix)]
        if let Some(database) = &self.database {
            return Some(Arc::new(database.journal()));
        }
        let path = self.path("runs.db");
        path.exists().then(|| Arc::new(SqliteJournal::open(path).unwrap()) as Arc<dyn Journal>)
    }

    /// A command on the environment `demo` of this user.
    pub(crate) fn command(&self, example: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(example));
        command.args(arguments).args(["--dir", "demo"]).current_dir(self.home.path());
        if example == "provision" && arguments.first() != Some(&"destroy") {
            command.args(["--drive", self.drive]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What a run looks like is the same wherever the tests are run.
        for variable in ["GITHUB_ACTIONS", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "STEP_MACHINE_JOURNAL"] {
            command.env_remove(variable);
        }
        #[cfg(unix)]
        command.envs(self.database.iter().map(|database| ("STEP_MACHINE_JOURNAL", &database.url)));
        command
    }

    pub(crate) fn run(&self, example: &str, arguments: &[&str]) -> Screen {
        Screen::of(self.command(example, arguments))
    }

    pub(crate) fn provision(&self, arguments: &[&str]) -> Screen {
        self.run("provision", arguments)
    }

    pub(crate) fn configure(&self, arguments: &[&str]) -> Screen {
        self.run("configure", arguments)
    }

    pub(crate) fn deploy(&self, arguments: &[&str]) -> Screen {
        self.run("deploy", arguments)
    }

    /// A file or folder of the environment.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.home.path().join("demo").join(path)
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) fn read_json(&self, path: &str) -> Value {
        serde_json::from_str(&self.read(path)).unwrap()
    }

    /// The failure that is stored with the environment.
    pub(crate) fn stored_failure(&self) -> FailureContext<ProvisionStep> {
        let mut environment = self.read_json("environment.json");
        assert_eq!(environment["state"], "provision_failed");
        serde_json::from_value(environment["failure"].take()).unwrap()
    }

    /// The port that the instance was to listen on.
    pub(crate) fn port(&self) -> u16 {
        let port = &self.read_json("build/tofu/user-data.json")["port"];
        u16::try_from(port.as_u64().unwrap()).unwrap()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.provision(&["destroy"]);
    }
}

impl Screen {
    pub(crate) fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The standard output as events, every line of it.
    pub(crate) fn events(&self) -> Vec<Event> {
        EventLines::new(self.stdout.as_bytes()).collect::<Result<_, _>>().unwrap()
    }

    /// The run that the events tell.
    pub(crate) fn state(&self) -> RunState {
        RunState::fold(&self.events()).unwrap().unwrap()
    }

    /// The last event, which ends the run.
    pub(crate) fn run_end(&self) -> RunEnd {
        match self.events().pop().unwrap().kind {
            Kind::RunEnd(end) => *end,
            other => panic!("the last line is {}", other.event_type()),
        }
    }

    pub(crate) fn failure(&self) -> FailureRecord {
        self.run_end().failure.unwrap()
    }

    /// The events by type and step, without what a step says on its way.
    pub(crate) fn story(&self) -> Vec<String> {
        let said = [EventType::Stdout, EventType::Stderr, EventType::StepUpdate];
        let events = self.events().into_iter().filter(|event| !said.contains(&event.event_type()));
        events.map(|event| format!("{} {}", event.event_type(), event.step().unwrap_or_default())).collect()
    }

    /// Fails with the whole screen where `text` is not on standard error.
    pub(crate) fn complains(&self, text: &str) {
        assert!(self.stderr.contains(text), "`{text}` is not on\n{self}");
    }

    /// Fails with the whole screen where `text` is not on standard output.
    pub(crate) fn tells(&self, text: &str) {
        assert!(self.stdout.contains(text), "`{text}` is not on\n{self}");
    }
}

impl std::fmt::Display for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Waits for what another process is about to do.
pub(crate) fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What the instance at `port` says to those who connect; `None` where nothing answers.
pub(crate) fn greeting(port: u16) -> Option<String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut greeting = String::new();
    BufReader::new(stream).read_line(&mut greeting).ok()?;
    (!greeting.is_empty()).then_some(greeting)
}

pub(crate) fn assert_gone(port: u16) {
    // Another instance may have got the port in the meantime; it goes as well.
    eventually("the server is gone", || greeting(port).is_none());
}

/// The events of a step that runs once, as a story tells them.
pub(crate) fn start_and_end(step: ProvisionStep) -> [String; 2] {
    [format!("step_start {}", step.id()), format!("step_end {}", step.id())]
}

/// A `PATH` with `folder` before everything else.
pub(crate) fn path_with(folder: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path)))
        .unwrap_or_else(|_| OsStr::new("").to_owned())
}
