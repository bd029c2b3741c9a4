//! `step-machine show`: one run.

use std::io::{self, Write};

use serde_json::{Value, json};
use step_machine::event::{ErrorRecord, FailureRecord, Kind, Level, StepStatus};
use step_machine::journal::RunSummary;
use step_machine::observe::PlainText;
use step_machine::{RunState, StepState, Undo};

use super::args::{Place, Show};
use super::runs;
use super::store::{Kept, Store};
use super::table::{Fit, Table, cut, width};
use super::text::{count, millis, one_line, span, time};
use super::trouble::{OK, Outcome};

pub(crate) fn run(place: &Place, options: &Show, out: &mut dyn Write) -> Outcome {
    let store = Store::to_read(place)?;
    let kept = store.kept(store.find(&options.run)?)?;
    if options.json {
        serde_json::to_writer(&mut *out, &object(&kept))?;
        writeln!(out)?;
        return Ok(OK);
    }
    head(&kept, out)?;
    writeln!(out, "\nsteps")?;
    steps(&kept.state).write(2, out)?;
    if let Some(failure) = kept.state.failure() {
        failed(failure, out)?;
    }
    if !options.brief {
        timeline(&kept, out)?;
    }
    Ok(OK)
}

fn head(kept: &Kept, out: &mut dyn Write) -> io::Result<()> {
    let (RunSummary { owner, abandoned, parent, .. }, state) = (&kept.summary, &kept.state);
    let mut line = |name: &str, text: String| writeln!(out, "{name:<9} {}", one_line(&text));
    line("run", state.run().to_string())?;
    line("workflow", state.workflow().to_owned())?;
    let warnings = match state.warnings() {
        0 => String::new(),
        number => format!(", {}", count(number, "warning")),
    };
    line("status", format!("{}{warnings}", runs::status(state.status(), abandoned.as_ref())))?;
    if let Some(abandoned) = abandoned {
        line("abandoned", format!("{}, when it was {}: {}", time(abandoned.at), state.status(), abandoned.why))?;
    }
    line("started", time(state.started_at()))?;
    line(if state.status().has_ended() { "took" } else { "so far" }, span(state.elapsed()))?;
    let progress = kept.events.iter().rev().find_map(|event| event.progress.as_ref());
    if let Some(progress) = progress.filter(|_| !state.status().has_ended()) {
        let left = progress
            .eta
            .filter(|_| abandoned.is_none())
            .map(|eta| format!(", about {} left", span(eta)))
            .unwrap_or_default();
        let (settled, total) = (progress.completed, progress.total_steps);
        line("progress", format!("{}% ({settled}/{total}){left}", progress.percentage))?;
    }
    for (key, value) in state.labels() {
        line("label", format!("{key}={value}"))?;
    }
    if let Some(input) = state.input() {
        line("input", cut(&input.to_string(), width().saturating_sub(10)))?;
    }
    if let Some(parent) = parent {
        line("inside of", parent.to_string())?;
    }
    // Of one that was given up it is who drove it last.
    if let Some(owner) = owner.as_ref().filter(|_| abandoned.is_none()) {
        line("owner", owner.to_string())?;
    }
    Ok(())
}

fn steps(state: &RunState) -> Table {
    let mut table = Table::new(&[
        ("", Fit::Number),
        ("STEP", Fit::Cut),
        ("STATUS", Fit::Whole),
        ("TRIES", Fit::Number),
        ("BEGUN AT", Fit::Number),
        ("TOOK", Fit::Number),
        ("", Fit::First),
    ]);
    for (number, (step, info)) in (1..).zip(state.steps().iter().zip(&state.plan().steps)) {
        table.row([
            format!("{number}"),
            info.id.clone(),
            step.status().to_string(),
            if step.attempts() > 0 { step.attempts().to_string() } else { String::new() },
            step.started().map(span).unwrap_or_default(),
            step.duration().map(span).unwrap_or_default(),
            remark(step),
        ]);
    }
    table
}

/// What a person asks next.
fn remark(step: &StepState) -> String {
    let failed = step.error().map(|error| format!("{}: {}", error.kind, error.message));
    match (step.status(), step.undo()) {
        (StepStatus::UndoFailed, _) => {
            step.undo_error().map(|error| format!("{}: {}", error.kind, error.message)).unwrap_or_default()
        }
        (StepStatus::Undone, _) => step.before_undo().map(|before| format!("was {before}")).unwrap_or_default(),
        (StepStatus::Running, Undo::None) if step.is_waiting() => failed.unwrap_or_default(),
        (StepStatus::Skipped, _) => failed.or(step.skipped_because().map(str::to_owned)).unwrap_or_default(),
        (StepStatus::Failed | StepStatus::Cancelled, _) => failed.unwrap_or_default(),
        (StepStatus::Running, _) => step.message().map(|(_, text)| text.to_owned()).unwrap_or_default(),
        _ => String::new(),
    }
}

fn failed(failure: &FailureRecord, out: &mut dyn Write) -> io::Result<()> {
    let step = failure.step.as_ref().map(|step| format!(" of step {step}")).unwrap_or_default();
    writeln!(out, "\nerror{step} ({})", one_line(&failure.error.kind))?;
    chain(&failure.error, out)?;
    if let Some(rollback) = &failure.rollback {
        writeln!(out, "\nrollback ({})", rollback.status)?;
        for undo in &rollback.undos {
            let error = undo.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
            writeln!(out, "  {}: {}{}", undo.step, undo.status, one_line(&error))?;
        }
    }
    if let Some(trace) = &failure.trace_file {
        writeln!(out, "\ntrace     {}", one_line(&trace.display().to_string()))?;
    }
    Ok(())
}

fn chain(error: &ErrorRecord, out: &mut dyn Write) -> io::Result<()> {
    for (level, text) in std::iter::once(&error.message).chain(&error.chain).enumerate() {
        for (number, line) in text.lines().enumerate() {
            let mark = if number == 0 { format!("{level}:") } else { "  ".to_owned() };
            writeln!(out, "  {mark} {}", one_line(line))?;
        }
    }
    Ok(())
}

fn timeline(kept: &Kept, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\ntimeline")?;
    let mut text = PlainText::new().level(Level::Debug).at_once();
    for event in &kept.events {
        for line in text.lines(event) {
            writeln!(out, "  {:>10}  {line}", span(event.elapsed))?;
        }
    }
    Ok(())
}

/// The run for machines.
fn object(kept: &Kept) -> Value {
    let state = &kept.state;
    let progress = kept.events.iter().rev().find_map(|event| event.progress.as_ref());
    let resumes = kept.events.iter().filter(|event| matches!(event.kind, Kind::RunResume(_))).count();
    json!({
        "summary": kept.summary,
        "elapsed_ms": millis(state.elapsed()),
        "events": state.seq(),
        "resumes": resumes,
        "warnings": state.warnings(),
        "can_resume": state.status().can_resume() && kept.summary.abandoned.is_none(),
        "progress": progress,
        "input": state.input(),
        "plan": state.plan(),
        "steps": state.steps().iter().zip(&state.plan().steps).map(|(step, info)| json!({
            "id": info.id,
            "name": info.name,
            "status": step.status(),
            "reason": step.reason(),
            "attempts": step.attempts(),
            "started_ms": step.started().map(millis),
            "duration_ms": step.duration().map(millis),
            "fraction": step.fraction(),
            "message": step.message().map(|(_, text)| text),
            "skipped_because": step.skipped_because(),
            "metadata": step.metadata(),
            "error": step.error(),
            "before_undo": step.before_undo(),
            "undo_error": step.undo_error(),
        })).collect::<Vec<_>>(),
        "failure": state.failure(),
    })
}
