//! Outputs that are secret: where they are, and where they never are; and values that are redacted by key.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use step_machine::event::{Event, Kind, StepEnd, StepStatus};
use step_machine::journal::{SealKey, Sealer};
use step_machine::observe::JsonLines;
use step_machine::{Failure, Journal, JournalError, MemoryJournal, Plan, RunState, StepContext, Workflow};

use crate::support::{Recorded, TextJournal, Trouble, ok, refuse, unreachable_body};

pub(crate) const PASSWORD: &str = "hunter2-4711";

/// What nobody is to read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) user: String,
    pub(crate) password: String,
}

pub(crate) fn token() -> Token {
    Token { user: "anna".to_owned(), password: PASSWORD.to_owned() }
}

pub(crate) fn key(id: &str, byte: u8) -> SealKey {
    SealKey::new(id, [byte; 32]).unwrap()
}

/// The codec that all tests agree on.
pub(crate) fn sealer() -> Sealer {
    Sealer::new(key("a", 1))
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deploy {
    #[step(output = Token, secret, undo)]
    GetToken,
    #[step(output = u16)]
    Start,
    Upload,
}
use deploy::*;

fn get_token(_: &mut StepContext) -> Result<Token, Trouble> {
    Ok(token())
}

/// One journal of each kind: events as they are, and events as text.
pub(crate) fn journals() -> [Arc<dyn Journal>; 2] {
    [Arc::new(MemoryJournal::new()), Arc::new(TextJournal::new())]
}

/// All that a journal has of a run, as text, in both of its forms.
pub(crate) fn kept(journal: &dyn Journal, run: &str) -> String {
    let events = journal.load(&run.into()).wait().unwrap();
    assert!(!events.is_empty(), "the journal does not have {run}");
    let listed = journal.list(&step_machine::journal::RunQuery::of(run)).wait().unwrap();
    format!("{events:?}\n{}\n{listed:?}", serde_json::to_string(&events).unwrap())
}

pub(crate) fn assert_hidden(place: &str, text: &str) {
    assert!(!text.is_empty(), "{place} has nothing at all");
    assert!(!text.contains(PASSWORD), "{place} shows the secret:\n{text}");
}

/// The end of a step among events.
pub(crate) fn end_of<'e>(events: &'e [Event], step: &str) -> &'e StepEnd {
    let end = |event: &'e Event| match &event.kind {
        Kind::StepEnd(end) if end.step == step => Some(end),
        _ => None,
    };
    events.iter().find_map(end).unwrap()
}

/// A writer whose text can be read later.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn a_secret_is_in_the_state_and_in_no_text() {
    for journal in journals() {
        let (seen, lines) = (Recorded::new(), Shared::default());
        let run = Deploy::machine().id("web-42").journal(journal.clone()).codec(sealer());
        let run = run.observe(seen.clone()).observe(JsonLines::new(lines.clone())).begin().unwrap();
        let (run, handed_on) = run.step(GetToken, get_token).unwrap();
        assert_eq!(handed_on, token());
        let (run, _) = run
            .step(Start, |cx| {
                assert_eq!(cx.output(GetToken).unwrap(), Some(token()));
                assert_hidden("the context", &format!("{cx:?}"));
                Ok::<_, Trouble>(8080)
            })
            .unwrap();
        assert_hidden("the machine", &format!("{run:?}"));
        assert_hidden("its state", &format!("{:?} {:#?}", run.state(), run.state()));
        let mut failure = run.step(Upload, refuse).unwrap_err();

        let dir = tempfile::tempdir().unwrap();
        let trace = failure.write_trace(dir.path()).unwrap();
        assert_hidden("the trace file", &std::fs::read_to_string(trace).unwrap());
        assert_hidden("the failure", &format!("{failure} {failure:#} {failure:?} {failure:#?}"));
        assert_hidden("the context of the failure", &serde_json::to_string(failure.context()).unwrap());
        assert_eq!(failure.state().unwrap().output(GetToken).unwrap(), Some(token()));
        drop(failure);
        assert_hidden("the JSON lines", &lines.text());
        assert_hidden("the events", &format!("{:?} {}", seen.events(), json!(seen.events())));
        assert_hidden("the journal", &kept(&*journal, "web-42"));

        let report = finished(&journal);
        assert_hidden("the report", &format!("{report} {report:?} {report:#?}"));
        assert_eq!(report.state().output(GetToken).unwrap(), Some(token()));
        assert_eq!(report.state().output(Start).unwrap(), Some(8080));
        assert_hidden("the journal at the end", &kept(&*journal, "web-42"));
    }
}

/// Goes on with a run that failed at its last step.
fn finished(journal: &Arc<dyn Journal>) -> step_machine::Report<Deploy> {
    let run = Deploy::machine().id("web-42").journal(journal.clone()).codec(sealer()).begin().unwrap();
    let (run, again) = run.step(GetToken, unreachable_body).unwrap();
    assert_eq!(again, token());
    let (run, _) = run.step(Start, unreachable_body).unwrap();
    run.step(Upload, ok).unwrap().finish().unwrap()
}

#[test]
fn an_event_says_that_there_is_a_secret_and_only_the_journal_has_it_sealed() {
    for journal in journals() {
        let seen = Recorded::new();
        let run = Deploy::machine().id("web-42").journal(journal.clone()).codec(sealer()).observe(seen.clone());
        let (run, _) = run.begin().unwrap().step(GetToken, get_token).unwrap();
        drop(run.step(Start, |_| Ok::<_, Trouble>(8080)).unwrap());

        let (shown, kept) = (seen.events(), journal.load(&"web-42".into()).wait().unwrap());
        let (told, sealed) = (end_of(&shown, "get-token"), end_of(&kept, "get-token"));
        assert_eq!((told.secret, &told.output, &told.sealed), (true, &None, &None));
        assert_eq!((sealed.secret, &sealed.output), (true, &None));
        assert!(sealed.sealed.as_ref().unwrap().starts_with("x1.a."));
        let json = serde_json::to_value(&shown[2]).unwrap();
        assert_eq!((&json["type"], &json["secret"]), (&json!("step_end"), &json!(true)));
        assert_eq!((json.get("output"), json.get("sealed")), (None, None));
        // A step beside it is recorded as ever.
        let plain = end_of(&shown, "start");
        assert_eq!((plain.secret, plain.output.as_deref()), (false, Some(&json!(8080))));
        assert_eq!(end_of(&kept, "start"), plain);
        assert!(serde_json::to_value(&shown[4]).unwrap().get("secret").is_none());

        // Who folds either knows that there is one, and not which.
        for events in [shown, kept] {
            let state = RunState::fold(&events).unwrap().unwrap();
            let step = state.step("get-token").unwrap();
            assert_eq!((step.status(), step.is_secret(), step.output()), (StepStatus::Completed, true, None));
            assert!(!state.step("start").unwrap().is_secret());
            assert_eq!(state.output(GetToken).unwrap(), None);
        }
    }
}

#[test]
fn without_a_journal_nothing_has_to_be_sealed() {
    let seen = Recorded::new();
    let run = Deploy::machine().observe(seen.clone()).begin().unwrap();
    let (run, handed_on) = run.step(GetToken, get_token).unwrap();
    assert_eq!((handed_on, run.state().output(GetToken).unwrap()), (token(), Some(token())));
    assert_eq!(
        (end_of(&seen.events(), "get-token").secret, &end_of(&seen.events(), "get-token").sealed),
        (true, &None)
    );
    assert_hidden("the events", &json!(seen.events()).to_string());

    // Nobody looks on.
    let (run, _) = Deploy::machine().begin().unwrap().step(GetToken, get_token).unwrap();
    assert_eq!(run.state().output(GetToken).unwrap(), Some(token()));
    assert_hidden("the state", &format!("{:?}", run.state()));
}

#[test]
fn a_step_that_fails_hands_on_no_secret() {
    let (journal, seen) = (TextJournal::new(), Recorded::new());
    let run = Deploy::machine().id("web-42").journal(journal.clone()).codec(sealer()).observe(seen.clone());
    let failed = run.begin().unwrap().step(GetToken, |_| Err(Trouble::Network));
    assert!(failed.is_err());
    drop(failed);
    let (shown, kept) = (seen.events(), journal.events("web-42"));
    for end in [end_of(&shown, "get-token"), end_of(&kept, "get-token")] {
        assert_eq!((end.status, end.secret, &end.sealed), (StepStatus::Failed, false, &None));
    }
}

#[test]
fn a_secret_is_given_to_the_undo_that_takes_it_back() {
    let journal = TextJournal::new();
    let begin = || Deploy::machine().id("web-42").journal(journal.clone()).codec(sealer()).begin().unwrap();
    drop(begin().step(GetToken, get_token).unwrap());
    // In another process than the one that got it.
    let (run, _) = begin().step(GetToken, unreachable_body).unwrap();
    let failure = run.step(Start, |_| Err(Trouble::Network)).unwrap_err();
    let mut undone = Vec::new();
    let failure = failure.rollback(|step, cx| {
        undone.push((step, cx.output(GetToken).unwrap()));
        Ok::<(), Trouble>(())
    });
    assert_hidden("the failure", &format!("{failure:?} {failure:#}"));
    assert_eq!(undone, [(Deploy::GetToken, Some(token()))]);
    assert_hidden("the journal", &kept(&journal, "web-42"));
}

/// Outputs that look like what stands in a journal for a secret, one of them a secret itself.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Odd {
    #[step(output = Value)]
    LooksSealed,
    #[step(output = Value, secret)]
    IsSealed,
    #[step(output = Option<Token>, secret)]
    Nothing,
    #[step(output = f64, secret)]
    Exact,
    Last,
}

#[test]
fn no_output_is_taken_for_a_sealed_one_or_the_other_way_round() {
    use odd::*;
    let looks = json!({ "secret": true, "sealed": "x1.a.AAAA", "output": null });
    for journal in journals() {
        let begin = || Odd::machine().id("odd").journal(journal.clone()).codec(sealer()).begin().unwrap();
        let (run, _) = begin().step(LooksSealed, |_| Ok::<_, Trouble>(looks.clone())).unwrap();
        let (run, _) = run.step(IsSealed, |_| Ok::<_, Trouble>(looks.clone())).unwrap();
        let (run, _) = run.step(Nothing, |_| Ok::<_, Trouble>(None)).unwrap();
        drop(run.step(Exact, |_| Ok::<_, Trouble>(0.1 + 0.2)).unwrap());

        let (run, first) = begin().step(LooksSealed, unreachable_body).unwrap();
        let (run, second) = run.step(IsSealed, unreachable_body).unwrap();
        let (run, nothing) = run.step(Nothing, unreachable_body).unwrap();
        let (run, exact) = run.step(Exact, unreachable_body).unwrap();
        assert_eq!((&first, &second, nothing, exact), (&looks, &looks, None, 0.1 + 0.2));
        drop(run);
    }
}

/// The same workflow before the output became a secret, and with the step under another name.
mod before {
    use step_machine::Workflow;

    use super::Token;

    #[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Deploy {
        #[step(output = Token, undo)]
        GetToken,
        #[step(output = u16)]
        Start,
        Upload,
    }
}

mod renamed {
    use step_machine::Workflow;

    use super::Token;

    #[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Deploy {
        #[step(output = Token, secret, undo, alias = "get-token")]
        LogIn,
        #[step(output = u16)]
        Start,
        Upload,
    }
}

#[test]
fn a_run_goes_on_when_an_output_becomes_a_secret_and_when_it_is_none_any_more() {
    for journal in journals() {
        let earlier = before::Deploy::machine().id("open").journal(journal.clone()).begin().unwrap();
        drop(earlier.step(before::deploy::GetToken, get_token).unwrap());
        let run = Deploy::machine().id("open").journal(journal.clone()).codec(sealer()).begin().unwrap();
        assert_eq!(run.step(GetToken, unreachable_body).unwrap().1, token());

        let run = Deploy::machine().id("secret").journal(journal.clone()).codec(sealer()).begin().unwrap();
        drop(run.step(GetToken, get_token).unwrap());
        let later = || before::Deploy::machine().id("secret").journal(journal.clone());
        let error = later().begin().unwrap_err();
        assert!(matches!(&error, JournalError::Sealed { step, .. } if step == "get-token"), "{error}");
        let run = later().codec(sealer()).begin().unwrap();
        assert_eq!(run.step(before::deploy::GetToken, unreachable_body).unwrap().1, token());
        assert_hidden("the journal", &kept(&*journal, "secret"));
    }
}

#[test]
fn a_secret_of_a_step_that_was_renamed_is_opened() {
    for journal in journals() {
        let run = Deploy::machine().id("web-42").journal(journal.clone()).codec(sealer()).begin().unwrap();
        drop(run.step(GetToken, get_token).unwrap());
        // Twice: the second time the journal has the new plan too.
        for _ in 0..2 {
            let run = renamed::Deploy::machine().id("web-42").journal(journal.clone()).codec(sealer()).begin();
            let (run, again) = run.unwrap().step(renamed::deploy::LogIn, unreachable_body).unwrap();
            assert_eq!(again, token());
            drop(run);
        }
    }
}

#[test]
fn a_plan_that_was_kept_before_there_were_secrets_is_read() {
    let plan = before::Deploy::plan();
    let text = serde_json::to_string(plan).unwrap();
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), *plan);
    let text = serde_json::to_string(Deploy::plan()).unwrap();
    assert_eq!(text.matches(r#""secret":true"#).count(), 1);
    let read: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(read, *Deploy::plan());
    assert!(read.steps[0].secret && !read.steps[1].secret);
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Configure {
    Ask,
    Apply,
}

fn configured(journal: &Arc<dyn Journal>, seen: &Recorded) -> Failure<Configure, Trouble> {
    let input = json!({
        "host": "web-1", "TOKEN": PASSWORD,
        "users": [{ "name": "anna", "password": { "text": PASSWORD } }, "token"],
    });
    let run = Configure::machine().id("c").label("ticket", "OPS-12").label("Api-Token", PASSWORD);
    let run = run.redact("token").redact("Password").redact("api-token").input(input);
    assert_hidden("the builder", &format!("{run:?}"));
    let run = run.journal(journal.clone()).observe(seen.clone()).begin().unwrap();
    let run = run.step(configure::Ask, |cx| {
        cx.metadata("token", PASSWORD);
        cx.metadata("hosts", json!([{ "name": "web-1", "Token": [PASSWORD] }, { "tokens": 2 }]));
        Ok::<_, Trouble>(())
    });
    let failed = run.unwrap().step(configure::Apply, |cx| {
        cx.metadata("PASSWORD", PASSWORD);
        Err(Trouble::Network)
    });
    failed.unwrap_err()
}

#[test]
fn what_stands_under_a_redacted_key_is_recorded_nowhere() {
    for journal in journals() {
        let seen = Recorded::new();
        let mut failure = configured(&journal, &seen);
        let dir = tempfile::tempdir().unwrap();
        let trace = std::fs::read_to_string(failure.write_trace(dir.path()).unwrap()).unwrap();
        assert!(trace.contains(r#"PASSWORD: "[redacted]""#), "{trace}");
        assert_hidden("the trace file", &trace);
        assert_hidden("the failure", &format!("{failure:?} {}", json!(failure.context())));
        let state = failure.state().unwrap();
        assert_hidden("the state", &format!("{state:?}"));
        assert_eq!(state.labels()["ticket"], "OPS-12");
        assert_eq!(state.labels()["Api-Token"], "[redacted]");
        let users = json!([{ "name": "anna", "password": "[redacted]" }, "token"]);
        assert_eq!(state.input(), Some(&json!({ "host": "web-1", "TOKEN": "[redacted]", "users": users })));
        let hosts = json!([{ "name": "web-1", "Token": "[redacted]" }, { "tokens": 2 }]);
        let told = json!({ "token": "[redacted]", "hosts": hosts });
        assert_eq!(json!(state.step("ask").unwrap().metadata().unwrap()), told);
        drop(failure);
        assert_hidden("the events", &json!(seen.events()).to_string());
        assert_hidden("the journal", &kept(&*journal, "c"));
    }
}

#[test]
fn a_key_is_redacted_where_nobody_looks_on_too() {
    let run = Configure::machine().redact("token").label("token", PASSWORD).begin().unwrap();
    let run = run.step(configure::Ask, |cx| Ok::<_, Trouble>(cx.metadata("Token", PASSWORD))).unwrap();
    assert_hidden("the state", &format!("{:?}", run.state()));
}
