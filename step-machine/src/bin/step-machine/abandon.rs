//! `step-machine abandon`: gives a run up.

use std::io::Write;

use step_machine::JournalError;

use super::args::{Abandon, Place};
use super::store::Store;
use super::trouble::{OK, Outcome, Trouble};

pub(crate) fn run(place: &Place, options: &Abandon, out: &mut dyn Write) -> Outcome {
    if options.why.trim().is_empty() {
        return Err(Trouble::Usage("`--why` is empty; say why, for those who find the run later".to_owned()));
    }
    let store = Store::to_write(place)?;
    let found = store.find(&options.run)?;
    let run = found.run;
    if let Some(before) = found.abandoned {
        // The first reason is the one that holds.
        return Err(JournalError::Abandoned { run, why: before.why }.into());
    }
    store.journal().abandon(&run, &options.why).wait().map_err(|error| match error {
        // What the library advises is for those who drive the run.
        JournalError::Write { run, source } => Trouble::Unabandoned(run, source),
        error => error.into(),
    })?;
    writeln!(out, "run {run} is abandoned; nobody can go on with it")?;
    Ok(OK)
}
