//! The journal that is looked into.

use std::path::{Path, PathBuf};

use step_machine::event::Event;
use step_machine::journal::{Finding, RunQuery, RunSummary};
use step_machine::{Journal, PostgresJournal, RunId, RunState, SqliteJournal};

use super::args::Place;
use super::trouble::Trouble;

/// How many runs are named where a beginning does not tell which one is meant.
const NAMED: usize = 4;

/// What a command does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Reading,
    Writing,
}

pub(crate) enum Store {
    Sqlite(SqliteJournal),
    Postgres(PostgresJournal),
}

/// A run as its journal has it.
pub(crate) struct Kept {
    pub(crate) summary: RunSummary,
    pub(crate) events: Vec<Event>,
    pub(crate) state: RunState,
}

impl Store {
    pub(crate) fn to_read(place: &Place) -> Result<Self, Trouble> {
        Self::open(place, For::Reading)
    }

    pub(crate) fn to_write(place: &Place) -> Result<Self, Trouble> {
        Self::open(place, For::Writing)
    }

    fn open(place: &Place, use_for: For) -> Result<Self, Trouble> {
        let name = place.journal.as_deref().filter(|name| !name.is_empty()).ok_or(Trouble::NoJournal)?;
        let schema = place.schema.as_deref().filter(|schema| !schema.is_empty());
        if name.starts_with("postgres://") || name.starts_with("postgresql://") {
            if place.accept_damaged_log {
                return Err(Trouble::Usage(
                    "`--accept-damaged-log` is for a file; a server sees to its log itself".to_owned(),
                ));
            }
            return Self::server(name, schema);
        }
        if name.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            // Not repeated: it may have a password in it.
            return Err(Trouble::Usage(
                "a journal is a file, or a database as in `postgres://user@host/database`".to_owned(),
            ));
        }
        if schema.is_some() {
            return Err(Trouble::Usage(
                "`--schema` is for a journal in PostgreSQL; leave it out for a file".to_owned(),
            ));
        }
        let path = Path::new(name);
        // To open one to write would make it.
        if !path.exists() {
            return Err(Trouble::NoFile(PathBuf::from(path)));
        }
        let options = SqliteJournal::options().accept_damaged_log(place.accept_damaged_log);
        let reading = options.clone().open_read_only(path)?;
        let journal = match use_for {
            For::Reading => reading,
            For::Writing => {
                // A file that is something else was told of before it is touched.
                drop(reading);
                options.open(path)?
            }
        };
        Ok(Self::Sqlite(journal))
    }

    fn server(url: &str, schema: Option<&str>) -> Result<Self, Trouble> {
        let options = PostgresJournal::options().existing();
        let options = match schema {
            Some(schema) => options.schema(schema),
            None => options,
        };
        Ok(Self::Postgres(options.open(url).wait()?))
    }

    pub(crate) fn journal(&self) -> &dyn Journal {
        match self {
            Self::Sqlite(journal) => journal,
            Self::Postgres(journal) => journal,
        }
    }

    pub(crate) fn list(&self, query: &RunQuery) -> Result<Vec<RunSummary>, Trouble> {
        Ok(self.journal().list(query).wait()?)
    }

    /// All runs that there are.
    pub(crate) fn all(&self) -> Result<Vec<RunSummary>, Trouble> {
        self.list(&RunQuery::all().with_nested().with_abandoned())
    }

    /// The run of this id, or the only one whose id begins so.
    pub(crate) fn find(&self, text: &str) -> Result<RunSummary, Trouble> {
        let id = RunId::from(text);
        if let Some(found) = self.list(&RunQuery::of(&id))?.pop() {
            return Ok(found);
        }
        if text.is_empty() {
            return Err(Trouble::NoRun(String::new()));
        }
        let mut runs = self.all()?;
        runs.retain(|run| run.run.to_string().starts_with(text));
        // Runs inside of the one that is meant begin with its id.
        let is_inside =
            |run: &RunSummary| run.parent.as_ref().is_some_and(|parent| parent.to_string().starts_with(text));
        let mut outermost: Vec<RunSummary> = runs.into_iter().filter(|run| !is_inside(run)).collect();
        match outermost.len() {
            0 => Err(Trouble::NoRun(text.to_owned())),
            1 => outermost.pop().ok_or_else(|| Trouble::NoRun(text.to_owned())),
            found => {
                let mut runs: Vec<RunId> = outermost.into_iter().map(|run| run.run).collect();
                runs.sort_by_key(ToString::to_string);
                runs.truncate(NAMED);
                Err(Trouble::Ambiguous { prefix: text.to_owned(), runs, more: found > NAMED })
            }
        }
    }

    pub(crate) fn load(&self, run: &RunId) -> Result<Vec<Event>, Trouble> {
        Ok(self.journal().load(run).wait()?)
    }

    /// A run with all that is known of it.
    pub(crate) fn kept(&self, summary: RunSummary) -> Result<Kept, Trouble> {
        let events = self.load(&summary.run)?;
        let state = fold(&summary.run, &events)?;
        Ok(Kept { summary, events, state })
    }

    /// All that is wrong.
    pub(crate) fn check(&self) -> Result<Vec<Found>, Trouble> {
        let found = |Finding { run, what, .. }| Found { run, what };
        match self {
            Self::Sqlite(journal) => Ok(journal.check().wait()?.into_iter().map(found).collect()),
            Self::Postgres(_) => {
                let runs = self.all()?.into_iter().map(|run| run.run);
                Ok(runs.filter_map(|run| self.check_run(&run)).collect())
            }
        }
    }

    /// What is wrong with a run, if anything.
    pub(crate) fn check_run(&self, run: &RunId) -> Option<Found> {
        let trouble = self.load(run).and_then(|events| fold(run, &events)).err()?;
        Some(Found { run: Some(run.clone()), what: trouble.to_string() })
    }
}

/// Something that is wrong in a journal.
pub(crate) struct Found {
    pub(crate) run: Option<RunId>,
    pub(crate) what: String,
}

fn fold(run: &RunId, events: &[Event]) -> Result<RunState, Trouble> {
    let folded = RunState::fold(events).map_err(|illegal| Trouble::Illegal(run.clone(), Box::new(illegal)))?;
    folded.ok_or_else(|| Trouble::NoRun(run.to_string()))
}
