//! One step: its attempts, the waits between them, and what cuts them off.

use std::any::Any;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde_json::Value;
use tokio::task::unconstrained;
use tokio::time::Instant;

use super::handler::{BoxFuture, Dispatch, Result};
use crate::book::Ack;
use crate::context::{Phase, StepContext, Why};
use crate::event::Text;
use crate::failure::{Cause, StepError, cancelled};
use crate::faults::{Fault, Faults};
use crate::journal::Waiting;
use crate::link::Shared;
use crate::observe::Scoped;
use crate::policy::next_attempt;
use crate::stop::{Level, Stop};
use crate::workflow::StepInfo;

/// What the steps of a run are driven with.
#[derive(Clone)]
pub(crate) struct Terms {
    /// The end of the time that the run has.
    pub(crate) deadline: Option<Limit>,
    pub(crate) settings: Arc<Settings>,
}

/// What a run keeps to.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    /// The steps that are left out, and why.
    pub(crate) skips: Vec<(usize, Text)>,
    /// The steps whose effect is to stay, and why.
    pub(crate) kept: Vec<(usize, Text)>,
    pub(crate) until: Option<usize>,
    pub(crate) max_parallel: Option<NonZeroUsize>,
    pub(crate) cancel_siblings: bool,
    pub(crate) rollback_on_cancel: bool,
    pub(crate) rollback_deadline: Option<Duration>,
    pub(crate) faults: Option<Faults>,
}

/// What was last said about a step, if anything was.
pub(super) fn said(about: &[(usize, Text)], index: usize) -> Option<Text> {
    about.iter().rev().find(|(step, _)| *step == index).map(|(_, why)| why.clone())
}

/// The end of the time that something may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) at: Instant,
    /// What it may take.
    pub(crate) span: Duration,
}

impl Limit {
    /// A limit so far from now; `None` where that is beyond all time.
    pub(crate) fn after(span: Duration) -> Option<Self> {
        Some(Self { at: Instant::now().checked_add(span)?, span })
    }

    pub(crate) fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    pub(crate) fn is_over(self) -> bool {
        self.left().is_zero()
    }

    /// The one that comes first.
    #[inline]
    pub(crate) fn first(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(if other.at < one.at { other } else { one }),
            (one, other) => one.or(other),
        }
    }
}

/// What became of a step.
#[derive(Debug)]
pub enum Verdict<E> {
    /// It is completed or skipped.
    Settled,
    /// It has not begun, as nothing begins any more.
    Held,
    /// It stops the run. Behind a pointer, as a verdict that fits into registers saves each step about 8 ns.
    Halted(Box<Halt<E>>),
}

impl<E> Verdict<E> {
    fn halted(step: impl Into<Option<usize>>, cause: Cause<E>) -> Self {
        Self::Halted(Box::new(Halt { step: step.into(), cause }))
    }
}

/// What stopped a run, and in which step where it was in one.
#[derive(Debug)]
pub struct Halt<E> {
    pub(super) step: Option<usize>,
    pub(super) cause: Cause<E>,
}

/// How a body ended.
pub(super) enum Ended<T, E> {
    Done(T),
    Failed(Box<Cause<E>>),
    /// It was left where it was, as the run is to stop now.
    Cut,
}

/// Takes a step from its first attempt to its end.
pub(crate) async fn drive_step<W: Dispatch<H>, H: Sync>(
    handler: &H,
    shared: &Shared,
    cx: &mut StepContext,
    terms: &Terms,
) -> Verdict<W::Error> {
    if shared.plan.steps[cx.index].skippable
        && let Some(verdict) = Box::pin(pass_over::<W, H>(handler, shared, cx, terms)).await
    {
        return verdict;
    }
    let (index, info) = (cx.index, &shared.plan.steps[cx.index]);
    // That of all attempts, and that of the run.
    let deadline = Limit::first(info.deadline.and_then(Limit::after), terms.deadline);
    let mut failed = 0;
    loop {
        match begin(shared, index) {
            Begin::Yes(None) => {}
            Begin::Yes(Some(ack)) => {
                // On the heap, as a run in memory never waits here.
                if !Box::pin(shared.settle(ack)).await {
                    return broken(shared, None);
                }
                // Cancelled while its start was on the way to the journal.
                if shared.stop.is(Level::Now) {
                    return cancel(shared, index);
                }
            }
            Begin::No(Verdict::Held) if failed > 0 => return cancel(shared, index),
            Begin::No(verdict) => return verdict,
        }
        let limit = Limit::first(info.timeout.and_then(Limit::after), deadline);
        let mut body = body(W::run, handler, cx, terms.settings.faults.as_ref());
        if shared.is_observed {
            body = within(shared, index, body);
        }
        // Most bodies of a quick run end at once, and need nothing that could cut them off.
        let ended = match poll_fn(|context| Poll::Ready(poll_body(&mut body, context))).await {
            Poll::Ready(ended) => {
                let _ = catch_unwind(AssertUnwindSafe(|| drop(body)));
                ended
            }
            // On the heap: who waits has the time for it, and who does not has a smaller future.
            Poll::Pending => Box::pin(guarded(body, &shared.stop, limit)).await,
        };
        let cause = match ended {
            Ended::Done(output) => return complete(shared, index, output),
            Ended::Cut => return cancel(shared, index),
            Ended::Failed(cause) => cause,
        };
        let cause = match (*cause, cx.take_inside()) {
            (Cause::Cancelled, _) | (Cause::Error(_), Some(Why::Stopped)) => return cancel(shared, index),
            (Cause::Journal(error), _) if error.is_of_writing() => {
                shared.lock().break_off(error);
                return broken(shared, Some(index));
            }
            // Whatever the body made of it.
            (Cause::Error(_), Some(Why::Unfit(error))) => Box::new(Cause::Journal(error)),
            (cause, _) => Box::new(cause),
        };
        failed += 1;
        if !Box::pin(wait_for_next(shared, index, failed, &cause, deadline.map(Limit::left))).await {
            return fail(shared, index, *cause);
        }
    }
}

enum Begin<E> {
    /// What it waits for first, where there is a journal.
    Yes(Option<Box<Ack>>),
    No(Verdict<E>),
}

/// Begins an attempt, unless the run was asked to stop: both are decided under one lock, so that nothing begins after
/// a step that stopped the run.
fn begin<E>(shared: &Shared, index: usize) -> Begin<E> {
    let mut recorder = shared.lock();
    if shared.stop.is(Level::Close) {
        return Begin::No(Verdict::Held);
    }
    if recorder.begin_step(index) {
        return Begin::Yes(if shared.is_kept { recorder.send(waiting(shared)) } else { None });
    }
    drop(recorder);
    Begin::No(broken(shared, None))
}

/// Who waits for a journal: in a sequence nothing else goes on.
pub(super) fn waiting(shared: &Shared) -> Waiting {
    if shared.plan.parallel { Waiting::Sibling } else { Waiting::Task }
}

/// Settles a step that is skipped on purpose.
async fn pass_over<W: Dispatch<H>, H: Sync>(
    handler: &H,
    shared: &Shared,
    cx: &mut StepContext,
    terms: &Terms,
) -> Option<Verdict<W::Error>> {
    let index = cx.index;
    let why = match said(&terms.settings.skips, index) {
        Some(why) => Some(why),
        None => {
            // It may look at what the steps before it did.
            if shared.is_kept && !Box::pin(shared.keep(waiting(shared))).await {
                return Some(broken(shared, None));
            }
            cx.phase = Phase::Skip;
            let limit = Limit::first(shared.plan.steps[index].timeout.and_then(Limit::after), terms.deadline);
            let ended = guarded(W::skip(index, handler, cx), &shared.stop, limit).await;
            cx.phase = Phase::Run;
            match ended {
                Ended::Done(why) => why.map(Text::Owned),
                Ended::Cut => return Some(Verdict::Held),
                // It counts as the failure of the step, which begins for that.
                Ended::Failed(cause) => {
                    return Some(match begin(shared, index) {
                        Begin::Yes(ack) => {
                            if let Some(ack) = ack
                                && !shared.settle(ack).await
                            {
                                return Some(broken(shared, None));
                            }
                            fail(shared, index, *cause)
                        }
                        Begin::No(verdict) => verdict,
                    });
                }
            }
        }
    }?;
    let mut recorder = shared.lock();
    if shared.stop.is(Level::Close) {
        return Some(Verdict::Held);
    }
    let is_recorded = recorder.skip_step(index, why);
    drop(recorder);
    Some(if is_recorded { Verdict::Settled } else { broken(shared, None) })
}

/// A method of the dispatch that runs or undoes a step.
type Call<H, T, E> = for<'a> fn(usize, &'a H, &'a mut StepContext) -> BoxFuture<'a, Result<T, E>>;

/// The body of a step or of its undo, with what a test injects.
pub(super) fn body<'a, H: Sync, T: Send + 'a, E: StepError>(
    call: Call<H, T, E>,
    handler: &'a H,
    cx: &'a mut StepContext,
    faults: Option<&Faults>,
) -> BoxFuture<'a, Result<T, E>> {
    let (index, fault) = (cx.index, faults.and_then(|faults| faults.hit(cx)));
    let Some(fault) = fault else { return call(index, handler, cx) };
    Box::pin(async move {
        fault.before().await?;
        let mut result = call(index, handler, cx).await;
        if fault == Fault::Repeat && result.is_ok() {
            result = call(index, handler, cx).await;
        }
        fault.after(result)
    })
}

/// A body inside of what the observers want around it, where they want something.
#[inline(never)]
pub(super) fn within<'a, T: 'a>(shared: &Shared, index: usize, body: BoxFuture<'a, T>) -> BoxFuture<'a, T> {
    let scopes = shared.lock().take_scopes(index);
    match scopes {
        None => body,
        Some(scopes) => Box::pin(Scoped::new(scopes, body)),
    }
}

/// Polls a body to its end: its panic is an error, and what cuts it off drops it.
pub(super) async fn guarded<T, E>(
    mut body: BoxFuture<'_, Result<T, E>>,
    stop: &Stop,
    limit: Option<Limit>,
) -> Ended<T, E> {
    let ended = guarded_longer(&mut body, stop, limit).await;
    // What the body holds may panic as it goes; how it ended stands.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(body)));
    ended
}

#[inline]
fn poll_body<T, E>(body: &mut BoxFuture<'_, Result<T, E>>, context: &mut Context<'_>) -> Poll<Ended<T, E>> {
    // Whatever a body that panics leaves half-way is its own; it is dropped and not polled again.
    match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(Ok(value))) => Poll::Ready(Ended::Done(value)),
        Ok(Poll::Ready(Err(cause))) => Poll::Ready(Ended::Failed(cause)),
        Err(panic) => Poll::Ready(Ended::Failed(panicked(&*panic))),
    }
}

async fn guarded_longer<T, E>(
    body: &mut BoxFuture<'_, Result<T, E>>,
    stop: &Stop,
    limit: Option<Limit>,
) -> Ended<T, E> {
    // A body that uses up what tokio lets a task do in one go leaves nothing for what is to cut it off.
    let mut stopped = pin!(unconstrained(stop.reached(Level::Now)));
    let mut timer = pin!(limit.map(|limit| unconstrained(tokio::time::sleep_until(limit.at))));
    poll_fn(|context| {
        if let Poll::Ready(ended) = poll_body(body, context) {
            return Poll::Ready(ended);
        }
        if stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ended::Cut);
        }
        if let (Some(timer), Some(limit)) = (timer.as_mut().as_pin_mut(), limit)
            && timer.poll(context).is_ready()
        {
            return Poll::Ready(Ended::Failed(Box::new(Cause::Timeout { limit: limit.span })));
        }
        Poll::Pending
    })
    .await
}

#[cold]
#[expect(clippy::unnecessary_box_returns, reason = "what went wrong travels behind a pointer")]
fn panicked<E>(panic: &(dyn Any + Send)) -> Box<Cause<E>> {
    let message = panic.downcast_ref::<&str>().map(ToString::to_string);
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
    Box::new(Cause::Panic { message: message.unwrap_or_else(|| "with a value that is no text".to_owned()) })
}

/// Records that another attempt is due and waits for it; `false` where none is.
async fn wait_for_next<E: StepError>(
    shared: &Shared,
    index: usize,
    failed: u32,
    cause: &Cause<E>,
    left: Option<Duration>,
) -> bool {
    let retry = shared.plan.steps[index].retry;
    let Some(delay) = next_attempt(retry, failed, cause.advice(), fastrand::f64(), left) else {
        return false;
    };
    // Out of the lock, as it is the error's own code.
    let record = cause.record();
    {
        let mut recorder = shared.lock();
        if shared.stop.is(Level::Close) || !recorder.retry(index, delay, record) {
            return false;
        }
    }
    if shared.is_kept && !shared.keep(waiting(shared)).await {
        return false;
    }
    pause(delay, &shared.stop, Level::Close).await;
    true
}

/// Waits, but no longer than until the run is asked to stop so far.
pub(super) async fn pause(delay: Duration, stop: &Stop, level: Level) {
    let mut stopped = pin!(stop.reached(level));
    let mut timer = pin!(tokio::time::sleep(delay));
    poll_fn(|context| {
        let is_over = stopped.as_mut().poll(context).is_ready() || timer.as_mut().poll(context).is_ready();
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn complete<E>(shared: &Shared, index: usize, output: Option<Box<Value>>) -> Verdict<E> {
    let mut recorder = shared.lock();
    let is_recorded = match output {
        None => recorder.complete_step(index),
        Some(output) => recorder.complete_step_with(index, output),
    };
    drop(recorder);
    if is_recorded { Verdict::Settled } else { broken(shared, Some(index)) }
}

fn fail<E: StepError>(shared: &Shared, index: usize, cause: Cause<E>) -> Verdict<E> {
    // Out of the lock, as it is the error's own code.
    let record = cause.record();
    let mut recorder = shared.lock();
    let is_recorded = recorder.fail_step(index, record, cause.reason());
    let info: &StepInfo = &shared.plan.steps[index];
    if is_recorded && !info.critical {
        return Verdict::Settled;
    }
    shared.stop.raise(Level::Close);
    Verdict::halted(index, cause)
}

pub(super) fn cancel<E>(shared: &Shared, index: usize) -> Verdict<E> {
    let mut recorder = shared.lock();
    let is_recorded = recorder.cancel_step(index, None, cancelled());
    // Under the lock, as where a step fails.
    shared.stop.raise(Level::Close);
    drop(recorder);
    if !is_recorded {
        return broken(shared, Some(index));
    }
    Verdict::halted(index, Cause::Cancelled)
}

/// Waits until the journal has a step's outcome, which beside others is not to wait for what comes next.
pub(super) async fn kept<E>(shared: &Shared, index: usize, verdict: Verdict<E>) -> Verdict<E> {
    if !shared.is_kept || shared.keep(Waiting::Sibling).await {
        return verdict;
    }
    match verdict {
        Verdict::Settled => broken(shared, Some(index)),
        // What stopped the run stays what did.
        halted => halted,
    }
}

/// The verdict where the journal failed; who comes second finds that it was told.
#[cold]
fn broken<E>(shared: &Shared, begun: Option<usize>) -> Verdict<E> {
    shared.stop.raise(Level::Close);
    let mut recorder = shared.lock();
    match recorder.take_fault() {
        // The outcome of a step goes to the journal with the start of the next one.
        Some(error) => Verdict::halted(begun.or_else(|| recorder.left_open()), Cause::Journal(error)),
        None => Verdict::Held,
    }
}
