//! What undos are given of steps that were to run again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use step_machine::event::RunStatus;
use step_machine::runner::HandlerFor;
use step_machine::{MemoryJournal, StepContext, Workflow};

use super::nested::Docker;
use super::{Act::*, Acts};
use crate::support::{TextJournal, Trouble};

/// A machine is rented, and what needs its number is installed there.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Site {
    #[step(undo, output = u32)]
    Rent,
    #[step(workflow = Docker, needs(Rent))]
    Install,
    #[step(undo)]
    Open,
}

/// The machines are numbered from 1; `rent` fails as planned for it.
#[derive(Default)]
struct Sites {
    inner: Acts,
    rented: AtomicU32,
    undone: Mutex<Vec<String>>,
}

impl Sites {
    fn renting<const N: usize>(acts: [super::Act; N]) -> Self {
        Self { inner: Acts::new().on("rent", acts), ..Self::default() }
    }

    fn undone(&self) -> Vec<String> {
        std::mem::take(&mut *self.undone.lock().unwrap())
    }
}

impl SiteHandler for Sites {
    type Error = Trouble;

    async fn rent(&self, cx: &mut StepContext) -> Result<u32, Trouble> {
        self.inner.run(cx).await?;
        Ok(self.rented.fetch_add(1, Ordering::Relaxed) + 1)
    }

    async fn undo_rent(&self, cx: &mut StepContext, output: Option<&u32>) -> Result<(), Trouble> {
        self.undone.lock().unwrap().push(format!("rent {output:?}"));
        assert_eq!(cx.output(site::Rent).unwrap().as_ref(), output);
        self.inner.undo(cx).await
    }

    fn install(&self, rented: &u32) -> impl HandlerFor<Docker> {
        self.undone.lock().unwrap().push(format!("install on {rented}"));
        &self.inner
    }

    async fn open(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.inner.run(cx).await
    }

    async fn undo_open(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.inner.undo(cx).await
    }
}

#[tokio::test]
async fn an_undo_is_given_what_was_handed_on_before_its_step_ran_again_and_failed() {
    let sites = Sites { inner: Acts::new().on("rent", [Done, Refuse]).on("undo rent", [Refuse]), ..Sites::default() };
    let journal = TextJournal::new();
    let run = || Site::run(&sites).id("s").journal(journal.clone());
    run().await.unwrap();
    assert_eq!(sites.undone(), ["install on 1"]);
    let failure = run().retry_from(Site::Rent).await.unwrap_err();
    assert_eq!(sites.undone(), ["install on 1", "rent Some(1)"]);
    assert_eq!([sites.inner.called("undo open"), sites.inner.called("undo start")], [1, 1]);
    let state = failure.state().unwrap();
    assert_eq!((state.status(), state.output(site::Rent).unwrap()), (RunStatus::Stuck, None));
    assert_eq!(journal.fold("s").unwrap().as_ref(), Some(state));
    drop(failure);

    // As the journal has it, too.
    let failure = run().await.unwrap_err();
    assert_eq!(sites.undone(), ["rent Some(1)"]);
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
}

#[tokio::test]
async fn what_it_handed_on_since_comes_first() {
    let (sites, journal) = (Sites::default(), TextJournal::new());
    let run = || Site::run(&sites).id("s").journal(journal.clone());
    run().await.unwrap();
    run().retry_from(Site::Rent).await.unwrap();
    sites.undone();
    let failing = Sites { inner: Acts::new().on("open", [Refuse]), ..Sites::default() };
    let failure = Site::run(&failing).id("s").journal(journal).retry_from(Site::Open).await.unwrap_err();
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    assert_eq!(failing.undone(), ["install on 2", "rent Some(2)"]);
}

#[tokio::test]
async fn it_is_kept_over_several_rounds() {
    let (sites, journal) = (Sites::renting([Done, Refuse, Refuse]), TextJournal::new());
    let run = || Site::run(&sites).id("s").journal(journal.clone());
    run().await.unwrap();
    run().retry_from(Site::Rent).on_failure(step_machine::OnFailure::Stop).await.unwrap_err();
    run().retry_from(Site::Rent).on_failure(step_machine::OnFailure::Stop).await.unwrap_err();
    sites.undone();
    let failure = run().rollback().await.unwrap_err();
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    assert_eq!(sites.undone(), ["install on 1", "rent Some(1)"]);
}

#[test]
fn the_typed_machine_undoes_it_by_the_context() {
    #[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
    enum Renting {
        #[step(undo, output = u32)]
        Rent,
    }
    let journal = MemoryJournal::new();
    let machine = || Renting::machine().id("r").journal(journal.clone());
    let (run, _) = machine().begin().unwrap().step(renting::Rent, |_| Ok::<u32, Trouble>(4711)).unwrap();
    run.finish().unwrap();
    let run = machine().retry_from(Renting::Rent).begin().unwrap();
    let failure = run
        .step(renting::Rent, |cx| {
            // Going forward there is nothing any more.
            assert_eq!(cx.output(renting::Rent).unwrap(), None);
            Err(Trouble::Network)
        })
        .unwrap_err();
    let mut undone = Vec::new();
    let failure = failure.rollback(|_, cx| {
        undone.push(cx.output(renting::Rent).unwrap());
        Ok::<(), Trouble>(())
    });
    assert_eq!(undone, [Some(4711)]);
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
}
