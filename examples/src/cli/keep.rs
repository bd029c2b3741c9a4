//! Where runs are kept, and which one goes on.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::de::DeserializeOwned;
use step_machine::event::RunStatus;
use step_machine::journal::{RunQuery, RunSummary};
use step_machine::runner::{HandlerFor, Runner};
use step_machine::{FailureContext, Journal, JournalError, MachineBuilder, MemoryJournal, RunId, RunState, Workflow};

use super::crash::{Crash, Doomed};
use super::metrics::MetricsError;
use super::noting::Noting;
use super::place::{Place, VARIABLE};
use super::{complain, quoted};

/// The journal, in the folder that a flow works in.
const FILE: &str = "runs.db";

/// The label by which the runs of a folder are found in a journal that has others too.
const FOLDER: &str = "folder";

/// Where runs are kept, and which one goes on.
#[derive(Debug, Clone, Args)]
pub struct KeepArgs {
    /// What runs are kept in, so that they can go on after a crash: a file, or a database as in
    /// `postgres://user@host/database` (feature `postgres`); `none` keeps nothing, and does not keep another run away
    /// either [default: `runs.db` in the folder that the flow works in]
    #[arg(long, value_name = "FILE|URL", env = VARIABLE, hide_env_values = true)]
    journal: Option<Place>,
    /// The id of a new run; without one, a new id is made
    #[arg(long, value_name = "RUN", value_parser = NonEmptyStringValueParser::new())]
    id: Option<String>,
    /// Go on with a run that crashed, failed or was cancelled; without its id, with the only one there is
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "", conflicts_with = "id")]
    resume: Option<String>,
    /// With `--resume`: take the run from the process that drives it, which hangs
    #[arg(long, requires = "resume")]
    take_over: bool,
    /// Go on also where the write-ahead log of the journal is damaged, without the commits behind the damage, of all runs
    /// in the file; copy the file and its `-wal` away before
    #[arg(long)]
    accept_damaged_log: bool,
}

/// What is run, and where.
pub struct Work<'a> {
    /// The workflow.
    pub workflow: &'static str,
    /// The folder that the flow works in.
    pub folder: &'a Path,
    /// What a person types to run the same again with other arguments.
    pub again: &'a dyn Fn(&str) -> String,
}

/// What the runs of a folder are kept in, and the one that goes on.
pub struct Kept {
    journal: Option<Arc<dyn Journal>>,
    /// The id that was given to a new run.
    id: Option<String>,
    earlier: Option<RunId>,
    /// What is known of the run that goes on, and of those that are nested in it.
    history: History,
    take_over: bool,
    workflow: &'static str,
    folder: String,
    /// What a person types to go on with the run `{run}`.
    again: String,
    /// Why the journal did not take what a run came to that a machine drives.
    fault: Arc<Mutex<Option<String>>>,
}

/// Runs as their journal had them.
pub type History = HashMap<RunId, RunState>;

/// Why no run can begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The journal says no.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The folder of the journal cannot be made.
    #[error("{}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The metrics of the run cannot be shown.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A server has no log of ours.
    #[error("--accept-damaged-log is for a file; a server sees to its log itself")]
    NoLog,
    /// The build knows files only.
    #[cfg(not(feature = "postgres"))]
    #[error("this build keeps runs in files only; for a journal in PostgreSQL, `cargo run --features postgres`")]
    NoServer,
    /// A URL that names no database which is known.
    #[error("a journal is a file, `none`, or a database as in `postgres://user@host/database`")]
    NoPlace,
    /// There is no journal to look into.
    #[error("--resume needs the journal that the run was kept in, and --journal none says that there is none")]
    NoJournal,
    /// No run can go on.
    #[error("no run of `{workflow}` in {folder} can go on{}", listed(.runs))]
    Nothing {
        /// The workflow.
        workflow: &'static str,
        /// Where it works.
        folder: String,
        /// The runs that there are.
        runs: Vec<String>,
    },
    /// More than one can.
    #[error("several runs of `{workflow}` in {folder} can go on; name one with --resume RUN{}", listed(.runs))]
    Several {
        /// The workflow.
        workflow: &'static str,
        /// Where it works.
        folder: String,
        /// These.
        runs: Vec<String>,
    },
    /// The run that is named is one of another workflow.
    #[error("run {run} is one of `{found}`, not of `{workflow}`; go on with it by the program that began it")]
    OtherWorkflow {
        /// The run.
        run: RunId,
        /// Its workflow.
        found: String,
        /// The workflow that was to go on.
        workflow: &'static str,
    },
    /// The run that is named works elsewhere.
    #[error("run {run} works in {found}, not in {folder}; name that folder to go on with it")]
    OtherFolder {
        /// The run.
        run: RunId,
        /// Where it works.
        found: String,
        /// Where it was to go on.
        folder: String,
    },
    /// What the run that goes on works on cannot be read.
    #[error("run {run} does not say what it works on")]
    Input {
        /// The run.
        run: RunId,
        /// Why not.
        source: serde_json::Error,
    },
}

impl KeepError {
    /// Whether something was asked for that makes no sense here.
    pub fn is_usage(&self) -> bool {
        #[cfg(not(feature = "postgres"))]
        if matches!(self, Self::NoServer) {
            return true;
        }
        let is_place = matches!(self, Self::NoPlace | Self::NoJournal | Self::NoLog);
        let is_other = matches!(self, Self::OtherWorkflow { .. } | Self::OtherFolder { .. });
        is_place || is_other || matches!(self, Self::Nothing { .. } | Self::Several { .. })
    }
}

fn listed(runs: &[String]) -> String {
    if runs.is_empty() { String::new() } else { format!("\n  {}", runs.join("\n  ")) }
}

impl KeepArgs {
    /// Opens the journal and finds the run that is to go on. `crash` makes the process die on its way.
    pub(super) fn open(&self, work: &Work<'_>, crash: Option<Crash>) -> Result<Kept, KeepError> {
        let place = self.place().cloned().unwrap_or_else(|| Place::File(work.folder.join(FILE)));
        let mut kept = Kept {
            id: self.id.clone(),
            earlier: None,
            history: History::new(),
            take_over: self.take_over,
            workflow: work.workflow,
            folder: place.name_of(work.folder),
            again: self.again(work),
            fault: Arc::default(),
            journal: self.journal(&place, work.folder)?,
        };
        if let Some(journal) = kept.journal.clone() {
            kept.earlier = self.resume.as_deref().map(|run| kept.find(&*journal, run)).transpose()?;
            kept.history = kept.earlier.as_ref().map_or(Ok(History::new()), |run| history(&*journal, run))?;
            kept.check_new(&*journal)?;
        }
        if let Some(crash) = crash {
            let journal = kept.journal.take().unwrap_or_else(|| Arc::new(MemoryJournal::new()));
            kept.journal = Some(Arc::new(Doomed::new(journal, crash, kept.again.clone())));
        }
        Ok(kept)
    }

    /// What is named; a variable that is empty names nothing.
    fn place(&self) -> Option<&Place> {
        self.journal.as_ref().filter(|place| **place != Place::File(PathBuf::new()))
    }

    fn journal(&self, place: &Place, folder: &Path) -> Result<Option<Arc<dyn Journal>>, KeepError> {
        if *place == Place::Nothing && self.resume.is_some() {
            return Err(KeepError::NoJournal);
        }
        if self.resume.is_none() && self.place().is_none() {
            let failed = |source| KeepError::Folder { folder: folder.to_owned(), source };
            fs::create_dir_all(folder).map_err(failed)?;
        }
        place.open(self.accept_damaged_log)
    }

    fn again(&self, work: &Work<'_>) -> String {
        let Some(place) = self.place() else { return (work.again)("--resume {run}") };
        place.built((work.again)(&format!("--resume {{run}}{}", place.option())))
    }
}

impl Kept {
    /// Nothing is kept: for what only shows what would be done.
    pub fn nothing() -> Self {
        let (id, earlier, history, folder, again) = (None, None, History::new(), String::new(), String::new());
        let fault = Arc::default();
        Self { journal: None, id, earlier, history, take_over: false, workflow: "", folder, again, fault }
    }

    /// The run that is asked for, or the one that there is to go on with.
    fn find(&self, journal: &dyn Journal, run: &str) -> Result<RunId, KeepError> {
        if !run.is_empty() {
            return self.named(journal, run.into());
        }
        let runs = journal.list(&self.here()).wait()?;
        let open: Vec<&RunSummary> = runs.iter().filter(|run| run.status.can_resume()).collect();
        match (&open[..], runs.first()) {
            ([run], _) => Ok(run.run.clone()),
            // Its process may have died before it could say so.
            ([], Some(last)) if matches!(last.status, RunStatus::Completed | RunStatus::RolledBack) => {
                complain(&format!("nothing is left to do: {}", told(last)));
                Ok(last.run.clone())
            }
            ([], _) => {
                let runs = runs.iter().take(5).map(told).collect();
                Err(KeepError::Nothing { workflow: self.workflow, folder: self.folder.clone(), runs })
            }
            (several, _) => {
                let runs = several.iter().map(|run| told(run)).collect();
                Err(KeepError::Several { workflow: self.workflow, folder: self.folder.clone(), runs })
            }
        }
    }

    /// The run of this id, unless it is a run of something else: what it did would be looked for in the wrong place.
    fn named(&self, journal: &dyn Journal, run: RunId) -> Result<RunId, KeepError> {
        let Some(found) = journal.list(&RunQuery::of(&run)).wait()?.pop() else { return Ok(run) };
        if found.workflow != self.workflow {
            return Err(KeepError::OtherWorkflow { run, found: found.workflow, workflow: self.workflow });
        }
        match found.labels.get(FOLDER).filter(|folder| **folder != self.folder) {
            Some(found) => Err(KeepError::OtherFolder { run, found: found.clone(), folder: self.folder.clone() }),
            None => Ok(run),
        }
    }

    /// The runs of the workflow in the folder.
    fn here(&self) -> RunQuery {
        RunQuery::all().workflow(self.workflow).label(FOLDER, &*self.folder)
    }

    /// Before anything is done: an id that is taken, and a run to go on with that there is not.
    fn check_new(&self, journal: &dyn Journal) -> Result<(), KeepError> {
        if let Some(run) = self.earlier.as_ref().filter(|run| !self.history.contains_key(*run)) {
            return Err(JournalError::NotFound { run: run.clone() }.into());
        }
        let Some(id) = &self.id else { return Ok(()) };
        let is_taken = !journal.list(&RunQuery::of(id.as_str())).wait()?.is_empty();
        if is_taken { Err(JournalError::Exists { run: id.as_str().into() }.into()) } else { Ok(()) }
    }

    /// The run that goes on, as its journal had it.
    pub fn earlier(&self) -> Option<&RunState> {
        self.history.get(self.earlier.as_ref()?)
    }

    /// What the run that goes on works on, as its first process wrote it down.
    pub fn input<T: DeserializeOwned>(&self) -> Result<Option<T>, KeepError> {
        let Some(state) = self.earlier() else { return Ok(None) };
        let input = T::deserialize(state.input().unwrap_or(&serde_json::Value::Null));
        input.map(Some).map_err(|source| KeepError::Input { run: state.run().clone(), source })
    }

    /// Whether the run goes on backwards.
    pub fn goes_back(&self) -> bool {
        self.earlier().is_some_and(|state| matches!(state.status(), RunStatus::RollingBack | RunStatus::Stuck))
    }

    /// The failure of a run that was taken back: it cannot go on any more, only be told of once more.
    pub fn was_taken_back<W: Workflow>(&self) -> Option<FailureContext<W>> {
        let state = self.earlier().filter(|state| state.status() == RunStatus::RolledBack)?;
        FailureContext::from_record(state.failure()?.clone()).ok()
    }

    /// What is known of the run that goes on, and of those that are nested in it.
    pub fn history(&self) -> History {
        self.history.clone()
    }

    /// Gives up the runs that did not come to their end in this folder, for a new one that takes their place. Fails where
    /// a process still drives one.
    pub fn supersede(&self) -> Result<(), KeepError> {
        let Some(journal) = self.journal.as_ref().filter(|_| self.earlier.is_none()) else { return Ok(()) };
        for run in journal.list(&self.here()).wait()?.iter().filter(|run| run.status.can_resume()) {
            journal.abandon(&run.run, "another run took its place").wait()?;
            if !run.status.has_ended() {
                complain(&format!("given up for a new one: {}", told(run)));
            }
        }
        Ok(())
    }

    /// Gives up a run whose effects were removed from outside of it.
    pub fn give_up(&self, run: &RunId, why: &str) -> Result<(), KeepError> {
        self.journal.as_ref().map_or(Ok(()), |journal| journal.abandon(run, why).wait()).map_err(Into::into)
    }

    /// Why the journal did not take what a run came to that a machine drives, where it said so.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says how a run that did not complete can go on, where it can.
    pub fn tell_how_to_go_on(&self, run: &RunId) {
        let Some(journal) = &self.journal else { return };
        let is_over = |run: &RunSummary| run.abandoned.is_some() || !run.status.can_resume();
        match journal.list(&RunQuery::of(run.clone())).wait() {
            Ok(found) if found.iter().all(is_over) => {}
            _ => complain(&format!("go on with it: {}", go_on(&self.again, run))),
        }
    }
}

/// What a person types to go on with a run.
pub(super) fn go_on(again: &str, run: &RunId) -> String {
    // The first: a folder may have it in its name.
    again.replacen("{run}", &quoted(&run.to_string()), 1)
}

fn told(run: &RunSummary) -> String {
    let at = run.phase.as_ref().map(|step| format!(" at {step}")).unwrap_or_default();
    format!("{}  {}{at}", run.run, run.status)
}

/// The run, and those that are nested in it.
fn history(journal: &dyn Journal, run: &RunId) -> Result<History, KeepError> {
    let inside = format!("{run}/");
    let all = journal.list(&RunQuery::all().with_nested().with_abandoned()).wait()?;
    let runs = all.into_iter().map(|found| found.run);
    let mut history = History::new();
    for run in runs.filter(|found| found == run || found.to_string().starts_with(&inside)) {
        let folded = RunState::fold(&journal.load(&run).wait()?);
        let state = folded.map_err(|source| JournalError::Corrupt { run: run.clone(), source: Box::new(source) })?;
        history.extend(state.map(|state| (run, state)));
    }
    Ok(history)
}

/// What both builders are told in the same words.
macro_rules! kept {
    ($kept:expr, $journal:expr, $builder:expr) => {{
        let (kept, builder) = ($kept, $builder.label(FOLDER, &*$kept.folder));
        let builder = match (&kept.earlier, &kept.id) {
            (Some(run), _) => builder.resume(run.clone()),
            (None, Some(id)) => builder.start(id.as_str()),
            (None, None) => builder,
        };
        let builder = if kept.take_over { builder.take_over() } else { builder };
        match $journal {
            // Who deploys often knows how long it takes.
            Some(journal) => builder.journal(journal).estimate_from_history(),
            None => builder,
        }
    }};
}

impl Kept {
    /// A machine whose run is kept, and goes on where one is to go on.
    pub fn machine<W: Workflow>(&self, machine: MachineBuilder<W>) -> MachineBuilder<W> {
        let noting =
            |journal: &Arc<dyn Journal>| Arc::new(Noting::new(journal.clone(), self.fault.clone())) as Arc<dyn Journal>;
        kept!(self, self.journal.as_ref().map(noting), machine)
    }

    /// A runner whose run is kept, and goes on where one is to go on.
    pub fn runner<'h, W: Workflow, P: HandlerFor<W>>(&self, runner: Runner<'h, W, P>) -> Runner<'h, W, P> {
        kept!(self, self.journal.clone(), runner)
    }
}

/// Whether a file or folder of this name belongs to the journal of its folder.
pub fn is_journal(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name == FILE || name.strip_prefix(FILE).is_some_and(|rest| rest.starts_with('-')))
}

/// Removes the journal of a folder.
pub fn remove_journal(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_journal(&entry.file_name()) {
            if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
        }
    }
    Ok(())
}
