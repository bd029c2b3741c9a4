//! A workflow of which one step stands still until the test lets it go on: what happens then meets the run in the middle.

use std::sync::Mutex;
use std::time::Duration;

use step_machine::{StepContext, Workflow};
use tokio::sync::Notify;

use crate::support::{Recorded, Trouble};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(parallel)]
pub(crate) enum Release {
    #[step(output = u32)]
    Fetch,
    #[step(needs(Fetch), retry(attempts = 3, delay = "0s"))]
    Left,
    #[step(needs(Fetch))]
    Right,
    #[step(needs(Left, Right))]
    Join,
}

pub(crate) const STEPS: [&str; 4] = ["fetch", "left", "right", "join"];

/// The handler. `left` fails the first time that it is called.
#[derive(Default)]
pub(crate) struct Gate {
    step: Option<&'static str>,
    reached: Notify,
    opened: Notify,
    calls: Mutex<Vec<String>>,
}

impl Gate {
    /// One that stands still in this step when that is first called.
    pub(crate) fn in_step(step: &'static str) -> Self {
        Self { step: Some(step), ..Self::default() }
    }

    /// Waits until the run stands still.
    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Waits until the run stands still and nothing else goes on beside that step.
    pub(crate) async fn reached_alone(&self, seen: &Recorded) {
        self.reached().await;
        let sibling = match self.step {
            Some("left") => "step_end right",
            Some("right") => "step_end left",
            _ => return,
        };
        while !seen.lines().iter().any(|line| line.starts_with(sibling)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Has it go on.
    pub(crate) fn open(&self) {
        self.opened.notify_one();
    }

    /// The steps whose bodies were called, in order; with `again` those that a former process was in.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    async fn pass(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        let step = cx.step().to_owned();
        let call = if cx.interrupted() { format!("{step} again") } else { step.clone() };
        let is_first = {
            let mut calls = self.calls.lock().unwrap();
            let is_first = !calls.iter().any(|called| called.starts_with(&step));
            calls.push(call);
            is_first
        };
        cx.message("on it");
        if is_first && self.step == Some(&step) {
            self.reached.notify_one();
            self.opened.notified().await;
            cx.message("it goes on");
        }
        if is_first && step == "left" { Err(Trouble::Network) } else { Ok(()) }
    }
}

impl ReleaseHandler for Gate {
    type Error = Trouble;

    async fn fetch(&self, cx: &mut StepContext) -> Result<u32, Trouble> {
        self.pass(cx).await.map(|()| 7)
    }

    async fn left(&self, cx: &mut StepContext, fetched: &u32) -> Result<(), Trouble> {
        assert_eq!(*fetched, 7);
        self.pass(cx).await
    }

    async fn right(&self, cx: &mut StepContext, fetched: &u32) -> Result<(), Trouble> {
        assert_eq!(*fetched, 7);
        self.pass(cx).await
    }

    async fn join(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.pass(cx).await
    }
}
