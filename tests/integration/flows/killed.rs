//! A user whose machine is switched off in the middle of a flow, and who goes on with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use serde_json::Value;
use step_machine::event::{Event, Kind, RunStatus, StepStatus};
use step_machine::journal::RunQuery;
use step_machine::{Journal, RunState, SqliteJournal};

use super::user::{User, eventually, greeting};

/// A flow, and what there is when it has come to its end.
pub(crate) struct Flow {
    pub(crate) name: &'static str,
    pub(crate) example: &'static str,
    drive: &'static str,
    /// What is typed before the options.
    command: &'static [&'static str],
    /// What is typed to have it go on, before the id of the run.
    again: &'static [&'static str],
    /// What is there before the first run.
    before: &'static [(&'static str, &'static [&'static str])],
    /// Breaks a step, to have it taken back.
    pub(crate) fail_at: Option<&'static str>,
    /// What is the same each time: a step, and where in its output.
    outputs: &'static [(&'static str, &'static str)],
    is_well: fn(&User, RunStatus),
}

const PROVISION: Flow = Flow {
    name: "provision by the machine",
    example: "provision",
    drive: "machine",
    command: &[],
    again: &[],
    before: &[],
    fail_at: None,
    outputs: &[("get-instance-info", "/name"), ("get-instance-info", "/ip")],
    is_well: the_instance_is_well,
};

const DEPLOY: Flow = Flow {
    name: "deploy",
    example: "deploy",
    command: &["shop", "2.0.0"],
    before: &[("deploy", &["shop", "1.0.0"])],
    outputs: &[("download", "/checksum")],
    is_well: the_service_is_well,
    ..PROVISION
};

const STATIC: Flow = Flow {
    name: "publish static",
    example: "publish",
    command: &["static"],
    again: &["static"],
    before: &[("publish", &["static"])],
    outputs: &[],
    is_well: |user, status| the_publication_is_well(user, status, 1),
    ..PROVISION
};

const DOCKER: Flow = Flow {
    name: "publish docker",
    command: &["docker"],
    again: &["docker"],
    before: &[("publish", &["docker"])],
    outputs: &[("build-image", "/digest")],
    is_well: |user, status| the_publication_is_well(user, status, 2),
    ..STATIC
};

const COMPOSE: Flow = Flow {
    name: "compose",
    example: "compose",
    command: &["--ref", "v2.0.0"],
    // The same, so that each run finds its images there, and tells as much as the one before.
    before: &[("compose", &["--ref", "v2.0.0"])],
    outputs: &[("resolving", "/commit"), ("validating", "/services")],
    is_well: the_stack_is_well,
    ..PROVISION
};

/// Those that come to their end; what takes longest comes first.
pub(crate) const FLOWS: [Flow; 8] = [
    COMPOSE,
    Flow {
        name: "publish nodejs",
        command: &["nodejs"],
        again: &["nodejs"],
        before: &[("publish", &["nodejs"])],
        outputs: &[],
        ..DOCKER
    },
    DEPLOY,
    STATIC,
    DOCKER,
    PROVISION,
    Flow { name: "provision by the runner", drive: "runner", ..PROVISION },
    Flow {
        name: "configure",
        example: "configure",
        before: &[("provision", &[])],
        outputs: &[],
        is_well: the_instance_is_set_up,
        ..PROVISION
    },
];

/// Those that are taken back.
pub(crate) const TAKEN_BACK: [Flow; 5] = [
    Flow { name: "compose, taken back", fail_at: Some("health-check"), ..COMPOSE },
    Flow { name: "provision by the machine, taken back", fail_at: Some("get-instance-info"), ..PROVISION },
    Flow {
        name: "provision by the runner, taken back",
        drive: "runner",
        fail_at: Some("get-instance-info"),
        ..PROVISION
    },
    Flow { name: "deploy, taken back", fail_at: Some("start-service"), ..DEPLOY },
    Flow { name: "publish docker, taken back", fail_at: Some("health-check"), ..DOCKER },
];

/// A flow with a folder of its own, in which it is run time and again.
pub(crate) struct Field {
    pub(crate) user: User,
    pub(crate) flow: &'static Flow,
    runs: usize,
}

/// A run that was killed, as its journal has it.
pub(crate) struct Killed {
    pub(crate) id: String,
    pub(crate) status: ExitStatus,
    states: BTreeMap<String, RunState>,
    /// All that its journal has of it, and of what is nested in it.
    pub(crate) events: usize,
}

impl Field {
    pub(crate) fn new(flow: &'static Flow) -> Self {
        let field = Self { user: User::driving(flow.drive), flow, runs: 0 };
        for (example, arguments) in flow.before {
            let screen = field.user.run(example, arguments);
            assert_eq!(screen.code, Some(0), "{screen}");
        }
        field
    }

    fn begin(&mut self, crash_after: Option<usize>) -> (String, Child) {
        self.runs += 1;
        let id = format!("run-{}", self.runs);
        let broken = self.flow.fail_at.iter().flat_map(|step| ["--fail-at", step]);
        let arguments: Vec<&str> = self.flow.command.iter().copied().chain(["--id", &*id]).chain(broken).collect();
        let mut command = self.user.command(self.flow.example, &arguments);
        command.envs(crash_after.map(|events| ("STEP_MACHINE_CRASH_AFTER_EVENTS", events.to_string())));
        let child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        (id, child)
    }

    /// Runs it to its end; its events, with those of what is nested in it, in the order in which they came.
    pub(crate) fn undisturbed(&mut self) -> (Duration, String, Vec<Event>) {
        let begun = Instant::now();
        let (id, mut child) = self.begin(None);
        child.wait().unwrap();
        let took = begun.elapsed();
        let mut events: Vec<Event> = self.kept(&id).into_values().flatten().collect();
        events.sort_by_key(|event| event.at);
        (took, id, events)
    }

    /// Kills it when its journal has so many events.
    pub(crate) fn killed_after(&mut self, events: usize) -> Killed {
        let (id, mut child) = self.begin(Some(events));
        let status = child.wait().unwrap();
        self.killed(id, status)
    }

    /// Kills it after this time.
    pub(crate) fn killed_in(&mut self, delay: Duration) -> Killed {
        let (id, mut child) = self.begin(None);
        std::thread::sleep(delay);
        // It may have ended already.
        let _ = child.kill();
        let status = child.wait().unwrap();
        self.killed(id, status)
    }

    fn killed(&self, id: String, status: ExitStatus) -> Killed {
        let kept = self.kept(&id);
        let events = kept.values().map(Vec::len).sum();
        let fold = |(run, events): (String, Vec<Event>)| Some((run, RunState::fold(&events).unwrap()?));
        Killed { states: kept.into_iter().filter_map(fold).collect(), id, status, events }
    }

    /// The events of a run, and of those that are nested in it.
    fn kept(&self, id: &str) -> BTreeMap<String, Vec<Event>> {
        let path = self.user.path("runs.db");
        if !path.exists() {
            return BTreeMap::new();
        }
        let journal = SqliteJournal::open(path).unwrap();
        let runs = journal.list(&RunQuery::all().with_nested().with_abandoned()).wait().unwrap();
        let runs = runs.into_iter().map(|run| run.run.to_string());
        let runs = runs.filter(|run| run == id || run.starts_with(&format!("{id}/")));
        runs.map(|run| (run.clone(), journal.load(&run.into()).wait().unwrap())).collect()
    }

    /// Has the run go on, and asserts that nothing is done twice, nothing forgotten, and nothing left; how it ended.
    pub(crate) fn goes_on(&self, killed: &Killed) -> RunStatus {
        let tally = self.user.path("../tally");
        let _ = fs::remove_file(&tally);
        let arguments: Vec<&str> = self.flow.again.iter().copied().chain(["--resume", &*killed.id]).collect();
        let mut command = self.user.command(self.flow.example, &arguments);
        command.env("STEP_MACHINE_TALLY", &tally);
        let screen = super::user::Screen::of(command);
        let called = called(&fs::read_to_string(&tally).unwrap_or_default());
        let kept = self.kept(&killed.id);
        // Were nothing written down, nothing would seem to have run again.
        assert_eq!(
            called,
            killed.begun_since(&kept),
            "what was called, and what began, of {} of {}",
            killed.id,
            self.flow.name
        );
        let states: BTreeMap<_, _> =
            kept.into_iter().map(|(run, events)| (run, RunState::fold(&events).unwrap().unwrap())).collect();
        let state = &states[&killed.id];
        let told = format!("{} of {}\n{screen}", killed.id, self.flow.name);
        for (run, before) in &killed.states {
            for (step, info) in before.steps().iter().zip(&before.plan().steps) {
                if matches!(step.status(), StepStatus::Completed | StepStatus::Skipped) {
                    assert!(!called.contains(&(run.clone(), info.id.clone())), "{} ran again in {told}", info.id);
                    assert_eq!(step.output(), states[run].step(&info.id).unwrap().output(), "{} in {told}", info.id);
                }
            }
        }
        assert_eq!(findings(&self.user), Vec::<String>::new(), "{told}");
        let (code, is_expected) = match state.status() {
            RunStatus::Completed => (Some(0), true),
            RunStatus::RolledBack => (Some(1), self.flow.fail_at.is_some()),
            _ => (None, false),
        };
        assert!(is_expected, "{} is the status of {told}", state.status());
        assert_eq!(screen.code, code, "{told}");
        (self.flow.is_well)(&self.user, state.status());
        state.status()
    }

    /// What the steps have handed on that is the same each time.
    pub(crate) fn outputs(&self, id: &str) -> Vec<Value> {
        let kept = self.kept(id);
        let output = |(step, pointer): &(&str, &str)| {
            let states = kept.values().map(|events| RunState::fold(events).unwrap().unwrap());
            let output = states.into_iter().find_map(|state| state.step(step)?.output()?.pointer(pointer).cloned());
            output.unwrap_or_else(|| panic!("{step} has no {pointer}"))
        };
        self.flow.outputs.iter().map(output).collect()
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        if self.flow.example != "provision" && self.flow.example != "configure" {
            self.user.run(self.flow.example, &["stop"]);
        }
    }
}

impl Killed {
    /// Whether it began to take back what it did.
    pub(crate) fn went_back(&self) -> bool {
        self.states.get(&self.id).is_some_and(|state| state.status() == RunStatus::RollingBack)
    }

    /// Whether there is anything to go on with.
    pub(crate) fn has_begun(&self) -> bool {
        self.states.contains_key(&self.id)
    }

    /// The steps with a body that began later, with their runs.
    fn begun_since(&self, kept: &BTreeMap<String, Vec<Event>>) -> BTreeSet<(String, String)> {
        let mut begun = BTreeSet::new();
        for (run, events) in kept {
            let seq = self.states.get(run).map_or(0, RunState::seq);
            let state = RunState::fold(events).unwrap().unwrap();
            let has_body = |step: &str| state.plan().steps.iter().any(|info| info.id == step && info.nested.is_none());
            for event in events.iter().filter(|event| event.seq > seq) {
                if let Kind::StepStart(start) = &event.kind
                    && has_body(start.step.id())
                {
                    begun.insert((run.clone(), start.step.id().to_owned()));
                }
            }
        }
        begun
    }

    pub(crate) fn is_by_signal(&self) -> bool {
        self.status.signal() == Some(9)
    }
}

/// The steps whose bodies were called, with their runs.
fn called(tally: &str) -> BTreeSet<(String, String)> {
    let words = tally.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    words.map(|words| (words[0].to_owned(), words[1].to_owned())).collect()
}

fn findings(user: &User) -> Vec<String> {
    let journal = SqliteJournal::open(user.path("runs.db")).unwrap();
    journal.check().wait().unwrap().iter().map(ToString::to_string).collect()
}

/// The places at which something happened, and the first word of each step that tells something.
pub(crate) fn moments(events: &[Event]) -> Vec<usize> {
    let is_news = |event: &Event| {
        matches!(event.kind, Kind::StepUpdate(_) | Kind::TaskUpdate(_) | Kind::Stdout(_) | Kind::Stderr(_))
    };
    let is_moment = |index: &usize| !is_news(&events[*index]) || *index == 0 || !is_news(&events[*index - 1]);
    (0..events.len()).filter(is_moment).map(|index| index + 1).collect()
}

/// How many processes have the folder of the user among their arguments.
fn processes(user: &User) -> usize {
    let home = user.path("").parent().unwrap().display().to_string();
    let listed = Command::new("ps").args(["-A", "-ww", "-o", "args="]).output().unwrap();
    String::from_utf8_lossy(&listed.stdout).lines().filter(|line| line.contains(&home)).count()
}

fn only(user: &User, number: usize) {
    eventually(&format!("{number} processes are left"), || processes(user) == number);
}

fn the_instance_is_well(user: &User, status: RunStatus) {
    let state = &user.read_json("environment.json")["state"];
    if status == RunStatus::RolledBack {
        assert_eq!(state, "provision_failed");
        assert!(!user.path("instance").exists());
        return only(user, 0);
    }
    assert_eq!(state, "provisioned");
    assert_eq!(user.read_json("environment.json")["instance"]["port"], user.port());
    assert_eq!(greeting(user.port()).unwrap(), "SSH-2.0-step-machine-demo web-1\n");
    assert_eq!(user.read("instance/root/etc/hostname"), "web-1\n");
    only(user, 1);
}

fn the_instance_is_set_up(user: &User, status: RunStatus) {
    the_instance_is_well(user, status);
    let installed = user.read_json("instance/root/var/lib/packages.json");
    assert_eq!(installed.as_object().unwrap().len(), 2);
    assert!(user.path("instance/root/etc/apt/apt.conf.d/50unattended-upgrades").exists());
    assert!(user.read("instance/root/etc/firewall.rules").contains("allow"));
}

fn the_service_is_well(user: &User, status: RunStatus) {
    let page = super::deploy_site::page(user).unwrap();
    let current = super::deploy_site::current(user).unwrap();
    if status == RunStatus::Completed {
        assert_eq!(page, "shop 2.0.0 is well");
    }
    // The version before, which is the same one when it was deployed before.
    assert!(page.contains(current.trim_end_matches("-again")), "{current} is current: {page}");
    super::deploy_site::nothing_half_done(user);
    only(user, 1);
}

fn the_publication_is_well(user: &User, _: RunStatus, number: usize) {
    let names = |folder: &str| super::deploy_site::names(user, folder);
    let port = user.read_json("router.json")["port"].as_u64().unwrap();
    let (status, page) = super::publisher::get(u16::try_from(port).unwrap(), "/shop/").expect("the router answers");
    assert!(status == 200 && page.contains("shop"), "{status}: {page}");
    assert_eq!(names("sources"), Vec::<String>::new());
    let (containers, releases) = (names("containers").len(), names("releases/shop").len());
    assert_eq!((containers, names("images").len(), releases), if number == 2 { (1, 1, 0) } else { (0, 0, 2) });
    only(user, number);
}

fn the_stack_is_well(user: &User, _: RunStatus) {
    let current = user.read_json("current.json");
    let port = user.read_json("router.json")["port"].as_u64().unwrap();
    let port = u16::try_from(port).unwrap();
    let page = super::publisher::get(port, "/").expect("the router answers");
    assert_eq!(page, (200, "web 2.0.0, api 2.0.0, db 1\n".to_owned()));
    assert_eq!(super::publisher::get(port, "/deployment").unwrap().1, current["deployment"]);
    // What is deployed, and what can be come back to.
    let names = |folder: &str| super::deploy_site::names(user, folder);
    assert!(names("services").len() <= 2 && names("worktrees").len() <= 2, "{:?}", names("worktrees"));
    only(user, 4);
}
