//! Whether runs that are under way can go on with the enum as it is now.

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::plan_diff::{PlanDiff, PlanDifference};
use crate::workflow::{Plan, PlanError, Workflow};

/// The environment variable that [`assert_resumable!`](crate::assert_resumable) asks whether it may write.
const SWITCH: &str = "STEP_MACHINE_UPDATE";

/// What [`resumable`] may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Update {
    /// Nothing.
    #[default]
    Never,
    /// A snapshot that is missing, and one whose runs can go on.
    Fitting,
    /// Any snapshot, also one whose runs cannot go on.
    Breaking,
}

impl Update {
    /// What the environment variable `STEP_MACHINE_UPDATE` says: `1` is [`Fitting`](Self::Fitting), `breaking` is
    /// [`Breaking`](Self::Breaking), `0` and nothing are [`Never`](Self::Never). Where `CI` is set, to anything but
    /// `0` or `false`, it is not asked: a check that writes what it compares with would always pass.
    pub fn from_env() -> Result<Self, ResumableError> {
        let variable = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Self::from_values(variable(SWITCH).as_deref(), variable("CI").as_deref())
    }

    fn from_values(switch: Option<&str>, ci: Option<&str>) -> Result<Self, ResumableError> {
        let update = match switch.unwrap_or_default() {
            "" | "0" => Self::Never,
            "1" => Self::Fitting,
            "breaking" => Self::Breaking,
            other => return Err(ResumableError::Switch { value: other.to_owned() }),
        };
        Ok(if matches!(ci.unwrap_or_default(), "" | "0" | "false") { update } else { Self::Never })
    }
}

/// Why a workflow does not pass the comparison with its snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumableError {
    /// There is no snapshot yet.
    #[error(
        "workflow `{workflow}` has no snapshot {}; make it with `{SWITCH}=1 cargo test`, where CI is not set, and commit it",
        path.display()
    )]
    Missing {
        /// The workflow.
        workflow: &'static str,
        /// Where the snapshot is to be.
        path: PathBuf,
    },
    /// The snapshot could not be read.
    #[error("snapshot {} could not be read", path.display())]
    Read {
        /// The snapshot.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The snapshot is not the JSON of a plan.
    #[error("snapshot {} is not a plan; restore it from your version control", path.display())]
    NoPlan {
        /// The snapshot.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The snapshot is of a plan that no workflow could have declared.
    #[error("snapshot {} was edited; restore it from your version control", path.display())]
    BadPlan {
        /// The snapshot.
        path: PathBuf,
        /// What is wrong with it.
        source: PlanError,
    },
    /// Runs that began with the snapshot's plan might not be able to go on.
    #[error(
        "workflow `{}`: runs that began with {} could not go on, wherever they stand:{}\n\
         keep what they need; or, once no such run is left, accept it with `{SWITCH}=breaking cargo test`",
        diff.workflow, path.display(), list(diff, PlanDifference::is_breaking)
    )]
    Breaking {
        /// The snapshot.
        path: PathBuf,
        /// What changed since.
        diff: PlanDiff,
    },
    /// All runs can go on, but a later change could not be judged by this snapshot.
    #[error(
        "workflow `{}`: all runs can go on, but {} does not know all that they may have:{}\n\
         bring it up to date with `{SWITCH}=1 cargo test`, where CI is not set, and commit it",
        diff.workflow, path.display(), list(diff, PlanDifference::is_of_record)
    )]
    Stale {
        /// The snapshot.
        path: PathBuf,
        /// What changed since.
        diff: PlanDiff,
    },
    /// The snapshot could not be written.
    #[error("snapshot {} could not be written", path.display())]
    Write {
        /// The snapshot.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The environment variable says something else than it may.
    #[error(
        "{SWITCH} is `{value}`; `1` writes snapshots that are missing or fit, `breaking` also those that do not, and \
         `0` none"
    )]
    Switch {
        /// What it says.
        value: String,
    },
}

fn list(diff: &PlanDiff, wanted: fn(&PlanDifference) -> bool) -> String {
    let texts = diff.texts(&|difference| wanted(difference).then_some(()));
    texts.into_iter().flat_map(|((), text)| ["\n  - ".to_owned(), text]).collect()
}

/// Whether every run that began with the plan kept in `snapshot` can go on with `W` as it is now, wherever it stands.
///
/// This is what [`assert_resumable!`](crate::assert_resumable) calls, and the path is taken as it is. Gives what
/// changed and needs no answer: rules that no comparison asks for, as a timeout or a description; and, where the
/// snapshot was written, all that changed.
///
/// # Errors
///
/// [`Breaking`](ResumableError::Breaking) where a run might not be able to go on, [`Stale`](ResumableError::Stale)
/// where all can but the snapshot has to be brought up to date, [`Missing`](ResumableError::Missing) where there is
/// none; the others where it cannot be read or written.
///
/// # Examples
///
/// ```
/// use step_machine::testing::{ResumableError, Update, resumable};
/// use step_machine::{PlanDifference, Workflow};
///
/// mod v1 {
///     #[derive(step_machine::Workflow)]
///     pub enum Deploy { Fetch, Start }
/// }
/// mod v2 {
///     #[derive(step_machine::Workflow)]
///     pub enum Deploy { Download, Start, Announce }
/// }
///
/// # let folder = std::env::temp_dir().join(format!("step-machine-{}", std::process::id()));
/// let snapshot = folder.join("deploy.json");
/// assert!(matches!(resumable::<v1::Deploy>(&snapshot, Update::Never), Err(ResumableError::Missing { .. })));
/// resumable::<v1::Deploy>(&snapshot, Update::Fitting)?;
/// assert!(resumable::<v1::Deploy>(&snapshot, Update::Never)?.is_empty());
///
/// let Err(ResumableError::Breaking { diff, .. }) = resumable::<v2::Deploy>(&snapshot, Update::Fitting) else {
///     panic!("a run that has fetched would fetch again");
/// };
/// assert!(matches!(&diff.differences[0], PlanDifference::Lost { step } if step == "fetch"));
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn resumable<W: Workflow>(snapshot: impl AsRef<Path>, update: Update) -> Result<PlanDiff, ResumableError> {
    let path = snapshot.as_ref();
    let plan = W::plan();
    let Some(kept) = read(path, update)? else {
        if update == Update::Never {
            return Err(ResumableError::Missing { workflow: W::NAME, path: path.to_owned() });
        }
        write(path, plan)?;
        return Ok(PlanDiff::between(plan, plan));
    };
    let diff = PlanDiff::between(&kept, plan);
    if diff.is_breaking() && update != Update::Breaking {
        return Err(ResumableError::Breaking { path: path.to_owned(), diff });
    }
    if update != Update::Never {
        write(path, plan)?;
    } else if diff.is_of_record() {
        return Err(ResumableError::Stale { path: path.to_owned(), diff });
    }
    Ok(diff)
}

/// The plan that is kept; `None` where there is none, or none that matters.
fn read(path: &Path, update: Update) -> Result<Option<Plan>, ResumableError> {
    match parse(path) {
        Err(ResumableError::NoPlan { .. } | ResumableError::BadPlan { .. }) if update == Update::Breaking => Ok(None),
        Err(ResumableError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn parse(path: &Path) -> Result<Plan, ResumableError> {
    let text = fs::read_to_string(path).map_err(|source| ResumableError::Read { path: path.to_owned(), source })?;
    let plan: Plan =
        serde_json::from_str(&text).map_err(|source| ResumableError::NoPlan { path: path.to_owned(), source })?;
    plan.check().map_err(|source| ResumableError::BadPlan { path: path.to_owned(), source })?;
    Ok(plan)
}

fn write(path: &Path, plan: &Plan) -> Result<(), ResumableError> {
    let written = serde_json::to_string_pretty(plan).map_err(io::Error::from).and_then(|text| {
        let text = text + "\n";
        // A file that says the same is left alone, whatever watches it.
        if fs::read_to_string(path).is_ok_and(|kept| kept == text) {
            return Ok(());
        }
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)
    });
    written.map_err(|source| ResumableError::Write { path: path.to_owned(), source })
}

/// What `assert_resumable!` does; `folder` is that of the user's crate.
#[doc(hidden)]
#[track_caller]
#[expect(clippy::panic, reason = "an assertion")]
pub fn assert_resumable<W: Workflow>(folder: &str, snapshot: &str) {
    let checked = Update::from_env().and_then(|update| resumable::<W>(Path::new(folder).join(snapshot), update));
    if let Err(error) = checked {
        let reason = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        panic!("{error}{reason}");
    }
}

/// Asserts that every run that is under way, wherever it stands, can go on with the enum as it is now.
///
/// It takes the workflow and the path of a snapshot, relative to the folder of your crate's `Cargo.toml`. The snapshot
/// is the plan of the enum as JSON, which you commit:
///
/// | `STEP_MACHINE_UPDATE` | writes a snapshot that |
/// | --- | --- |
/// | not set, or `0` | - |
/// | `1` | is missing, or whose runs can go on |
/// | `breaking` | is missing, or differs in any way |
///
/// Nothing is written where `CI` is set.
///
/// # Panics
///
/// - where a run that began with the snapshot's plan might not be able to go on,
/// - where all can, but the enum has something on record that the snapshot does not know, as a step that is new or
///   renamed: what the snapshot does not know, it could not miss later. Rules that no run depends on, as `retry`,
///   `timeout`, `weight` or a description, may differ,
/// - where there is no snapshot, or it cannot be read or written.
///
/// The text names each difference and says what to do. [`testing::resumable`](crate::testing::resumable) is the same
/// as a function with a typed error; [`PlanDiff`] tells what is breaking.
///
/// # Examples
///
/// ```no_run
/// use step_machine::{Workflow, assert_resumable};
///
/// #[derive(Workflow)]
/// enum ProvisionStep { RenderTemplates, Apply }
///
/// // In a test:
/// assert_resumable!(ProvisionStep, "workflows/provision.json");
/// ```
#[macro_export]
macro_rules! assert_resumable {
    ($workflow:ty, $snapshot:literal $(,)?) => {
        $crate::testing::assert_resumable::<$workflow>(::core::env!("CARGO_MANIFEST_DIR"), $snapshot)
    };
    ($($other:tt)*) => {
        ::core::compile_error!(
            "`assert_resumable!` takes a workflow and the path of its snapshot as a text: `assert_resumable!(ProvisionStep, \"workflows/provision.json\")`"
        )
    };
}

#[cfg(test)]
mod tests {
    use super::Update;

    #[test]
    fn the_switch_is_heard_where_there_is_no_ci() {
        let update = |switch, ci| Update::from_values(switch, ci).map_err(|error| error.to_string());
        for ci in [None, Some(""), Some("0"), Some("false")] {
            assert_eq!(update(None, ci), Ok(Update::Never));
            assert_eq!(update(Some(""), ci), Ok(Update::Never));
            assert_eq!(update(Some("0"), ci), Ok(Update::Never));
            assert_eq!(update(Some("1"), ci), Ok(Update::Fitting));
            assert_eq!(update(Some("breaking"), ci), Ok(Update::Breaking));
        }
        assert_eq!(update(Some("1"), Some("true")), Ok(Update::Never));
        assert_eq!(update(Some("breaking"), Some("1")), Ok(Update::Never));
        let refused = "STEP_MACHINE_UPDATE is `yes`; `1` writes snapshots that are missing or fit, `breaking` also those \
                       that do not, and `0` none";
        assert_eq!(update(Some("yes"), None), Err(refused.to_owned()));
    }
}
