//! `step-machine export`: runs for other tools.

mod csv;
mod otlp;

use std::io::Write;

use super::args::{Export, ExportFormat, Place};
use super::store::{Kept, Store};
use super::trouble::{OK, Outcome, Trouble};

pub(crate) fn run(place: &Place, options: &Export, out: &mut dyn Write) -> Outcome {
    let store = Store::to_read(place)?;
    // Each is found before the first is written.
    let found = options.runs.iter().map(|run| store.find(run)).collect::<Result<Vec<_>, _>>()?;
    match options.format {
        ExportFormat::Json => {
            for summary in found {
                for event in store.load(&summary.run)? {
                    serde_json::to_writer(&mut *out, &event)?;
                    writeln!(out)?;
                }
            }
        }
        ExportFormat::Csv => {
            csv::head(out)?;
            for summary in found {
                csv::rows(&store.kept(summary)?, out)?;
            }
        }
        ExportFormat::OtlpJson => {
            let all = store.all()?;
            let families: Vec<Vec<Kept>> = found
                .into_iter()
                .map(|summary| {
                    let mut family = vec![store.kept(summary)?];
                    let mut at = 0;
                    while let Some(parent) = family.get(at).map(|kept| kept.summary.run.clone()) {
                        for run in all.iter().filter(|run| run.parent.as_ref() == Some(&parent)) {
                            family.push(store.kept(run.clone())?);
                        }
                        at += 1;
                    }
                    Ok(family)
                })
                .collect::<Result<_, Trouble>>()?;
            serde_json::to_writer(&mut *out, &otlp::traces(&families))?;
            writeln!(out)?;
        }
    }
    Ok(OK)
}
