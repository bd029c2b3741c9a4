//! Workflows that are broken everywhere: which cases there are, and what is found.

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use step_machine::event::RunStatus;
use step_machine::runner::HandlerFor;
use step_machine::testing::{
    Attempts, Case, ExhaustError, Exhausted, Fault, Faults, Mismatch, exhaust, exhaust_within,
};
use step_machine::{OnFailure, Plan, StepContext, StepInfo, Workflow};

/// What steps leave behind.
#[derive(Default)]
struct World(Mutex<BTreeSet<&'static str>>);

impl World {
    fn put(&self, thing: &'static str) {
        self.0.lock().unwrap().insert(thing);
    }

    fn remove(&self, thing: &'static str) {
        self.0.lock().unwrap().remove(thing);
    }

    fn is_clean(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

#[derive(Workflow, Debug)]
#[workflow(on_failure = "rollback")]
enum Deploy {
    #[step(undo)]
    Download,
    #[step(undo, retry(attempts = 2, delay = "1ms"))]
    Start,
    #[step(critical = false)]
    Announce,
}

/// Faults that a workflow may have of its own.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    None,
    /// Starting what runs already is an error.
    StartsOnce,
    /// Undoing what is undone already is an error.
    UndoesOnce,
    /// An undo leaves something behind.
    LeavesPid,
    /// What is announced is what runs; else it hangs.
    Waits,
}

struct Deployer {
    world: World,
    flaw: Flaw,
}

impl Deployer {
    fn new(flaw: Flaw) -> Self {
        Self { world: World::default(), flaw }
    }
}

impl DeployHandler for Deployer {
    type Error = io::Error;

    async fn download(&self, _: &mut StepContext) -> io::Result<()> {
        Ok(self.world.put("archive"))
    }

    async fn undo_download(&self, _: &mut StepContext) -> io::Result<()> {
        if self.flaw == Flaw::UndoesOnce && self.world.is_clean() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.world.remove("archive"))
    }

    async fn start(&self, _: &mut StepContext) -> io::Result<()> {
        let runs = self.world.0.lock().unwrap().contains("pid");
        if self.flaw == Flaw::StartsOnce && runs {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(self.world.put("pid"))
    }

    async fn undo_start(&self, _: &mut StepContext) -> io::Result<()> {
        if self.flaw != Flaw::LeavesPid {
            self.world.remove("pid");
        }
        Ok(())
    }

    async fn announce(&self, _: &mut StepContext) -> io::Result<()> {
        let runs = self.world.0.lock().unwrap().contains("pid");
        if self.flaw == Flaw::Waits && !runs { std::future::pending().await } else { Ok(()) }
    }
}

async fn break_deploy(flaw: Flaw) -> Result<Exhausted<Deploy>, ExhaustError<Deploy>> {
    let drive = async |case: Case<Deploy>| {
        let deployer = Deployer::new(flaw);
        let ended = Deploy::run(&deployer).faults(case.faults()).await;
        if case.check(&ended)? == RunStatus::RolledBack {
            assert!(deployer.world.is_clean());
        }
        Ok(())
    };
    exhaust_within(Duration::from_secs(10), drive).await
}

fn names<W>(exhausted: &Exhausted<W>) -> Vec<String> {
    exhausted.cases().iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn everything_is_broken_once() {
    let exhausted = break_deploy(Flaw::None).await.unwrap();
    assert_eq!(exhausted.not_covered(), [""; 0]);
    assert_eq!(
        names(&exhausted),
        [
            "nothing goes wrong",
            "download fails",
            "download fails after its work",
            "download fails after its work, and the undo of download is repeated",
            "download fails after its work, and the undo of download fails",
            "download panics",
            "download is repeated",
            "start fails",
            "start fails after its work",
            "start fails after its work, and the undo of start is repeated",
            "start fails after its work, and the undo of start fails",
            "start fails after its work, and the first attempt at the undo of start fails",
            "start fails after its work, and the undo of download is repeated",
            "start fails after its work, and the undo of download fails",
            "the first attempt at start fails",
            "the first attempt at start fails after its work",
            "start panics",
            "start is repeated",
            "announce fails",
            "announce fails after its work",
            "announce panics",
            "announce is repeated",
        ]
    );
    let first_only = &exhausted.cases()[11].injections()[1];
    assert_eq!((first_only.step, first_only.undo), ("start", true));
    assert_eq!((first_only.fault, first_only.attempts), (Fault::Fail, Attempts::First));
}

#[tokio::test]
async fn a_step_that_cannot_be_tried_again_is_found() {
    let error = break_deploy(Flaw::StartsOnce).await.unwrap_err();
    let ExhaustError::Mismatch { case, mismatch } = &error else { panic!("{error}") };
    assert_eq!(case.to_string(), "start fails after its work");
    assert!(matches!(mismatch, Mismatch::OtherError { step: "start", .. }), "{mismatch}");
    assert_eq!(format!("{error:?}"), "where start fails after its work: `start` failed by itself: address in use");
}

#[tokio::test]
async fn an_undo_that_cannot_be_repeated_is_found() {
    let error = break_deploy(Flaw::UndoesOnce).await.unwrap_err();
    let ExhaustError::Mismatch { case, mismatch } = &error else { panic!("{error}") };
    // A download that failed at once left nothing to remove.
    assert_eq!(case.to_string(), "download fails");
    let (expected, found) = (RunStatus::RolledBack, RunStatus::Stuck);
    assert_eq!(*mismatch, Mismatch::Status { expected, found, message: "failed by a test".into() });
}

#[tokio::test]
async fn an_assertion_that_does_not_hold_names_its_case() {
    let error = break_deploy(Flaw::LeavesPid).await.unwrap_err();
    assert_eq!(error.to_string(), "where start fails after its work: it panicked");
}

#[tokio::test]
async fn a_case_that_hangs_is_found() {
    let drive = async |case: Case<Deploy>| {
        let deployer = Deployer::new(Flaw::Waits);
        case.check(&Deploy::run(&deployer).on_failure(OnFailure::Stop).faults(case.faults()).await)?;
        if case.to_string() == "start fails" {
            std::future::pending::<()>().await;
        }
        Ok(())
    };
    let error = exhaust_within(Duration::from_millis(200), drive).await.unwrap_err();
    assert_eq!(error.to_string(), "where start fails: it took longer than 200ms");
}

#[tokio::test]
async fn nothing_passes_that_was_not_tested() {
    let deployer = Deployer::new(Flaw::None);
    let forgets_faults = async |case: Case<Deploy>| {
        let _: RunStatus = case.check(&Deploy::run(&deployer).faults(Faults::new()).await)?;
        Ok(())
    };
    let error = exhaust(forgets_faults).await.unwrap_err();
    assert!(matches!(error, ExhaustError::NothingRan), "{error}");

    let knows_only_the_first = async |case: Case<Deploy>| {
        let faults = if case.injections().is_empty() { case.faults() } else { Faults::new() };
        case.check(&Deploy::run(&deployer).faults(faults).await)?;
        Ok(())
    };
    let error = exhaust(knows_only_the_first).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "where download fails: nothing was injected: `download fails` was not reached; give the run \
         `.faults(case.faults())`"
    );

    let error = exhaust(async |_: Case<Deploy>| Ok(())).await.unwrap_err();
    assert_eq!(error.to_string(), "where nothing goes wrong: nothing was checked; call `case.check(&ended)?`");
}

#[derive(Debug)]
struct Nothing;

impl Workflow for Nothing {
    const NAME: &'static str = "nothing";

    type Start = ();

    fn plan() -> &'static Plan {
        static PLAN: std::sync::OnceLock<Plan> = std::sync::OnceLock::new();
        PLAN.get_or_init(|| Plan::new("nothing", Vec::<StepInfo>::new()))
    }

    fn index(&self) -> usize {
        0
    }

    fn from_index(_: usize) -> Option<Self> {
        None
    }
}

#[tokio::test]
async fn a_workflow_without_steps_is_an_error() {
    let error = exhaust(async |_: Case<Nothing>| Ok(())).await.unwrap_err();
    assert!(matches!(error, ExhaustError::NoSteps), "{error}");
}

#[derive(Workflow, Debug)]
enum Inner {
    #[step(undo)]
    Build,
    Upload,
}

/// Side by side, with a step that is skipped, one that is not critical, and one with a workflow inside.
#[derive(Workflow, Debug)]
#[workflow(parallel, on_failure = "rollback")]
enum Publish {
    #[step(undo)]
    Prepare,
    #[step(needs(Prepare), workflow = Inner)]
    Release,
    #[step(needs(Prepare), skippable)]
    Notify,
    #[step(needs(Prepare), critical = false, undo)]
    Mirror,
    #[step(needs(Release, Mirror))]
    Verify,
}

impl InnerHandler for World {
    type Error = io::Error;

    async fn build(&self, _: &mut StepContext) -> io::Result<()> {
        Ok(self.put("image"))
    }

    async fn undo_build(&self, _: &mut StepContext) -> io::Result<()> {
        Ok(self.remove("image"))
    }

    async fn upload(&self, _: &mut StepContext) -> io::Result<()> {
        Ok(())
    }
}

impl PublishHandler for World {
    type Error = io::Error;

    fn release(&self) -> impl HandlerFor<Inner> {
        self
    }

    async fn prepare(&self, _: &mut StepContext) -> io::Result<()> {
        Ok(self.put("folder"))
    }

    async fn undo_prepare(&self, _: &mut StepContext) -> io::Result<()> {
        assert!(!self.0.lock().unwrap().contains("mirror"), "it is undone last");
        Ok(self.remove("folder"))
    }

    async fn skip_notify(&self, _: &mut StepContext) -> io::Result<Option<String>> {
        Ok(Some("nobody is awake".to_owned()))
    }

    async fn notify(&self, _: &mut StepContext) -> io::Result<()> {
        Err(io::Error::other("it is skipped"))
    }

    async fn mirror(&self, _: &mut StepContext) -> io::Result<()> {
        Ok(self.put("mirror"))
    }

    async fn undo_mirror(&self, _: &mut StepContext) -> io::Result<()> {
        Ok(self.remove("mirror"))
    }

    async fn verify(&self, _: &mut StepContext) -> io::Result<()> {
        Ok(())
    }
}

async fn break_publish(policy: OnFailure) -> Exhausted<Publish> {
    let drive = async |case: Case<Publish>| {
        let world = World::default();
        let ended = Publish::run(&world).on_failure(policy).faults(case.faults()).await;
        if case.check(&ended)? == RunStatus::RolledBack {
            assert!(world.is_clean());
        }
        Ok(())
    };
    exhaust(drive).await.unwrap()
}

#[tokio::test]
async fn steps_side_by_side_are_broken_too() {
    let exhausted = break_publish(OnFailure::Rollback).await;
    assert_eq!(exhausted.not_covered(), ["notify"]);
    let names = names(&exhausted);
    for name in [
        "release fails after its work, and the undo of release is repeated",
        "verify fails after its work, and the undo of prepare fails",
        "mirror fails after its work",
        "release is repeated",
    ] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:#?}");
    }
    // A step that is not critical takes nothing back when it fails.
    assert!(!names.iter().any(|name| name.starts_with("mirror fails after its work, and")), "{names:#?}");
}

#[tokio::test]
async fn the_policy_of_the_run_counts() {
    let names = names(&break_publish(OnFailure::Stop).await);
    assert!(!names.iter().any(|name| name.contains("undo")), "{names:#?}");
    assert_eq!(names.len(), 1 + 4 * 4);
}
