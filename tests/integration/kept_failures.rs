//! A failure that is kept does not keep its run: whatever broke the run off, somebody else may go on with it.

use std::sync::Arc;

use step_machine::event::{Kind, RunStatus};
use step_machine::journal::{Append, Codec, CodecError, Reply, SealContext};
use step_machine::runner::HandlerFor;
use step_machine::{Cause, Journal, JournalError, MemoryJournal, StepContext, Workflow};

use crate::support::{Trouble, as_in, ok, refuse};

/// A service of keys that is down.
struct Down;

impl Codec for Down {
    fn seal(&self, _: &SealContext<'_>, _: &[u8]) -> Result<String, CodecError> {
        Err(CodecError::Other("the service is down".into()))
    }

    fn open(&self, _: &SealContext<'_>, _: &str) -> Result<Vec<u8>, CodecError> {
        Err(CodecError::Refused)
    }
}

/// Seals nothing.
struct Plain;

impl Codec for Plain {
    fn seal(&self, _: &SealContext<'_>, plain: &[u8]) -> Result<String, CodecError> {
        Ok(String::from_utf8_lossy(plain).into_owned())
    }

    fn open(&self, _: &SealContext<'_>, sealed: &str) -> Result<Vec<u8>, CodecError> {
        Ok(sealed.into())
    }
}

#[derive(Workflow, Debug, PartialEq)]
enum Login {
    #[step(output = String, secret)]
    Token,
    Use,
}

#[derive(Workflow, Debug, PartialEq)]
enum Session {
    #[step(workflow = Login, critical = false)]
    Login,
    Work,
}

struct User;

impl LoginHandler for User {
    type Error = Trouble;

    async fn token(&self, _: &mut StepContext) -> Result<String, Trouble> {
        Ok("s3cret".into())
    }

    async fn r#use(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }
}

impl SessionHandler for User {
    type Error = Trouble;

    fn login(&self) -> impl HandlerFor<Login> {
        self
    }

    async fn work(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }
}

#[tokio::test]
async fn after_an_output_that_could_not_be_sealed() {
    let journal = MemoryJournal::new();
    let failure = Login::run(&User).id("r").codec(Down).journal(journal.clone()).await.unwrap_err();
    assert!(matches!(failure.cause(), Cause::Journal(JournalError::Sealing { .. })), "{failure:?}");
    let report = Login::run(&User).id("r").codec(Plain).journal(journal).await.unwrap();
    assert_eq!(report.state().status(), RunStatus::Completed);
    assert_eq!(failure.step(), Some(Login::Token));
}

#[tokio::test]
async fn after_an_output_that_could_not_be_sealed_inside_of_a_step_that_is_not_critical() {
    let journal = MemoryJournal::new();
    let failure = Session::run(&User).id("r").codec(Down).journal(journal.clone()).await.unwrap_err();
    assert!(matches!(failure.cause(), Cause::Journal(JournalError::Sealing { .. })), "{failure:?}");
    assert_eq!(failure.step(), Some(Session::Login));
    let report = Session::run(&User).id("r").codec(Plain).journal(journal).await.unwrap();
    assert_eq!((report.state().status(), report.state().warnings()), (RunStatus::Completed, 0));
}

/// Does not take the end of `token`.
struct Refusing(Arc<MemoryJournal>);

impl Journal for Refusing {
    fn append(&self, append: Append<'_>) -> Reply<()> {
        let is_end = |kind: &Kind| matches!(kind, Kind::StepEnd(end) if end.step == *"token");
        if !append.events.iter().any(|event| is_end(&event.kind)) {
            return self.0.append(append);
        }
        let run = append.lease.run.clone();
        Reply::ready(Err(JournalError::Write { run, source: "the disk is full".into() }))
    }

    as_in!(0);
}

#[tokio::test]
async fn after_a_journal_that_failed_inside_of_a_step() {
    let kept = Arc::new(MemoryJournal::new());
    let failure = Session::run(&User).id("r").codec(Plain).journal(Refusing(kept.clone())).await.unwrap_err();
    assert!(matches!(failure.cause(), Cause::Journal(JournalError::Write { .. })), "{failure:?}");
    let report = Session::run(&User).id("r").codec(Plain).journal(kept).await.unwrap();
    assert_eq!((report.state().status(), report.state().warnings()), (RunStatus::Completed, 0));
    assert_eq!(failure.step(), Some(Session::Login));
}

mod before {
    #[derive(step_machine::Workflow, Debug)]
    #[workflow(name = "copy")]
    pub(super) enum Copy {
        #[step(output = u32)]
        Count,
        Files,
    }
}

mod after {
    #[derive(step_machine::Workflow, Debug)]
    #[workflow(name = "copy")]
    pub(super) enum Copy {
        #[step(output = String)]
        Count,
        Files,
    }
}

#[test]
fn after_an_output_that_does_not_fit_its_type_any_more() {
    let journal = MemoryJournal::new();
    let begin = || before::Copy::machine().id("r").journal(journal.clone()).begin().unwrap();
    drop(begin().step(before::copy::Count, |_| Ok::<_, Trouble>(7)).unwrap());
    let run = after::Copy::machine().id("r").journal(journal.clone()).begin().unwrap();
    let failure = run.step(after::copy::Count, |_| Ok::<_, Trouble>(String::new())).err().unwrap();
    assert!(matches!(failure.cause(), Cause::Journal(JournalError::Output { .. })), "{failure:?}");
    let (run, count) = begin().step(before::copy::Count, |_| Ok::<_, Trouble>(8)).unwrap();
    assert_eq!(count, 7);
    run.step(before::copy::Files, ok).unwrap().finish().unwrap();
    drop(failure);
}

#[derive(Workflow, Debug, PartialEq)]
enum Deploy {
    #[step(undo)]
    Start,
    Check,
}

#[test]
fn after_a_rollback_that_came_too_late() {
    let journal = MemoryJournal::new();
    let begin = || Deploy::machine().id("r").journal(journal.clone()).begin().unwrap();
    let failure = begin().step(deploy::Start, ok).unwrap().step(deploy::Check, refuse).err().unwrap();
    begin().step(deploy::Start, ok).unwrap().step(deploy::Check, ok).unwrap().finish().unwrap();
    let failure = failure.rollback(|_, _| -> Result<(), Trouble> { panic!("somebody else completed it") });
    assert!(matches!(failure.journal_error(), Some(JournalError::Conflict { .. })), "{failure:?}");
    drop(begin());
    drop(failure);
}
