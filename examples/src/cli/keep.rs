//! Where runs are kept, and which one goes on.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::de::DeserializeOwned;
use step_machine::event::RunStatus;
use step_machine::journal::{Claim, RunQuery, RunSummary};
use step_machine::runner::{HandlerFor, Runner};
use step_machine::{FailureContext, Journal, JournalError, MachineBuilder, MemoryJournal, RunId, RunState, Workflow};

use super::crash::{Crash, Doomed};
use super::keep_error::KeepError;
use super::noting::{Fault, Noting};
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
    /// What a person types to go on with the run `{run}`; nothing where nothing is kept.
    again: Option<String>,
    /// What was told last of the run that is to go on, where it has come to its end.
    over: Option<String>,
    /// Whether another run came after it then.
    is_past: bool,
    /// Why the journal did not take what a run came to that a machine drives.
    fault: Arc<Mutex<Option<Fault>>>,
}

/// Runs as their journal had them.
pub type History = HashMap<RunId, RunState>;

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
            again: (place != Place::Nothing).then(|| self.again(work)),
            over: None,
            is_past: false,
            fault: Arc::default(),
            journal: self.journal(&place, work)?,
        };
        if let Some(journal) = kept.journal.clone() {
            kept.earlier = self.resume.as_deref().map(|run| kept.find(&*journal, run)).transpose()?;
            kept.history = kept.earlier.as_ref().map_or(Ok(History::new()), |run| history(&*journal, run))?;
            kept.check_new(&*journal, &place)?;
            kept.look_whether_it_is_over(&*journal)?;
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

    fn journal(&self, place: &Place, work: &Work<'_>) -> Result<Option<Arc<dyn Journal>>, KeepError> {
        let folder = work.folder;
        if *place == Place::Nothing && self.resume.is_some() {
            return Err(KeepError::NoJournal);
        }
        // To look for a run is no reason to make a journal.
        if self.resume.is_some() && place.is_missing() {
            let (workflow, folder) = (work.workflow, place.name_of(folder));
            return Err(KeepError::Nothing { workflow, folder, runs: Vec::new() });
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
        Self {
            journal: None,
            id: None,
            earlier: None,
            history: History::new(),
            take_over: false,
            workflow: "",
            folder: String::new(),
            again: None,
            over: None,
            is_past: false,
            fault: Arc::default(),
        }
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
            ([], Some(last)) if has_come_to_its_end(last.status) => Ok(last.run.clone()),
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
    fn check_new(&self, journal: &dyn Journal, place: &Place) -> Result<(), KeepError> {
        if let Some(run) = self.earlier.as_ref().filter(|run| !self.history.contains_key(*run)) {
            return Err(KeepError::Unknown { run: run.clone(), journal: place.option() });
        }
        let Some(id) = &self.id else { return Ok(()) };
        let is_taken = !journal.list(&RunQuery::of(id.as_str())).wait()?.is_empty();
        if is_taken { Err(JournalError::Exists { run: id.as_str().into() }.into()) } else { Ok(()) }
    }

    /// Whether the run that is to go on has come to its end, and another one came after it.
    fn look_whether_it_is_over(&mut self, journal: &dyn Journal) -> Result<(), KeepError> {
        if !self.earlier().is_some_and(|state| has_come_to_its_end(state.status())) {
            return Ok(());
        }
        let runs = journal.list(&self.here()).wait()?;
        self.over = runs.iter().find(|run| Some(&run.run) == self.earlier.as_ref()).map(told);
        self.is_past = self.over.is_some() && runs.first().is_some_and(|last| Some(&last.run) != self.earlier.as_ref());
        Ok(())
    }

    /// Whether the run that is to go on has come to its end, and another one came after it: what is there is not of it.
    pub fn is_past(&self) -> bool {
        self.is_past
    }

    /// Says it where nothing is left to do of the run that is to go on.
    pub(super) fn tell_what_is_over(&self) {
        let Some(over) = &self.over else { return };
        let later = if self.is_past { ", and another run came after it" } else { "" };
        complain(&format!("nothing is left to do: {over}{later}"));
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

    /// Fails where a living process drives a run in `folder`, of whichever workflow: what is there is not to be taken from
    /// below it. Looks into the journal of the folder, or the one that the environment names; where nothing can be read of
    /// that, nothing stands in the way.
    pub fn check_undriven(folder: &Path) -> Result<(), KeepError> {
        let place = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()).map(Place::from);
        let place = place.unwrap_or_else(|| Place::File(folder.join(FILE)));
        if place.is_missing() {
            return Ok(());
        }
        let Ok(Some(journal)) = place.open(false) else { return Ok(()) };
        let here = RunQuery::unfinished().label(FOLDER, place.name_of(folder));
        for run in journal.list(&here).wait().unwrap_or_default() {
            match journal.claim(&Claim::of(run.run)).wait() {
                Err(JournalError::Owned { run, owner }) => return Err(KeepError::Driven { run, owner }),
                // Its process died.
                Ok(claimed) => journal.release(&claimed.lease).wait()?,
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Gives up a run whose effects were removed from outside of it.
    pub fn give_up(&self, run: &RunId, why: &str) -> Result<(), KeepError> {
        self.journal.as_ref().map_or(Ok(()), |journal| journal.abandon(run, why).wait()).map_err(Into::into)
    }

    /// Why the journal did not take what a run came to that a machine drives, where it said so.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says how a run that did not complete can go on, where it can.
    pub fn tell_how_to_go_on(&self, run: &RunId) {
        let (Some(journal), Some(again)) = (&self.journal, &self.again) else { return };
        let is_over = |run: &RunSummary| run.abandoned.is_some() || !run.status.can_resume();
        match journal.list(&RunQuery::of(run.clone())).wait() {
            Ok(found) if found.iter().all(is_over) => {}
            _ => complain(&format!("go on with it: {}", go_on(again, run))),
        }
    }
}

/// What a person types to go on with a run.
pub(super) fn go_on(again: &str, run: &RunId) -> String {
    let run = run.to_string();
    // One that begins with a dash would be taken for an option.
    let sign = if run.starts_with('-') { "=" } else { " " };
    // The first: a folder may have it in its name.
    again.replacen(" {run}", &format!("{sign}{}", quoted(&run)), 1)
}

/// Whether a run is done, or undone.
fn has_come_to_its_end(status: RunStatus) -> bool {
    matches!(status, RunStatus::Completed | RunStatus::RolledBack)
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
