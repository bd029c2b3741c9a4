//! `step-machine abandon`: gives a run up.

use std::io::Write;

use super::args::{Abandon, Place};
use super::store::Store;
use super::trouble::{OK, Outcome, Trouble};

pub(crate) fn run(place: &Place, options: &Abandon, out: &mut dyn Write) -> Outcome {
    if options.why.trim().is_empty() {
        return Err(Trouble::Usage("`--why` is empty; say why, for those who find the run later".to_owned()));
    }
    let store = Store::to_write(place)?;
    let run = store.find(&options.run)?.run;
    store.journal().abandon(&run, &options.why).wait()?;
    writeln!(out, "run {run} is abandoned; nobody can go on with it")?;
    Ok(OK)
}
