//! Which updates that carry only a fraction are told, and what is held back of the others.
//!
//! A token bucket for each step and each task. What is told is recorded by whoever asks; nothing here knows of events.

use std::collections::BTreeMap;

use crate::event::Text;

/// How many updates in a row are told of one step or task, and how many a second from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    burst: u64,
    /// The time after which the next one may be told, in nanoseconds.
    interval: u64,
}

impl Pace {
    pub(crate) fn new(burst: u32, per_second: u32) -> Self {
        Self { burst: burst.into(), interval: 1_000_000_000 / u64::from(per_second.max(1)) }
    }
}

impl Default for Pace {
    /// Every percent of a step that is quick, then as often as screens are drawn: a journal keeps each of them, for ever.
    fn default() -> Self {
        Self::new(100, 20)
    }
}

/// The buckets of the steps under way that told a fraction.
#[derive(Debug, Default)]
pub(crate) struct Thinner {
    pace: Pace,
    lanes: BTreeMap<usize, Lane>,
    /// Counts what was held back, to tell it in that order.
    count: u64,
}

#[derive(Debug, Default)]
struct Lane {
    own: Bucket,
    tasks: BTreeMap<Text, Bucket>,
}

#[derive(Debug, Default)]
struct Bucket {
    /// Up to when what was told has used up its time, in nanoseconds since the run's start.
    paid: u64,
    held: Option<Held>,
    /// How many were replaced by a newer one since the last was told.
    replaced: u64,
}

#[derive(Debug)]
struct Held {
    fraction: f64,
    place: u64,
}

/// A fraction that is to be told.
#[derive(Debug, PartialEq)]
pub(crate) struct Due {
    pub(crate) step: usize,
    /// The task that it is of; the step itself where there is none.
    pub(crate) task: Option<Text>,
    pub(crate) fraction: f64,
    /// How many before it were held back and are not told any more.
    pub(crate) thinned: u64,
}

/// Whose fractions are to be told before something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// The step's own, where it has one.
    Own,
    /// This task's, and the step's own where it has one.
    Task(&'a str),
    /// The step's own, and those of all its tasks.
    All,
}

impl Bucket {
    /// How many were held back for good, where this one may be told now; otherwise it is held back.
    fn admit(&mut self, pace: Pace, fraction: f64, now: u64, nth: u64) -> Option<u64> {
        let paid = self.paid.max(now);
        self.replaced += u64::from(self.held.take().is_some());
        if paid - now + pace.interval > pace.burst.saturating_mul(pace.interval) {
            self.held = Some(Held { fraction, place: nth });
            return None;
        }
        self.paid = paid + pace.interval;
        Some(std::mem::take(&mut self.replaced))
    }

    fn take(&mut self, step: usize, task: impl FnOnce() -> Option<Text>) -> Option<(u64, Due)> {
        let Held { fraction, place } = self.held.take()?;
        Some((place, Due { step, task: task(), fraction, thinned: std::mem::take(&mut self.replaced) }))
    }
}

impl Lane {
    /// Those of a step and of its tasks keep their order, so that with its own all are told.
    fn due(&mut self, step: usize, scope: Scope<'_>) -> Vec<(u64, Due)> {
        match scope {
            Scope::Task(task) if self.own.held.is_none() => {
                let held =
                    self.tasks.get_mut(task).and_then(|bucket| bucket.take(step, || Some(task.to_owned().into())));
                held.into_iter().collect()
            }
            Scope::Own if self.own.held.is_none() => Vec::new(),
            _ => {
                let own = self.own.take(step, || None);
                let tasks = self.tasks.iter_mut();
                let tasks = tasks.filter_map(|(task, bucket)| bucket.take(step, || Some(task.clone())));
                own.into_iter().chain(tasks).collect()
            }
        }
    }
}

fn in_order(mut due: Vec<(u64, Due)>) -> Vec<Due> {
    due.sort_by_key(|(place, _)| *place);
    due.into_iter().map(|(_, due)| due).collect()
}

impl Thinner {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// How many were held back for good before this one, where it may be told now; otherwise it is held back.
    pub(crate) fn admit(&mut self, step: usize, task: Option<&Text>, fraction: f64, now: u64) -> Option<u64> {
        self.count += 1;
        let lane = self.lanes.entry(step).or_default();
        let bucket = match task {
            None => &mut lane.own,
            Some(task) if lane.tasks.contains_key(task) => lane.tasks.get_mut(task)?,
            Some(task) => lane.tasks.entry(task.clone()).or_default(),
        };
        bucket.admit(self.pace, fraction, now, self.count)
    }

    /// What is held back of a step and comes before something else of it, in the order in which it came.
    pub(crate) fn due(&mut self, step: usize, scope: Scope<'_>) -> Vec<Due> {
        let due = self.lanes.get_mut(&step).map(|lane| lane.due(step, scope));
        in_order(due.unwrap_or_default())
    }

    /// What is held back of all steps.
    pub(crate) fn all_due(&mut self) -> Vec<Due> {
        in_order(self.lanes.iter_mut().flat_map(|(step, lane)| lane.due(*step, Scope::All)).collect())
    }

    /// Forgets a task that ended.
    pub(crate) fn forget_task(&mut self, step: usize, task: &str) {
        if let Some(lane) = self.lanes.get_mut(&step) {
            lane.tasks.remove(task);
        }
    }

    /// Forgets the tasks of an attempt that ended.
    pub(crate) fn forget_tasks(&mut self, step: usize) {
        if let Some(lane) = self.lanes.get_mut(&step) {
            lane.tasks.clear();
        }
    }

    /// Forgets a step that ended.
    pub(crate) fn forget(&mut self, step: usize) {
        self.lanes.remove(&step);
    }
}
