//! A workflow whose plan is whatever the run has, and a handler that does as it is told and writes down what it did.

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::scene::{Act, Attempt, Pause, Scene, Skip};
use crate::context::StepContext;
use crate::failure::{Cause, StepError};
use crate::runner::handler::{BoxFuture, Dispatch, Result};
use crate::sync::lock;
use crate::workflow::{Plan, Workflow};

/// A step of any plan.
#[derive(Debug)]
pub(super) struct Any(usize);

impl Workflow for Any {
    const NAME: &'static str = "walk";

    type Start = ();

    /// Nobody asks: the recorder has the plan of the run.
    fn plan() -> &'static Plan {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        PLAN.get_or_init(|| Plan::new(Self::NAME, []))
    }

    fn index(&self) -> usize {
        self.0
    }

    fn from_index(index: usize) -> Option<Self> {
        Some(Self(index))
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("not now")]
    Passing,
    #[error("never")]
    Fatal,
}

impl StepError for Trouble {
    fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal)
    }
}

/// Which of a step's methods is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Skip,
    Run,
    Undo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Begins {
        attempt: u32,
        interrupted: bool,
    },
    Ends(Act),
    /// It was left where it was.
    Dropped,
}

/// Something that a method did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Note {
    pub(super) step: usize,
    pub(super) part: Part,
    pub(super) what: What,
    /// Milliseconds since the handler was made.
    pub(super) at: u128,
}

pub(super) struct Actor {
    scene: Scene,
    notes: Mutex<Vec<Note>>,
    made: Instant,
}

impl Actor {
    pub(super) fn new(scene: Scene) -> Self {
        Self { scene, notes: Mutex::default(), made: Instant::now() }
    }

    pub(super) fn notes(&self) -> Vec<Note> {
        lock(&self.notes).clone()
    }

    fn note(&self, step: usize, part: Part, what: What) {
        let at = self.made.elapsed().as_millis();
        lock(&self.notes).push(Note { step, part, what, at });
    }

    fn begin(&self, step: usize, part: Part, cx: &StepContext) -> Call<'_> {
        let (attempt, interrupted) = (cx.attempt(), cx.interrupted());
        self.note(step, part, What::Begins { attempt, interrupted });
        Call { actor: self, step, part, act: None }
    }

    async fn perform(&self, step: usize, part: Part, cx: &StepContext) -> Result<u32, Trouble> {
        let nth = cx.attempt();
        let mut call = self.begin(step, part, cx);
        let Attempt { pause, act } = self.scene.attempt(step, part == Part::Undo, nth);
        wait(pause).await;
        if act == Act::Hang {
            std::future::pending::<()>().await;
        }
        call.act = Some(act);
        act.end().map(|()| nth)
    }

    async fn ask(&self, step: usize, cx: &StepContext) -> Result<Option<String>, Trouble> {
        let mut call = self.begin(step, Part::Skip, cx);
        let (pause, skip) = self.scene.conducts[step].skip;
        wait(pause).await;
        let act = match skip {
            Skip::No | Skip::Yes => Act::Ok,
            Skip::Error => Act::Error,
            Skip::Panic => Act::Panic,
        };
        call.act = Some(act);
        act.end().map(|()| (skip == Skip::Yes).then(|| "it says so".to_owned()))
    }
}

/// A call under way, which notes its end however it comes.
struct Call<'a> {
    actor: &'a Actor,
    step: usize,
    part: Part,
    act: Option<Act>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.actor.note(self.step, self.part, self.act.map_or(What::Dropped, What::Ends));
    }
}

async fn wait(pause: Pause) {
    match pause {
        Pause::None => {}
        Pause::Yield(times) => {
            for _ in 0..times {
                tokio::task::yield_now().await;
            }
        }
        Pause::Sleep(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
    }
}

impl Act {
    fn end(self) -> Result<(), Trouble> {
        match self {
            Self::Ok => Ok(()),
            Self::Error | Self::Hang => Err(Box::new(Cause::Error(Trouble::Passing))),
            Self::Fatal => Err(Box::new(Cause::Error(Trouble::Fatal))),
            Self::Panic => std::panic::resume_unwind(Box::new("as it was told")),
        }
    }
}

impl Dispatch<Actor> for Any {
    type Error = Trouble;

    fn run<'a>(
        step: usize,
        actor: &'a Actor,
        cx: &'a mut StepContext,
    ) -> BoxFuture<'a, Result<Option<Box<Value>>, Trouble>> {
        Box::pin(async move {
            let nth = actor.perform(step, Part::Run, cx).await?;
            Ok(cx.info().output.then(|| Box::new(nth.into())))
        })
    }

    fn undo<'a>(step: usize, actor: &'a Actor, cx: &'a mut StepContext) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(async move { actor.perform(step, Part::Undo, cx).await.map(drop) })
    }

    fn skip<'a>(
        step: usize,
        actor: &'a Actor,
        cx: &'a mut StepContext,
    ) -> BoxFuture<'a, Result<Option<String>, Trouble>> {
        Box::pin(actor.ask(step, cx))
    }
}
