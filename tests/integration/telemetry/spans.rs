//! The spans of runs, as a decoder of OTLP reads what was exported of them.

use std::sync::Arc;
use std::time::Duration;

use step_machine::observe::Tracing;
use step_machine::time::ManualClock;
use step_machine::{MemoryJournal, StepContext, Workflow};
use tracing::Instrument;

use super::collector::{Collector, Trace, attributes};
use crate::support::{Trouble, deep, give_way, ok, refuse};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Deploy {
    #[step(undo, retry(attempts = 2, delay = "2s", jitter = false))]
    Download,
    #[step(critical = false)]
    Scan,
    #[step(skippable)]
    Announce,
    Start,
}
use deploy::{Announce, Download, Scan, Start};

/// What a body does: a span of its own, and a message in it.
fn fetch(cx: &mut StepContext) -> Result<(), Trouble> {
    let _span = tracing::info_span!("fetch").entered();
    cx.message("half of it is here");
    Ok(())
}

#[test]
fn a_run_is_a_span_with_one_below_it_for_each_attempt_and_the_bodys_own_below_that() {
    let trace = Collector::start().watch(|| {
        let run = Deploy::machine().id("shop-7").label("ticket", "OPS-12").clock(ManualClock::new());
        let run = run.observe(Tracing::new()).begin().unwrap();
        let run = run.step_retry(Download, |cx| match cx.attempt() {
            1 => Err(Trouble::Network),
            _ => fetch(cx),
        });
        let run = run.unwrap().step(Scan, |_| Err::<(), _>(deep())).skip(Announce, "nobody is awake");
        run.step(Start, fetch).unwrap().finish().unwrap();
    });
    assert_eq!(
        trace.tree(),
        "deploy\n\
         \x20 download [Error: connection refused]\n\
         \x20 download\n\
         \x20   fetch\n\
         \x20 scan [Error: cannot reach the server: the tunnel is closed: no route to host]\n\
         \x20 start\n\
         \x20   fetch\n"
    );
    let run = trace.attributes("deploy");
    let expected = [
        ("workflow.name", "deploy"),
        ("workflow.run.id", "shop-7"),
        ("workflow.run.labels", r#"{"ticket":"OPS-12"}"#),
        ("workflow.run.resumed", "false"),
        ("workflow.run.rollback", "false"),
        ("workflow.run.status", "completed"),
        ("workflow.run.steps", "4"),
        ("workflow.run.warnings", "1"),
    ];
    assert_eq!(run.into_iter().collect::<Vec<_>>(), expected.map(|(key, value)| (key, value.to_owned())));
    let [first, second] = trace.named("download")[..] else { panic!("{}", trace.tree()) };
    let first = attributes(&first.attributes);
    let expected = [
        ("error.type", "network"),
        ("workflow.name", "deploy"),
        ("workflow.run.id", "shop-7"),
        ("workflow.step.attempt", "1"),
        ("workflow.step.duration_ms", "0.0"),
        ("workflow.step.effect", "known"),
        ("workflow.step.id", "download"),
        ("workflow.step.interrupted", "false"),
        ("workflow.step.name", "Download"),
        ("workflow.step.number", "1"),
        ("workflow.step.outcome", "failed"),
        ("workflow.step.undo", "false"),
    ];
    assert_eq!(first.into_iter().collect::<Vec<_>>(), expected.map(|(key, value)| (key, value.to_owned())));
    let second = attributes(&second.attributes);
    assert_eq!(
        (second["workflow.step.attempt"].as_str(), second["workflow.step.outcome"].as_str()),
        ("2", "completed")
    );
    assert!(!second.contains_key("error.type"));
    let scan = trace.attributes("scan");
    assert_eq!((scan["workflow.step.outcome"].as_str(), scan["workflow.step.reason"].as_str()), ("failed", "failed"));
    assert_eq!((scan["error.type"].as_str(), scan["workflow.step.number"].as_str()), ("deep", "2"));
    assert_eq!(
        trace.events("download"),
        [
            "WARN attempt 1 failed, the next one follows in 2s: connection refused error.type=network \
             workflow.step.retry_delay_ms=2000.0",
            "INFO half of it is here",
            "DEBUG download completed",
        ]
    );
    assert_eq!(trace.events("deploy"), ["INFO announce skipped: nobody is awake", "WARN completed, warnings: 1"]);
}

#[test]
fn a_rollback_in_the_typed_drive_is_within_its_run_with_every_attempt() {
    let trace = Collector::start().watch(|| {
        let _command = tracing::info_span!("command").entered();
        let run = Deploy::machine().observe(Tracing::new()).begin().unwrap();
        let run = run.step(Download, ok).unwrap().step(Scan, ok).skip(Announce, "quiet");
        let failure = run.step(Start, refuse).unwrap_err();
        drop(failure.rollback(|_, _| tracing::info_span!("remove").in_scope(|| Err::<(), _>(Trouble::Lost))));
    });
    assert_eq!(
        trace.tree(),
        "command\n\
         \x20 deploy [Error: connection refused]\n\
         \x20   download\n\
         \x20   scan\n\
         \x20   start [Error: connection refused]\n\
         \x20   undo download [Error: the answer never came]\n\
         \x20     remove\n\
         \x20   undo download [Error: the answer never came]\n\
         \x20     remove\n"
    );
    let run = trace.attributes("deploy");
    let told = ["status", "failed_step", "rollback"].map(|key| run[format!("workflow.run.{key}").as_str()].as_str());
    assert_eq!((told, run["error.type"].as_str()), (["stuck", "start", "false"], "network"));
    let undos = trace.named("undo download").into_iter().map(|span| attributes(&span.attributes));
    let undos: Vec<_> = undos
        .map(|undo| {
            ["attempt", "outcome", "effect", "undo"].map(|key| undo[format!("workflow.step.{key}").as_str()].clone())
        })
        .collect();
    assert_eq!(undos, [["1", "failed", "unknown", "true"], ["2", "undo_failed", "unknown", "true"]]);
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Docker {
    #[step(undo)]
    Build,
    #[step(undo)]
    Run,
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Publish {
    #[step(undo)]
    Prepare,
    #[step(workflow = Docker)]
    Container,
    #[step(retry(attempts = 2, delay = "1s", jitter = false))]
    Check,
}

#[derive(Default)]
struct Publisher {
    is_sick: bool,
}

/// A body that waits inside of a span of its own, and makes another one after that.
async fn work(cx: &mut StepContext) -> Result<(), Trouble> {
    let name = cx.step().to_owned();
    give_way().await;
    async {
        give_way().await;
        cx.stdout("a line");
    }
    .instrument(tracing::info_span!("work", otel.name = format!("work of {name}")))
    .await;
    tracing::info!("{name} is done");
    Ok(())
}

impl DockerHandler for Publisher {
    type Error = Trouble;

    async fn build(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        work(cx).await
    }

    async fn undo_build(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }

    async fn run(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        work(cx).await
    }

    async fn undo_run(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        work(cx).await
    }
}

impl PublishHandler for Publisher {
    type Error = Trouble;

    async fn prepare(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        work(cx).await
    }

    async fn undo_prepare(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        work(cx).await
    }

    fn container(&self) -> impl step_machine::runner::HandlerFor<Docker> {
        self
    }

    async fn check(&self, _: &mut StepContext) -> Result<(), Trouble> {
        if self.is_sick { Err(Trouble::Network) } else { Ok(()) }
    }
}

fn on_one_thread<T>(run: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().unwrap().block_on(run)
}

/// The spans of a run of the whole publishing.
fn published(publisher: Publisher, journal: Option<MemoryJournal>) -> Trace {
    Collector::start().watch(|| {
        let run = Publish::run(&publisher).id("site").observe(Tracing::new());
        let run = journal.into_iter().fold(run, step_machine::Runner::journal);
        drop(on_one_thread(async { run.await }));
    })
}

const PUBLISHED: &str = "publish\n\
    \x20 prepare\n\
    \x20   work of prepare\n\
    \x20 container\n\
    \x20   docker\n\
    \x20     build\n\
    \x20       work of build\n\
    \x20     run\n\
    \x20       work of run\n\
    \x20 check\n";

#[test]
fn a_workflow_in_a_step_stands_below_it_and_bodies_that_wait_keep_their_place() {
    for journal in [None, Some(MemoryJournal::new())] {
        let trace = published(Publisher::default(), journal);
        assert_eq!(trace.tree(), PUBLISHED);
        let nested = trace.attributes("docker");
        assert_eq!(nested["workflow.run.id"], "site/container/docker");
        assert_eq!(nested["workflow.run.parent.id"], "site");
        assert_eq!(nested["workflow.run.parent.step"], "container");
        assert_eq!(
            trace.events("build"),
            ["DEBUG a line log.iostream=stdout", "INFO build is done", "DEBUG build completed"]
        );
    }
}

#[test]
fn a_rollback_by_the_runner_is_within_its_run_with_every_attempt() {
    let trace = published(Publisher { is_sick: true }, None);
    assert_eq!(
        trace.tree(),
        "publish [Error: connection refused]\n\
         \x20 prepare\n\
         \x20   work of prepare\n\
         \x20 container\n\
         \x20   docker\n\
         \x20     build\n\
         \x20       work of build\n\
         \x20     run\n\
         \x20       work of run\n\
         \x20 check [Error: connection refused]\n\
         \x20 check [Error: connection refused]\n\
         \x20 undo container\n\
         \x20   docker\n\
         \x20     undo run\n\
         \x20       work of run\n\
         \x20     undo build\n\
         \x20 undo prepare\n\
         \x20   work of prepare\n"
    );
    assert_eq!(trace.attributes("publish")["workflow.run.status"], "rolled_back");
    assert_eq!(trace.events("publish"), ["ERROR rolled_back at check: connection refused error.type=network"]);
    assert_eq!(trace.events("docker"), ["INFO completed", "INFO rolled_back"]);
    let [_, back] = trace.named("docker")[..] else { panic!("{}", trace.tree()) };
    assert_eq!(attributes(&back.attributes)["workflow.run.rollback"], "true");
}

#[test]
fn a_run_that_goes_on_in_another_process_says_so() {
    let journal = MemoryJournal::new();
    drop(Deploy::machine().id("a").journal(journal.clone()).begin().unwrap().step(Download, ok).unwrap());
    let trace = Collector::start().watch(|| {
        let run = Deploy::machine().id("a").journal(journal).observe(Tracing::new()).begin().unwrap();
        let run = run.step(Download, ok).unwrap().step(Scan, fetch).skip(Announce, "quiet");
        run.step(Start, ok).unwrap().finish().unwrap();
    });
    assert_eq!(trace.tree(), "deploy\n  scan\n    fetch\n  start\n");
    assert_eq!(trace.attributes("deploy")["workflow.run.resumed"], "true");
    assert_eq!(trace.attributes("start")["workflow.step.number"], "4");
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(parallel)]
enum Fleet {
    First,
    Second,
    #[step(needs(First, Second))]
    Balance,
}

struct Nodes;

impl FleetHandler for Nodes {
    type Error = Trouble;

    async fn first(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        work(cx).await
    }

    async fn second(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        work(cx).await
    }

    async fn balance(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        work(cx).await
    }
}

const FLEET: &str = "fleet\n\
    \x20 first\n\
    \x20   work of first\n\
    \x20 second\n\
    \x20   work of second\n\
    \x20 balance\n\
    \x20   work of balance\n";

#[test]
fn steps_side_by_side_keep_their_spans_apart_in_one_task_and_in_tasks_of_their_own() {
    for journal in [None, Some(MemoryJournal::new())] {
        let one = Collector::start().watch(|| {
            let run = Fleet::run(&Nodes).observe(Tracing::new());
            let run = journal.clone().into_iter().fold(run, step_machine::Runner::journal);
            on_one_thread(async { run.await.unwrap() });
        });
        assert_eq!(one.tree(), FLEET);
        let own = Collector::start().watch(|| {
            let run = Fleet::run(Arc::new(Nodes)).observe(Tracing::new());
            let run = journal.into_iter().fold(run, step_machine::Runner::journal);
            on_one_thread(async { run.await.unwrap() });
        });
        assert_eq!(own.tree(), FLEET);
    }
}

#[test]
fn steps_on_several_threads_keep_their_spans_apart() {
    let collector = Collector::start();
    let dispatch = collector.dispatch();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&dispatch)))
        .enable_all()
        .build()
        .unwrap();
    let runs = (0..20).map(|nth| {
        let run = Fleet::run(Arc::new(Nodes)).id(format!("{nth}")).observe(Tracing::new());
        runtime.spawn(async move { run.await.map(drop) })
    });
    for run in runs.collect::<Vec<_>>() {
        runtime.block_on(run).unwrap().unwrap();
    }
    let trace = collector.trace();
    assert_eq!(trace.len(), 20 * FLEET.lines().count());
    let mut steps: Vec<_> = trace.tree().split("fleet\n").skip(1).map(str::to_owned).collect();
    // Which of two began first is left to the threads.
    for run in &mut steps {
        let mut lines: Vec<_> = run.lines().collect();
        if lines[0] == "  second" {
            lines.swap(0, 2);
            lines.swap(1, 3);
        }
        *run = lines.join("\n");
    }
    assert!(steps.iter().all(|run| format!("fleet\n{run}\n") == FLEET), "{}", trace.tree());
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Serve {
    Listen,
    #[step(timeout = "5s")]
    Answer,
}

/// A server whose requests end as a test wants it.
struct Server(fn());

impl ServeHandler for Server {
    type Error = Trouble;

    async fn listen(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        work(cx).await
    }

    async fn answer(&self, _: &mut StepContext) -> Result<(), Trouble> {
        async {
            give_way().await;
            (self.0)();
            std::future::pending::<()>().await;
        }
        .instrument(tracing::info_span!("request"))
        .await;
        Ok(())
    }
}

/// The spans of a run whose last step is cut off; `answer` with what is told of its end.
fn served(request: fn(), drive: impl AsyncFnOnce(step_machine::Runner<'_, Serve, &Server>)) -> (String, Vec<String>) {
    let trace = Collector::start().watch(|| {
        let server = Server(request);
        on_one_thread(async { drive(Serve::run(&server).observe(Tracing::new())).await });
        assert!(tracing::Span::current().is_none(), "nothing is left entered on this thread");
    });
    let (run, answer) = (trace.attributes("serve"), trace.attributes("answer"));
    let mut told: Vec<_> = ["workflow.step.outcome", "workflow.step.reason", "error.type"]
        .into_iter()
        .filter_map(|key| answer.get(key).cloned())
        .collect();
    told.push(run["workflow.run.status"].clone());
    (trace.tree(), told)
}

#[test]
fn the_spans_of_a_body_that_is_cut_off_are_closed() {
    const CALM: &str = "serve\n  listen\n    work of listen\n  answer\n    request\n";
    let cancelled = served(
        || {},
        async |run| {
            drop(run.cancel_on(tokio::time::sleep(Duration::from_secs(1))).await.unwrap_err());
        },
    );
    assert_eq!(cancelled, (CALM.to_owned(), vec!["cancelled".to_owned(), "cancelled".to_owned()]));

    let dropped = served(
        || {},
        async |run| {
            assert!(tokio::time::timeout(Duration::from_secs(1), run).await.is_err());
        },
    );
    assert_eq!(dropped.0, CALM);
    assert_eq!(dropped.1, ["cancelled", "dropped", "cancelled"]);

    let timed_out = served(|| {}, async |run| drop(run.await.unwrap_err()));
    assert_eq!(
        timed_out.0,
        "serve [Error: took longer than 5s]\n  listen\n    work of listen\n  \
         answer [Error: took longer than 5s]\n    request\n"
    );
    assert_eq!(timed_out.1, ["failed", "timeout", "failed"]);

    let panicked = served(|| panic!("out of memory"), async |run| drop(run.await.unwrap_err()));
    assert_eq!(
        panicked.0,
        "serve [Error: panicked: out of memory]\n  listen\n    work of listen\n  \
         answer [Error: panicked: out of memory]\n    request\n"
    );
    assert_eq!(panicked.1, ["failed", "panicked", "panic", "failed"]);
}

#[test]
fn a_panic_that_goes_on_through_the_typed_drive_leaves_no_span_open() {
    let trace = Collector::start().watch(|| {
        let run = Deploy::machine().observe(Tracing::new()).begin().unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            drop(run.step(Download, |_| -> Result<(), Trouble> {
                let _span = tracing::info_span!("fetch").entered();
                panic!("out of memory")
            }));
        }));
        assert!(panicked.is_err() && tracing::Span::current().is_none());
    });
    assert!(trace.tree().starts_with("deploy\n  download [Error: "), "{}", trace.tree());
    assert!(trace.tree().ends_with("]\n    fetch\n"), "{}", trace.tree());
    let step = trace.attributes("download");
    assert_eq!(
        (step["workflow.step.outcome"].as_str(), step["workflow.step.reason"].as_str()),
        ("cancelled", "panicked")
    );
}

#[test]
fn bodies_of_the_typed_drive_that_wait_keep_their_place() {
    let trace = Collector::start().watch(|| {
        on_one_thread(async {
            let run = Deploy::machine().observe(Tracing::new()).begin().unwrap();
            let run = run.step_retry_async(Download, async |cx| {
                work(cx).await?;
                if cx.attempt() == 1 { Err(Trouble::Network) } else { Ok(()) }
            });
            let run = run.await.unwrap().step_async(Scan, work).await.skip(Announce, "quiet");
            let failure = run.step_async(Start, async |_| Err(Trouble::Network)).await.unwrap_err();
            drop(failure.rollback_async(async |_, cx| work(cx).await).await);
        });
    });
    assert_eq!(
        trace.tree(),
        "deploy [Error: connection refused]\n\
         \x20 download [Error: connection refused]\n\
         \x20   work of download\n\
         \x20 download\n\
         \x20   work of download\n\
         \x20 scan\n\
         \x20   work of scan\n\
         \x20 start [Error: connection refused]\n\
         \x20 undo download\n\
         \x20   work of download\n"
    );
}
