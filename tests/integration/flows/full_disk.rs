//! An example whose disk has no room left, from every moment on that there is, or fails to keep what it was given: it stops
//! with a word of what to do, and goes on when the disk is well.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use step_machine::event::{Event, EventLines};

use super::field::{Field, Killed, is_news};
use super::killed::{CONFIGURE, Flow, SOURCE};
use crate::disk::{Call, Disk, Faults};

// Neither needs a port, which somebody else may take before the run goes on.
const BY_MACHINE: Flow = Flow { command: &["--format", "json"], ..CONFIGURE };
const BY_RUNNER: Flow = Flow { command: &["source", "--format", "json"], ..SOURCE };

/// What the journal says to do, beside the error of a write, which names the run.
const ADVICE: [&str; 4] = [
    "cannot be used: there is no room left for it; make some on its disk, then try again",
    "cannot be used: see that its directory is there and may be written to, and that its disk has room",
    "cannot be used: see that its disk has room and is sound",
    "cannot be used: see that a folder next to it can be made and locked",
];
const OF_A_RUN: &str = "its journal could not be written; once it can be, resume the run, or begin it again where it is not in the journal";

/// What an example did on a disk with faults.
struct Tried {
    killed: Killed,
    told: Vec<Event>,
    stderr: String,
    calls: Vec<Call>,
}

impl Tried {
    /// A new run, in the journal that is there, or a new one.
    fn run(field: &mut Field, faults: Faults, is_fresh: bool) -> Self {
        let folder = field.user.path("..");
        if is_fresh {
            for end in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(field.user.path(&format!("runs.db{end}")));
            }
        }
        fs::create_dir_all(field.user.path("")).unwrap();
        let disk = Disk::of(&field.user.path("runs.db"), &folder.join("disk.log"));
        let (id, mut command) = field.command();
        disk.under(&mut command, faults);
        let (out, err) = (folder.join("out"), folder.join("err"));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let status = ended(&mut command);
        let told = EventLines::new(fs::read(out).unwrap().as_slice()).collect::<Result<_, _>>().unwrap();
        let calls = disk.calls();
        Self { killed: field.killed(id, status), told, stderr: fs::read_to_string(err).unwrap(), calls }
    }

    /// The first call that failed, if any did.
    fn failed(&self) -> Option<&Call> {
        self.calls.iter().find(|call| call.has_failed)
    }

    /// Asserts that it ended with a word of what to do, or came to its end; and that it goes on.
    fn is_well(&self, field: &mut Field) {
        let Self { killed, stderr, .. } = self;
        let told = format!("{:?} failed, {:?}\n{stderr}", self.failed(), killed.status);
        assert!(!stderr.contains("panicked"), "{told}");
        let kept: BTreeSet<_> = killed.kept.values().flatten().map(name).collect();
        // News are told of at once, and kept with what comes next.
        let told_of = self.told.iter().filter(|event| !is_news(event));
        let lost: Vec<_> = told_of.map(name).filter(|event| !kept.contains(event)).collect();
        assert!(lost.is_empty(), "{lost:?} were told of and are not kept: {told}");
        match killed.status.code() {
            // Once its end is kept, what fails is only to tidy up.
            Some(0) => assert!(killed.ended_as(field.flow.ends), "{told}"),
            Some(1) => {
                let is_known = stderr.contains(OF_A_RUN) || ADVICE.iter().any(|advice| stderr.contains(advice));
                assert!(is_known && self.failed().is_some(), "{told}");
            }
            other => panic!("{other:?}: {told}"),
        }
        assert_eq!(field.findings(killed), Vec::<String>::new(), "{told}");
        // Without a run there is nothing to go on with; another one can begin.
        let id = if killed.has_begun() { &killed.id } else { &field.undisturbed().1 };
        let killed = field.killed(id.clone(), killed.status);
        assert_eq!(field.goes_on(&killed), field.flow.ends, "{told}");
    }
}

/// What makes an event the one that it is.
fn name(event: &Event) -> (String, u64, &'static str) {
    (event.run.to_string(), event.seq, event.event_type().as_str())
}

/// How a process ended, which is not to hang.
fn ended(command: &mut Command) -> ExitStatus {
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("{command:?} hangs");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Tries the faults of `faults_at` 1, 2, 3 .. until nothing fails any more; all calls that failed first.
fn each(flow: &'static Flow, is_fresh: bool, faults_at: impl Fn(usize) -> Faults + Sync) -> Vec<Call> {
    let (next, is_over, failed) = (AtomicUsize::new(1), AtomicBool::new(false), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut field = Field::new(flow);
                while !is_over.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    assert!(at < 2000, "{}: it never gets through", flow.name);
                    let tried = Tried::run(&mut field, faults_at(at), is_fresh);
                    match tried.failed() {
                        Some(call) => failed.lock().unwrap().push(call.clone()),
                        None => is_over.store(true, Ordering::Relaxed),
                    }
                    tried.is_well(&mut field);
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

#[test]
fn without_room_from_any_call_on_it_stops_and_goes_on_when_there_is_some() {
    let begun = Instant::now();
    let failed = each(&BY_MACHINE, true, |at| Faults { full_from: Some(at), ..Faults::default() });
    let count = |what: &str| failed.iter().filter(|call| call.what == what).count();
    println!("{} calls: {:.0} s", failed.len(), begun.elapsed().as_secs_f64());
    assert!(failed.len() > 100 && count("write") > 100, "{failed:?}");
    assert!(count("create") >= 3 && count("mkdir") == 1 && count("ftruncate") >= 1, "{failed:?}");
}

/// As a disk fills up: half of a write, then nothing that makes a file longer, and all else as ever.
#[test]
fn on_a_disk_that_fills_up_at_any_write_it_stops_and_goes_on_when_there_is_room() {
    let begun = Instant::now();
    let faults = |at| Faults { full_from: Some(at), is_torn: true, only_growth: true, ..Faults::default() };
    for (flow, is_fresh) in [(&BY_RUNNER, false), (&BY_MACHINE, true)] {
        let failed = each(flow, is_fresh, faults);
        println!("{}: {} calls: {:.0} s", flow.name, failed.len(), begun.elapsed().as_secs_f64());
        assert!(failed.len() > 20, "{failed:?}");
    }
}

/// As Linux does with a disk that it finds to be faulty.
#[test]
fn on_a_disk_that_may_only_be_read_from_any_call_on_it_stops_and_goes_on_when_it_may_be_written() {
    const EROFS: usize = 30;
    let faults = |at| Faults { full_from: Some(at), error: Some(EROFS), ..Faults::default() };
    let failed = each(&BY_RUNNER, false, faults);
    assert!(failed.len() > 100, "{failed:?}");
}

#[test]
fn where_any_wait_for_the_disk_fails_nothing_that_was_told_is_lost() {
    let begun = Instant::now();
    for flow in [&BY_MACHINE, &BY_RUNNER] {
        let failed = each(flow, true, |at| Faults { unsynced_at: Some(at), ..Faults::default() });
        println!("{}: {} waits: {:.0} s", flow.name, failed.len(), begun.elapsed().as_secs_f64());
        assert!(failed.len() > 10 && failed.iter().all(Call::is_sync), "{failed:?}");
    }
}
