//! A flow with a folder of its own, in which it is run, killed and gone on with, time and again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use step_machine::event::{Event, Kind, RunStatus, StepStatus};
use step_machine::journal::RunQuery;
use step_machine::{Journal, RunState, SqliteJournal};

use super::killed::Flow;
use super::user::{Screen, User};

/// A flow with a folder of its own.
pub(crate) struct Field {
    pub(crate) user: User,
    pub(crate) flow: &'static Flow,
    runs: usize,
}

/// A run as its journal has it, and those that are nested in it.
pub(crate) type Kept = BTreeMap<String, Vec<Event>>;

/// What became of each step, by the place of its run in the whole: its status, and what it handed on.
pub(crate) type Results = BTreeMap<(String, String), (StepStatus, Value)>;

/// A run whose process was killed, or has ended before that.
pub(crate) struct Killed {
    pub(crate) id: String,
    pub(crate) status: ExitStatus,
    /// All that its journal has of it, and of what is nested in it.
    pub(crate) kept: Kept,
    states: BTreeMap<String, RunState>,
}

impl Field {
    pub(crate) fn new(flow: &'static Flow) -> Self {
        Self::of(User::driving(flow.drive), flow)
    }

    /// One whose runs are kept in a database of a server.
    pub(crate) fn on_server(flow: &'static Flow) -> Self {
        Self::of(User::driving(flow.drive).with_database(), flow)
    }

    fn of(user: User, flow: &'static Flow) -> Self {
        let field = Self { user, flow, runs: 0 };
        (flow.prepare)(&field.user);
        for (example, arguments) in flow.before {
            let screen = field.user.run(example, arguments);
            assert_eq!(screen.code, Some(0), "{screen}");
        }
        field
    }

    /// The command of a new run, with its id.
    pub(crate) fn command(&mut self) -> (String, Command) {
        self.runs += 1;
        let id = format!("run-{}", self.runs);
        let broken = self.flow.fail_at.iter().flat_map(|step| ["--fail-at", step]);
        let arguments: Vec<&str> = self.flow.command.iter().copied().chain(["--id", &*id]).chain(broken).collect();
        let command = self.user.command(self.flow.example, &arguments);
        (id, command)
    }

    /// The command that has a run go on.
    fn command_on(&self, id: &str) -> Command {
        let arguments: Vec<&str> = self.flow.again.iter().copied().chain(["--resume", id]).collect();
        let mut command = self.user.command(self.flow.example, &arguments);
        command.env("STEP_MACHINE_TALLY", self.tally());
        command
    }

    /// Where the bodies that are called are written down.
    fn tally(&self) -> std::path::PathBuf {
        self.user.path("../tally")
    }

    /// Runs it to its end; its events, with those of what is nested in it, in the order in which they came.
    pub(crate) fn undisturbed(&mut self) -> (Duration, String, Vec<Event>) {
        let begun = Instant::now();
        let (id, mut command) = self.command();
        silent(&mut command).wait().unwrap();
        let took = begun.elapsed();
        let mut events: Vec<Event> = self.kept(&id).into_values().flatten().collect();
        events.sort_by_key(|event| event.at);
        (took, id, events)
    }

    /// Kills it when its journal has so many events.
    pub(crate) fn killed_after(&mut self, events: usize) -> Killed {
        let (id, mut command) = self.command();
        let status = silent(crash_after(&mut command, events)).wait().unwrap();
        self.killed(id, status)
    }

    /// Kills it after this time.
    pub(crate) fn killed_in(&mut self, delay: Duration) -> Killed {
        let (id, mut command) = self.command();
        let status = ended_in(delay, &mut command);
        self.killed(id, status)
    }

    /// Has the run go on, and kills it again when it has so many events more. What breaks a flow that is taken back does so
    /// again where `is_broken`.
    pub(crate) fn killed_again_after(&self, killed: &Killed, events: usize, is_broken: bool) -> Killed {
        let mut command = self.command_on(&killed.id);
        command.args(self.flow.fail_at.filter(|_| is_broken).iter().flat_map(|step| ["--fail-at", step]));
        crash_after(&mut command, events);
        self.killed_again(killed, |command| silent(command).wait().unwrap(), command)
    }

    /// Has the run go on, and kills it again after this time.
    pub(crate) fn killed_again_in(&self, killed: &Killed, delay: Duration) -> Killed {
        self.killed_again(killed, |command| ended_in(delay, command), self.command_on(&killed.id))
    }

    fn killed_again(
        &self,
        killed: &Killed,
        end: impl FnOnce(&mut Command) -> ExitStatus,
        mut command: Command,
    ) -> Killed {
        let _ = fs::remove_file(self.tally());
        let status = end(&mut command);
        let (called, begun) = (self.called(), killed.begun_since(&self.kept(&killed.id)));
        // One that was killed may have written down that a step begins, and not have called it.
        assert!(called.is_subset(&begun), "{called:?} of {begun:?} in {} of {}", killed.id, self.flow.name);
        let again = self.killed(killed.id.clone(), status);
        self.nothing_is_lost(killed, &called, &again.states);
        again
    }

    /// What the journal has of a run whose process ended so.
    pub(crate) fn killed(&self, id: String, status: ExitStatus) -> Killed {
        let kept = self.kept(&id);
        Killed { states: states(&kept), kept, id, status }
    }

    /// The events of a run, and of those that are nested in it.
    fn kept(&self, id: &str) -> Kept {
        let Some(journal) = self.user.journal() else { return Kept::new() };
        let runs = journal.list(&RunQuery::all().with_nested().with_abandoned()).wait().unwrap();
        let runs = runs.into_iter().map(|run| run.run.to_string());
        let runs = runs.filter(|run| run == id || run.starts_with(&format!("{id}/")));
        runs.map(|run| (run.clone(), journal.load(&run.into()).wait().unwrap())).collect()
    }

    /// Has the run go on, and asserts that nothing is done twice, nothing forgotten, and nothing left; how it ended.
    pub(crate) fn goes_on(&self, killed: &Killed) -> RunStatus {
        let _ = fs::remove_file(self.tally());
        let screen = Screen::of(self.command_on(&killed.id));
        let (called, kept) = (self.called(), self.kept(&killed.id));
        let told = format!("{} of {}\n{screen}", killed.id, self.flow.name);
        // Were nothing written down, nothing would seem to have run again.
        assert_eq!(called, killed.begun_since(&kept), "what was called, and what began, of {told}");
        let after = states(&kept);
        self.nothing_is_lost(killed, &called, &after);
        assert_eq!(self.findings(killed), Vec::<String>::new(), "{told}");
        let status = after[&killed.id].status();
        let expected = match status {
            RunStatus::RolledBack if self.flow.fail_at.is_some() => Some(1),
            _ if status == self.flow.ends => Some(0),
            _ => panic!("{status} is the status of {told}"),
        };
        assert_eq!(screen.code, expected, "{told}");
        (self.flow.is_well)(&self.user, status);
        status
    }

    /// What is wrong in the journal, all of which has been read: damage to the file, or what a run that went on and has ended
    /// still holds.
    pub(crate) fn findings(&self, killed: &Killed) -> Vec<String> {
        if let Some(database) = self.user.database() {
            let held = "FROM run WHERE owner IS NOT NULL OR EXISTS (SELECT FROM exclusive WHERE run = key)";
            let is_of = |run: &String| *run == killed.id || run.starts_with(&format!("{}/", killed.id));
            let held = database.rows(&format!("SELECT id {held}")).into_iter().filter(is_of);
            // One whose process died with its last event is named as the dead one's.
            return held.filter(|_| killed.is_within()).collect();
        }
        let journal = SqliteJournal::open(self.user.path("runs.db")).unwrap();
        journal.check().wait().unwrap().iter().map(ToString::to_string).collect()
    }

    /// Asserts that what had ended before did not run again, and is as it was.
    fn nothing_is_lost(
        &self,
        killed: &Killed,
        called: &BTreeSet<(String, String)>,
        after: &BTreeMap<String, RunState>,
    ) {
        for (run, before) in &killed.states {
            let after = &after[run];
            assert!(after.seq() >= before.seq(), "events of {run} of {} are gone", self.flow.name);
            for (step, info) in before.steps().iter().zip(&before.plan().steps) {
                if matches!(step.status(), StepStatus::Completed | StepStatus::Skipped) {
                    let told = format!("{} in {run} of {}", info.id, self.flow.name);
                    assert!(!called.contains(&(run.clone(), info.id.clone())), "{told} ran again");
                    assert_eq!(step.output(), after.step(&info.id).unwrap().output(), "{told}");
                }
            }
        }
    }

    /// The steps whose bodies were called, with their runs.
    fn called(&self) -> BTreeSet<(String, String)> {
        let tally = fs::read_to_string(self.tally()).unwrap_or_default();
        let words = tally.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        words.map(|words| (words[0].to_owned(), words[1].to_owned())).collect()
    }

    /// What became of each step of a run, and of those that are nested in it, with what they handed on: the whole of it, but
    /// for what is another one in each run.
    pub(crate) fn results(&self, id: &str) -> Results {
        let mut results = Results::new();
        for (run, state) in states(&self.kept(id)) {
            for (step, info) in state.steps().iter().zip(&state.plan().steps) {
                let mut output = step.output().cloned().unwrap_or_default();
                for (_, pointer) in self.flow.differs.iter().filter(|(step, _)| *step == info.id) {
                    output.pointer_mut(pointer).unwrap_or_else(|| panic!("{} has no {pointer}", info.id)).take();
                }
                let place = run[id.len()..].to_owned();
                results.insert((place, info.id.clone()), (step.status(), without_names(output)));
            }
        }
        results
    }
}

impl Field {
    /// Asserts that the steps of a run have become what they become in one that nothing disturbed.
    pub(crate) fn has_results(&self, id: &str, expected: &Results, told: &str) {
        let found = self.results(id);
        for (place, result) in expected {
            assert_eq!(found.get(place), Some(result), "{place:?} of {id} of {} {told}", self.flow.name);
        }
        assert_eq!(found.len(), expected.len(), "{id} of {} {told}", self.flow.name);
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

    /// How many events its journal has.
    pub(crate) fn events(&self) -> usize {
        self.kept.values().map(Vec::len).sum()
    }

    /// Whether it came to this end.
    pub(crate) fn ended_as(&self, status: RunStatus) -> bool {
        self.states.get(&self.id).is_some_and(|state| state.status() == status)
    }

    /// Whether there is anything to go on with.
    pub(crate) fn has_begun(&self) -> bool {
        self.states.contains_key(&self.id)
    }

    /// Whether it was killed within its run: after its first event, and before its last.
    pub(crate) fn is_within(&self) -> bool {
        self.is_by_signal() && self.states.get(&self.id).is_some_and(|state| !state.status().has_ended())
    }

    pub(crate) fn is_by_signal(&self) -> bool {
        self.status.signal() == Some(9)
    }

    /// The steps with a body that began later, with their runs.
    fn begun_since(&self, kept: &Kept) -> BTreeSet<(String, String)> {
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
}

fn states(kept: &Kept) -> BTreeMap<String, RunState> {
    kept.iter().filter_map(|(run, events)| Some((run.clone(), RunState::fold(events).unwrap()?))).collect()
}

fn crash_after(command: &mut Command, events: usize) -> &mut Command {
    command.env("STEP_MACHINE_CRASH_AFTER_EVENTS", events.to_string())
}

fn silent(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// How a process ended that was killed after this time, unless it had ended before.
fn ended_in(delay: Duration, command: &mut Command) -> ExitStatus {
    let mut child = silent(command);
    std::thread::sleep(delay);
    let _ = child.kill();
    child.wait().unwrap()
}

/// An output without the names that no two runs share: the number of a publication or deployment, a port of the loopback,
/// and whether the folder of a release is the second one of its version. All else stays, and is compared.
fn without_names(output: Value) -> Value {
    match output {
        Value::String(text) => {
            let text = ["shop-", "shop:", "127.0.0.1:"].iter().fold(text, |text, name| without_number(&text, name));
            Value::String(text.replace("2.0.0-again", "2.0.0"))
        }
        Value::Array(values) => values.into_iter().map(without_names).collect(),
        Value::Object(values) => values.into_iter().map(|(key, value)| (key, without_names(value))).collect(),
        other => other,
    }
}

/// A text in which no number follows `name`, nor that of an attempt behind it as in `shop-4.2`. That of a version stays, as in
/// `shop-2.0.0`.
fn without_number(text: &str, name: &str) -> String {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let mut pieces = text.split(name);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        let number = digits(piece);
        let attempt = piece[number..].strip_prefix('.').map_or(0, digits);
        let rest = &piece[number + if attempt > 0 { attempt + 1 } else { 0 }..];
        let is_number = number > 0 && !rest.starts_with('.');
        format!("{text}{name}{}", if is_number { format!("N{rest}") } else { piece.to_owned() })
    })
}

/// Whether an event only tells something of a step on its way, for which no run waits.
pub(crate) fn is_news(event: &Event) -> bool {
    matches!(event.kind, Kind::StepUpdate(_) | Kind::TaskUpdate(_) | Kind::Stdout(_) | Kind::Stderr(_))
}

/// The places at which something happened, and the first word of each step that tells something.
pub(crate) fn moments(events: &[Event]) -> Vec<usize> {
    let is_moment = |index: &usize| !is_news(&events[*index]) || *index == 0 || !is_news(&events[*index - 1]);
    (0..events.len()).filter(is_moment).map(|index| index + 1).collect()
}
