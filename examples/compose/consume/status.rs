//! Plain text by callbacks.

use step_machine::observe::{Callbacks, callbacks};
use step_machine_examples::cli::{complain, over_live_lines};

use super::Least;
use super::update::{Teller, Update, Word};

/// Writes a line for each update that matters enough.
pub(super) fn status(mut teller: Teller, least: Least) -> Callbacks {
    callbacks().on_any(move |event| {
        let update = teller.update(event);
        if least.lets_through(update.level.0) {
            complain(&format!("{}{}", over_live_lines(), line(&update)));
        }
    })
}

fn line(update: &Update) -> String {
    let Update { deployment_id, phase, total_progress, level: Word(level), message, .. } = update;
    format!("{deployment_id} {:5.1}% {level:<7} {phase}: {message}", total_progress * 100.0)
}
