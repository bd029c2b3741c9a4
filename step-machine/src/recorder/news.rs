//! News of a step: recorded as they come, and fractions no more often than they may.

use super::Recorder;
#[cfg(feature = "runner")]
use super::thin::Pace;
use super::thin::{Due, Scope, Thinner};
use crate::event::{Kind, StepUpdate, TaskUpdate, Text};

impl Recorder {
    /// Records news of a step; news that come when nobody waits for them any more are passed over.
    pub(crate) fn record_news(&mut self, kind: Kind) {
        #[cfg(feature = "runner")]
        if self.heard.is_some()
            && let Some(index) = kind.step().and_then(|step| step.find(self.state.plan()))
        {
            self.hear(index);
        }
        self.record_quietly(kind);
    }

    /// Records that there are no news of a step.
    #[cfg(feature = "runner")]
    pub(crate) fn record_silence(&mut self, kind: Kind) {
        self.record_quietly(kind);
    }

    /// Whether it is known by now that the journal did not take the last news.
    #[cfg(feature = "runner")]
    pub(crate) fn hears_refusal(&mut self) -> bool {
        if !self.is_broken()
            && let Some(Err(error)) = self.book.as_mut().map(|book| book.hear())
        {
            self.break_off(error);
        }
        self.is_broken()
    }

    fn record_quietly(&mut self, kind: Kind) {
        let now = self.elapsed();
        if self.thinner.is_some() {
            self.tell_held(now, &kind);
        }
        self.record_quietly_at(now, kind);
    }

    fn record_quietly_at(&mut self, elapsed: u64, mut kind: Kind) {
        if self.is_broken() {
            return;
        }
        self.secrecy.redact_news(&mut kind);
        let stamp = self.state.next_stamp(elapsed);
        let Ok(target) = self.state.check(stamp, &kind) else { return };
        // Kept as it is where the journal does not take them: a copy of a step with all its tasks for each of its news
        // would be too much for that.
        self.state.commit(stamp, &kind, target);
        if self.is_idle() {
            return;
        }
        let event = self.event(stamp, kind);
        let sent = match &mut self.book {
            None => Ok(()),
            Some(book) if book.is_empty() => book.send_news(std::slice::from_ref(&event)),
            // Told after what came before them.
            Some(book) => return book.add(event, None),
        };
        match sent {
            Ok(()) => self.observers.notify(&event),
            Err(error) => self.break_off(error),
        }
    }

    /// Records how much of a step, or of a task of it, is done, or holds it back where that comes too fast.
    pub(crate) fn record_fraction(&mut self, index: usize, task: Option<&Text>, fraction: f64) {
        if self.is_broken() || !self.state.steps()[index].is_active() {
            return;
        }
        #[cfg(feature = "runner")]
        self.hear(index);
        let now = self.elapsed();
        // What is held back is told before the step ends, and that is not the short way.
        self.is_short = false;
        let pace = self.pace;
        let buckets = self.thinner.get_or_insert_with(|| Box::new(Thinner::new(pace)));
        let Some(thinned) = buckets.admit(index, task, fraction, now) else { return };
        let kind = self.fraction_of(Due { step: index, task: task.cloned(), fraction, thinned });
        self.tell_held(now, &kind);
        self.record_quietly_at(now, kind);
    }

    fn fraction_of(&self, due: Due) -> Kind {
        let Due { step, task, fraction, thinned } = due;
        let step = self.state.step_ref(step);
        let fraction = Some(fraction);
        match task {
            None => Kind::StepUpdate(Box::new(StepUpdate { fraction, thinned, ..StepUpdate::of(step) })),
            Some(task) => Kind::TaskUpdate(Box::new(TaskUpdate { step, task, fraction, message: None, thinned })),
        }
    }

    /// Tells what is held back and comes before `next`, and forgets what ends with it.
    #[inline(never)]
    pub(super) fn tell_held(&mut self, elapsed: u64, next: &Kind) {
        let Some(index) = next.step().and_then(|step| step.find(self.state.plan())) else { return };
        let Some(thinner) = &mut self.thinner else { return };
        // A step's fraction is what it told or the mean of its tasks, whichever was news last: those of the step and of
        // its tasks keep their order. Those of two tasks need none, but where one more makes their mean fall.
        let scope = match next {
            Kind::StepUpdate(update) if update.fraction.is_none() => Scope::Own,
            Kind::Stdout(_) | Kind::Stderr(_) => Scope::Own,
            Kind::TaskUpdate(update) => Scope::Task(&update.task),
            Kind::TaskEnd(end) => Scope::Task(&end.task),
            _ => Scope::All,
        };
        let due = match next {
            // The step's share is gone then, and a run's progress is the most that there ever was.
            Kind::StepEnd(end) if !end.status.is_settled() => thinner.all_due(),
            _ => thinner.due(index, scope),
        };
        match next {
            Kind::TaskEnd(end) => thinner.forget_task(index, &end.task),
            Kind::StepRetry(_) => thinner.forget_tasks(index),
            Kind::StepEnd(_) | Kind::UndoEnd(_) => thinner.forget(index),
            _ => {}
        }
        if thinner.is_empty() {
            self.thinner = None;
            self.is_short = self.may_be_short();
        }
        for due in due {
            let kind = self.fraction_of(due);
            self.record_quietly_at(elapsed, kind);
        }
    }

    /// Whether the usual transitions may take the short way again.
    fn may_be_short(&self) -> bool {
        #[cfg(feature = "runner")]
        if self.heard.is_some() {
            return false;
        }
        #[cfg(feature = "resources")]
        if self.meter.is_some() {
            return false;
        }
        self.book.is_none() && !self.is_broken()
    }

    #[cfg(feature = "runner")]
    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    /// Whether it is measured what the steps take.
    #[cfg(all(feature = "resources", feature = "runner"))]
    pub(crate) fn is_measured(&self) -> bool {
        self.meter.is_some()
    }

    /// Measures from here on what a step takes, where that is asked for.
    #[cfg(feature = "resources")]
    pub(crate) fn begin_measure(&mut self, index: usize) {
        if let Some(meter) = &mut self.meter {
            meter.begin(index);
        }
    }

    /// Tells what a step took that ends.
    #[cfg(feature = "resources")]
    pub(crate) fn end_measure(&mut self, index: usize) {
        let Some(metadata) = self.meter.as_mut().and_then(|meter| meter.end(index)) else { return };
        let step = self.state.step_ref(index);
        let update = StepUpdate { metadata, ..StepUpdate::of(step) };
        self.record_quietly(Kind::StepUpdate(Box::new(update)));
    }
}
