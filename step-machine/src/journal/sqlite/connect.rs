//! Opening the file, and bringing it up to the version that this crate writes.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, TransactionBehavior, ffi};

use super::error::{self, store, unusable};
use super::still::{self, Still};
use super::{SqliteOptions, Synchronous, log};
use crate::journal::JournalError;

/// What makes a file a journal of ours: "stmj".
const APPLICATION_ID: i32 = 0x7374_6d6a;

/// What brings a file from one version to the next; the first makes an empty one a journal.
const MIGRATIONS: [&str; 1] = [include_str!("schema.sql")];

/// The version of a file after all of them.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a handful")]
const VERSION: i32 = MIGRATIONS.len() as i32;

/// A WAL that grew beyond this is cut when it begins anew.
const WAL_LIMIT: i64 = 64 << 20;

/// Opens the file to write.
pub(super) fn to_write(path: &Path, options: &SqliteOptions) -> Result<Connection, JournalError> {
    check_place(path)?;
    let is_log_damaged = check_log(path, options)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|error| store(path, error))?;
    let fail = |error| store(path, error);
    if connection.is_readonly(MAIN_DB).map_err(fail)? {
        // SQLite opens it all the same, and the first run would be told.
        return Err(unusable(path, error::MAY_NOT_WRITE, "it may only be read".into()));
    }
    connection.busy_timeout(options.busy_timeout).map_err(fail)?;
    let found = identify(&connection, path)?;
    set_up(&connection, options).map_err(fail)?;
    if found < VERSION {
        migrate(&mut connection, path, &MIGRATIONS)?;
    }
    if is_log_damaged {
        // What is lost would stand behind the next commits, and be found again.
        let is_hindered =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(fail)?;
        if is_hindered {
            let advice = "have whoever uses the file end that, then open it again";
            return Err(unusable(path, advice, "its damaged log cannot be cut: somebody else uses the file".into()));
        }
    }
    Ok(connection)
}

/// What stands behind an error of a damaged log.
const WHAT_IS_LOST: &str = "whoever else opens the file loses these commits, and what they completed would run again; \
    \"Damage\" in docs/journal.md has the rest";

/// Fails where there is a folder, of which SQLite says the same as of a file that it cannot make.
fn check_place(path: &Path) -> Result<(), JournalError> {
    if path.is_dir() {
        return Err(unusable(path, "name the file in it that the runs are kept in", "it is a folder".into()));
    }
    Ok(())
}

/// Fails where the log is damaged, unless that is accepted; whether it is damaged. To be asked before the first read, which
/// makes SQLite forget what it cannot read.
fn check_log(path: &Path, options: &SqliteOptions) -> Result<bool, JournalError> {
    match log::damage(path) {
        Err(error) => Err(unusable(path, "see that its write-ahead log can be read", Box::new(error))),
        Ok(Some(damage)) if !options.accept_damaged_log => {
            // The cause first, and also for those who print no sources.
            let advice = format!(
                "{damage}; copy the file and its log (`-wal`) away before anything else opens it, then restore both, or \
                go on without these commits: `accept_damaged_log(true)`, or the switch `--accept-damaged-log`"
            );
            Err(unusable(path, advice, WHAT_IS_LOST.into()))
        }
        Ok(damage) => Ok(damage.is_some()),
    }
}

/// Opens the file to read beside a connection that writes, and that has seen to the log.
pub(super) fn to_read(path: &Path, options: &SqliteOptions) -> Result<Connection, JournalError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = look(path, flags, options)?;
    connection.pragma_update(None, "query_only", true).map_err(|error| store(path, error))?;
    Ok(connection)
}

/// Opens a file that need not be writable; with how it stood where it is read alone, without the files that SQLite puts beside
/// it.
pub(super) fn only_to_read(path: &Path, options: &SqliteOptions) -> Result<(Connection, Option<Still>), JournalError> {
    check_place(path)?;
    check_log(path, options)?;
    let still = Still::of(path);
    let opened = match still.filter(|_| still::may_only_be_read(path)) {
        Some(_) => still::open(path, options).map(|connection| (connection, still)),
        None => with_its_log(path, options).or_else(|error| {
            // SQLite wants to put files beside it, where it may not.
            match still {
                _ if !error::may_be_for_its_folder(&error) => Err(error),
                _ if still::is_shut(path) => {
                    Err(unusable(path, "see that you may read the file", "it is there, and cannot be opened".into()))
                }
                Some(_) => still::open(path, options).map(|connection| (connection, still)),
                None if log::is_there(path) => {
                    let advice =
                        "copy it and its log (`-wal`) to a folder that may be written to, and look into it there";
                    Err(unusable(path, advice, Box::new(error)))
                }
                None => Err(error),
            }
        }),
    };
    let (connection, still) = opened?;
    let (advice, source) = match identify(&connection, path)? {
        0 => {
            ("choose another file, or open it to write, which makes it a journal", "it is empty, or is just being made")
        }
        version if version < VERSION => {
            ("open it once to write, which brings it up to date", "it is of an older version")
        }
        _ => return Ok((connection, still)),
    };
    Err(unusable(path, advice, source.into()))
}

fn with_its_log(path: &Path, options: &SqliteOptions) -> Result<(Connection, Option<Still>), JournalError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = look(path, flags, options)?;
    // Only the first read shows whether it can be.
    identify(&connection, path)?;
    Ok((connection, None))
}

pub(super) fn look(path: &Path, flags: OpenFlags, options: &SqliteOptions) -> Result<Connection, JournalError> {
    look_as(path, path, flags, options)
}

/// Opens a file that SQLite has another name for.
pub(super) fn look_as(
    path: &Path,
    name: &Path,
    flags: OpenFlags,
    options: &SqliteOptions,
) -> Result<Connection, JournalError> {
    let connection = Connection::open_with_flags(name, flags).map_err(|error| store(path, error))?;
    connection.busy_timeout(options.busy_timeout).map_err(|error| store(path, error))?;
    connection.pragma_update(None, "cell_size_check", true).map_err(|error| store(path, error))?;
    Ok(connection)
}

/// The version of the file: 0 where it is empty. Fails where it is not ours, or newer than this crate.
fn identify(connection: &Connection, path: &Path) -> Result<i32, JournalError> {
    // In one statement, and so of one moment: somebody else may be about to make it a journal.
    let query =
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
        (SELECT count(*) FROM sqlite_schema)";
    let found = connection.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)? == 0)));
    let (application, version, is_empty): (i32, i32, bool) = found.map_err(|error| store(path, error))?;
    if application != APPLICATION_ID && !(is_empty && application == 0 && version == 0) {
        return Err(unusable(path, "choose another file", "the database is something else than a journal".into()));
    }
    if version > VERSION {
        let source = format!("it has version {version}, this version of step-machine knows those up to {VERSION}");
        return Err(unusable(path, "a newer step-machine wrote it; use that one, or update this one", source.into()));
    }
    Ok(version)
}

/// Fails where a newer version has changed the file since it was opened: this one does not know what it wrote there.
pub(super) fn check_version(connection: &Connection) -> Result<(), rusqlite::Error> {
    let found: i32 = connection.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))?;
    if found <= VERSION {
        return Ok(());
    }
    let said = format!(
        "a newer step-machine has brought the file to version {found}, and this one knows those up to {VERSION}: use that one"
    );
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_SCHEMA), Some(said)))
}

fn set_up(connection: &Connection, options: &SqliteOptions) -> Result<(), rusqlite::Error> {
    let_it_be_wal(connection, options)?;
    connection.pragma_update(None, "synchronous", options.synchronous.pragma())?;
    if options.synchronous == Synchronous::Full {
        // On macOS what the disk itself keeps for later has to be asked for; elsewhere these mean nothing.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    }
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_LIMIT, |_| Ok(()))?;
    if let Some(bytes) = options.max_size {
        let page: u64 = connection.pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0))?.into();
        let pages = i64::try_from(bytes / page).unwrap_or(i64::MAX).max(1);
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    // Otherwise SQLite plans statements anew for values of 0 and 1, as the key of an owner may be.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// SQLite does not wait for the lock that this needs, where several processes make the file at once.
fn let_it_be_wal(connection: &Connection, options: &SqliteOptions) -> Result<(), rusqlite::Error> {
    let since = std::time::Instant::now();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                if since.elapsed() >= options.busy_timeout {
                    return Err(error);
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

/// Brings a file up to the version after `migrations`, by those that it has not had; all of them, or none.
fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), JournalError> {
    let fail = |error| store(path, error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    // Another process may have been quicker.
    let found = identify(&transaction, path)?;
    let version = i32::try_from(migrations.len()).unwrap_or(VERSION);
    for migration in migrations.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(migration).map_err(fail)?;
    }
    if found > 0 && found < version {
        // An older version that drives a run adds nothing more to it.
        transaction.execute("UPDATE run SET epoch = epoch + 1 WHERE owner IS NOT NULL", []).map_err(fail)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(fail)?;
    transaction.pragma_update(None, "user_version", version).map_err(fail)?;
    transaction.commit().map_err(fail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// What a next version might do: to the tables, and to what is in them.
    const NEXT: &str = "ALTER TABLE owner ADD COLUMN note TEXT; UPDATE owner SET note = host || ' again';";

    /// A file of the version of today, with a row in it.
    fn of_today(path: &Path) -> Connection {
        let connection = to_write(path, &SqliteOptions::default()).unwrap();
        let row = "INSERT INTO owner (id, host, pid, since) VALUES ('a', 'web', 7, '2026-01-01T00:00:00Z')";
        connection.execute(row, []).unwrap();
        connection
    }

    fn version(connection: &Connection) -> i32 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    fn schema(connection: &Connection) -> Vec<String> {
        let mut select = connection.prepare("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn next() -> Vec<&'static str> {
        MIGRATIONS.iter().copied().chain([NEXT]).collect()
    }

    /// A folder that goes with its test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("step-machine-migrate-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_of_an_older_version_gets_what_it_has_not_had_and_keeps_its_rows() {
        let folder = Folder::new("older");
        let (old, new) = (folder.file("old.db"), folder.file("new.db"));
        let mut connection = of_today(&old);
        let run = "INSERT INTO run (id, id_check, epoch, owner) VALUES ('r', 0, 4, (SELECT key FROM owner))";
        connection.execute(run, []).unwrap();
        assert_eq!(version(&connection), VERSION);
        migrate(&mut connection, &old, &next()).unwrap();
        assert_eq!(version(&connection), VERSION + 1);
        let note: String = connection.query_row("SELECT note FROM owner", [], |row| row.get(0)).unwrap();
        assert_eq!(note, "web again");
        let epoch: i64 = connection.query_row("SELECT epoch FROM run", [], |row| row.get(0)).unwrap();
        assert_eq!(epoch, 5, "the lease has ended");
        // One that is made by that version is the same.
        let mut made = Connection::open(&new).unwrap();
        migrate(&mut made, &new, &next()).unwrap();
        assert_eq!((version(&made), schema(&made)), (VERSION + 1, schema(&connection)));
    }

    #[test]
    fn what_is_waited_for_is_not_left_to_the_disk_to_keep_for_later() {
        let folder = Folder::new("full");
        for (chosen, expected) in [(Synchronous::Full, true), (Synchronous::Normal, false)] {
            let options = SqliteOptions::default().synchronous(chosen);
            let connection = to_write(&folder.file("runs.db"), &options).unwrap();
            for pragma in ["fullfsync", "checkpoint_fullfsync"] {
                let is_on: bool = connection.pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
                assert_eq!(is_on, expected, "{pragma} with {chosen:?}");
            }
        }
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let folder = Folder::new("broken");
        let path = folder.file("runs.db");
        let mut connection = of_today(&path);
        let (before, broken) = (schema(&connection), format!("{NEXT} INSERT INTO nowhere VALUES (1)"));
        let migrations: Vec<_> = MIGRATIONS.iter().copied().chain([&*broken]).collect();
        assert!(matches!(migrate(&mut connection, &path, &migrations), Err(JournalError::Store { .. })));
        assert_eq!((version(&connection), schema(&connection)), (VERSION, before));
    }
}
