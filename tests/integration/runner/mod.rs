//! Runs that the runner drives, against a handler that does what each test tells it to.

mod again;
mod again_undone;
mod broken;
mod context;
mod faults;
mod forked;
mod graph;
mod inside;
pub(crate) mod kept;
mod nested;
mod nested_again;
mod resume;
mod retry;
mod rollback;
mod rollback_asked;
mod secret;
mod stall;
mod stopping;
mod story;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use step_machine::event::{RunStatus, StepStatus};
use step_machine::{Failure, RunState, StepContext, StepError, Workflow};

use crate::support::{Recorded, Trouble};

/// What a method of the handler does when it is called.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Done,
    Refuse,
    Fatal,
    /// Asks to wait so many seconds.
    Busy(u64),
    Panic,
    Hang,
    /// Takes so many seconds, then does the other.
    After(u64, &'static Act),
    /// Has the step skipped.
    Skip,
}
use Act::{After, Busy, Done, Fatal, Hang, Panic, Refuse, Skip};

/// A handler that notes its calls, and does each time what the test has planned for it; after that it does well.
///
/// A place is the id of a step, or `undo` or `skip` and the id.
#[derive(Debug, Default)]
pub(super) struct Acts {
    planned: HashMap<&'static str, Vec<Act>>,
    calls: Mutex<Vec<String>>,
}

impl Acts {
    fn new() -> Self {
        Self::default()
    }

    fn on<const N: usize>(mut self, place: &'static str, acts: [Act; N]) -> Self {
        self.planned.insert(place, acts.into());
        self
    }

    /// What was called, in order; `left ..` for a body that was dropped before its end.
    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    fn called(&self, place: &str) -> usize {
        self.calls().iter().filter(|call| *call == place).count()
    }

    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }

    async fn at(&self, place: String) -> Result<Act, Trouble> {
        let nth = self.called(&place);
        self.note(place.clone());
        let mut act = self.planned.get(place.as_str()).and_then(|acts| acts.get(nth)).copied().unwrap_or(Done);
        let mut leaving = Leaving { acts: self, place: Some(place.clone()) };
        while let After(seconds, then) = act {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            act = *then;
        }
        if matches!(act, Hang) {
            std::future::pending::<()>().await;
        }
        leaving.place = None;
        match act {
            Refuse => Err(Trouble::Network),
            Fatal => Err(Trouble::Template),
            Busy(seconds) => Err(Trouble::Busy { wait: Duration::from_secs(seconds) }),
            Panic => panic!("{place} is out of memory"),
            other => Ok(other),
        }
    }

    async fn run(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.at(cx.step().to_owned()).await.map(drop)
    }

    async fn undo(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.at(format!("undo {}", cx.step())).await.map(drop)
    }

    async fn skip(&self, cx: &mut StepContext) -> Result<Option<String>, Trouble> {
        let act = self.at(format!("skip {}", cx.step())).await?;
        Ok(matches!(act, Skip).then(|| "nobody is awake".to_owned()))
    }
}

/// Notes that a body was dropped before its end.
struct Leaving<'a> {
    acts: &'a Acts,
    place: Option<String>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.acts.note(format!("left {place}"));
        }
    }
}

/// Implements a handler's trait for [`Acts`]: each method with what it is.
macro_rules! acts {
    ($($handler:ident { $($kind:ident $method:ident $($need:ident)*,)* })*) => {$(
        impl $handler for $crate::runner::Acts {
            type Error = $crate::support::Trouble;
            $($crate::runner::acts!(@ $kind $method $($need)*);)*
        }
    )*};
    (@ run $method:ident $($need:ident)*) => {
        async fn $method(&self, cx: &mut step_machine::StepContext, $($need: &u32),*) -> Result<(), Self::Error> {
            $(self.note(format!("{} with {}", cx.step(), $need));)*
            self.run(cx).await
        }
    };
    (@ output $method:ident $($need:ident)*) => {
        async fn $method(&self, cx: &mut step_machine::StepContext, $($need: &u32),*) -> Result<u32, Self::Error> {
            self.run(cx).await?;
            Ok(7 $(+ *$need)*)
        }
    };
    (@ undo $method:ident) => {
        async fn $method(&self, cx: &mut step_machine::StepContext) -> Result<(), Self::Error> {
            self.undo(cx).await
        }
    };
    (@ undo_output $method:ident) => {
        async fn $method(&self, cx: &mut step_machine::StepContext, output: Option<&u32>) -> Result<(), Self::Error> {
            self.note(format!("{output:?}"));
            self.undo(cx).await
        }
    };
    (@ skip $method:ident) => {
        async fn $method(&self, cx: &mut step_machine::StepContext) -> Result<Option<String>, Self::Error> {
            self.skip(cx).await
        }
    };
}
pub(super) use acts;

/// A sequence with every rule.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    #[step(undo, output = u32)]
    Fetch,
    #[step(needs(Fetch), undo, timeout = "10s", retry(attempts = 3, delay = "1s", jitter = false))]
    Build,
    #[step(undo, critical = false)]
    Scan,
    #[step(skippable, retry(attempts = 3, delay = "1s"))]
    Announce,
    #[step(undo)]
    Deploy,
    Check,
}

/// Steps that wait for each other only where they need to.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(parallel)]
pub(super) enum Diamond {
    #[step(undo, output = u32)]
    Fetch,
    #[step(needs(Fetch), undo, retry(attempts = 2, delay = "5s", jitter = false))]
    Left,
    #[step(needs(Fetch), undo, output = u32)]
    Right,
    #[step(needs(Left, Right), undo)]
    Join,
    #[step(undo)]
    Apart,
}

acts! {
    LineHandler {
        output fetch,
        undo_output undo_fetch,
        run build fetch,
        undo undo_build,
        run scan,
        undo undo_scan,
        run announce,
        skip skip_announce,
        run deploy,
        undo undo_deploy,
        run check,
    }
    DiamondHandler {
        output fetch,
        undo_output undo_fetch,
        run left fetch,
        undo undo_left,
        output right fetch,
        undo_output undo_right,
        run join right,
        undo undo_join,
        run apart,
        undo undo_apart,
    }
}

/// The lines about one step, without its id.
fn about(seen: &Recorded, step: &str) -> Vec<String> {
    let name = format!(" {step}");
    let lines = seen.lines().into_iter();
    lines.filter(|line| line.contains(&name)).map(|line| line.replacen(&name, "", 1)).collect()
}

/// The lines from the first one that begins so.
fn since(seen: &Recorded, start: &str) -> Vec<String> {
    seen.lines().into_iter().skip_while(|line| !line.starts_with(start)).collect()
}

fn statuses(state: &RunState) -> Vec<StepStatus> {
    state.steps().iter().map(step_machine::StepState::status).collect()
}

/// How a run ended, and what its last event says it ended with: they agree.
fn ended<W: Workflow, E: StepError>(failure: &Failure<W, E>, seen: &Recorded) -> RunStatus {
    let state = failure.state().unwrap();
    assert_eq!(RunState::fold(&seen.events()).unwrap().as_ref(), Some(state));
    assert_eq!(state.failure(), Some(failure.context().record()));
    state.status()
}
