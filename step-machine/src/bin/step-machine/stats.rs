//! `step-machine stats`: how long the runs of a workflow take, and what they fail of.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};
use step_machine::event::{Kind, RunStatus, StepStatus};
use step_machine::journal::RunQuery;

use super::args::{Place, Stats};
use super::runs;
use super::store::{Kept, Store};
use super::table::{Fit, Table};
use super::text::{count, millis, span};
use super::trouble::{OK, Outcome, Trouble};
use super::worked::Worked;

pub(crate) fn run(place: &Place, options: &Stats, out: &mut dyn Write) -> Outcome {
    let store = Store::to_read(place)?;
    let query = RunQuery::all().with_nested().with_abandoned().workflow(&options.workflow).limit(options.limit);
    let runs = store.list(&query)?;
    if runs.is_empty() {
        return Err(Trouble::NoRuns(options.workflow.clone()));
    }
    let mut tally = Tally::default();
    for summary in runs {
        let status = runs::status(summary.status, summary.abandoned.as_ref());
        match store.kept(summary) {
            Ok(kept) => tally.add(&kept),
            // The others still tell something.
            Err(trouble) if trouble.is_damage() => tally.unreadable += 1,
            // It was removed meanwhile.
            Err(trouble) if trouble.is_gone() => continue,
            Err(trouble) => return Err(trouble),
        }
        *tally.statuses.entry(status).or_default() += 1;
    }
    if options.json {
        serde_json::to_writer(&mut *out, &tally.object(&options.workflow))?;
        writeln!(out)?;
    } else {
        tally.write(&options.workflow, out)?;
    }
    Ok(OK)
}

/// What all runs together tell.
#[derive(Default)]
struct Tally {
    statuses: BTreeMap<&'static str, usize>,
    unreadable: usize,
    /// Of the runs that completed.
    durations: Vec<Duration>,
    /// In the order of the newest plan; what only older ones have comes last.
    steps: Vec<(String, OfStep)>,
    failures: BTreeMap<(String, String), Failures>,
}

#[derive(Default)]
struct OfStep {
    durations: Vec<Duration>,
    skipped: usize,
    /// Attempts after the first, in all runs, whatever the first ended with.
    retries: usize,
}

#[derive(Default)]
struct Failures {
    count: usize,
    /// Of how many of them the run went on, by another attempt or without the step.
    survived: usize,
    message: String,
}

impl Tally {
    fn add(&mut self, kept: &Kept) {
        let state = &kept.state;
        let worked = Worked::of(state.plan(), &kept.events);
        if state.status() == RunStatus::Completed {
            self.durations.push(worked.run);
        }
        for ((step, info), took) in state.steps().iter().zip(&state.plan().steps).zip(worked.steps) {
            let of_step = self.step(&info.id);
            of_step.retries += usize::try_from(step.attempts().saturating_sub(1)).unwrap_or(usize::MAX);
            match (step.status(), took) {
                (StepStatus::Completed, Some(took)) => of_step.durations.push(took),
                (StepStatus::Skipped, _) => of_step.skipped += 1,
                _ => {}
            }
        }
        // Newest first, so the first message that is kept is the newest one.
        for event in kept.events.iter().rev() {
            match &event.kind {
                Kind::StepRetry(retry) => {
                    self.failed(retry.step.id(), &retry.error.kind, &retry.error.message, true);
                }
                Kind::StepEnd(end) => {
                    let is_survived = end.status == StepStatus::Skipped;
                    if let Some(error) = &end.error {
                        self.failed(end.step.id(), &error.kind, &error.message, is_survived);
                    }
                }
                _ => {}
            }
        }
    }

    fn step(&mut self, id: &str) -> &mut OfStep {
        let found = self.steps.iter().position(|(step, _)| step == id);
        let index = found.unwrap_or_else(|| {
            self.steps.push((id.to_owned(), OfStep::default()));
            self.steps.len() - 1
        });
        &mut self.steps[index].1
    }

    fn failed(&mut self, step: &str, kind: &str, message: &str, is_survived: bool) {
        let failures = self.failures.entry((step.to_owned(), kind.to_owned())).or_default();
        failures.count += 1;
        failures.survived += usize::from(is_survived);
        if failures.message.is_empty() {
            message.clone_into(&mut failures.message);
        }
    }

    /// The most frequent first.
    fn failures(&self) -> Vec<(&(String, String), &Failures)> {
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort_by_key(|(_, failures)| std::cmp::Reverse(failures.count));
        failures
    }

    fn write(&self, workflow: &str, out: &mut dyn Write) -> io::Result<()> {
        let runs: usize = self.statuses.values().sum();
        let statuses: Vec<String> = self.statuses.iter().map(|(status, number)| format!("{number} {status}")).collect();
        writeln!(out, "{workflow}: {} ({})", count(runs, "run"), statuses.join(", "))?;
        if self.unreadable > 0 {
            let unread = count(self.unreadable, "run");
            writeln!(out, "{unread} cannot be read, and only the status counts; see `step-machine check`")?;
        }
        writeln!(out)?;
        self.spans().write(0, out)?;
        if self.failures.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nfailures")?;
        let mut table = Table::new(&[
            ("STEP", Fit::Cut),
            ("KIND", Fit::Cut),
            ("TIMES", Fit::Number),
            ("SURVIVED", Fit::Number),
            ("LAST", Fit::First),
        ]);
        for ((step, kind), failures) in self.failures() {
            let (times, survived) = (failures.count.to_string(), failures.survived.to_string());
            table.row([step, kind, &times, &survived, &failures.message]);
        }
        table.write(2, out)
    }

    fn spans(&self) -> Table {
        let mut table = Table::new(&[
            ("", Fit::Cut),
            ("DONE", Fit::Number),
            ("P50", Fit::Number),
            ("P90", Fit::Number),
            ("P99", Fit::Number),
            ("RETRIES", Fit::Number),
            ("SKIPPED", Fit::Number),
        ]);
        let row = |name: &str, durations: &[Duration], retries: usize, skipped: usize| {
            let some = |number: usize| if number > 0 { number.to_string() } else { String::new() };
            let [half, most, nearly] = percentiles(durations).map(|at| at.map(span).unwrap_or_default());
            [name.to_owned(), durations.len().to_string(), half, most, nearly, some(retries), some(skipped)]
        };
        let retries = self.steps.iter().map(|(_, step)| step.retries).sum();
        table.row(row("whole run", &self.durations, retries, 0));
        for (id, step) in &self.steps {
            table.row(row(id, &step.durations, step.retries, step.skipped));
        }
        table
    }

    fn object(&self, workflow: &str) -> Value {
        let spans = |durations: &[Duration]| {
            let [half, most, nearly] = percentiles(durations).map(|at| at.map(millis));
            json!({ "count": durations.len(), "p50_ms": half, "p90_ms": most, "p99_ms": nearly })
        };
        json!({
            "workflow": workflow,
            "runs": self.statuses.values().sum::<usize>(),
            "statuses": self.statuses,
            "unreadable": self.unreadable,
            "duration": spans(&self.durations),
            "steps": self.steps.iter().map(|(id, step)| json!({
                "id": id,
                "duration": spans(&step.durations),
                "retries": step.retries,
                "skipped": step.skipped,
            })).collect::<Vec<_>>(),
            "failures": self.failures().into_iter().map(|((step, kind), failures)| json!({
                "step": step,
                "kind": kind,
                "count": failures.count,
                "survived": failures.survived,
                "last_message": failures.message,
            })).collect::<Vec<_>>(),
        })
    }
}

/// The 50th, 90th and 99th: each a span that was measured, that so many of a hundred are not longer than.
fn percentiles(durations: &[Duration]) -> [Option<Duration>; 3] {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    [50, 90, 99].map(|of_hundred| {
        let rank = (sorted.len() * of_hundred).div_ceil(100);
        sorted.get(rank.checked_sub(1)?).copied()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_span_that_so_many_are_not_longer_than() {
        let spans: Vec<Duration> = (1..=100).rev().map(Duration::from_secs).collect();
        assert_eq!(percentiles(&spans), [50, 90, 99].map(|span| Some(Duration::from_secs(span))));
        assert_eq!(percentiles(&spans[..1]), [Some(spans[0]); 3]);
        assert_eq!(percentiles(&spans[..2]), [Some(spans[1]), Some(spans[0]), Some(spans[0])]);
        assert_eq!(percentiles(&[]), [None; 3]);
    }
}
