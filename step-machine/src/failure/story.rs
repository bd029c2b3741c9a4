//! A failure as text: one line, the whole story, and the trace file.

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::event::{Effect, FailureRecord, RollbackRecord, StepRecord, StepStatus};

/// The text form of a failure.
pub(crate) struct Story<'a>(pub(crate) &'a FailureRecord);

impl Story<'_> {
    /// What failed, on one line, without the error's own text: that is the source.
    pub(crate) fn headline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = self.0;
        let ended = match &*failure.error.kind {
            "cancelled" => "was cancelled".to_owned(),
            kind => format!("failed ({kind})"),
        };
        let workflow = &failure.workflow;
        match &failure.step {
            Some(step) => {
                let (number, total) = (failure.step_number, failure.total_steps);
                write!(f, "step {number}/{total} `{step}` of `{workflow}` {ended}")?;
                // Of a step whose end is not on record nobody knows how long it ran.
                let is_open = |row: &StepRecord| row.id == *step && row.status == StepStatus::Running;
                if failure.steps.iter().any(is_open) {
                    Ok(())
                } else {
                    write!(f, " after {}", short(failure.step_duration))
                }
            }
            None => write!(f, "`{workflow}` {ended} outside of its steps"),
        }
    }

    /// Everything a person wants to know, with nothing left to look up; without a newline at its end.
    pub(crate) fn tell(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Whole(self).to_string().trim_end_matches('\n'))
    }

    fn whole(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headline(f)?;
        writeln!(f)?;
        if !self.was_refused() {
            self.summary(f)?;
        }
        self.error(f)?;
        self.course(f)?;
        if let Some(error) = &self.0.journal {
            writeln!(f, "\njournal   {error}")?;
        }
        match &self.0.trace_file {
            Some(path) => write!(f, "\ntrace     {}", path.display()),
            None => Ok(()),
        }
    }

    /// Whether the run was not even opened: then nothing was done, and nothing is known of what others did in it.
    fn was_refused(&self) -> bool {
        self.0.step.is_none() && self.0.steps.is_empty()
    }

    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = self.0;
        writeln!(f, "\nrun       {}", failure.run)?;
        writeln!(f, "workflow  {}", failure.workflow)?;
        writeln!(f, "started   {}", humantime::format_rfc3339_millis(failure.started_at))?;
        let ended = if failure.error.kind == "cancelled" { "cancelled" } else { "failed" };
        writeln!(f, "{ended:<9} {}", humantime::format_rfc3339_millis(failure.failed_at))?;
        writeln!(f, "took      {}", short(failure.run_duration))?;
        if failure.attempt > 1 {
            writeln!(f, "attempt   {}", failure.attempt)?;
        }
        let is_under_way = || failure.steps.iter().any(|row| row.status == StepStatus::Running);
        let effect = match failure.error.effect {
            Effect::Known if failure.step.is_none() => "known: no step was under way",
            Effect::Known => "known: the step reported its failure itself",
            // Of which step nothing would be known?
            Effect::Unknown if failure.step.is_none() && !is_under_way() => return Ok(()),
            Effect::Unknown => "unknown: the step may or may not have done what it is for",
        };
        writeln!(f, "effect    {effect}")
    }

    fn error(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = &self.0.error;
        writeln!(f, "\nerror ({})", error.kind)?;
        for (level, text) in std::iter::once(&error.message).chain(&error.chain).enumerate() {
            // A text of several lines stays one level.
            writeln!(f, "  {level}: {}", text.replace('\n', "\n     "))?;
        }
        Ok(())
    }

    /// How the run went, and the one inside of the step where that is what failed.
    fn course(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.was_refused() {
            self.steps(f)?;
        }
        self.metadata(f)?;
        if let Some(rollback) = &self.0.rollback {
            undone(f, rollback)?;
        }
        let Some(inner) = &self.0.error.nested else { return Ok(()) };
        writeln!(f, "\ninside of the step: run {}", inner.run)?;
        for line in Inside(inner).to_string().lines() {
            writeln!(f, "{}", format!("  {line}").trim_end())?;
        }
        Ok(())
    }

    fn steps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nsteps")?;
        let total = self.0.total_steps.to_string();
        let (digits, width) =
            (total.len(), self.0.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0));
        for (number, step) in (1..).zip(&self.0.steps) {
            writeln!(f, "  {} {number:>digits$}/{total}  {:<width$}  {}", mark(step.status), step.name, told(step))?;
        }
        Ok(())
    }

    fn metadata(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What the run inside of the step has told is told with that one.
        let inside = self.0.error.nested.as_ref().map(|inner| &inner.metadata);
        let is_inside = |key: &str, value| inside.is_some_and(|inside| inside.get(key) == Some(value));
        let mut own = self.0.metadata.iter().filter(|(key, value)| !is_inside(key, value)).peekable();
        if own.peek().is_some() {
            writeln!(f, "\nmetadata of the step")?;
        }
        own.try_for_each(|(key, value)| writeln!(f, "  {key}: {value}"))
    }
}

fn undone(f: &mut fmt::Formatter<'_>, rollback: &RollbackRecord) -> fmt::Result {
    writeln!(f, "\nrollback ({})", rollback.status)?;
    for undo in &rollback.undos {
        write!(f, "  {}: {}", undo.step, undo.status)?;
        if let Some(message) = &undo.message {
            write!(f, ": {message}")?;
        }
        if let Some(error) = &undo.error {
            write!(f, " ({}): {}", error.kind, error.message)?;
            for text in &error.chain {
                write!(f, ": {text}")?;
            }
        }
        writeln!(f)?;
    }
    Ok(())
}

/// The sign that stands before a step's line.
fn mark(status: StepStatus) -> char {
    match status {
        StepStatus::Completed => '✓',
        StepStatus::Failed | StepStatus::UndoFailed => '✗',
        StepStatus::Skipped => '-',
        StepStatus::Cancelled => '!',
        StepStatus::Undone => '↶',
        StepStatus::Running => '>',
        StepStatus::Pending => ' ',
    }
}

fn told(step: &StepRecord) -> String {
    let ended = step.before_undo.unwrap_or(step.status);
    let mut text = match (ended, step.attempts) {
        (StepStatus::Pending, 0) => "never ran".to_owned(),
        (status, 0) => status.to_string(),
        (StepStatus::Running, _) => format!("running, begun at {}", short(step.started)),
        (status, _) => format!("{status} in {}, begun at {}", short(step.duration), short(step.started)),
    };
    if step.attempts > 1 {
        let _ = write!(text, ", {} attempts", step.attempts);
    }
    match step.status {
        StepStatus::Undone => text.push_str(", then undone"),
        StepStatus::UndoFailed => text.push_str(", not undone"),
        _ => {}
    }
    if let (StepStatus::Skipped, Some(message)) = (ended, &step.message) {
        let _ = write!(text, ": {}", message.lines().next().unwrap_or_default());
    }
    text
}

/// A time span to the millisecond: `0.012 s`, `1.250 s`, `2m 3s`.
pub(crate) fn short(span: Duration) -> String {
    if span < Duration::from_secs(60) {
        format!("{:.3} s", span.as_secs_f64())
    } else {
        humantime::format_duration(Duration::from_secs(span.as_secs())).to_string()
    }
}

/// Writes the trace of a failure to a new file in `dir`.
pub(crate) fn write(failure: &FailureRecord, dir: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(dir)?;
    let (mut file, path) = create(dir, &stem(failure))?;
    writeln!(file, "{}", Told(failure))?;
    file.sync_all()?;
    Ok(path)
}

/// A file that did not exist before: a trace never replaces another one.
fn create(dir: &Path, stem: &str) -> io::Result<(fs::File, PathBuf)> {
    for number in 1.. {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let path = dir.join(format!("{stem}{suffix}.trace.txt"));
        match fs::File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => return Ok((file, path)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn stem(failure: &FailureRecord) -> String {
    let time = humantime::format_rfc3339_seconds(failure.failed_at).to_string().replace([':', '-'], "");
    // A run's id is the user's text; only what every file system takes may stand in a name.
    let run: String = failure
        .run
        .to_string()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' })
        .take(80)
        .collect();
    format!("{time}-{}-{run}", failure.workflow)
}

/// A nested failure. Its error is not told again: it is in that of the step that it happened in.
struct Inside<'a>(&'a FailureRecord);

impl fmt::Display for Inside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let story = Story(self.0);
        story.headline(f)?;
        writeln!(f)?;
        story.course(f)
    }
}

/// The text with a newline at its end, where the last part of it has one.
struct Whole<'a>(&'a Story<'a>);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.whole(f)
    }
}

struct Told<'a>(&'a FailureRecord);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Story(self.0).tell(f)
    }
}
