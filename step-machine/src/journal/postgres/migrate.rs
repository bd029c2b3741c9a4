//! The tables, and bringing them up to the version that this crate writes.

use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::error::SqlState;

use super::connect::Target;
use super::error::{Fault, unusable};
use crate::journal::JournalError;

/// What brings the tables from one version to the next; the first makes them.
const MIGRATIONS: [&str; 1] = [include_str!("schema.sql")];

/// The version of the tables after all of them.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a handful")]
const VERSION: i32 = MIGRATIONS.len() as i32;

/// One process at a time makes tables. The number is "stmjopen", for no other one to choose it.
const LOCK: i64 = 0x7374_6d6a_6f70_656e;

/// Makes the tables what this crate writes; fails where a newer one wrote them.
pub(super) async fn migrate(target: &Target, client: &mut deadpool_postgres::Client) -> Result<(), JournalError> {
    try_to_migrate(target, client).await.map_err(|fault| fault.of_all(&target.name))
}

async fn try_to_migrate(target: &Target, client: &mut deadpool_postgres::Client) -> Result<(), Fault> {
    check_encoding(target, client).await?;
    // Whoever has no right to make tables can use those that are there.
    let found = version(target, client).await?;
    if found == VERSION {
        return Ok(());
    }
    if target.existing {
        return Err(Fault::Alone(not_there(target, found)));
    }
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    if let Some(schema) = target.schema() {
        make_schema(&transaction, &schema).await?;
    }
    // Another process may have been quicker.
    let found = version(target, &transaction).await?;
    if found == 0 {
        transaction.batch_execute("CREATE TABLE journal_version (version integer NOT NULL)").await?;
        transaction.execute("INSERT INTO journal_version VALUES (0)", &[]).await?;
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.batch_execute(migration).await?;
    }
    transaction.execute("UPDATE journal_version SET version = $1", &[&VERSION]).await?;
    transaction.commit().await?;
    Ok(())
}

fn not_there(target: &Target, found: i32) -> JournalError {
    let (advice, source) = match found {
        0 => ("name the database that the runs are kept in, and their schema", "it has no journal".to_owned()),
        _ => ("open it once to write, which brings it up to date", format!("its tables are of version {found}")),
    };
    unusable(&target.name, advice, source.into())
}

/// To make one that is there takes a right too, so it is looked for first.
async fn make_schema(transaction: &Transaction<'_>, schema: &str) -> Result<(), Fault> {
    if transaction.query_one("SELECT to_regnamespace($1) IS NULL", &[&schema]).await?.try_get(0)? {
        transaction.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
    }
    Ok(())
}

async fn check_encoding(target: &Target, client: &deadpool_postgres::Client) -> Result<(), Fault> {
    let encoding: String = client.query_one("SHOW server_encoding", &[]).await?.try_get(0)?;
    if encoding == "UTF8" {
        return Ok(());
    }
    let source = format!("its encoding is {encoding}");
    Err(Fault::Alone(unusable(&target.name, "name a database of the encoding UTF8", source.into())))
}

/// The version of the tables: 0 where there are none. Fails where they are newer than this crate.
async fn version(target: &Target, client: &impl deadpool_postgres::GenericClient) -> Result<i32, Fault> {
    let is_there = client.query_one("SELECT to_regclass('journal_version') IS NOT NULL", &[]).await?;
    if !is_there.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let found = client.query_opt("SELECT version FROM journal_version", &[]).await;
    let version: i32 = match found {
        Ok(Some(row)) => row.try_get(0)?,
        Ok(None) => 0,
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_COLUMN) => {
            let advice = "its tables are not those of a journal; choose a schema of its own with `schema`";
            return Err(Fault::Alone(unusable(&target.name, advice, Box::new(error))));
        }
        Err(error) => return Err(error.into()),
    };
    if version > VERSION {
        let source = format!("it has version {version}, this version of step-machine knows those up to {VERSION}");
        let advice = "a newer step-machine wrote it; use that one, or update this one";
        return Err(Fault::Alone(unusable(&target.name, advice, source.into())));
    }
    Ok(version)
}
