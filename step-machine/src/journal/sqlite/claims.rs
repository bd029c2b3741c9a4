//! Who may write to which run.

use std::time::SystemTime;

use rusqlite::{Connection, Error, OptionalExtension, Row, named_params, params};

use super::error::unusable;
use super::job::{Fault, Granted};
use super::load::check_unknown;
use super::places::OF_RUN;
use super::rows::text;
use super::writer::{Leased, Us, Writer};
use crate::journal::error::damaged;
use crate::journal::held::{Held, LastRow, Past};
use crate::journal::record::id_check;
use crate::journal::{Claim, JournalError, Lease, Owner};
use crate::run_id::RunId;
use crate::time::timestamp;

/// Who drives a run, as the journal has it: whether that one lives has to be seen. Who that is stands in columns that only
/// a message needs: what is wrong in them keeps nobody from a run.
pub(super) struct Holder {
    pub(super) key: i64,
    /// The name of its file.
    id: String,
}

/// What is known of the lease of a run.
pub(super) struct Holding {
    pub(super) epoch: u64,
    pub(super) owner: Option<Holder>,
}

/// The key and the id of an owner, where there is one, from the column `at` on.
fn holder_of(row: &Row<'_>, at: usize) -> Result<Option<Holder>, Error> {
    let Some(key) = row.get(at)? else { return Ok(None) };
    Ok(Some(Holder { key, id: legible(row, at + 1)? }))
}

/// A text, as far as it is one.
fn legible(row: &Row<'_>, at: usize) -> Result<String, Error> {
    Ok(row.get_ref(at)?.as_bytes().map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default())
}

/// The columns of who an owner is.
pub(super) fn owner_of(row: &Row<'_>, at: usize) -> Result<Owner, Error> {
    let since: String = row.get(at + 2)?;
    let since = humantime::parse_rfc3339(&since)
        .map_err(|error| Error::FromSqlConversionFailure(at + 2, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(Owner::new(row.get::<_, String>(at)?, row.get(at + 1)?, since))
}

/// Who an owner is, as far as it can be read.
pub(super) fn owner_by(connection: &Connection, key: i64) -> Result<Owner, Error> {
    let nobody = || Owner::new("an unknown machine", 0, SystemTime::UNIX_EPOCH);
    let found = connection
        .prepare_cached("SELECT host, pid, since FROM owner WHERE key = ?1")?
        .query_row([key], |row| Ok(owner_of(row, 0).unwrap_or_else(|_| nobody())))
        .optional()?;
    Ok(found.unwrap_or_else(nobody))
}

/// Who holds a run; `None` where it is gone.
pub(super) fn holder(connection: &Connection, key: i64) -> Result<Option<Holding>, Error> {
    connection
        .prepare_cached(
            "SELECT run.epoch, owner.key, owner.id
            FROM run LEFT JOIN owner ON owner.key = run.owner WHERE run.key = ?1",
        )?
        .query_row([key], |row| Ok(Holding { epoch: row.get(0)?, owner: holder_of(row, 1)? }))
        .optional()
}

/// A run by its id.
struct Found {
    key: i64,
    owner: Option<Holder>,
    abandoned: Option<String>,
    /// Of no account where the run was given up.
    metadata: Result<String, Error>,
    last_seq: u64,
}

fn find(connection: &Connection, run: &RunId) -> Result<Option<Found>, Fault> {
    let found = connection
        .prepare_cached(
            "SELECT run.key, run.abandoned_why, run.metadata, run.last_seq, owner.key, owner.id
            FROM run LEFT JOIN owner ON owner.key = run.owner WHERE run.id = ?1",
        )?
        .query_row([run.to_string()], |row| {
            Ok(Found {
                key: row.get(0)?,
                abandoned: row.get(1)?,
                metadata: row.get(2),
                last_seq: row.get(3)?,
                owner: holder_of(row, 4)?,
            })
        })
        .optional()?;
    if found.is_none() {
        check_unknown(connection, run)?;
    }
    Ok(found)
}

/// Claims a run; within a savepoint, so that one that fails changes nothing.
pub(super) fn claim(writer: &mut Writer, claim: &Claim) -> Result<(Granted, Leased), Fault> {
    let run = &claim.run;
    let found = find(&writer.connection, run)?;
    if let Some(found) = &found {
        if let Some(why) = found.abandoned.clone() {
            return Err(Fault::Alone(JournalError::Abandoned { run: run.clone(), why }));
        }
        if !claim.take_over {
            check_free(writer, run, found.owner.as_ref())?;
        }
    }
    let names = names_to_take(writer, claim, found.as_ref().map(|found| found.key))?;
    let Some(our_key) = writer.us.as_ref().and_then(|us| us.key) else {
        return Err(Fault::Alone(JournalError::Closed));
    };
    let (key, epoch): (i64, u64) = writer
        .connection
        .prepare_cached(
            "INSERT INTO run (id, id_check, epoch, owner) VALUES (?1, ?3, 1, ?2)
            ON CONFLICT (id) DO UPDATE SET epoch = epoch + 1, owner = ?2 RETURNING key, epoch",
        )?
        .query_row(params![run.to_string(), our_key, id_check(run)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    take_names(writer, key, claim, names)?;
    if let Some(dead) = found.as_ref().and_then(|found| found.owner.as_ref()).filter(|owner| owner.key != our_key) {
        clear_away(writer, dead)?;
    }
    let was_given_back = found.as_ref().is_some_and(|found| found.owner.is_none());
    let held = hold(writer, run, key, epoch, found)?;
    let has_events = held.last_seq > 0;
    let leased = Leased { held, has_names: !claim.exclusive.is_empty(), is_sure: true };
    let lease = Lease::new(run.clone(), epoch, key);
    Ok((Granted { lease, has_events, was_given_back, replaced: None }, leased))
}

/// What the writer has to know of a run that it writes to.
fn hold(writer: &mut Writer, run: &RunId, key: i64, epoch: u64, found: Option<Found>) -> Result<Held, Fault> {
    let past = match found {
        None => None,
        Some(found) => {
            let (connection, places) = (&writer.connection, &mut writer.rows.places);
            places.ask(connection)?;
            if places.is_damaged() && found.owner.is_some() {
                // Its end may be among those.
                return Err(Fault::Alone(damaged(run, "some of the newest rows of all runs cannot be read")));
            }
            let last = connection
                .prepare_cached("SELECT last_seq, at_us, percentage, phase FROM record WHERE id = ?1")?
                .query_row([places.last_of(key, connection)?], |row| {
                    let (last_seq, at_us) = (row.get(0)?, row.get(1)?);
                    Ok(LastRow { last_seq, at_us, percentage: row.get(2)?, phase: row.get(3)? })
                })
                .optional()?;
            let last = last.unwrap_or_default();
            Some(Past { last_seq: found.last_seq, metadata: found.metadata?, last })
        }
    };
    Ok(Held::new(run, epoch, past)?)
}

/// Fails where somebody who lives drives the run.
fn check_free(writer: &Writer, run: &RunId, owner: Option<&Holder>) -> Result<(), Fault> {
    match owner {
        Some(holder) if is_alive(writer, holder)? => {
            let owner = owner_by(&writer.connection, holder.key)?;
            Err(Fault::Alone(JournalError::Owned { run: run.clone(), owner }))
        }
        _ => Ok(()),
    }
}

/// Whether somebody who lives drives the run.
pub(super) fn is_driven(writer: &Writer, owner: Option<&Holder>) -> Result<bool, Fault> {
    owner.map_or(Ok(false), |holder| is_alive(writer, holder))
}

fn is_alive(writer: &Writer, holder: &Holder) -> Result<bool, Fault> {
    if writer.us.as_ref().is_some_and(|us| us.key == Some(holder.key)) {
        return Ok(true);
    }
    writer.home.is_alive(&holder.id).or_else(|error| {
        let owner = owner_by(&writer.connection, holder.key)?;
        let advice = format!("see whether {owner} lives: its owner file cannot be asked");
        Err(Fault::Alone(unusable(&writer.path, advice, Box::new(error))))
    })
}

/// The other runs that hold names which are claimed, and whether to end their leases. Fails where one of them lives.
fn names_to_take(writer: &Writer, claim: &Claim, own_key: Option<i64>) -> Result<Vec<i64>, Fault> {
    let mut ended = Vec::new();
    for name in &claim.exclusive {
        let found = writer
            .connection
            .prepare_cached(
                "SELECT run.key, run.id, owner.key, owner.id
                FROM exclusive JOIN run ON run.key = exclusive.run LEFT JOIN owner ON owner.key = run.owner
                WHERE exclusive.name = ?1",
            )?
            .query_row([name], |row| Ok((row.get::<_, i64>(0)?, legible(row, 1)?, holder_of(row, 2)?)))
            .optional()?;
        let Some((key, holder, Some(owner))) = found.filter(|(key, ..)| Some(*key) != own_key) else { continue };
        if !is_alive(writer, &owner)? {
            continue;
        }
        if !claim.take_over {
            let owner = Box::new(owner_by(&writer.connection, owner.key)?);
            let (run, name) = (claim.run.clone(), name.clone());
            return Err(Fault::Alone(JournalError::Exclusive { run, name, holder: holder.into(), owner }));
        }
        ended.push(key);
    }
    Ok(ended)
}

/// Makes the run hold these names and no others; the runs of `ended` lose their leases.
fn take_names(writer: &mut Writer, key: i64, claim: &Claim, ended: Vec<i64>) -> Result<(), Error> {
    for other in ended {
        // Seen once more from now on, whether this is taken back or not.
        if let Some(leased) = writer.leases.get_mut(&other) {
            leased.is_sure = false;
        }
        let connection = &writer.connection;
        connection
            .prepare_cached(
                "UPDATE run SET epoch = epoch + 1, owner = NULL,
                last_seq = max(last_seq, coalesce((SELECT last_seq FROM record WHERE id = ?2), 0)) WHERE key = ?1",
            )?
            .execute(params![other, writer.rows.places.last_of(other, connection)?])?;
        free_names(connection, other)?;
    }
    let connection = &writer.connection;
    free_names(connection, key)?;
    for name in &claim.exclusive {
        connection
            .prepare_cached("INSERT OR REPLACE INTO exclusive (name, run) VALUES (?1, ?2)")?
            .execute(params![name, key])?;
    }
    Ok(())
}

pub(super) fn free_names(connection: &Connection, key: i64) -> Result<(), Error> {
    connection.prepare_cached("DELETE FROM exclusive WHERE run = ?1")?.execute([key]).map(drop)
}

/// Ends a lease, where it still holds. A run that has no event was never there.
pub(super) fn give_back(writer: &Writer, lease: &Lease, last_seq: u64) -> Result<(), Error> {
    let connection = &writer.connection;
    let is_ours = connection
        .prepare_cached(
            "UPDATE run SET owner = NULL, last_seq = max(last_seq, :last) WHERE key = :key AND epoch = :epoch",
        )?
        .execute(named_params! { ":key": lease.key, ":epoch": lease.epoch, ":last": last_seq })?;
    if is_ours == 0 {
        return Ok(());
    }
    free_names(connection, lease.key)?;
    connection
        .prepare_cached(&format!("DELETE FROM run WHERE key = ?1 AND last_seq = 0 AND NOT EXISTS ({OF_RUN})"))?
        .execute([lease.key, writer.rows.places.upto(connection)?])
        .map(drop)
}

/// Gives up a run.
pub(super) fn abandon(writer: &mut Writer, run: &RunId, why: &str) -> Result<(), Fault> {
    let Some((key, owner)) = find_begun(writer, run)? else {
        return Err(Fault::Alone(JournalError::NotFound { run: run.clone() }));
    };
    check_free(writer, run, owner.as_ref())?;
    let now = text(timestamp(SystemTime::now()));
    writer
        .connection
        .prepare_cached("UPDATE run SET abandoned_why = ?2, abandoned_at = ?3, epoch = epoch + 1 WHERE key = ?1")?
        .execute(params![key, why, now])?;
    free_names(&writer.connection, key)?;
    Ok(())
}

/// The key of a run that has begun, and who drives it. Nothing else of it is read: what is damaged can be given up.
fn find_begun(writer: &Writer, run: &RunId) -> Result<Option<(i64, Option<Holder>)>, Fault> {
    let connection = &writer.connection;
    let found: Option<(i64, bool, Option<Holder>)> = connection
        .prepare_cached(
            "SELECT run.key, run.workflow IS NOT NULL OR EXISTS (SELECT 1 FROM place WHERE place.run = run.key)
            OR EXISTS (SELECT 1 FROM record WHERE record.id > ?1 AND record.run = run.key), owner.key, owner.id
            FROM run LEFT JOIN owner ON owner.key = run.owner WHERE run.id = ?2",
        )?
        .query_row(params![writer.rows.places.upto(connection)?, run.to_string()], |row| {
            Ok((row.get(0)?, row.get(1)?, holder_of(row, 2)?))
        })
        .optional()?;
    if found.is_none() {
        check_unknown(connection, run)?;
    }
    Ok(found.filter(|(_, has_begun, _)| *has_begun).map(|(key, _, owner)| (key, owner)))
}

/// Writes who we are; gives the key.
pub(super) fn put_owner(connection: &Connection, us: &Us) -> Result<i64, Error> {
    connection
        .prepare_cached("INSERT INTO owner (id, host, pid, since) VALUES (?1, ?2, ?3, ?4) RETURNING key")?
        .query_row(params![us.id, us.owner.host, us.owner.pid, text(us.owner.since)], |row| row.get(0))
}

/// Removes an owner whom no run names any more.
pub(super) fn remove_owner(connection: &Connection, key: i64) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM owner WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM run WHERE run.owner = ?1)")?
        .execute([key])
        .map(drop)
}

/// Clears away what an owner has left who drives the run no more, where that one is dead.
fn clear_away(writer: &Writer, holder: &Holder) -> Result<(), Fault> {
    if !is_alive(writer, holder)? {
        writer.home.bury(&holder.id);
        remove_owner(&writer.connection, holder.key)?;
    }
    Ok(())
}

/// Whether an owner still is who it was: somebody may have removed its file, and somebody else its row then.
pub(super) fn is_there(connection: &Connection, us: &Us) -> Result<bool, Error> {
    connection.prepare_cached("SELECT 1 FROM owner WHERE key = ?1 AND id = ?2")?.exists(params![us.key, us.id])
}

/// Clears away owners who died without a run. Those with one stay until it is claimed: they say who drove it. So does one
/// who cannot be asked.
pub(super) fn forget_the_dead(writer: &Writer) -> Result<(), Fault> {
    let mut idle = writer
        .connection
        .prepare_cached("SELECT key, id FROM owner WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.owner = owner.key)")?;
    let idle: Vec<Holder> =
        idle.query_map([], |row| holder_of(row, 0))?.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    for holder in idle {
        match clear_away(writer, &holder) {
            Ok(()) | Err(Fault::Alone(_)) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}
