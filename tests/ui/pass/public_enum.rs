#![deny(warnings, missing_docs)]
//! A crate that documents all it shows.

/// The workflow.
pub mod flow {
    use step_machine::{StepError, Workflow};

    /// Bring out a release.
    #[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Release {
        /// Fetch the sources.
        Fetch,
        /// Build them.
        #[step(critical = false, output = u64)]
        Build,
    }

    /// Bring out two at once.
    #[derive(Workflow)]
    #[workflow(parallel, steps = pair_steps)]
    pub enum Pair {
        /// The one.
        One,
        /// The other.
        Other,
    }

    /// Why a release did not come out.
    #[derive(Debug, thiserror::Error, StepError)]
    pub enum ReleaseError {
        /// The server did not answer.
        #[error("no answer")]
        NoAnswer,
    }
}

use flow::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(release::Fetch, |_| Ok::<_, ReleaseError>(()))?;
    let (run, size) = run.step(release::Build, |_| Err(ReleaseError::NoAnswer));
    assert_eq!(size, None);
    assert_eq!(run.finish()?.warnings().collect::<Vec<_>>(), [Release::Build]);
    let run = Pair::machine().begin()?;
    let run = run.step(pair_steps::Other, |_| Ok::<_, ReleaseError>(()))?;
    let run = run.step(pair_steps::One, |_| Ok::<_, ReleaseError>(()))?;
    run.finish()?;
    Ok(())
}
