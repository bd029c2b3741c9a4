//! What a body of the runner may do beside its work: tasks, and asking whether it is to stop.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::Duration;

use step_machine::event::{Event, Kind, TaskStatus};
use step_machine::runner::BoxFuture;
use step_machine::{OnFailure, RunState, StepContext, Task, Workflow};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Recorded, Trouble, ok};

/// Steps that do whatever a test has for them.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(parallel)]
enum Upgrade {
    #[step(undo, retry(attempts = 3, delay = "1s", jitter = false))]
    Nodes,
    Other,
    #[step(needs(Nodes))]
    Check,
}

type Ended<'a> = BoxFuture<'a, Result<(), Trouble>>;
type Body<S> = for<'a> fn(&'a S, &'a mut StepContext) -> Ended<'a>;

/// Bodies with what they share.
struct Doing<S> {
    shared: S,
    nodes: Body<S>,
    other: Body<S>,
    undo: Body<S>,
    check: Result<(), ()>,
}

fn nodes<S>(shared: S, nodes: Body<S>) -> Doing<S> {
    Doing {
        shared,
        nodes,
        other: |_, _| Box::pin(async { Ok(()) }),
        undo: |_, _| Box::pin(async { Ok(()) }),
        check: Ok(()),
    }
}

impl<S: Send + Sync> UpgradeHandler for Doing<S> {
    type Error = Trouble;

    async fn nodes(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        (self.nodes)(&self.shared, cx).await
    }

    async fn undo_nodes(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        (self.undo)(&self.shared, cx).await
    }

    async fn other(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        (self.other)(&self.shared, cx).await
    }

    async fn check(&self, _: &mut StepContext) -> Result<(), Trouble> {
        self.check.map_err(|()| Trouble::Network)
    }
}

/// The news of tasks in short.
fn news(events: &[Event]) -> Vec<String> {
    let short = |event: &Event| match &event.kind {
        Kind::TaskStart(start) => Some(format!("{} begins", start.task)),
        Kind::TaskUpdate(update) => Some(match (update.fraction, &update.message) {
            (Some(fraction), _) => format!("{} {fraction}", update.task),
            (None, message) => format!("{} says {}", update.task, message.as_deref().unwrap_or_default()),
        }),
        Kind::TaskEnd(end) => Some(format!("{} {}", end.task, end.status)),
        _ => None,
    };
    events.iter().filter_map(short).collect()
}

/// The fraction of `nodes` after each event, and whether the percentage never fell.
fn fractions(events: &[Event]) -> Vec<f64> {
    let mut state = RunState::start(&events[0]).unwrap();
    let (mut fractions, mut shown) = (Vec::new(), 0.0);
    for event in &events[1..] {
        state.advance(event).unwrap();
        let percentage = event.progress.as_ref().unwrap().percentage;
        assert!(percentage >= shown, "{percentage} after {shown}");
        assert_eq!(event.progress.as_ref(), Some(&state.progress()));
        shown = percentage;
        fractions.push(state.step("nodes").unwrap().fraction());
    }
    fractions
}

#[tokio::test(start_paused = true)]
async fn tasks_of_one_step_go_on_side_by_side() {
    async fn upgrade(mut task: Task, seconds: u64) {
        sleep(Duration::from_secs(seconds)).await;
        task.progress(0.5);
        sleep(Duration::from_secs(seconds)).await;
        task.complete();
    }
    let doing = nodes((), |(), cx| {
        Box::pin(async {
            let (first, second) = (cx.task("n1", "Node 1"), cx.task("n2", "Node 2"));
            tokio::join!(upgrade(first, 2), upgrade(second, 3));
            Ok(())
        })
    });
    let seen = Recorded::new();
    let report = Upgrade::run(&doing).observe(seen.clone()).await.unwrap();
    assert_eq!(news(&seen.events()), ["n1 begins", "n2 begins", "n1 0.5", "n2 0.5", "n1 completed", "n2 completed"]);
    let tasks = report.state().step("nodes").unwrap().tasks();
    assert!(tasks.iter().all(|task| task.status == TaskStatus::Completed && task.fraction == 1.0), "{tasks:?}");
    fractions(&seen.events());
}

/// The events of a step whose body this is, without those before and after it.
fn told(body: impl FnOnce(&mut StepContext)) -> Vec<Event> {
    let seen = Recorded::new();
    let run = Upgrade::machine().observe(seen.clone()).begin().unwrap();
    let run = run.step(upgrade::Nodes, |cx| Ok::<_, Trouble>(body(cx))).unwrap();
    run.step(upgrade::Other, ok).unwrap().step(upgrade::Check, ok).unwrap().finish().unwrap();
    seen.events()
}

#[test]
fn a_task_that_is_dropped_failed() {
    let events = told(|cx| drop(cx.task("n1", "Node 1")));
    assert_eq!(news(&events), ["n1 begins", "n1 failed"]);
    let end = events.iter().find_map(|event| if let Kind::TaskEnd(end) = &event.kind { Some(end) } else { None });
    assert_eq!(end.unwrap().message.as_deref(), Some("dropped before its end"));
}

#[test]
fn an_id_that_is_taken_gives_a_task_that_says_nothing() {
    let events = told(|cx| {
        let mut first = cx.task("n1", "Node 1");
        let mut second = cx.task("n1", "Node 1 again");
        second.progress(0.75);
        second.complete();
        first.progress(0.25);
        first.complete();
        let mut third = cx.task("n1", "Node 1 once more");
        third.message("hello");
    });
    assert_eq!(news(&events), ["n1 begins", "n1 0.25", "n1 completed"]);
}

#[test]
fn the_fraction_of_a_step_is_the_mean_of_its_tasks() {
    let events = told(|cx| {
        let mut first = cx.task("n1", "Node 1");
        first.progress(0.5);
        let mut second = cx.task("n2", "Node 2");
        cx.progress(0.875);
        second.message("on it");
        first.complete();
        second.progress(0.5);
        second.fail("no space left");
        let third = cx.task("n3", "Node 3");
        third.complete();
    });
    let expected = [0.0, 0.0, 0.5, 0.25, 0.875, 0.25, 0.5, 0.75, 0.75, 0.5, 2.5 / 3.0, 1.0];
    assert_eq!(fractions(&events)[..expected.len()], expected);
}

#[test]
fn the_mean_of_tasks_that_are_done_is_one_to_the_last_bit() {
    let events = told(|cx| {
        let mut tasks: Vec<Task> = (0..7).map(|nth| cx.task(format!("n{nth}"), "Node")).collect();
        for (nth, task) in tasks.iter_mut().enumerate() {
            task.progress(0.1 + 0.1 * f64::from(u8::try_from(nth).unwrap()));
        }
        tasks.into_iter().for_each(Task::complete);
    });
    let before_the_end = fractions(&events).into_iter().rev().nth(6).unwrap();
    assert_eq!(news(&events).last().unwrap(), "n6 completed");
    assert_eq!(before_the_end, 1.0);
}

/// A task that outlives the attempt it was added in, for a later one to find.
type Kept = Mutex<Vec<Task>>;

#[tokio::test(start_paused = true)]
async fn what_a_task_of_an_earlier_attempt_says_is_passed_over() {
    let doing = nodes(Kept::default(), |kept, cx| {
        Box::pin(async move {
            kept.lock().unwrap().push(cx.task("n1", "Node 1"));
            if cx.attempt() == 1 {
                return Err(Trouble::Network);
            }
            let mut kept = kept.lock().unwrap();
            kept[0].progress(0.75);
            kept[1].progress(0.25);
            kept.remove(0).complete();
            kept.remove(0).complete();
            Ok(())
        })
    });
    let seen = Recorded::new();
    Upgrade::run(&doing).observe(seen.clone()).await.unwrap();
    assert_eq!(news(&seen.events()), ["n1 begins", "n1 begins", "n1 0.25", "n1 completed"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_attempt_has_failed_says_nothing_while_the_next_one_is_waited_for() {
    let doing = Doing {
        other: |kept: &Kept, _| {
            Box::pin(async move {
                // The first attempt at the other step failed, and the second one begins after a second.
                sleep(Duration::from_millis(500)).await;
                kept.lock().unwrap().pop().unwrap().complete();
                Ok(())
            })
        },
        ..nodes(Kept::default(), |kept, cx| {
            Box::pin(async move {
                if cx.attempt() == 1 {
                    kept.lock().unwrap().push(cx.task("n1", "Node 1"));
                    return Err(Trouble::Network);
                }
                Ok(())
            })
        })
    };
    let seen = Recorded::new();
    Upgrade::run(&doing).observe(seen.clone()).await.unwrap();
    assert_eq!(news(&seen.events()), ["n1 begins"]);
}

#[tokio::test(start_paused = true)]
async fn an_undo_has_tasks_of_its_own() {
    let doing = Doing {
        check: Err(()),
        undo: |kept: &Kept, cx| {
            Box::pin(async move {
                let mut kept = kept.lock().unwrap();
                let task = cx.task("n1", "Node 1 back");
                kept.last_mut().unwrap().progress(0.75);
                kept.push(task);
                if cx.attempt() == 1 {
                    return Err(Trouble::Network);
                }
                kept.last_mut().unwrap().progress(0.25);
                kept.pop().unwrap().complete();
                Ok(())
            })
        },
        ..nodes(Kept::default(), |kept, cx| {
            Box::pin(async move { Ok(kept.lock().unwrap().push(cx.task("n1", "Node 1"))) })
        })
    };
    let seen = Recorded::new();
    let run = Upgrade::run(&doing).observe(seen.clone()).on_failure(OnFailure::Rollback);
    drop(run.await.unwrap_err());
    // What the attempt before says is not heard, be it the run's or the first one at undoing.
    assert_eq!(news(&seen.events()), ["n1 begins", "n1 begins", "n1 begins", "n1 0.25", "n1 completed"]);
}

#[test]
fn a_task_may_outlive_its_step_on_another_thread() {
    let seen = Recorded::new();
    let (over, is_over) = mpsc::channel::<()>();
    let run = Upgrade::machine().observe(seen.clone()).begin().unwrap();
    let mut thread = None;
    let run = run.step(upgrade::Nodes, |cx| {
        let mut task = cx.task("n1", "Node 1");
        let (told, is_told) = mpsc::channel();
        thread = Some(std::thread::spawn(move || {
            task.progress(0.5);
            told.send(()).unwrap();
            is_over.recv().unwrap();
            task.progress(0.75);
            task.complete();
        }));
        Ok::<_, Trouble>(is_told.recv().unwrap())
    });
    let run = run.unwrap().step(upgrade::Other, ok).unwrap();
    over.send(()).unwrap();
    thread.unwrap().join().unwrap();
    run.step(upgrade::Check, ok).unwrap().finish().unwrap();
    assert_eq!(news(&seen.events()), ["n1 begins", "n1 0.5"]);
}

#[tokio::test(start_paused = true)]
async fn a_body_learns_that_it_is_to_stop_and_ends_in_its_own_time() {
    let doing = nodes((), |(), cx| {
        Box::pin(async {
            assert!(!cx.is_cancelled());
            let asked = cx.cancelled();
            let work = tokio::spawn(asked);
            cx.message("working");
            work.await.unwrap();
            assert!(cx.is_cancelled());
            sleep(Duration::from_secs(5)).await;
            Ok(cx.message("in order"))
        })
    });
    let (seen, began) = (Recorded::new(), Instant::now());
    let run = Upgrade::run(&doing).observe(seen.clone()).stop_on(sleep(Duration::from_secs(2)));
    let failure = run.await.unwrap_err();
    assert_eq!((failure.step(), began.elapsed().as_secs()), (None, 7));
    assert_eq!(failure.context().completed().collect::<Vec<_>>(), [Upgrade::Nodes, Upgrade::Other]);
    assert!(seen.lines().contains(&"step_update nodes info: in order".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_sibling_that_failed_does_not_ask_a_body_to_stop() {
    let doing = Doing {
        other: |_, _| Box::pin(async { Err(Trouble::Template) }),
        ..nodes((), |(), cx| {
            Box::pin(async {
                let asked = timeout(Duration::from_secs(1), cx.cancelled()).await;
                assert!(asked.is_err() && !cx.is_cancelled());
                Ok(())
            })
        })
    };
    let failure = Upgrade::run(&doing).await.unwrap_err();
    assert_eq!(failure.step(), Some(Upgrade::Other));
    assert_eq!(failure.context().completed().collect::<Vec<_>>(), [Upgrade::Nodes]);
}

type Waiting = Mutex<Option<BoxFuture<'static, ()>>>;

#[tokio::test]
async fn waiting_for_a_stop_does_not_hold_the_run() {
    let doing = nodes(Waiting::default(), |kept, cx| {
        Box::pin(async move { Ok(drop(kept.lock().unwrap().replace(Box::pin(cx.cancelled())))) })
    });
    let doing = Arc::new(doing);
    Upgrade::run(doing.clone()).await.unwrap();
    let mut asked = doing.shared.lock().unwrap().take().unwrap();
    assert_eq!(poll_fn(|context| Poll::Ready(asked.as_mut().poll(context))).await, Poll::Pending);
}

#[tokio::test]
async fn a_run_that_you_drive_yourself_is_never_asked_to_stop() {
    let run = Upgrade::machine().begin().unwrap();
    let run = run.step_async(upgrade::Nodes, async |cx: &mut StepContext| {
        // Also once the run is shared with a task.
        let task = cx.task("n1", "Node 1");
        let mut asked = Box::pin(cx.cancelled());
        assert_eq!(poll_fn(|context| Poll::Ready(asked.as_mut().poll(context))).await, Poll::Pending);
        assert!(!cx.is_cancelled());
        Ok::<_, Trouble>(task.complete())
    });
    drop(run.await.unwrap());
}
