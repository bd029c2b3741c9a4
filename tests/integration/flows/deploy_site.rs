//! What `deploy` works on, as somebody sees it who only looks: the page, the files, the processes.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use step_machine_examples::steps::DeployStep;

use super::user::{Screen, User, eventually};
use crate::validator::validate;

/// A user who has deployed these versions, one after the other.
pub(crate) fn deployed(versions: &[&str]) -> User {
    let user = User::new();
    for version in versions {
        let screen = user.deploy(&["shop", version, "--strict"]);
        assert_eq!(screen.code, Some(0), "{screen}");
    }
    user
}

/// What the service answers.
pub(crate) fn page(user: &User) -> Option<String> {
    let address: SocketAddr = user.read_json("deploy.json")["address"].as_str().unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, page)| page.trim().to_owned())
}

/// This version answers, from its folder, and nothing else is left of whatever happened.
#[track_caller]
pub(crate) fn runs(user: &User, version: &str) {
    assert_eq!(page(user).unwrap(), format!("shop {version} is well"));
    assert_eq!(current(user).unwrap(), version);
    // One that was told to end may be about to.
    eventually("only the service runs", || processes(user) == 1);
    nothing_half_done(user);
}

/// Nothing answers, and nothing is left running.
#[track_caller]
pub(crate) fn nothing_runs(user: &User) {
    assert_eq!(page(user), None);
    eventually("the service is gone", || processes(user) == 0);
    nothing_half_done(user);
}

/// The release that is deployed.
pub(crate) fn current(user: &User) -> Option<String> {
    let link = user.path("current");
    let target = if cfg!(unix) { fs::read_link(link).ok()? } else { fs::read_to_string(link).ok()?.into() };
    Some(target.file_name().unwrap().to_str().unwrap().to_owned())
}

/// The names in a folder, in order.
pub(crate) fn names(user: &User, folder: &str) -> Vec<String> {
    names_in(&user.path(folder))
}

/// What is in a folder; nothing where it is not there.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// How many processes have the folder among their arguments; 1 where that cannot be asked.
fn processes(user: &User) -> usize {
    let folder = fs::canonicalize(user.path("")).unwrap();
    let listed = Command::new("ps").args(["-A", "-ww", "-o", "args="]).output();
    let Ok(listed) = listed else { return usize::from(page(user).is_some()) };
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    listed.lines().filter(|line| line.contains(&*folder.display().to_string())).count()
}

/// No file or folder is left that something was to become.
#[track_caller]
pub(crate) fn nothing_half_done(user: &User) {
    let mut folders = vec![user.path("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            assert!(!is_half_done(&path), "{} is left", path.display());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            }
        }
    }
}

/// Whether a file or folder is one that another one was to become.
pub(crate) fn is_half_done(path: &Path) -> bool {
    let is_hidden = path.file_name().unwrap().to_str().unwrap().starts_with('.');
    let extension = path.extension().and_then(|extension| extension.to_str());
    is_hidden || extension.is_some_and(|extension| ["part", "new", "aside"].contains(&extension))
}

/// Every line of the standard output is an event by the schema.
#[track_caller]
pub(crate) fn is_valid(screen: &Screen) {
    let schema = serde_json::from_str(&step_machine::schema::event_schema()).unwrap();
    for line in screen.stdout.lines() {
        assert_eq!(validate(&schema, &serde_json::from_str(line).unwrap()), Ok(()), "{line}");
    }
}

/// What a step that goes well tells, all its attempts and undos left out.
pub(crate) fn start_and_end(step: DeployStep) -> [String; 2] {
    use step_machine::Workflow;
    [format!("step_start {}", step.id()), format!("step_end {}", step.id())]
}

/// What an undo tells.
pub(crate) fn undone(step: &str) -> [String; 2] {
    [format!("undo_start {step}"), format!("undo_end {step}")]
}
