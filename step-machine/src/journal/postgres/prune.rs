//! Removing runs that are over.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use deadpool_postgres::{Client, Transaction};

use super::claims::is_free;
use super::error::Fault;
use super::load::record_of;
use super::server::Try;
use crate::time::timestamp;

/// So many are removed in one transaction.
const AT_ONCE: i64 = 500;

/// Runs that are over, each with all that is nested in it, however deep; but none of which any part is owned by somebody
/// who is not among the dead.
const FAMILIES: &str = "WITH RECURSIVE family (root, key, id, owner) AS (
      SELECT run.key, run.key, run.id, run.owner FROM run
      CROSS JOIN LATERAL (
        SELECT record.at FROM record WHERE record.run = run.key ORDER BY record.first_seq DESC LIMIT 1
      ) AS last
      WHERE run.key > $4 AND run.parent IS NULL AND last.at < $1
      AND (run.status IN ('completed', 'failed', 'cancelled', 'rolled_back') OR run.abandoned_at IS NOT NULL)
      UNION SELECT family.root, run.key, run.id, run.owner FROM run JOIN family ON run.parent = family.id
    ), free AS (
      SELECT root FROM family GROUP BY root HAVING bool_and(owner IS NULL OR owner = ANY ($2)) ORDER BY root LIMIT $3
    ) SELECT root, key FROM family JOIN free USING (root)";

/// The last rows of runs that nobody gave up.
const LAST: &str = "SELECT run.key, run.id,
    last.first_seq, last.last_seq, last.epoch, last.at, last.percentage, last.phase, last.checksum, last.body
    FROM run CROSS JOIN LATERAL (
      SELECT * FROM record WHERE record.run = run.key ORDER BY record.first_seq DESC LIMIT 1
    ) AS last
    WHERE run.key = ANY ($1) AND run.abandoned_at IS NULL";

/// So many rows are in memory at once.
const PAGE: usize = 64;

/// A server that looks through all runs is waited for so much longer.
const LOOKING: Duration = Duration::from_secs(60);

/// The events of so many are removed at once: that takes no time in which a server would seem to be gone.
const PORTION: i64 = 10_000;

/// Whoever holds a run for longer is told of.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '5s'";

/// Removes some of the runs that are over since before then, of those behind the key `after`; gives how many, and behind
/// which key there may be more.
pub(super) async fn prune(
    client: &mut Client,
    this: &Try,
    before: SystemTime,
    after: i64,
) -> Result<(usize, Option<i64>), Fault> {
    // One later than any event would be out of the database's range.
    let before = timestamp(before);
    let transaction = client.transaction().await?;
    transaction.batch_execute(LOCK_TIMEOUT).await?;
    let dead = dead(&transaction).await?;
    this.allow(LOOKING);
    let mut families: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in transaction.query(FAMILIES, &[&before, &dead, &AT_ONCE, &after]).await? {
        families.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
    }
    let last = families.keys().next_back().copied().filter(|_| i64::try_from(families.len()) == Ok(AT_ONCE));
    let all: Vec<i64> = families.values().flatten().copied().collect();
    this.hear();
    let locked = lock(&transaction, &all, &dead).await?;
    // Somebody may have claimed some of it just now.
    families.retain(|_, family| family.iter().all(|key| locked.contains(key)));
    let unsure = unsure(&transaction, this, families.keys().copied().collect()).await?;
    families.retain(|root, _| !unsure.contains(root));
    let keys: Vec<i64> = families.values().flatten().copied().collect();
    remove_records(&transaction, this, &keys).await?;
    for statement in ["DELETE FROM exclusive WHERE run = ANY ($1)", "DELETE FROM run WHERE key = ANY ($1)"] {
        transaction.execute(statement, &[&keys]).await?;
        this.hear();
    }
    transaction.commit().await?;
    Ok((families.len(), last))
}

/// Those of the runs of which it is not sure how old they are: that stands in a row which is damaged.
async fn unsure(transaction: &Transaction<'_>, this: &Try, runs: Vec<i64>) -> Result<HashSet<i64>, Fault> {
    let mut unsure = HashSet::new();
    for runs in runs.chunks(PAGE) {
        for row in transaction.query(LAST, &[&runs]).await? {
            let (last, checksum) = record_of(&row, 2)?;
            if !last.is_sound(row.try_get(1)?, checksum) {
                unsure.insert(row.try_get(0)?);
            }
        }
        this.hear();
    }
    Ok(unsure)
}

/// The owners whose sessions are gone. None of them comes back before the end of the transaction.
async fn dead(transaction: &Transaction<'_>) -> Result<Vec<i64>, Fault> {
    let mut dead = Vec::new();
    for row in transaction.query("SELECT key FROM owner", &[]).await? {
        let key = row.try_get(0)?;
        if is_free(transaction, key).await? {
            dead.push(key);
        }
    }
    Ok(dead)
}

/// Removes all rows of these runs, a portion after the other.
async fn remove_records(transaction: &Transaction<'_>, this: &Try, runs: &[i64]) -> Result<(), Fault> {
    let last = "SELECT key, (SELECT first_seq FROM record WHERE run = key ORDER BY first_seq DESC LIMIT 1)
        FROM unnest($1::bigint[]) AS key";
    let part = transaction.prepare_cached("DELETE FROM record WHERE run = $1 AND first_seq <= $2").await?;
    let rest = transaction.prepare_cached("DELETE FROM record WHERE run = ANY ($1)").await?;
    let (mut together, mut count) = (Vec::new(), 0);
    for row in transaction.query(last, &[&runs]).await? {
        let (run, mut left): (i64, i64) = (row.try_get(0)?, row.try_get::<_, Option<i64>>(1)?.unwrap_or(0));
        let mut first = 0;
        while left > PORTION {
            (first, left) = (first + PORTION, left - PORTION);
            transaction.execute(&part, &[&run, &first]).await?;
            this.hear();
        }
        together.push(run);
        count += left;
        if count > PORTION {
            transaction.execute(&rest, &[&together]).await?;
            this.hear();
            (together, count) = (Vec::new(), 0);
        }
    }
    transaction.execute(&rest, &[&together]).await?;
    this.hear();
    Ok(())
}

/// Waits for whoever has some of it just now: that may be a removal that has failed here and goes on there.
async fn lock(transaction: &Transaction<'_>, keys: &[i64], dead: &[i64]) -> Result<HashSet<i64>, Fault> {
    let statement = "SELECT key FROM run WHERE key = ANY ($1) AND (owner IS NULL OR owner = ANY ($2))
        ORDER BY key FOR UPDATE";
    let rows = transaction.query(statement, &[&keys, &dead]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}
