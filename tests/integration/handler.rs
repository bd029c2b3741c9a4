//! What the derive writes for the runner: which method of a handler each step comes to, and what it is given.

use step_machine::event::Kind;
use step_machine::runner::HandlerFor;
use step_machine::{Event, StepContext, Workflow};

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
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Announce {
    Chat,
}

/// Tells the run which method was called with what.
struct Releasing {
    skips: bool,
    breaks: Option<Release>,
}

const WORKS: Releasing = Releasing { skips: false, breaks: None };

impl Releasing {
    fn end(&self, step: Release) -> Result<(), Trouble> {
        if self.breaks == Some(step) { Err(Trouble::Network) } else { Ok(()) }
    }
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
        self.end(Release::Build).map(|()| "archive".to_owned())
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
        cx.message("not recorded, as the step has not begun");
        Ok(self.skips.then(|| "nobody counts".to_owned()))
    }

    async fn publish(&self, cx: &mut StepContext, count: Option<&u16>, build: &String) -> Result<Vec<u16>, Trouble> {
        cx.message(format!("publish {build} of {count:?}"));
        self.end(Release::Publish).map(|()| vec![3; count.copied().unwrap_or(1).into()])
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

/// What the methods told of themselves.
fn told(seen: &Recorded) -> Vec<String> {
    let message = |event: Event| match event.kind {
        Kind::StepUpdate(update) => update.message.map(|message| message.to_string()),
        _ => None,
    };
    seen.events().into_iter().filter_map(message).collect()
}

#[tokio::test]
async fn each_step_comes_to_its_method_with_what_it_needs() {
    for skips in [true, false] {
        let seen = Recorded::new();
        let report = Release::run(&Releasing { skips, ..WORKS }).observe(seen.clone()).await.unwrap();
        let publish = if skips { "publish archive of None" } else { "publish archive of Some(7)" };
        let mut expected = vec!["fetch", "build", "count", publish];
        expected.retain(|told| !skips || *told != "count");
        assert_eq!(told(&seen), expected);
        let numbers = report.state().step("publish").unwrap().output().unwrap().as_array().unwrap();
        assert_eq!(numbers.len(), if skips { 1 } else { 7 });
    }
}

#[tokio::test]
async fn an_undo_is_given_what_its_step_handed_on() {
    let seen = Recorded::new();
    let failure =
        Release::run(&Releasing { breaks: Some(Release::Publish), ..WORKS }).observe(seen.clone()).await.unwrap_err();
    assert_eq!(failure.step(), Some(Release::Publish));
    let expected =
        ["fetch", "build", "count", "publish archive of Some(7)", "undo build of Some(\"archive\")", "undo fetch"];
    assert_eq!(told(&seen), expected);
}

#[tokio::test]
async fn the_undo_of_a_step_that_failed_is_given_nothing() {
    let seen = Recorded::new();
    let failure =
        Release::run(&Releasing { breaks: Some(Release::Build), ..WORKS }).observe(seen.clone()).await.unwrap_err();
    assert_eq!(failure.step(), Some(Release::Build));
    assert_eq!(told(&seen), ["fetch", "build", "undo build of None", "undo fetch"]);
}
