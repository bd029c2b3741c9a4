//! Secrets that cannot be sealed, or opened again: typed errors, before anything runs.

use std::error::Error as _;
use std::sync::Arc;

use step_machine::journal::{Claim, Codec, CodecError, RunQuery, SealContext, Sealer};
use step_machine::{Cause, Journal, JournalError, MachineBuilder, MemoryJournal, RunId, StepContext, Workflow};

use crate::secret::{Deploy, PASSWORD, Token, assert_hidden, deploy::*, journals, kept, key, sealer, token};
use crate::support::{Recorded, TextJournal, Trouble, lines, unreachable_body};

fn get_token(_: &mut StepContext) -> Result<Token, Trouble> {
    Ok(token())
}

fn run(journal: &TextJournal, id: &str) -> MachineBuilder<Deploy> {
    Deploy::machine().id(id).journal(journal.clone())
}

/// A journal with two runs that have their secrets, and go on after them.
fn two_runs() -> TextJournal {
    let journal = TextJournal::new();
    for id in ["web-1", "web-2"] {
        let begun = run(&journal, id).codec(sealer()).begin().unwrap();
        drop(begun.step(GetToken, get_token).unwrap());
    }
    journal
}

/// The error of a run whose secret cannot be opened, as far as it is that.
fn refused(begun: MachineBuilder<Deploy>) -> CodecError {
    let seen = Recorded::new();
    match begun.observe(seen.clone()).begin() {
        Err(JournalError::Sealed { run, step, source }) => {
            assert_eq!((run, step.as_str(), seen.len()), (RunId::from("web-1"), "get-token", 0));
            *source
        }
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("the run goes on"),
    }
}

/// The text that stands for the secret, changed in the journal.
fn change(journal: &TextJournal, change: impl Fn(&str) -> String) {
    journal.damage("web-1", |lines| {
        for line in lines.iter_mut().filter(|line| line.contains(r#""sealed""#)) {
            let mut event: serde_json::Value = serde_json::from_str(line).unwrap();
            event["sealed"] = change(event["sealed"].as_str().unwrap()).into();
            *line = event.to_string();
        }
    });
}

fn sealed(journal: &TextJournal, run: &str) -> String {
    crate::secret::end_of(&journal.events(run), "get-token").sealed.as_deref().unwrap().to_owned()
}

#[test]
fn another_key_opens_nothing_and_the_right_one_still_does() {
    let journal = two_runs();
    let before = journal.lines("web-1");
    assert!(matches!(refused(run(&journal, "web-1").codec(Sealer::new(key("a", 2)))), CodecError::Refused));
    let unknown = refused(run(&journal, "web-1").codec(Sealer::new(key("b", 1))));
    assert!(matches!(&unknown, CodecError::UnknownKey { key } if key == "a"), "{unknown}");
    assert_eq!(journal.lines("web-1"), before, "nothing was written");

    let rotated = Sealer::new(key("b", 2)).also_opens(key("a", 1));
    let begun = run(&journal, "web-1").codec(rotated).begin().unwrap();
    assert_eq!(begun.step(GetToken, unreachable_body).unwrap().1, token());
}

#[test]
fn a_changed_or_moved_text_is_refused_and_stops_no_other_run() {
    let other = sealed(&two_runs(), "web-2");
    type Change<'c> = &'c dyn Fn(&str) -> String;
    let flip = |text: &str| {
        let last = text.len() - 20;
        let with = if &text[last..=last] == "A" { "B" } else { "A" };
        format!("{}{with}{}", &text[..last], &text[last + 1..])
    };
    let changes: [(&str, Change, &str); 6] = [
        ("flipped", &flip, "refuses"),
        ("cut", &|text| text[..text.len() - 4].to_owned(), "refuses"),
        ("moved", &|_| other.clone(), "refuses"),
        ("of another codec", &|_| "vault:v1:abc".to_owned(), "not as the codec writes it"),
        ("empty", &|_| String::new(), "not as the codec writes it"),
        ("under another key's id", &|text| text.replace("x1.a.", "x1.b."), "with the key `b`"),
    ];
    for (name, how, expected) in changes {
        let journal = two_runs();
        change(&journal, how);
        let error = refused(run(&journal, "web-1").codec(sealer()));
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert_eq!(journal.list(&RunQuery::all()).wait().unwrap().len(), 2, "{name}");
        let begun = run(&journal, "web-2").codec(sealer()).begin().unwrap();
        assert_eq!(begun.step(GetToken, unreachable_body).unwrap().1, token(), "{name}");
    }
}

#[test]
fn a_secret_that_only_observers_events_are_left_of_is_missing() {
    let journal = two_runs();
    journal.damage("web-1", |lines| {
        for line in lines.iter_mut() {
            let mut event: serde_json::Value = serde_json::from_str(line).unwrap();
            event.as_object_mut().unwrap().remove("sealed");
            *line = event.to_string();
        }
    });
    assert!(matches!(refused(run(&journal, "web-1").codec(sealer())), CodecError::Missing));
}

#[test]
fn without_a_codec_no_journal_is_written_to() {
    for journal in journals() {
        let seen = Recorded::new();
        let begun = Deploy::machine().id("web-1").journal(journal.clone()).observe(seen.clone());
        let error = begun.begin().unwrap_err();
        assert!(matches!(&error, JournalError::NoCodec { step, .. } if step == "get-token"), "{error}");
        assert_eq!(error.run(), Some(&"web-1".into()));
        assert_eq!(
            error.to_string(),
            "run web-1: what step `get-token` hands on is `secret`, and there is no codec to seal it with for the \
             journal; give the run one by `.codec(..)`, or run it without a journal"
        );
        assert_eq!((journal.load(&"web-1".into()).wait().unwrap().len(), seen.len()), (0, 0));
        // It is free, and whoever has it keeps it.
        let live = Deploy::machine().id("web-1").journal(journal.clone()).codec(sealer()).begin().unwrap();
        let error = Deploy::machine().id("web-1").journal(journal.clone()).take_over().begin().unwrap_err();
        assert!(matches!(error, JournalError::NoCodec { .. }), "{error}");
        assert!(live.step(GetToken, get_token).is_ok());
    }
}

#[test]
fn a_run_whose_secrets_cannot_be_opened_is_not_taken_over() {
    for journal in journals() {
        let live = Deploy::machine().id("web-1").journal(journal.clone()).codec(sealer()).begin().unwrap();
        let live = live.step(GetToken, get_token).unwrap();
        let other = Deploy::machine().id("web-1").journal(journal.clone()).codec(Sealer::new(key("b", 1)));
        assert!(matches!(refused(other.take_over()), CodecError::UnknownKey { .. }));
        assert!(matches!(journal.claim(&Claim::of("web-1")).wait(), Err(JournalError::Owned { .. })));
        drop(live);
    }
}

#[derive(Workflow, Debug)]
enum Other {
    First,
}

#[test]
fn a_run_of_another_workflow_or_one_that_is_there_is_told_as_such_whatever_its_key() {
    let journal = two_runs();
    let begun = Other::machine().id("web-1").journal(journal.clone()).begin();
    assert!(matches!(begun, Err(JournalError::OtherWorkflow { .. })));
    let begun = Deploy::machine().start("web-1").journal(journal.clone()).codec(Sealer::new(key("b", 1))).begin();
    assert!(matches!(begun, Err(JournalError::Exists { .. })));
}

/// A codec of the user's own, which fails when it is told to.
struct Service {
    is_down: bool,
    answer: &'static str,
}

impl Codec for Service {
    fn seal(&self, context: &SealContext<'_>, _: &[u8]) -> Result<String, CodecError> {
        assert_eq!((context.workflow, context.step), ("deploy", "get-token"));
        if self.is_down { Err(CodecError::Other("the key service is down".into())) } else { Ok("vault:v1:abc".into()) }
    }

    fn open(&self, _: &SealContext<'_>, sealed: &str) -> Result<Vec<u8>, CodecError> {
        assert_eq!(sealed, "vault:v1:abc");
        Ok(self.answer.into())
    }
}

#[test]
fn a_secret_that_cannot_be_sealed_stops_the_run_and_the_step_runs_again() {
    for journal in journals() {
        let (seen, down) = (Recorded::new(), Service { is_down: true, answer: "" });
        let begun = Deploy::machine().id("web-1").journal(journal.clone()).codec(down).observe(seen.clone());
        let failure = begun.begin().unwrap().step(GetToken, get_token).unwrap_err();
        let Cause::Journal(JournalError::Sealing { step, .. }) = failure.cause() else { panic!("{failure:?}") };
        assert_eq!(step, "get-token");
        assert_hidden("the failure", &format!("{failure:?} {failure:#}"));
        assert!(format!("{failure:#}").contains("the key service is down"), "{failure:#}");
        drop(failure);
        assert_eq!(seen.lines(), ["run_start", "step_start get-token"]);
        assert_eq!(lines(&journal.load(&"web-1".into()).wait().unwrap()), ["run_start", "step_start get-token"]);

        let begun = Deploy::machine().id("web-1").journal(journal.clone()).codec(sealer()).begin().unwrap();
        let (_, handed_on) = begun
            .step(GetToken, |cx| {
                assert!(cx.interrupted());
                get_token(cx)
            })
            .unwrap();
        assert_eq!(handed_on, token());
    }
}

#[test]
fn a_codec_that_gives_back_something_else_is_found_out_and_not_quoted() {
    let journal = TextJournal::new();
    let service = |answer| Service { is_down: false, answer };
    let begun = run(&journal, "web-1").codec(service("")).begin().unwrap();
    drop(begun.step(GetToken, get_token).unwrap());
    assert!(matches!(refused(run(&journal, "web-1").codec(service(PASSWORD))), CodecError::NotJson));

    // JSON, of another type than the output.
    let quoted = r#"{"user":"anna","password":["hunter2-4711"]}"#;
    assert!(quoted.contains(PASSWORD));
    let begun = run(&journal, "web-1").codec(service(quoted)).begin().unwrap();
    let misread = begun.state().output(GetToken).unwrap_err();
    assert_hidden("the error of the state", &format!("{misread} {misread:?}"));
    let failure = begun.step(GetToken, unreachable_body).unwrap_err();
    let Cause::Journal(error @ JournalError::Output { .. }) = failure.cause() else { panic!("{failure:?}") };
    assert!(error.source().unwrap().to_string().contains("which is secret"), "{error}");
    assert_hidden("the failure", &format!("{failure:?} {failure:#}"));
    drop(failure);
    assert_hidden("the journal", &kept(&journal, "web-1"));
}

#[test]
fn a_codec_may_be_shared_and_be_chosen_when_the_program_runs() {
    let shared: Arc<dyn Codec> = Arc::new(sealer());
    let boxed: Box<dyn Codec> = Box::new(sealer());
    let journal = MemoryJournal::new();
    let begun = Deploy::machine().id("web-1").journal(journal.clone()).codec(shared).begin().unwrap();
    drop(begun.step(GetToken, get_token).unwrap());
    let begun = Deploy::machine().id("web-1").journal(journal.clone()).codec(boxed).begin().unwrap();
    assert_eq!(begun.step(GetToken, unreachable_body).unwrap().1, token());
}
