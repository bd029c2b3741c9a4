//! The same where the library drives: the comparison comes before the handler is asked anything.

use std::sync::{Arc, Mutex};

use step_machine::event::StepStatus;
use step_machine::runner::{HandlerFor, Runner};
use step_machine::{Cause, JournalError, PlanChange, StepContext, Workflow};

use super::{RULED, added, built, inserted, lost, renamed, reordered, ruled, upside_down};
use crate::support::{Recorded, TextJournal, Trouble};

/// A handler that writes down what it is asked.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    fn told(&self, what: &str) {
        self.0.lock().unwrap().push(what.to_owned());
    }

    /// A body that is called.
    fn body(&self, cx: &StepContext) {
        self.told(&format!("{} #{}", cx.step(), cx.attempt()));
    }

    fn calls(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Handlers whose bodies only say that they were called.
macro_rules! asked {
    ($($handler:path { $($method:ident $(-> $output:ty, $value:expr)?),* })*) => {$(
        impl $handler for Asked {
            type Error = Trouble;

            $(async fn $method(&self, cx: &mut StepContext) -> Result<asked!(@ $($output)?), Trouble> {
                self.body(cx);
                Ok(asked!(= $($value)?))
            })*
        }
    )*};
    (@ $output:ty) => { $output };
    (@) => { () };
    (= $value:expr) => { $value };
    (=) => { () };
}

asked! {
    added::AddedHandler { fetch -> String, "another".to_owned(), build, test, sign, upload }
    renamed::RenamedHandler { download -> String, "another".to_owned(), compile, verify, publish }
    lost::LostHandler { fetch, publish }
    reordered::ReorderedHandler { build, fetch, test, publish }
    inserted::InsertedHandler { fetch, lint, scan, build, test, publish }
    upside_down::UpsideDownHandler { lint, test, fetch }
}

impl ruled::RuledHandler for Asked {
    type Error = Trouble;

    async fn fetch(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.body(cx);
        Ok(())
    }

    async fn build(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.body(cx);
        Ok(())
    }

    async fn undo_build(&self, _: &mut StepContext) -> Result<(), Trouble> {
        self.told("undo build");
        Ok(())
    }

    async fn skip_build(&self, _: &mut StepContext) -> Result<Option<String>, Trouble> {
        self.told("whether to skip build");
        Ok(None)
    }

    async fn test(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.body(cx);
        Err(Trouble::Network)
    }

    async fn publish(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.body(cx);
        Ok(())
    }
}

/// What keeps a runner of `W` from going on with the run of [`built`]: the differences, and the text.
async fn changes<W: Workflow>(run: impl Fn(Asked) -> Runner<'static, W, Arc<Asked>>) -> (Vec<PlanChange>, String)
where
    Arc<Asked>: HandlerFor<W, Error = Trouble>,
{
    let (journal, asked, seen) = (built(), Asked::default(), Recorded::new());
    let before = journal.lines("r");
    let failure = run(asked.clone()).id("r").journal(journal.clone()).observe(seen.clone()).await.unwrap_err();
    assert_eq!(asked.calls(), [""; 0], "the handler is asked nothing");
    assert_eq!(journal.lines("r"), before, "nothing is appended");
    assert_eq!(seen.lines(), [""; 0], "there is nothing to be seen");
    // Nobody has the run: the version that began it goes on.
    drop(super::First::machine().id("r").journal(journal).begin().unwrap());
    let Cause::Journal(error) = failure.cause() else { panic!("not the journal: {:?}", failure.cause()) };
    let JournalError::PlanChanged { changes, .. } = error else { panic!("{error:?}") };
    (changes.clone(), error.to_string())
}

const WHAT_TO_DO: &str = "; resume it with the version that began it, or begin again under another id";

#[tokio::test]
async fn a_step_that_began_cannot_be_lost() {
    let (found, text) = changes(|asked| lost::Lost::run(Arc::new(asked))).await;
    let lost = |step: &str| PlanChange::Lost { step: step.to_owned() };
    assert_eq!(found, [lost("build"), lost("test")]);
    let expected = "run r: the workflow changed since: step `build` is gone (if it was renamed, give it \
                    `alias = \"build\"`), step `test` is gone (if it was renamed, give it `alias = \"test\"`)";
    assert_eq!(text, format!("{expected}{WHAT_TO_DO}"));
}

#[tokio::test]
async fn steps_that_began_cannot_change_places() {
    let (found, text) = changes(|asked| reordered::Reordered::run(Arc::new(asked))).await;
    assert_eq!(found, [PlanChange::Reordered { first: "fetch".to_owned(), second: "build".to_owned() }]);
    assert!(text.contains("step `build` now comes before `fetch`") && text.ends_with(WHAT_TO_DO), "{text}");
}

#[tokio::test]
async fn no_step_can_be_put_before_one_that_is_settled() {
    let (found, text) = changes(|asked| inserted::Inserted::run(Arc::new(asked))).await;
    let inserted = |step: &str| PlanChange::Inserted { step: step.to_owned(), before: "build".to_owned() };
    assert_eq!(found, [inserted("lint"), inserted("scan")]);
    for step in ["lint", "scan"] {
        assert!(text.contains(&format!("step `{step}` now comes before `build`, which is settled")), "{text}");
    }
    assert!(text.ends_with(WHAT_TO_DO), "{text}");
}

#[tokio::test]
async fn all_differences_are_told_at_once() {
    let (found, text) = changes(|asked| upside_down::UpsideDown::run(Arc::new(asked))).await;
    assert_eq!(found.len(), 3, "{text}");
    for change in &found {
        assert!(text.contains(&change.to_string()), "`{change}` is not in: {text}");
    }
}

/// Goes on with the run of [`built`], which completes: what the handler was asked, and what was appended.
async fn goes_on<W: Workflow>(run: impl Fn(Asked) -> Runner<'static, W, Arc<Asked>>) -> (Vec<String>, TextJournal)
where
    Arc<Asked>: HandlerFor<W, Error = Trouble>,
{
    let (journal, asked) = (built(), Asked::default());
    let report = run(asked.clone()).id("r").journal(journal.clone()).await.unwrap();
    assert_eq!(journal.fold("r").unwrap().as_ref(), Some(report.state()), "a reader comes to the same state");
    (asked.calls(), journal)
}

#[tokio::test]
async fn steps_that_were_not_reached_may_come_and_go() {
    let (asked, journal) = goes_on(|asked| added::Added::run(Arc::new(asked))).await;
    assert_eq!(asked, ["test #2", "sign #1", "upload #1"]);
    assert_eq!(
        journal.lines("r")[8..],
        [
            "run_resume",
            "step_start test #2",
            "step_end test completed #2",
            "step_start sign",
            "step_end sign completed",
            "step_start upload",
            "step_end upload completed",
            "run_end completed",
        ]
    );
}

#[tokio::test]
async fn a_renamed_step_is_found_by_its_alias() {
    let (asked, journal) = goes_on(|asked| renamed::Renamed::run(Arc::new(asked))).await;
    assert_eq!(asked, ["verify #2", "publish #1"]);
    assert_eq!(journal.lines("r")[8..10], ["run_resume", "step_start verify #2"]);
    let state = journal.fold("r").unwrap().unwrap();
    for id in ["fetch", "download", "build", "compile"] {
        assert_eq!(state.step(id).unwrap().status(), StepStatus::Completed, "{id}");
    }
}

#[tokio::test]
async fn rules_may_change() {
    let (asked, journal) = goes_on(|asked| ruled::Ruled::run(Arc::new(asked))).await;
    // Not critical any more, and tried twice by a rule that is new.
    assert_eq!(asked, ["test #2", "test #3", "publish #1"]);
    assert_eq!(journal.lines("r")[8..], RULED);
}
