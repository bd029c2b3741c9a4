//! A user who deploys by `compose`, with a project of its own, and what somebody sees who only looks.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use step_machine_examples::steps::ComposeStep;
use tempfile::TempDir;

use super::deploy_site::{is_half_done, is_valid, names};
use super::publisher::{get, git};
use super::user::{Screen, User, eventually};

/// No process outlives it.
pub(crate) struct Shop {
    pub(crate) user: User,
    /// Where the user has files of its own.
    work: TempDir,
}

impl Shop {
    pub(crate) fn new() -> Self {
        Self { user: User::new(), work: tempfile::tempdir().unwrap() }
    }

    /// One whose versions were deployed one after the other, by their tags.
    pub(crate) fn with(tags: &[&str]) -> Self {
        let shop = Self::new();
        for tag in tags {
            let screen = shop.compose(&["--ref", tag, "--strict"]);
            assert_eq!(screen.code, Some(0), "{screen}");
        }
        shop
    }

    pub(crate) fn compose(&self, arguments: &[&str]) -> Screen {
        self.user.run("compose", arguments)
    }

    /// Deploys, and checks every event.
    #[track_caller]
    pub(crate) fn told(&self, arguments: &[&str]) -> Screen {
        let screen = self.compose(&[arguments, &["--format", "json"]].concat());
        is_valid(&screen);
        screen
    }

    /// What the router answers to `path`; `None` where there is none.
    pub(crate) fn ask(&self, path: &str) -> Option<(u16, String)> {
        let router: Value = serde_json::from_str(&fs::read_to_string(self.user.path("router.json")).ok()?).unwrap();
        get(u16::try_from(router["port"].as_u64().unwrap()).unwrap(), path)
    }

    /// This version answers, as this deployment, and nothing else runs or is left of whatever happened.
    #[track_caller]
    pub(crate) fn runs(&self, version: &str, deployment: &str) {
        let page = format!("web {version}, api {version}, db 1\n");
        assert_eq!(self.ask("/"), Some((200, page)));
        assert_eq!(self.ask("/deployment"), Some((200, deployment.to_owned())));
        assert_eq!(self.user.read_json("current.json")["deployment"], deployment);
        eventually("three services and a router run", || self.processes().len() == 4);
        let services = format!("services/{deployment}/");
        assert_eq!(self.processes().iter().filter(|process| process.contains(&services)).count(), 3);
        nothing_half_done(&self.user.path(""));
    }

    /// Nothing answers, and nothing runs.
    #[track_caller]
    pub(crate) fn nothing_runs(&self) {
        assert_eq!(self.ask("/"), None);
        eventually("all processes end", || self.processes().is_empty());
    }

    /// The processes that have the folder of the user among their arguments.
    pub(crate) fn processes(&self) -> Vec<String> {
        let home = self.user.path("").parent().unwrap().display().to_string();
        let listed = std::process::Command::new("ps").args(["-A", "-ww", "-o", "args="]).output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        listed.lines().filter(|line| line.contains(&home)).map(str::to_owned).collect()
    }

    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        names(&self.user, folder)
    }

    /// A file of the user.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// The lines of JSON in a file of the user.
    pub(crate) fn lines(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.file(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A git repository whose branch `main` has this compose file.
    pub(crate) fn repository(&self, compose: &Value) -> String {
        let folder = self.file("repository");
        if !folder.exists() {
            fs::create_dir(&folder).unwrap();
            git(&folder, &["init", "--quiet", "--initial-branch", "main"]);
        }
        commit(&folder, "compose.json", &compose.to_string());
        folder.display().to_string()
    }
}

/// Nothing is left that something was to become, but for what `git` keeps for itself.
#[track_caller]
fn nothing_half_done(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let (name, path) = (entry.as_ref().unwrap().file_name(), entry.unwrap().path());
        if name == ".git" || name == "mirror.git" {
            continue;
        }
        assert!(!is_half_done(&path), "{} is left", path.display());
        if path.is_dir() {
            nothing_half_done(&path);
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.compose(&["stop"]);
    }
}

pub(crate) fn commit(folder: &Path, file: &str, text: &str) {
    fs::write(folder.join(file), text).unwrap();
    git(folder, &["add", "."]);
    git(folder, &["-c", "user.name=me", "-c", "user.email=me@localhost", "commit", "--quiet", "-m", "Change it"]);
}

/// A compose file of the services of the shop in this version, changed somewhere.
pub(crate) fn compose_file(version: &str, change: impl FnOnce(&mut Value)) -> Value {
    let serve = json!(["serve", "page.txt"]);
    let mut file = json!({ "services": {
        "db": { "image": "db:1", "command": serve, "port": 5432 },
        "api": { "image": format!("api:{version}"), "command": serve, "port": 9000, "depends_on": ["db"] },
        "web": {
            "image": format!("web:{version}"), "command": serve, "port": 8080, "depends_on": ["api"],
            "labels": { "traefik.enable": "true" },
        },
    } });
    change(&mut file["services"]);
    file
}

/// What a step that goes well tells, tasks left out.
pub(crate) fn start_and_end(step: ComposeStep) -> [String; 2] {
    use step_machine::Workflow;
    [format!("step_start {}", step.id()), format!("step_end {}", step.id())]
}

/// The events by type and step, without tasks and what a step says on its way.
pub(crate) fn story(screen: &Screen) -> Vec<String> {
    screen.story().into_iter().filter(|event| !event.starts_with("task_")).collect()
}
