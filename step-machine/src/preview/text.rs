//! A preview as text: a heading, a line for each step, and what would be undone.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::{Action, Preview, PreviewStep, one_line};
use crate::policy::{OnFailure, Retry};

/// How wide a line is where names allow.
const COLUMNS: usize = 80;

/// Names are aligned up to this width; a longer one moves what follows it on its own line only.
const NAME_COLUMNS: usize = 32;

/// How far the steps of a nested workflow stand to the right of their step.
const NESTED_INDENT: usize = 4;

/// How many waits of a retry rule are told before its last one.
const WAITS_TOLD: u32 = 3;

pub(super) fn write(preview: &Preview, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (plan, on_failure) = (preview.plan(), preview.on_failure());
    let workflow = one_line(&plan.workflow);
    writeln!(f, "{}", wrap(format!("{workflow}: "), 2, &extent(preview)))?;
    let led_to = match on_failure {
        OnFailure::Stop => "the run stops",
        OnFailure::Rollback => "the run stops and what was done is undone",
    };
    writeln!(f, "If a step fails, {led_to}.\n")?;
    steps(preview, 2, f)?;
    undone(preview, f)
}

/// How many steps there are and how they run.
fn extent(preview: &Preview) -> String {
    let (count, running) = (preview.steps.len(), preview.running().count());
    let mut text = if count == 1 { "1 step".to_owned() } else { format!("{count} steps") };
    if running < count {
        let _ = write!(text, " ({running} would run)");
    }
    text += if preview.plan.parallel { ", in parallel" } else { ", in order" };
    if let Some(limit) = preview.max_parallel.filter(|_| preview.plan.parallel) {
        let _ = write!(text, " up to {limit}");
    }
    if let Some(deadline) = preview.plan.deadline {
        let _ = write!(text, ", at most {}", span(deadline));
    }
    text
}

fn steps(preview: &Preview, indent: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let total = preview.steps.len().to_string();
    let digits = total.len();
    let width = preview.steps.iter().map(|step| step.title().chars().count()).max().unwrap_or(0).min(NAME_COLUMNS);
    let rules_at = indent + 2 * digits + width + 13;
    for (number, step) in (1..).zip(&preview.steps) {
        let (mark, share) = (mark(&step.action), share(preview, step));
        let head = format!("{:indent$}{mark} {number:>digits$}/{total}  {:<width$}  {share:>4}  ", "", step.title());
        writeln!(f, "{}", wrap(head, rules_at, &rules(preview, step)))?;
        if let Some(nested) = step.within() {
            steps(&nested, indent + NESTED_INDENT, f)?;
        }
    }
    Ok(())
}

/// The sign that stands before a step's line.
fn mark(action: &Action) -> char {
    match action {
        Action::Run => '>',
        Action::MaySkip => '?',
        Action::Skip { .. } => '-',
        Action::NotReached => ' ',
    }
}

/// The step's share in the run's progress.
fn share(preview: &Preview, step: &PreviewStep) -> String {
    let share = 100.0 * step.info.weight / preview.plan.total_weight();
    if share < 0.5 { "<1%".to_owned() } else { format!("{share:.0}%") }
}

/// What an operator wants to know of a step before it runs.
fn rules(preview: &Preview, step: &PreviewStep) -> String {
    let mut rules: Vec<String> = step.fate().into_iter().collect();
    if !step.action.runs() {
        return rules.concat();
    }
    let info = &step.info;
    if preview.plan.parallel && !info.needs.is_empty() {
        rules.push(format!("needs {}", needs(preview, step)));
    }
    rules.extend(step.within().map(|nested| format!("runs {}: {}", one_line(&nested.plan.workflow), extent(&nested))));
    let retry = info.retry.filter(|retry| retry.attempts > 1);
    rules.extend(retry.map(|retry| attempts(&retry)));
    if let Some(timeout) = info.timeout {
        let each = if retry.is_some() { " an attempt" } else { "" };
        rules.push(format!("at most {}{each}", span(timeout)));
    }
    rules.extend(info.deadline.map(|deadline| format!("at most {} in all", span(deadline))));
    rules.extend((!info.critical).then(|| "a failure is a warning".to_owned()));
    rules.extend(info.undo.then(|| "can be undone".to_owned()));
    rules.join("; ")
}

fn needs(preview: &Preview, step: &PreviewStep) -> String {
    let name = |need: &String| match preview.plan.position(need) {
        Some(index) => preview.steps[index].title(),
        None => one_line(need),
    };
    step.info.needs.iter().map(name).collect::<Vec<_>>().join(", ")
}

pub(super) fn attempts(retry: &Retry) -> String {
    let attempts = format!("up to {} attempts", retry.attempts);
    let last = retry.attempts - 1;
    let wait = |failed| retry.backoff(failed).map(span).unwrap_or_default();
    let mut waits: Vec<String> = (1..=last.min(WAITS_TOLD)).map(wait).collect();
    waits.dedup();
    let bound = if retry.jitter { "at most " } else { "" };
    if retry.delay.is_zero() {
        return format!("{attempts} without waits");
    }
    // The last wait tells where it ends, unless the waits have stopped growing before.
    let end = Some(wait(last)).filter(|end| last > WAITS_TOLD && waits.last() != Some(end));
    let end = end.map(|end| format!(" .. {end}")).unwrap_or_default();
    format!("{attempts} with waits of {bound}{}{end}", waits.join(", "))
}

/// A time span with its units, to the millisecond where it is not shorter.
fn span(span: Duration) -> String {
    let millis = Duration::new(span.as_secs(), span.subsec_millis() * 1_000_000);
    humantime::format_duration(if millis.is_zero() { span } else { millis }).to_string()
}

fn undone(preview: &Preview, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let names: Vec<_> = preview.to_undo().into_iter().map(|index| preview.steps[index].title()).collect();
    let names = names.join(", ");
    let head = match preview.on_failure() {
        OnFailure::Rollback if names.is_empty() => "If it fails, there is nothing to undo.",
        OnFailure::Rollback => "If it fails, these would be undone, in this order: ",
        OnFailure::Stop if names.is_empty() => return Ok(()),
        OnFailure::Stop => "If it is rolled back after a failure, these are undone, in this order: ",
    };
    writeln!(f, "\n{}", wrap(head.to_owned(), 2, &names))
}

/// The words of `text` behind `line`, in further lines from the column `indent` on where they do not fit.
fn wrap(mut line: String, indent: usize, text: &str) -> String {
    let mut column = line.chars().count();
    for (index, word) in text.split_whitespace().enumerate() {
        let (gap, width) = (usize::from(index > 0), word.chars().count());
        if column + gap + width > COLUMNS && column > indent {
            line.truncate(line.trim_end().len());
            let _ = write!(line, "\n{:indent$}", "");
            column = indent;
        } else if gap > 0 {
            line.push(' ');
            column += gap;
        }
        line.push_str(word);
        column += width;
    }
    line.truncate(line.trim_end().len());
    line
}
