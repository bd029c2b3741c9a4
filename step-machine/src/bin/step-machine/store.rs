//! The journal that is looked into.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

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
        is_file(path)?;
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

    /// The runs of which nothing was heard for so long, nor of what is nested in them.
    pub(crate) fn stalled(&self, silence: Duration) -> Result<Vec<RunSummary>, Trouble> {
        Ok(self.journal().stalled(silence).wait()?)
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

    /// All that is wrong, and how many runs were read.
    pub(crate) fn check(&self) -> Result<(Vec<Found>, usize), Trouble> {
        let found = |Finding { run, what, .. }| Found { run, what };
        let runs = self.all()?;
        match self {
            Self::Sqlite(journal) => Ok((journal.check().wait()?.into_iter().map(found).collect(), runs.len())),
            Self::Postgres(_) => self.check_each(&runs),
        }
    }

    /// The same, of these runs. Those that were removed meanwhile do not count.
    fn check_each(&self, runs: &[RunSummary]) -> Result<(Vec<Found>, usize), Trouble> {
        let (mut found, mut read) = (Vec::new(), 0);
        for run in runs {
            match self.check_run(run) {
                Err(trouble) if trouble.is_gone() => continue,
                checked => found.extend(checked?),
            }
            read += 1;
        }
        Ok((found, read))
    }

    /// What is wrong with a run: with what lists say of it, and with its events.
    pub(crate) fn check_run(&self, summary: &RunSummary) -> Result<Vec<Found>, Trouble> {
        let run = &summary.run;
        let unreadable = summary.error.as_deref().filter(|error| error.starts_with(UNREADABLE));
        let listed = unreadable.map(|error| Found { run: Some(run.clone()), what: format!("run {run}: {error}") });
        let read = match self.load(run).and_then(|events| fold(run, &events)) {
            Ok(_) => None,
            Err(trouble) if trouble.is_damage() => Some(Found::of(run, &trouble)),
            Err(trouble) => return Err(trouble),
        };
        Ok(listed.into_iter().chain(read).collect())
    }
}

/// To open one to write would make it.
fn is_file(path: &Path) -> Result<(), Trouble> {
    match path.metadata() {
        Ok(found) if found.is_dir() => Err(Trouble::Folder(path.into())),
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(Trouble::NoFile(path.into()))
        }
        Err(source) => Err(Trouble::NoAccess { path: path.into(), source }),
    }
}

/// What a journal says in place of the error of a run whose rows it cannot read.
const UNREADABLE: &str = "what the journal has of it cannot be read: ";

/// Something that is wrong in a journal.
pub(crate) struct Found {
    pub(crate) run: Option<RunId>,
    pub(crate) what: String,
}

impl Found {
    pub(crate) fn of(run: &RunId, trouble: &Trouble) -> Self {
        Self { run: Some(run.clone()), what: trouble.to_string() }
    }
}

fn fold(run: &RunId, events: &[Event]) -> Result<RunState, Trouble> {
    let folded = RunState::fold(events).map_err(|illegal| Trouble::Illegal(run.clone(), Box::new(illegal)))?;
    folded.ok_or_else(|| Trouble::NoRun(run.to_string()))
}

#[cfg(test)]
mod tests {
    use step_machine::Workflow;

    use super::*;

    #[derive(Workflow)]
    enum Walk {
        Go,
    }

    #[test]
    fn a_run_that_is_removed_meanwhile_is_no_finding() -> Result<(), Box<dyn std::error::Error>> {
        let folder = std::env::temp_dir().join(format!("step-machine-check-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let journal = SqliteJournal::open(folder.join("runs.db"))?;
        let run = Walk::machine().id("there").journal(journal.clone()).begin()?;
        run.step(walk::Go, |_| Ok::<(), std::io::Error>(()))?.finish()?;
        let mut runs = journal.list(&RunQuery::all()).wait()?;
        runs.extend_from_within(..);
        runs[1].run = "gone".into();
        let store = Store::Sqlite(journal);
        assert!(matches!(store.check_each(&runs), Ok((found, 1)) if found.is_empty()));
        assert!(matches!(store.check_run(&runs[1]), Err(Trouble::NoRun(_))));
        drop(store);
        std::fs::remove_dir_all(folder)?;
        Ok(())
    }
}
