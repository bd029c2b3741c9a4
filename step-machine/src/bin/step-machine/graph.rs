//! `step-machine graph`: the steps as text or as a diagram.

use std::fs;
use std::io::Write;
use std::path::Path;

use step_machine::{Plan, Preview};

use super::args::{Graph, GraphFormat, Place};
use super::store::Store;
use super::trouble::{OK, Outcome, Trouble};

pub(crate) fn run(place: &Place, options: &Graph, out: &mut dyn Write) -> Outcome {
    let plan = match (&options.snapshot, &options.run) {
        (Some(path), _) => snapshot(path)?,
        (None, run) => {
            let store = Store::to_read(place)?;
            let summary = store.find(run.as_deref().unwrap_or_default())?;
            store.kept(summary)?.state.plan().clone()
        }
    };
    let preview = Preview::of(plan);
    match options.format {
        GraphFormat::Text => write!(out, "{preview}")?,
        GraphFormat::Mermaid => write!(out, "{}", preview.to_mermaid())?,
        GraphFormat::Dot => write!(out, "{}", preview.to_dot())?,
        GraphFormat::Json => {
            serde_json::to_writer(&mut *out, &preview)?;
            writeln!(out)?;
        }
    }
    Ok(OK)
}

/// The plan that a file of `assert_resumable!` has.
pub(crate) fn snapshot(path: &Path) -> Result<Plan, Trouble> {
    let fail = |why: String| Trouble::Snapshot { path: path.to_owned(), why };
    let text = fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    let plan: Plan = serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
    plan.check().map_err(|error| fail(error.to_string()))?;
    Ok(plan)
}
