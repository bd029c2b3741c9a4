//! What the derive writes for the runner: which method of a handler each step comes to, and what it is given.

use std::task::{Context, Poll, Waker};

use serde::de::DeserializeOwned;
use serde_json::Value;
use step_machine::event::Kind;
use step_machine::runner::{BoxFuture, Dispatch, HandlerFor};
use step_machine::{Cause, Event, StepContext, Workflow};

use crate::support::{Recorded, Trouble};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Release {
    #[step(undo)]
    Fetch,
    #[step(output = String, undo)]
    Build,
    #[step(output = u16, skippable)]
    Count,
    #[step(needs(Count, Build), output = Vec<u16>)]
    Publish,
    #[step(workflow = Announce, needs(Publish))]
    Announce,
}
use release::{Build, Count, Fetch, Publish};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Announce {
    Chat,
}

/// Tells the run which method was called with what.
struct Releasing {
    broken: bool,
}

impl ReleaseHandler for Releasing {
    type Error = Trouble;

    async fn fetch(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        cx.message("fetch");
        Ok(())
    }

    async fn undo_fetch(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        cx.message("undo fetch");
        Ok(())
    }

    async fn build(&self, cx: &mut StepContext) -> Result<String, Trouble> {
        cx.message("build");
        Ok("archive".to_owned())
    }

    async fn undo_build(&self, cx: &mut StepContext, output: Option<&String>) -> Result<(), Trouble> {
        cx.message(format!("undo build of {output:?}"));
        Ok(())
    }

    async fn count(&self, cx: &mut StepContext) -> Result<u16, Trouble> {
        cx.message("count");
        Ok(7)
    }

    async fn skip_count(&self, cx: &mut StepContext) -> Result<Option<String>, Trouble> {
        cx.message("skip count?");
        Ok(Some("nobody counts".to_owned()))
    }

    async fn publish(&self, cx: &mut StepContext, count: Option<&u16>, build: &String) -> Result<Vec<u16>, Trouble> {
        cx.message(format!("publish {build} of {count:?}"));
        if self.broken { Err(Trouble::Network) } else { Ok(vec![3; count.copied().unwrap_or(1).into()]) }
    }

    fn announce(&self, _: &Vec<u16>) -> impl HandlerFor<Announce> {
        &Announcing
    }
}

struct Announcing;

impl AnnounceHandler for Announcing {
    type Error = Trouble;

    async fn chat(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }
}

/// What a future gives that never has to wait.
fn now<T>(mut future: BoxFuture<'_, Result<T, Cause<Trouble>>>) -> Result<T, Trouble> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(value)) => Ok(value),
        Poll::Ready(Err(Cause::Error(error))) => Err(error),
        Poll::Ready(Err(other)) => panic!("{other}"),
        Poll::Pending => panic!("it waits"),
    }
}

/// A body of the typed machine that runs the one of the handler.
fn body<T: DeserializeOwned>(
    step: Release,
    handler: &Releasing,
) -> impl FnOnce(&mut StepContext) -> Result<T, Trouble> {
    move |cx| {
        let output: Option<Value> = now(<Release as Dispatch<_>>::run(step.index(), handler, cx))?;
        Ok(serde_json::from_value(output.unwrap_or_default()).unwrap())
    }
}

/// What the methods told of themselves.
fn told(seen: &Recorded) -> Vec<String> {
    let message = |event: Event| match event.kind {
        Kind::StepUpdate(update) => update.message.map(|message| message.to_string()),
        _ => None,
    };
    seen.events().into_iter().filter_map(message).collect()
}

#[test]
fn each_step_comes_to_its_method_with_what_it_needs() {
    for skip in [true, false] {
        let (seen, handler) = (Recorded::new(), Releasing { broken: false });
        let run = Release::machine().observe(seen.clone()).begin().unwrap();
        let run = run.step(Fetch, body(Release::Fetch, &handler)).unwrap();
        let mut why = None;
        let (run, archive) = run
            .step(Build, |cx| {
                why = now(<Release as Dispatch<_>>::skip(Release::Count.index(), &handler, cx))?;
                body(Release::Build, &handler)(cx)
            })
            .unwrap();
        assert_eq!((archive.as_str(), why.as_deref()), ("archive", Some("nobody counts")));
        let run = if skip {
            run.skip(Count, why.unwrap())
        } else {
            run.step(Count, body(Release::Count, &handler)).unwrap().0
        };
        let (run, numbers) = run.step(Publish, body(Release::Publish, &handler)).unwrap();
        assert_eq!(numbers.len(), if skip { 1 } else { 7 });
        drop(run);
        let mut expected = vec!["fetch", "skip count?", "build", "count", "publish archive of Some(7)"];
        if skip {
            expected.splice(3.., ["publish archive of None"]);
        }
        assert_eq!(told(&seen), expected);
    }
}

#[test]
fn an_undo_is_given_what_its_step_handed_on() {
    let (seen, handler) = (Recorded::new(), Releasing { broken: true });
    let run = Release::machine().observe(seen.clone()).begin().unwrap();
    let run = run.step(Fetch, body(Release::Fetch, &handler)).unwrap();
    let (run, _) = run.step(Build, body(Release::Build, &handler)).unwrap();
    let failure = run.skip(Count, "no time").step(Publish, body(Release::Publish, &handler)).unwrap_err();
    let undo = |step: Release, cx: &mut StepContext| now(<Release as Dispatch<_>>::undo(step.index(), &handler, cx));
    drop(failure.rollback(undo));
    let expected = ["fetch", "build", "publish archive of None", "undo build of Some(\"archive\")", "undo fetch"];
    assert_eq!(told(&seen), expected);
}

#[test]
fn the_undo_of_a_step_that_failed_is_given_nothing() {
    let (seen, handler) = (Recorded::new(), Releasing { broken: false });
    let run = Release::machine().observe(seen.clone()).begin().unwrap();
    let run = run.step(Fetch, body(Release::Fetch, &handler)).unwrap();
    let failure = run.step(Build, |_| Err(Trouble::Network)).unwrap_err();
    drop(failure.rollback(|step, cx| now(<Release as Dispatch<_>>::undo(step.index(), &handler, cx))));
    assert_eq!(told(&seen), ["fetch", "undo build of None", "undo fetch"]);
}
