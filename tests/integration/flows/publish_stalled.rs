//! A publication of which nothing is heard: told of after five minutes where nobody says otherwise, once a silence.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use step_machine::event::{Event, Kind};
use step_machine::{Observer, StepContext, Workflow};
use step_machine_examples::cli::StallArgs;
use tokio::time::{Instant, sleep};

use super::publisher::{Publisher, Told};
use super::user::{Screen, path_with};
use crate::support::Trouble;

/// What was seen, each with the seconds since the start by the clock of the runtime.
#[derive(Clone)]
struct Seen {
    since: Instant,
    stalled: Arc<Mutex<Vec<(String, u64, u64)>>>,
}

impl Observer for Seen {
    fn event(&mut self, event: &Event) {
        if let Kind::Stalled(stalled) = &event.kind {
            let told = (stalled.step.to_string(), self.since.elapsed().as_secs(), stalled.silent.as_secs());
            self.stalled.lock().unwrap().push(told);
        }
    }
}

impl Seen {
    fn so_far(&self) -> Vec<(String, u64, u64)> {
        self.stalled.lock().unwrap().clone()
    }
}

#[derive(Workflow, Debug)]
enum Quiet {
    Transfer,
    Check,
}

struct Publication(Seen);

impl QuietHandler for Publication {
    type Error = Trouble;

    async fn transfer(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        let seconds = |seconds| sleep(Duration::from_secs(seconds));
        let silence = |at| ("transfer".to_owned(), at, 300);
        // Two times almost too long.
        seconds(299).await;
        cx.stdout("half of it");
        seconds(299).await;
        assert_eq!(self.0.so_far(), []);
        cx.progress(0.5);
        seconds(299).await;
        assert_eq!(self.0.so_far(), [], "after 299 s of silence");
        seconds(2).await;
        assert_eq!(self.0.so_far(), [silence(898)], "after 301 s of silence");
        // The same silence, however long it is, is told of once.
        seconds(3600).await;
        assert_eq!(self.0.so_far(), [silence(898)]);
        cx.message("it goes on");
        seconds(299).await;
        assert_eq!(self.0.so_far(), [silence(898)], "after 299 s of the next silence");
        seconds(2).await;
        assert_eq!(self.0.so_far(), [silence(898), silence(4799)], "after 301 s of the next silence");
        Ok(())
    }

    async fn check(&self, _: &mut StepContext) -> Result<(), Trouble> {
        // By far less than what the step before was silent for.
        sleep(Duration::from_secs(299)).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn five_minutes_of_silence_are_told_of_once() {
    let seen = Seen { since: Instant::now(), stalled: Arc::default() };
    let publication = Publication(seen.clone());
    let run = StallArgs::default().runner(Quiet::run(&publication));
    run.observe(seen.clone()).await.unwrap();
    assert_eq!(seen.so_far().len(), 2);
}

#[test]
fn five_minutes_are_what_the_program_says() {
    let publisher = Publisher::new();
    for kind in ["static", "docker", "nodejs", "source"] {
        let help = publisher.publish(&[kind, "--help"]).stdout;
        let (_, said) = help.split_once("--stalled-after <SECONDS>").expect("the option is there");
        let said = said.split("--").next().unwrap();
        assert!(said.contains("counts as stalled") && said.contains("[default: 300]"), "{said}");
    }
}

/// The program itself, with a `git` that is silent for three seconds, two times, where one counts.
#[test]
fn a_silence_of_the_program_is_told_of_once_and_the_next_one_again() {
    let publisher = Publisher::new();
    let repository = publisher.repository();
    let tools = publisher.work.path().join("tools");
    fs::create_dir(&tools).unwrap();
    let script = "#!/bin/sh\ncase \"$1\" in clone) for word in one two; do echo $word >&2; sleep 3; done; echo three >&2\n\
                  esac\nPATH=${PATH#*:} exec git \"$@\"\n";
    fs::write(tools.join("git"), script).unwrap();
    fs::set_permissions(tools.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = ["static", "--source", "git", "--repository", &repository, "--format", "json"];
    let mut command = publisher.user.command("publish", &arguments);
    command.args(["--stalled-after", "1"]).env("PATH", path_with(&tools));
    let screen = Screen::of(command);
    assert_eq!(screen.code, Some(0), "{screen}");
    let lines = |event: &Event| match &event.kind {
        Kind::Stderr(output) => Some(output.line.to_string()),
        Kind::Stalled(stalled) => Some(format!("{} is silent", stalled.step)),
        _ => None,
    };
    // Before the first word and after the last one a busy machine may be as slow.
    let told: Vec<_> = Told::of(screen).all().iter().filter_map(lines).collect();
    let word =
        |word: &str| told.iter().position(|line| line == word).unwrap_or_else(|| panic!("no {word} in {told:?}"));
    assert_eq!(
        told[word("one")..=word("three")],
        ["one", "pull-source is silent", "two", "pull-source is silent", "three"]
    );
}
