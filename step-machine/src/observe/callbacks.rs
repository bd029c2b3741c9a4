//! Closures as observers.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Observer;
use super::text::{PlainText, TextLine};
use crate::event::{Event, EventType, Level, RunEnd, RunStatus, StepEnd, StepStatus};

type Callback = Box<dyn FnMut(&Event) + Send>;
type TextCallback = Box<dyn FnMut(&TextLine) + Send>;

enum Wanted {
    Any,
    Type(EventType),
    Step(StepStatus),
    Run(RunStatus),
}

/// Closures that are called for all events, for those of a type, when a step or the run takes a status, or with what is
/// to be said to people.
///
/// One that panics keeps nothing from the others; the report of the run counts it with the observers that did.
///
/// # Examples
///
/// ```
/// use step_machine::event::{EventType, StepStatus};
/// use step_machine::observe::callbacks;
///
/// let observer = callbacks()
///     .on(EventType::RunStart, |event| println!("run {} began", event.run))
///     .on_step(StepStatus::Failed, |event| eprintln!("{} failed", event.step().unwrap_or("?")))
///     .on_status(|line| println!("{line}"));
/// # let _ = observer;
/// ```
#[derive(Default)]
pub struct Callbacks {
    events: Vec<(Wanted, Callback)>,
    // Boxed, as few have any.
    status: Option<Box<Texts>>,
    verbose: Option<Box<Texts>>,
    level: Option<Level>,
    run: Option<RunStatus>,
    panics: u64,
}

/// Lines of text, and who wants them.
struct Texts {
    text: PlainText,
    callbacks: Vec<TextCallback>,
}

/// An observer without any callbacks yet.
pub fn callbacks() -> Callbacks {
    Callbacks::default()
}

impl Callbacks {
    /// Calls `callback` for every event.
    #[must_use]
    pub fn on_any(self, callback: impl FnMut(&Event) + Send + 'static) -> Self {
        self.with(Wanted::Any, callback)
    }

    /// Calls `callback` for the events of a type.
    #[must_use]
    pub fn on(self, event_type: EventType, callback: impl FnMut(&Event) + Send + 'static) -> Self {
        self.with(Wanted::Type(event_type), callback)
    }

    /// Calls `callback` when a step starts or ends with this status.
    #[must_use]
    pub fn on_step(self, status: StepStatus, callback: impl FnMut(&Event) + Send + 'static) -> Self {
        self.with(Wanted::Step(status), callback)
    }

    /// Calls `callback` when the run takes this status.
    #[must_use]
    pub fn on_run(self, status: RunStatus, callback: impl FnMut(&Event) + Send + 'static) -> Self {
        self.with(Wanted::Run(status), callback)
    }

    /// Calls `callback` with a line of plain text for each change of the run: its beginning, each step when it ends with
    /// what it told, retries, undos, the end. Nothing below [`Level::Info`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use step_machine::{Workflow, observe::callbacks};
    ///
    /// #[derive(Workflow)]
    /// enum Greet { Hello }
    ///
    /// let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    /// let kept = lines.clone();
    /// let observer = callbacks().on_status(move |line| kept.lock().unwrap().push(line.to_string()));
    /// let run = Greet::machine().id("web-42").observe(observer).begin()?;
    /// run.step(greet::Hello, |_| Ok::<(), std::io::Error>(()))?.finish()?;
    ///
    /// let lines = lines.lock().unwrap();
    /// assert_eq!(lines[0], "greet: 1 step, run web-42");
    /// assert!(lines[1].starts_with("✓ 1/1  Hello"));
    /// assert!(lines[2].starts_with("completed in"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_status(mut self, callback: impl FnMut(&TextLine) + Send + 'static) -> Self {
        let steps = || Box::new(Texts { text: PlainText::new(), callbacks: Vec::new() });
        self.status.get_or_insert_with(steps).callbacks.push(Box::new(callback));
        self
    }

    /// Calls `callback` with a line of plain text for all that can be said: what [`on_status`](Self::on_status) tells,
    /// and each message when it comes, the begins of steps, tasks, and the lines of commands.
    #[must_use]
    pub fn on_verbose(mut self, callback: impl FnMut(&TextLine) + Send + 'static) -> Self {
        let text = || PlainText::new().level(Level::Debug).at_once();
        let all = || Box::new(Texts { text: text(), callbacks: Vec::new() });
        self.verbose.get_or_insert_with(all).callbacks.push(Box::new(callback));
        self
    }

    /// Leaves out what matters less than `least` of the lines of text; a success matters as much as an info. Has no
    /// effect on callbacks that take events.
    #[must_use]
    pub fn level(mut self, least: Level) -> Self {
        self.level = Some(least);
        self
    }

    fn with(mut self, wanted: Wanted, callback: impl FnMut(&Event) + Send + 'static) -> Self {
        self.events.push((wanted, Box::new(callback)));
        self
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [&self.status, &self.verbose].into_iter().flatten().map(|texts| texts.callbacks.len());
        let callbacks = self.events.len() + texts.sum::<usize>();
        f.debug_struct("Callbacks").field("callbacks", &callbacks).finish_non_exhaustive()
    }
}

impl Observer for Callbacks {
    fn event(&mut self, event: &Event) {
        let (step, run) = (step_status(event), run_status(event).filter(|run| self.run != Some(*run)));
        self.run = run.or(self.run);
        for (wanted, callback) in &mut self.events {
            let called = match wanted {
                Wanted::Any => true,
                Wanted::Type(wanted) => *wanted == event.event_type(),
                Wanted::Step(wanted) => step == Some(*wanted),
                Wanted::Run(wanted) => run == Some(*wanted),
            };
            if called {
                self.panics += panics(|| callback(event));
            }
        }
        for texts in [&mut self.status, &mut self.verbose].into_iter().flatten() {
            self.panics += texts.tell(event, self.level);
        }
    }

    fn panics(&self) -> u64 {
        self.panics
    }
}

impl Texts {
    /// Calls everybody with each line; how many panicked.
    fn tell(&mut self, event: &Event, least: Option<Level>) -> u64 {
        let mut lines = self.text.lines(event);
        lines.retain(|line| least.is_none_or(|least| line.is_at_least(least)));
        let mut all =
            |line: &TextLine| self.callbacks.iter_mut().map(|callback| panics(|| callback(line))).sum::<u64>();
        lines.iter().map(&mut all).sum()
    }
}

/// One where the callback panics. What it leaves half-way only it can see.
fn panics(call: impl FnOnce()) -> u64 {
    u64::from(catch_unwind(AssertUnwindSafe(call)).is_err())
}

/// The status that a step takes with this event.
fn step_status(event: &Event) -> Option<StepStatus> {
    use crate::event::{Kind, UndoStatus};
    match &event.kind {
        Kind::StepStart(_) => Some(StepStatus::Running),
        Kind::StepEnd(StepEnd { status, .. }) => Some(*status),
        Kind::UndoEnd(end) => match end.status {
            UndoStatus::Undone => Some(StepStatus::Undone),
            UndoStatus::UndoFailed => Some(StepStatus::UndoFailed),
            UndoStatus::Skipped => None,
        },
        _ => None,
    }
}

/// The status that the run takes with this event.
fn run_status(event: &Event) -> Option<RunStatus> {
    use crate::event::Kind;
    match &event.kind {
        Kind::RunResume(resume) if resume.rollback => Some(RunStatus::RollingBack),
        // A rollback that the workflow's policy asks for begins with its first undo.
        Kind::UndoStart(_) | Kind::UndoEnd(_) => Some(RunStatus::RollingBack),
        Kind::RunStart(_) | Kind::RunResume(_) => Some(RunStatus::Running),
        Kind::RunEnd(end) => {
            let RunEnd { status, .. } = **end;
            Some(status)
        }
        _ => None,
    }
}
