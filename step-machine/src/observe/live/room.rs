//! What readers have not read yet: all that must arrive, and as much of the rest as there is room for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::{Lagged, Told};
use crate::event::{Event, EventType};
use crate::sync::lock;

/// The room that an observer and its readers share.
#[derive(Debug)]
pub(super) struct Room(Mutex<Inside>);

#[derive(Debug)]
struct Inside {
    /// How many news there is room for.
    capacity: usize,
    /// Whether readers may come that want everything from the beginning.
    is_kept: bool,
    /// How many events came: the place of the next one.
    count: u64,
    critical: VecDeque<(u64, Arc<Event>)>,
    /// How many critical ones stood before these.
    read: u64,
    news: VecDeque<(u64, Arc<Event>)>,
    /// The news that stood before these.
    gone: Lagged,
    /// The place after the last of those.
    gone_up_to: u64,
    is_over: bool,
    waiting: Vec<(u64, Waker)>,
    readers: u64,
}

/// How far a reader is.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) reader: u64,
    critical: u64,
    /// The news that it has read, or knows to have missed.
    passed: Lagged,
}

impl Room {
    pub(super) fn new(capacity: usize, is_kept: bool) -> Self {
        Self(Mutex::new(Inside {
            capacity,
            is_kept,
            count: 0,
            critical: VecDeque::new(),
            read: 0,
            news: VecDeque::new(),
            gone: Lagged::default(),
            gone_up_to: 0,
            is_over: false,
            waiting: Vec::new(),
            readers: 0,
        }))
    }

    /// The place of a reader that has read nothing.
    pub(super) fn enter(&self) -> Place {
        let mut inside = lock(&self.0);
        inside.readers += 1;
        Place { reader: inside.readers, ..Place::default() }
    }

    pub(super) fn add(&self, event: Arc<Event>) {
        self.change(|inside| inside.add(event));
    }

    /// Nothing comes any more.
    pub(super) fn close(&self) {
        self.change(|inside| inside.is_over = true);
    }

    fn change(&self, change: impl FnOnce(&mut Inside)) {
        let mut inside = lock(&self.0);
        change(&mut inside);
        let waiting = std::mem::take(&mut inside.waiting);
        drop(inside);
        // Out of the lock: waking may run code of others.
        for (_, waker) in waiting {
            waker.wake();
        }
    }

    /// What comes next for a reader: `None` at the end, and an error where nothing is there yet; then `waker` is woken
    /// once something is.
    pub(super) fn take(&self, place: &mut Place, waker: Option<&Waker>) -> Result<Option<Told>, NotYet> {
        let mut inside = lock(&self.0);
        if let Some(told) = inside.next(place) {
            return Ok(Some(told));
        }
        if inside.is_over {
            return Ok(None);
        }
        if let Some(waker) = waker {
            inside.waiting.retain(|(reader, _)| *reader != place.reader);
            inside.waiting.push((place.reader, waker.clone()));
        }
        Err(NotYet)
    }

    /// A reader goes away.
    pub(super) fn leave(&self, place: &Place) {
        let mut inside = lock(&self.0);
        inside.waiting.retain(|(reader, _)| *reader != place.reader);
        if !inside.is_kept {
            // Nobody can come in its place.
            inside.critical.clear();
            inside.news.clear();
        }
    }
}

/// Nothing is there yet.
pub(super) struct NotYet;

impl Inside {
    fn add(&mut self, event: Arc<Event>) {
        let place = self.count;
        self.count += 1;
        if is_critical(event.event_type()) {
            self.critical.push_back((place, event));
            return;
        }
        self.news.push_back((place, event));
        if self.news.len() > self.capacity {
            self.forget_news();
        }
    }

    fn forget_news(&mut self) {
        let Some((place, event)) = self.news.pop_front() else { return };
        self.gone.count(event.event_type());
        self.gone_up_to = place + 1;
    }

    fn next(&mut self, place: &mut Place) -> Option<Told> {
        let critical = index(place.critical, self.read).and_then(|at| self.critical.get(at));
        let has_missed = place.passed.missed < self.gone.missed;
        // What came before the last of what was missed comes first, and what was missed is told in its place.
        if has_missed && critical.is_none_or(|(at, _)| *at >= self.gone_up_to) {
            let lagged = self.gone.since(place.passed);
            place.passed = self.gone;
            return Some(Told::Lagged(lagged));
        }
        let news = if has_missed { None } else { index(place.passed.missed, self.gone.missed) };
        let news = news.and_then(|at| self.news.get(at));
        match (critical, news) {
            (Some((at, event)), news) if news.is_none_or(|(news, _)| at < news) => {
                let event = event.clone();
                place.critical += 1;
                if !self.is_kept {
                    self.critical.pop_front();
                    self.read += 1;
                }
                Some(Told::Event(event))
            }
            (_, Some((_, event))) => {
                let event = event.clone();
                place.passed.count(event.event_type());
                if !self.is_kept {
                    self.forget_news();
                }
                Some(Told::Event(event))
            }
            (_, None) => None,
        }
    }
}

/// Where the `nth` of a row stands of which so many are gone.
fn index(nth: u64, gone: u64) -> Option<usize> {
    usize::try_from(nth.checked_sub(gone)?).ok()
}

/// Whether a run cannot be followed without it.
fn is_critical(event: EventType) -> bool {
    !matches!(event, EventType::StepUpdate | EventType::TaskUpdate | EventType::Stdout | EventType::Stderr)
}
