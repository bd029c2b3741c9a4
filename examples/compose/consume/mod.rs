//! Those who are told how far a deployment is: as many at once as somebody asks for, and none where nobody does.
//!
//! All of them only look. Who wants to end a deployment presses Ctrl-C.

mod audit;
mod reader;
mod status;
mod update;
mod updates;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use step_machine::event::Level;
use step_machine::runner::{HandlerFor, Runner};
use step_machine::{RunState, observe};
use step_machine_examples::steps::ComposeStep;

use audit::Audit;
use reader::Reader;
use status::status;
use update::Teller;
use updates::Updates;

/// Who is told, beside the screen or the events on standard output.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Who is told")]
pub(crate) struct ConsumerArgs {
    /// Tell each change in a line on standard error
    #[arg(long)]
    on_status: bool,
    /// What --on-status tells at least
    #[arg(long, value_enum, default_value_t, requires = "on_status")]
    level: Least,
    /// Append each update to this file, as a line of JSON: `project`, `deployment_id`, `phase`, `phase_progress`,
    /// `total_progress` (both 0 to 1), `level`, `message`, `timestamp`, `elapsed` (seconds) and `metadata`
    #[arg(long, value_name = "FILE")]
    updates: Option<PathBuf>,
    /// Hand the events to a reader on a thread of its own, which says at the end what came
    #[arg(long)]
    channel: bool,
    /// Append to this file who changed what to which status, as lines of JSON
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// Label the run, as in `team=payments`; the audit has the labels
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Least {
    /// Everything, each bit of progress too
    Debug,
    /// What a person wants to know
    #[default]
    Info,
    /// What is not as it should be
    Warning,
    /// What stops the run
    Error,
}

impl Least {
    fn lets_through(self, level: Level) -> bool {
        let rank = |level| match level {
            Level::Debug => 0,
            Level::Warning => 2,
            Level::Error => 3,
            // Success is good news, and no more urgent than any other.
            _ => 1,
        };
        rank(level) >= self as u8
    }
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is KEY=VALUE"),
    }
}

/// What all consumers know of the deployment from the beginning.
#[derive(Clone)]
pub(crate) struct Facts {
    pub(crate) project: String,
    pub(crate) deployment: String,
    /// The run that goes on, as its journal had it.
    pub(crate) earlier: Option<RunState>,
}

/// Those that have something to say at the end.
pub(crate) struct Consumers {
    reader: Option<Reader>,
}

impl ConsumerArgs {
    /// Has a run tell those who asked.
    pub(crate) fn attach<'h, P: HandlerFor<ComposeStep>>(
        &self,
        run: Runner<'h, ComposeStep, P>,
        facts: &Facts,
    ) -> io::Result<(Runner<'h, ComposeStep, P>, Consumers)> {
        let labels = [("project", &facts.project), ("deployment", &facts.deployment)];
        let run = labels.into_iter().fold(run, |run, (key, value)| run.label(key, &**value));
        let mut run = self.labels.iter().fold(run, |run, (key, value)| run.label(&**key, &**value));
        if self.on_status {
            run = run.observe(status(Teller::new(facts), self.level));
        }
        if let Some(path) = &self.updates {
            run = run.observe(Updates::new(append_to(path)?, Teller::new(facts)));
        }
        if let Some(path) = &self.audit {
            run = run.observe(Audit::new(append_to(path)?, facts));
        }
        if !self.channel {
            return Ok((run, Consumers { reader: None }));
        }
        let (observer, events) = observe::channel();
        Ok((run.observe(observer), Consumers { reader: Some(Reader::of(events)) }))
    }
}

impl Consumers {
    /// Lets them say what they have to, when the run is over.
    pub(crate) fn finish(self) {
        if let Some(reader) = self.reader {
            reader.finish();
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let file = File::options().append(true).create(true).open(path);
    file.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
