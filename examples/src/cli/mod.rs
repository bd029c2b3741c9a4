//! The command line that the flows share, and how they end.

mod crash;
mod driven;
mod keep;
mod keep_error;
mod metrics;
mod noting;
mod place;
mod refused;
mod stalled;

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
pub use crash::{CrashPoint, crash_point, step_path, step_paths};
pub use driven::{DrivenArgs, PlanForm, with_word_of_ctrl_c};
pub use keep::{History, KeepArgs, Kept, Work, is_journal, remove_journal};
pub use keep_error::KeepError;
pub use metrics::{MetricsArgs, MetricsError};
pub use noting::Fault;
pub use refused::is_refused;
pub use stalled::StallArgs;
use step_machine::event::RunStatus;
use step_machine::observe::{JsonLines, PlainLog, ProgressBar};
use step_machine::runner::{HandlerFor, Runner};
use step_machine::{FailureContext, MachineBuilder, Observer, Report, StepInfo, Workflow};

use self::crash::Crash;
use crate::site::Site;

/// It went wrong.
pub const FAILED: u8 = 1;
/// It was not asked for in a way that makes sense.
pub const USAGE: u8 = 2;
/// It completed, but not without warnings, and `--strict` was given.
pub const WARNINGS: u8 = 3;
/// Ctrl-C.
pub const CANCELLED: u8 = 130;

/// How a run is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One line for each step on standard output
    Text,
    /// The same, and on a terminal below them what is going on
    #[default]
    Bar,
    /// One event a line as JSON on standard output; everything for people goes to standard error
    Json,
}

impl Format {
    /// Tells a run, and where it goes on what was done before; `verbose` also tells every line that a command writes.
    pub fn observer(self, verbose: bool, kept: &Kept) -> Box<dyn Observer> {
        let before = kept.history().into_values();
        match self {
            Self::Text if verbose => Box::new(PlainLog::stdout().after(before).output()),
            Self::Text => Box::new(PlainLog::stdout().after(before)),
            Self::Bar => Box::new(ProgressBar::stdout().after(before).output(verbose)),
            Self::Json => Box::new(JsonLines::new(io::stdout())),
        }
    }

    /// Says something for people.
    pub fn say(self, line: &str) {
        match self {
            Self::Text | Self::Bar => tell(line),
            Self::Json => complain(line),
        }
    }

    /// Says how a run ended that did not fail, where nothing else does.
    pub fn say_completed<W: Workflow>(self, report: &Report<W>) {
        let (took, warnings) = (report.duration().as_secs_f64(), report.warnings().count());
        match (self, warnings) {
            (Self::Text | Self::Bar, _) => {}
            _ if report.state().status() != RunStatus::Completed => {
                self.say(&format!("ended after {took:.3} s: it was to go no further"));
            }
            (Self::Json, 0) => self.say(&format!("completed in {took:.3} s")),
            (Self::Json, 1) => self.say(&format!("completed with 1 warning in {took:.3} s")),
            (Self::Json, _) => self.say(&format!("completed with {warnings} warnings in {took:.3} s")),
        }
    }
}

// Below `target`, so that a clean clone stays clean and `cargo clean` takes the instance with it.
const DEFAULT_DIR: &str = "target/step-machine-demo";

/// Where the environment is.
#[derive(Debug, Clone, Args)]
pub struct SiteArgs {
    /// The folder of the environment; it is made where it does not exist
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    pub dir: PathBuf,
}

impl SiteArgs {
    /// The folder of the environment.
    pub fn site(&self) -> io::Result<Site> {
        Site::at(&self.dir)
    }

    /// What a person types to run an example on the same environment.
    pub fn command_line(&self, example: &str, arguments: &str) -> String {
        let is_default = self.dir == Path::new(DEFAULT_DIR);
        command_line(example, arguments, (!is_default).then_some(("--dir", &*self.dir)))
    }
}

/// What a person types to run an example, with an option that names a folder where that is not the usual one.
pub fn command_line(example: &str, arguments: &str, folder: Option<(&str, &Path)>) -> String {
    let mut line = format!("cargo run --example {example}");
    let folder = folder.map(|(option, folder)| format!(" {option} {}", quoted(&folder.display().to_string())));
    let folder = folder.unwrap_or_default();
    if !(arguments.is_empty() && folder.is_empty()) {
        line.push_str(" --");
    }
    let space = if arguments.is_empty() { "" } else { " " };
    format!("{line}{space}{arguments}{folder}")
}

/// A text as a shell takes it for one word.
fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "/:@._-,+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

/// The options of a flow, whoever drives it.
#[derive(Debug, Clone, Args)]
pub struct FlowArgs<W: Workflow + Clone> {
    /// How the run is told
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Show every line that a command writes, and not only the last one while it runs
    #[arg(long, short)]
    pub verbose: bool,
    /// Break what this step works with, to see it fail
    #[arg(long, value_name = "STEP-ID", value_parser = step_id::<W>(), env = fail_at_variable::<W>())]
    pub fail_at: Option<W>,
    #[command(flatten)]
    keep: KeepArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    /// Run this step again, and all that comes after it or needs it
    #[arg(long, value_name = "STEP-ID", requires = "resume", value_parser = step_id::<W>())]
    retry_from: Option<W>,
    /// Die at this step as by `kill -9`, to see the run go on with --resume. `before` its body does anything, `during` it,
    /// `after` it but before that is known, which is the default, or as late in its `undo`
    #[arg(long, value_name = "STEP-ID[:WHEN]", value_parser = crash_point(step_paths(W::plan())))]
    crash_at: Option<CrashPoint>,
    /// Where the traces of failures go [default: `traces` in the folder that the flow works in]
    #[arg(long, value_name = "DIR")]
    pub trace_dir: Option<PathBuf>,
    /// End with exit code 3 where the run completed with warnings
    #[arg(long)]
    pub strict: bool,
}

/// Takes the ids of the steps of `W`, and lists them where it is given another one.
fn step_id<W: Workflow + Clone>() -> impl TypedValueParser<Value = W> {
    step_id_where::<W>(|_| true)
}

/// Takes the ids of some of the steps of `W`, and lists them where it is given another one.
fn step_id_where<W: Workflow + Clone>(may: fn(&StepInfo) -> bool) -> impl TypedValueParser<Value = W> {
    let steps = W::plan().steps.iter().filter(|step| may(step));
    // What more there is to say of a step has no room here.
    let ids = steps.map(|step| PossibleValue::new(step.id.as_str()).help(step.description.lines().next()));
    PossibleValuesParser::new(ids.collect::<Vec<_>>())
        .try_map(|id| W::from_id(&id).ok_or_else(|| format!("`{}` has no step `{id}`", W::NAME)))
}

/// The environment variable that stands for `--fail-at`: `PROVISION_FAIL_AT`.
fn fail_at_variable<W: Workflow>() -> String {
    format!("{}_FAIL_AT", W::NAME.replace('-', "_").to_uppercase())
}

impl KeepArgs {
    /// Opens the journal, finds the run that is to go on, and dies on its way where `crash_at` says so.
    pub fn keep(&self, work: &Work<'_>, crash_at: Option<&CrashPoint>) -> Result<Kept, KeepError> {
        let kept = self.open(work, Crash::of(crash_at))?;
        kept.tell_what_is_over();
        Ok(kept)
    }
}

impl<W: Workflow + Clone> FlowArgs<W> {
    /// Where the runs of this flow are kept, and which one goes on; from here on its metrics are shown. `again` is what a person types to run the same with
    /// other arguments.
    pub fn keep(&self, folder: &Path, again: &dyn Fn(&str) -> String) -> Result<Kept, KeepError> {
        let kept = self.keep.open(&Work { workflow: W::NAME, folder, again }, Crash::of(self.crash_at.as_ref()))?;
        if self.retry_from.is_none() {
            kept.tell_what_is_over();
        }
        self.metrics.expose()?;
        Ok(kept)
    }

    /// A machine that keeps and tells its run as the options say.
    pub fn machine(&self, kept: &Kept, machine: MachineBuilder<W>) -> MachineBuilder<W> {
        let machine = kept.machine(machine).observe(self.observer(kept));
        let machine = self.metrics.observers().into_iter().fold(machine, MachineBuilder::observe);
        self.retry_from.clone().into_iter().fold(machine, MachineBuilder::retry_from)
    }

    /// A runner that keeps and tells its run as the options say.
    pub fn runner<'h, P: HandlerFor<W>>(&self, kept: &Kept, runner: Runner<'h, W, P>) -> Runner<'h, W, P> {
        let runner = kept.runner(runner).observe(self.observer(kept));
        let runner = self.metrics.observers().into_iter().fold(runner, Runner::observe);
        self.retry_from.clone().into_iter().fold(runner, Runner::retry_from)
    }

    /// Whether nothing is there of the run that is to go on, and nothing is to be done of it: it has come to its end, and
    /// another one came after it.
    pub fn is_past(&self, kept: &Kept) -> bool {
        kept.is_past() && self.retry_from.is_none()
    }

    fn observer(&self, kept: &Kept) -> Box<dyn Observer> {
        self.format.observer(self.verbose, kept)
    }

    /// Says something for people.
    pub fn say(&self, line: &str) {
        self.format.say(line);
    }

    /// Says how a completed run went, and gives the exit code for it.
    pub fn completed(&self, report: &Report<W>) -> ExitCode {
        for fault in report.observer_faults() {
            complain(&format!("{} panicked {} times: what it showed may be wrong", fault.observer, fault.panics));
        }
        self.format.say_completed(report);
        let warnings = report.warnings().count();
        ExitCode::from(if self.strict && warnings > 0 { WARNINGS } else { 0 })
    }

    /// Writes the trace of a failure, to the folder `traces` where the options name no other one, and tells the whole
    /// story, and how the run goes on where it can.
    pub fn failed(&self, failure: &mut FailureContext<W>, traces: &Path, kept: &Kept) {
        self.refused(failure, traces);
        kept.tell_how_to_go_on(&failure.record().run);
    }

    /// The same of a run that is no business of this process, so that nothing is said of how it goes on.
    pub fn refused(&self, failure: &mut FailureContext<W>, traces: &Path) {
        let traces = self.trace_dir.as_deref().unwrap_or(traces);
        if let Err(error) = failure.write_trace(traces) {
            complain(&format!("cannot write a trace to {}: {error}", traces.display()));
        }
        tell_failure(self.format, failure);
    }
}

/// Tells the whole story of a failure on standard error.
pub fn tell_failure(format: Format, failure: &dyn Display) {
    let gap = match format {
        // The lines of the steps stand before it.
        Format::Text | Format::Bar => "\n",
        Format::Json => "",
    };
    complain(&format!("{gap}{failure:#}"));
}

/// Says something on standard output.
pub fn tell(line: &str) {
    // A reader that went away is no reason to fail.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Says on standard error what is wrong.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// What goes before a text on standard error that comes while the screen has live lines: they begin where the cursor is.
pub fn over_live_lines() -> &'static str {
    if io::stderr().is_terminal() { "\r\x1b[J" } else { "" }
}

/// Says on standard error why there was no run, and gives the exit code for it.
pub fn no_run(error: &(dyn Error + 'static)) -> ExitCode {
    let is_usage = error.downcast_ref::<KeepError>().is_some_and(KeepError::is_usage);
    give_up(error, if is_usage { USAGE } else { FAILED })
}

/// Says on standard error what is wrong, with everything behind it, and gives the exit code `code`.
pub fn give_up(error: &dyn Error, code: u8) -> ExitCode {
    complain(&format!("error: {}", chain(error)));
    ExitCode::from(code)
}

/// An error with everything behind it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()) {
        let cause = cause.to_string();
        // Some end with the advice that was given before.
        let known = cause.match_indices("; ").find(|(at, sign)| text.ends_with(&cause[at + sign.len()..]));
        let new = known.map_or(&*cause, |(at, _)| &cause[..at]).to_owned();
        text = format!("{text}: {new}");
    }
    text
}

/// A path as a person would type it.
pub fn shown(path: &Path) -> std::path::Display<'_> {
    let here = std::env::current_dir();
    here.ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).display()
}
