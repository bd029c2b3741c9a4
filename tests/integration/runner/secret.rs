//! Secrets under the runner: handed on, taken back, side by side, and in workflows inside of steps.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use step_machine::event::RunStatus;
use step_machine::journal::Sealer;
use step_machine::runner::HandlerFor;
use step_machine::{Cause, Failure, Journal, JournalError, StepContext, StepError, Workflow};

use crate::secret::{PASSWORD, Token, assert_hidden, end_of, journals, kept, key, sealer, token};
use crate::support::{Recorded, Trouble};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback", parallel)]
enum Site {
    #[step(output = Token, secret, undo)]
    Database,
    #[step(output = Token, secret, undo)]
    Cache,
    #[step(needs(Database, Cache))]
    Start,
}

/// What the methods were given, and what is to fail.
#[derive(Default)]
struct Host {
    given: Mutex<Vec<String>>,
    fails: AtomicBool,
    fails_to_undo: AtomicBool,
}

impl Host {
    fn note(&self, what: &str, token: Option<&Token>) {
        let is_right = token.is_some_and(|token| token.password == PASSWORD);
        self.given.lock().unwrap().push(format!("{what}: {}", if is_right { "the secret" } else { "nothing" }));
    }

    fn given(&self) -> Vec<String> {
        std::mem::take(&mut *self.given.lock().unwrap())
    }
}

fn when(is_so: &AtomicBool) -> Result<(), Trouble> {
    if is_so.load(Ordering::Relaxed) { Err(Trouble::Network) } else { Ok(()) }
}

impl SiteHandler for Host {
    type Error = Trouble;

    async fn database(&self, _: &mut StepContext) -> Result<Token, Trouble> {
        tokio::task::yield_now().await;
        Ok(token())
    }

    async fn undo_database(&self, _: &mut StepContext, token: Option<&Token>) -> Result<(), Trouble> {
        self.note("undo database", token);
        when(&self.fails_to_undo)
    }

    async fn cache(&self, _: &mut StepContext) -> Result<Token, Trouble> {
        Ok(token())
    }

    async fn undo_cache(&self, _: &mut StepContext, token: Option<&Token>) -> Result<(), Trouble> {
        self.note("undo cache", token);
        Ok(())
    }

    async fn start(&self, cx: &mut StepContext, database: &Token, cache: &Token) -> Result<(), Trouble> {
        self.note("start", Some(database));
        self.note("start", Some(cache));
        cx.metadata("password", &database.password);
        when(&self.fails)
    }
}

#[tokio::test]
async fn parallel_steps_hand_on_their_secrets_and_undos_get_them_in_another_process_too() {
    for journal in journals() {
        let (host, seen) = (Host::default(), Recorded::new());
        host.fails.store(true, Ordering::Relaxed);
        host.fails_to_undo.store(true, Ordering::Relaxed);
        let run = || {
            Site::run(&host).id("s").journal(journal.clone()).codec(sealer()).redact("password").observe(seen.clone())
        };
        let failure = run().await.unwrap_err();
        assert_eq!(failure.state().unwrap().status(), RunStatus::Stuck);
        assert_eq!(
            host.given(),
            ["start: the secret", "start: the secret", "undo cache: the secret", "undo database: the secret"]
        );
        assert_hidden("the failure", &format!("{failure:?} {failure:#} {:?}", failure.state()));
        drop(failure);

        // The rollback goes on with what the journal has.
        host.fails_to_undo.store(false, Ordering::Relaxed);
        let failure = run().await.unwrap_err();
        assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
        assert_eq!(host.given(), ["undo database: the secret"]);
        assert_hidden("the events", &json!(seen.events()).to_string());
        assert_hidden("the journal", &kept(&*journal, "s"));
    }
}

#[tokio::test]
async fn a_needed_secret_is_opened_for_the_step_that_needs_it() {
    for journal in journals() {
        let host = Host::default();
        let run = |codec| Site::run(&host).id("s").journal(journal.clone()).codec(codec);
        // It stops before `start`, which needs both.
        let report = run(sealer()).only_until(Site::Database).await.unwrap();
        assert_eq!(report.state().status(), RunStatus::Cancelled);
        let failure = run(Sealer::new(key("a", 2))).await.unwrap_err();
        assert!(matches!(failure.cause(), Cause::Journal(JournalError::Sealed { step, .. }) if step == "database"));
        assert_eq!((failure.step(), host.given()), (None, vec![]));
        run(sealer()).await.unwrap();
        assert_eq!(host.given(), ["start: the secret", "start: the secret"]);
    }
}

/// A workflow in which one runs by its rule.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    #[step(workflow = Site)]
    Install,
    Check,
}

impl NodeHandler for Host {
    type Error = Trouble;

    fn install(&self) -> impl HandlerFor<Site> {
        self
    }

    async fn check(&self, _: &mut StepContext) -> Result<(), Trouble> {
        when(&self.fails)
    }
}

#[tokio::test]
async fn a_workflow_inside_of_a_step_has_the_codec_and_the_redactions_of_the_whole() {
    for journal in journals() {
        let (host, seen) = (Host::default(), Recorded::new());
        let run = || {
            Node::run(&host).id("n").journal(journal.clone()).codec(sealer()).redact("Password").observe(seen.clone())
        };
        host.fails.store(true, Ordering::Relaxed);
        let failure = run().await.unwrap_err();
        assert_hidden("the failure", &format!("{failure:?} {failure:#}"));
        let inner = seen.events().into_iter().filter(|event| event.run.to_string() == "n/install/site");
        let inner: Vec<_> = inner.collect();
        let (told, sealed) = (end_of(&inner, "cache"), journal.load(&"n/install/site".into()).wait().unwrap());
        assert_eq!((told.secret, &told.sealed), (true, &None));
        assert!(end_of(&sealed, "cache").sealed.is_some());
        assert_hidden("the events", &json!(seen.events()).to_string());
        assert_hidden("the journal inside", &kept(&*journal, "n/install/site"));
        drop((failure, host.given()));

        // The inner run goes on where it was, with what it has sealed.
        host.fails.store(false, Ordering::Relaxed);
        run().await.unwrap();
        assert_eq!(host.given(), ["start: the secret", "start: the secret"]);
        assert_hidden("the journal at the end", &kept(&*journal, "n/install/site"));
    }
}

#[tokio::test]
async fn a_secret_of_a_declared_inner_workflow_asks_for_a_codec_before_anything_runs() {
    for journal in journals() {
        let host = Host::default();
        let failure = Node::run(&host).id("n").journal(journal.clone()).await.unwrap_err();
        let Cause::Journal(JournalError::NoCodec { step, .. }) = failure.cause() else { panic!("{failure:?}") };
        assert_eq!(step, "install/database");
        assert_eq!((host.given(), journal.load(&"n".into()).wait().unwrap().len()), (vec![], 0));
        // In memory there is nothing to seal it for.
        Node::run(&host).await.unwrap();
    }
}

/// A workflow whose body runs another one, of which its plan does not tell.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Fleet {
    First,
}

#[derive(Debug, thiserror::Error, StepError)]
#[error(transparent)]
#[step_error(transparent)]
struct OfSite(#[from] Failure<Site, Trouble>);

struct Ours {
    host: Host,
    codec: Option<fn() -> Sealer>,
}

impl FleetHandler for Ours {
    type Error = OfSite;

    async fn first(&self, cx: &mut StepContext) -> Result<(), OfSite> {
        let inner = Site::run(&self.host);
        match self.codec {
            Some(codec) => cx.nested(inner.codec(codec())).await?,
            None => cx.nested(inner).await?,
        };
        Ok(())
    }
}

#[tokio::test]
async fn a_workflow_that_a_body_runs_has_the_codec_of_the_whole_or_its_own() {
    for journal in journals() {
        let run = |ours, id| Fleet::run(ours).id(id).journal(journal.clone());
        let plain = || Ours { host: Host::default(), codec: None };
        let failure = run(std::sync::Arc::new(plain()), "none").await.unwrap_err();
        assert_eq!(failure.step(), Some(Fleet::First));
        assert!(failure.context().record().error.message.contains("`site` failed (journal)"), "{failure:#}");
        assert!(format!("{failure:#}").contains("there is no codec to seal it with"), "{failure:#}");

        run(std::sync::Arc::new(plain()), "whole").codec(sealer()).await.unwrap();
        assert_eq!(key_id(&*journal, "whole/first/site"), "x1.a");
        let own = Ours { host: Host::default(), codec: Some(|| Sealer::new(key("own", 3))) };
        run(std::sync::Arc::new(own), "own").codec(sealer()).await.unwrap();
        assert_eq!(key_id(&*journal, "own/first/site"), "x1.own");
    }
}

fn key_id(journal: &dyn Journal, run: &str) -> String {
    let events = journal.load(&run.into()).wait().unwrap();
    let sealed = end_of(&events, "database").sealed.clone().unwrap();
    sealed.rsplit_once('.').unwrap().0.to_owned()
}

#[tokio::test]
async fn a_copy_of_a_run_seals_anew_what_it_takes_over() {
    for journal in journals() {
        let host = Host::default();
        let run = |id| Site::run(&host).id(id).journal(journal.clone()).redact("password");
        run("s").codec(sealer()).await.unwrap();
        host.given();
        let codec = || Sealer::new(key("new", 2)).also_opens(key("a", 1));
        run("copy").fork("s", Site::Start).codec(codec()).await.unwrap();
        assert_eq!(host.given(), ["start: the secret", "start: the secret"]);
        assert_eq!(key_id(&*journal, "copy"), "x1.new");
        assert_hidden("the journal of the copy", &kept(&*journal, "copy"));
        // Its secrets are its own: the old key is not needed, and another run's text would not open.
        run("copy").retry_from(Site::Start).codec(Sealer::new(key("new", 2))).await.unwrap();
        assert_eq!(host.given(), ["start: the secret", "start: the secret"]);
    }
}
