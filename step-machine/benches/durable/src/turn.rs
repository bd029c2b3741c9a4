//! One contender's turn beside the durable peers.

use clap::ValueEnum;
use step_machine::SqliteJournal;
use tempfile::TempDir;

use crate::{Outcome, bare, runtime, together};

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Who {
    /// SQLite itself, one commit a step, run after run
    Bare,
    /// The runner with its journal
    Runner,
}

/// Prints the seconds of each sample, after a run that does not count.
pub(crate) fn take(who: Who, dir: &TempDir, runs: usize, samples: usize) -> Outcome {
    match who {
        Who::Bare => {
            let bare = bare::open(&dir.path().join("bare.db"))?;
            bare::chain(&bare, 100)?;
            let steps = u32::try_from(runs * 100)?;
            for _ in 0..samples {
                println!("{}", bare::chain(&bare, steps)?.as_secs_f64());
            }
        }
        Who::Runner => {
            let runtime = runtime(2)?;
            let journal = SqliteJournal::open(dir.path().join("runs.db"))?;
            together(&runtime, &journal, 1)?;
            for _ in 0..samples {
                println!("{}", together(&runtime, &journal, runs)?.as_secs_f64());
            }
        }
    }
    Ok(())
}
