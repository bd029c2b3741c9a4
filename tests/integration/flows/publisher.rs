//! A user who publishes, with a platform of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use step_machine::RunState;
use step_machine::event::{Event, FailureRecord, Kind};
use tempfile::TempDir;

use super::user::{Screen, User};
use crate::validator::validate;

/// The pages of an application, as a user has them.
pub(crate) const PAGES: [(&str, &str); 4] = [
    ("index.html", "<h1>Mine</h1>\n"),
    ("about/index.html", "<h1>About me</h1>\n"),
    ("package.json", "{ \"name\": \"mine\", \"version\": \"2.0.0\", \"scripts\": { \"start\": \"node mine.js\" } }\n"),
    ("Dockerfile", "FROM scratch\nCOPY . /www\nWORKDIR /www\n"),
];

/// No process outlives it.
pub(crate) struct Publisher {
    pub(crate) user: User,
    /// Where the user has what is to be published.
    pub(crate) work: TempDir,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        Self { user: User::new(), work: tempfile::tempdir().unwrap() }
    }

    /// One that has published the embedded application, as `kind`.
    pub(crate) fn with(kind: &str) -> Self {
        let publisher = Self::new();
        let screen = publisher.publish(&[kind]);
        assert_eq!(screen.code, Some(0), "{screen}");
        publisher
    }

    pub(crate) fn publish(&self, arguments: &[&str]) -> Screen {
        self.user.run("publish", arguments)
    }

    /// Publishes, and checks every event.
    pub(crate) fn told(&self, arguments: &[&str]) -> Told {
        Told::of(self.publish(&[arguments, &["--format", "json"]].concat()))
    }

    /// What the application answers to `path`; `None` where nobody does.
    pub(crate) fn page(&self, path: &str) -> Option<(u16, String)> {
        let router: Value = serde_json::from_str(&fs::read_to_string(self.user.path("router.json")).ok()?).unwrap();
        get(u16::try_from(router["port"].as_u64().unwrap()).unwrap(), path)
    }

    /// Fails unless the first page says this.
    pub(crate) fn answers(&self, text: &str) {
        let (status, body) = self.page("/shop/").expect("the router answers");
        assert!(status == 200 && body.contains(text), "{status}: {body}");
    }

    /// A folder with the user's own pages.
    pub(crate) fn pages(&self, folder: &str) -> PathBuf {
        let folder = self.work.path().join(folder);
        write_pages(&folder);
        folder
    }

    /// A git repository with these pages on the branch `live`.
    pub(crate) fn repository(&self) -> String {
        let folder = self.pages("repository");
        git(&folder, &["init", "--quiet", "--initial-branch", "live"]);
        git(&folder, &["add", "."]);
        git(&folder, &["-c", "user.name=me", "-c", "user.email=me@localhost", "commit", "--quiet", "-m", "Begin"]);
        folder.display().to_string()
    }

    /// How many processes of the platform there are.
    #[cfg(unix)]
    pub(crate) fn processes(&self) -> usize {
        let home = self.user.path("").parent().unwrap().display().to_string();
        let found = Command::new("pgrep").args(["-f", &format!("serve .*{home}")]).output().unwrap();
        String::from_utf8(found.stdout).unwrap().lines().count()
    }

    /// What is in a folder of the platform.
    pub(crate) fn entries(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.user.path(folder)).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The steps at which `kind` can be made to fail, as it lists them itself.
    pub(crate) fn steps(&self, kind: &str) -> Vec<String> {
        let screen = self.publish(&[kind, "--fail-at", "there-is-no-such-step"]);
        assert_eq!(screen.code, Some(2), "{screen}");
        let list = screen.stderr.split_once("[possible values: ").expect("a list").1;
        list.split_once(']').unwrap().0.split(", ").map(str::to_owned).collect()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.publish(&["stop"]);
    }
}

/// A run with those that are nested in it.
pub(crate) struct Told {
    pub(crate) screen: Screen,
    events: Vec<Event>,
}

impl Told {
    pub(crate) fn of(screen: Screen) -> Self {
        let schema: Value = serde_json::from_str(&step_machine::schema::event_schema()).unwrap();
        for line in screen.stdout.lines() {
            let value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in\n{screen}"));
            assert_eq!(validate(&schema, &value), Ok(()), "{line}");
        }
        let events = screen.events();
        Self { screen, events }
    }

    /// The events of the run itself where `nested` is empty, or of one in it: `/step/workflow`.
    pub(crate) fn events(&self, nested: &str) -> Vec<Event> {
        let run = format!("{}{nested}", self.events[0].run);
        self.events.iter().filter(|event| event.run.to_string() == run).cloned().collect()
    }

    /// All events, in the order in which they were told.
    pub(crate) fn all(&self) -> &[Event] {
        &self.events
    }

    pub(crate) fn state(&self, nested: &str) -> RunState {
        RunState::fold(&self.events(nested)).unwrap().unwrap()
    }

    pub(crate) fn percentages(&self, nested: &str) -> Vec<f64> {
        let events = self.events(nested);
        events.iter().filter_map(|event| Some(event.progress.as_ref()?.percentage)).collect()
    }

    /// Fails where the progress of a run falls, or misses one of these.
    pub(crate) fn passes_through(&self, nested: &str, wanted: &[f64]) {
        let percentages = self.percentages(nested);
        assert!(percentages.is_sorted(), "{percentages:?}");
        for number in wanted {
            assert!(percentages.contains(number), "{number} is not in {percentages:?} of `{nested}`");
        }
    }

    /// The failure, by the last event of the whole.
    pub(crate) fn failure(&self) -> FailureRecord {
        match &self.events.last().unwrap().kind {
            Kind::RunEnd(end) => end.failure.clone().unwrap_or_else(|| panic!("no failure in\n{}", self.screen)),
            other => panic!("the last line is {}", other.event_type()),
        }
    }

    /// The steps of the failure, from the outermost to the one that is to blame, as `--fail-at` names them.
    pub(crate) fn failed_at(&self) -> String {
        let failure = self.failure();
        let nested = std::iter::successors(Some(&failure), |failure| failure.error.nested.as_deref());
        nested.map(|failure| failure.step.as_ref().unwrap().id().to_owned()).collect::<Vec<_>>().join("/")
    }
}

/// What is known of the innermost failure.
pub(crate) fn innermost(failure: FailureRecord) -> FailureRecord {
    match failure.error.nested {
        Some(nested) => innermost(*nested),
        None => failure,
    }
}

/// Writes the pages of an application to a folder.
pub(crate) fn write_pages(folder: &Path) {
    for (file, text) in PAGES {
        let file = folder.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
}

pub(crate) fn git(folder: &Path, arguments: &[&str]) {
    assert!(Command::new("git").arg("-C").arg(folder).args(arguments).status().unwrap().success());
}

/// What a router at this port answers.
pub(crate) fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
