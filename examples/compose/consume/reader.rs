//! A reader on a thread of its own.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};

use step_machine::event::{Event, EventType};
use step_machine_examples::cli::complain;

/// Reads events while the run goes on, and counts them.
pub(super) struct Reader {
    thread: JoinHandle<Counted>,
}

#[derive(Default)]
struct Counted {
    by_type: BTreeMap<EventType, usize>,
    /// How far the run was when it was heard of last.
    percentage: f64,
}

impl Reader {
    pub(super) fn of(events: Receiver<Event>) -> Self {
        Self { thread: thread::spawn(move || count(&events)) }
    }

    /// Waits for it, as the run is over, and says what came.
    pub(super) fn finish(self) {
        let Ok(Counted { by_type, percentage }) = self.thread.join() else {
            return complain("channel: its reader panicked");
        };
        let types: Vec<String> = by_type.iter().map(|(event_type, count)| format!("{count} {event_type}")).collect();
        let all: usize = by_type.values().sum();
        complain(&format!("channel: {all} events up to {percentage} %: {}", types.join(", ")));
    }
}

/// Ends with the run, which lets its end of the channel go.
fn count(events: &Receiver<Event>) -> Counted {
    let mut counted = Counted::default();
    for event in events {
        *counted.by_type.entry(event.event_type()).or_default() += 1;
        counted.percentage = event.progress.as_ref().map_or(counted.percentage, |progress| progress.percentage);
    }
    counted
}
