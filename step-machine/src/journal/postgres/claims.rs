//! Who may write to which run.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::{Client, GenericClient, Transaction};
use tokio::time::sleep;

use super::error::Fault;
use super::values::{clean, exact, signed, unsigned};
use crate::journal::held::{Held, LastRow, Past};
use crate::journal::record::micros;
use crate::journal::{Claim, JournalError, Lease, Owner};
use crate::run_id::RunId;
use crate::time::timestamp;

/// A session needs a moment to end after its process did, so one that seems to live is looked at so often.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(15), Duration::from_millis(35)];

/// The leases that were given here and not given back, by the key of the run. All writers share it: one may have to know
/// what another one has.
pub(super) type Leases = RefCell<HashMap<i64, Lent>>;

/// A lease under way.
pub(super) struct Lent {
    pub(super) held: Held,
    /// Nothing more is taken by it, but the database does not have its end yet.
    pub(super) is_ending: bool,
}

impl Lent {
    pub(super) fn new(held: Held) -> Self {
        Self { held, is_ending: false }
    }
}

/// Whose journal this is.
#[derive(Clone, Copy)]
pub(super) struct Us<'a> {
    pub(super) key: i64,
    pub(super) leases: &'a Leases,
}

impl Us<'_> {
    /// Whether we drive a run that names us. We do not where its claim came through and only the answer was lost.
    fn drives(&self, run: i64) -> bool {
        self.leases.borrow().contains_key(&run)
    }
}

/// A lease, and what is known of it.
pub(super) struct Granted {
    pub(super) lease: Lease,
    pub(super) held: Held,
}

/// A run by its id, with its row locked.
struct Found {
    key: i64,
    owner: Option<i64>,
    abandoned: Option<String>,
    metadata: String,
    last_seq: u64,
    has_begun: bool,
}

/// Claims runs that are not there yet, in one statement; those that are there are left out.
pub(super) async fn begin(client: &Client, us: i64, runs: &[&RunId]) -> Result<HashMap<RunId, Granted>, Fault> {
    let ids: Vec<String> = runs.iter().map(ToString::to_string).collect();
    let statement = client
        .prepare_cached(
            "INSERT INTO run (id, epoch, owner) SELECT id, 1, $2 FROM unnest($1::text[]) AS new (id) ORDER BY id
            ON CONFLICT (id) DO NOTHING RETURNING id, key",
        )
        .await?;
    let mut begun = HashMap::new();
    for row in client.query(&statement, &[&ids, &us]).await? {
        let run = RunId::from(row.try_get::<_, String>(0)?);
        let lease = Lease::new(run.clone(), 1, row.try_get(1)?);
        begun.insert(run.clone(), Granted { held: Held::new(&run, 1, None)?, lease });
    }
    Ok(begun)
}

/// Claims a run.
pub(super) async fn claim(client: &mut Client, us: Us<'_>, claim: &Claim) -> Result<Granted, Fault> {
    let transaction = client.transaction().await?;
    let run = &claim.run;
    let found = find_or_make(&transaction, run).await?;
    if let Some(why) = found.abandoned.clone() {
        return Err(Fault::Alone(JournalError::Abandoned { run: run.clone(), why }));
    }
    if !claim.take_over {
        check_free(&transaction, us, run, &found).await?;
    }
    take_names(&transaction, us, claim, found.key).await?;
    let statement = "UPDATE run SET epoch = epoch + 1, owner = $2 WHERE key = $1 RETURNING epoch";
    let epoch = unsigned(transaction.query_one(statement, &[&found.key, &us.key]).await?.try_get(0)?);
    if let Some(former) = found.owner.filter(|owner| *owner != us.key) {
        forget(&transaction, former).await?;
    }
    let past = past(&transaction, &found).await?;
    let held = Held::new(run, epoch, Some(past))?;
    transaction.commit().await?;
    Ok(Granted { lease: Lease::new(run.clone(), epoch, found.key), held })
}

async fn find_or_make(transaction: &Transaction<'_>, run: &RunId) -> Result<Found, Fault> {
    loop {
        if let Some(found) = find(transaction, run).await? {
            return Ok(found);
        }
        let statement = "INSERT INTO run (id, epoch) VALUES ($1, 0) ON CONFLICT (id) DO NOTHING";
        transaction.execute(statement, &[&run.to_string()]).await?;
    }
}

/// Locks the row. What hangs on it is read by statements of their own: they see what whoever had the lock before wrote.
async fn find(transaction: &Transaction<'_>, run: &RunId) -> Result<Option<Found>, Fault> {
    let statement = transaction
        .prepare_cached(
            "SELECT key, owner, abandoned_why, metadata::text, last_seq,
            workflow IS NOT NULL OR EXISTS (SELECT FROM record WHERE record.run = run.key)
            FROM run WHERE id = $1 FOR UPDATE",
        )
        .await?;
    let Some(row) = transaction.query_opt(&statement, &[&run.to_string()]).await? else { return Ok(None) };
    Ok(Some(Found {
        key: row.try_get(0)?,
        owner: row.try_get(1)?,
        abandoned: row.try_get(2)?,
        metadata: row.try_get(3)?,
        last_seq: unsigned(row.try_get(4)?),
        has_begun: row.try_get(5)?,
    }))
}

async fn past(transaction: &Transaction<'_>, found: &Found) -> Result<Past, Fault> {
    let statement = transaction
        .prepare_cached(
            "SELECT last_seq, at, percentage, phase FROM record WHERE run = $1 ORDER BY first_seq DESC LIMIT 1",
        )
        .await?;
    let last = match transaction.query_opt(&statement, &[&found.key]).await? {
        Some(row) => {
            let (last_seq, at_us) = (unsigned(row.try_get(0)?), micros(row.try_get(1)?));
            LastRow { last_seq, at_us, percentage: row.try_get(2)?, phase: row.try_get(3)? }
        }
        None => LastRow::default(),
    };
    Ok(Past { last_seq: found.last_seq, metadata: found.metadata.clone(), last })
}

/// Fails where somebody who lives drives the run.
async fn check_free(transaction: &Transaction<'_>, us: Us<'_>, run: &RunId, found: &Found) -> Result<(), Fault> {
    match living_owner(transaction, us, found.key, found.owner).await? {
        Some(owner) => Err(Fault::Alone(JournalError::Owned { run: run.clone(), owner })),
        None => Ok(()),
    }
}

/// Who drives a run, where that one lives.
async fn living_owner(
    transaction: &Transaction<'_>,
    us: Us<'_>,
    run: i64,
    owner: Option<i64>,
) -> Result<Option<Owner>, Fault> {
    let Some(owner) = owner else { return Ok(None) };
    let lives = if owner == us.key { us.drives(run) } else { lives(transaction, owner).await? };
    if lives { owner_by(transaction, owner).await } else { Ok(None) }
}

/// Whether a session holds the lock of this owner. Shared, so that two who ask at once are not in each other's way; and
/// held until the end of the transaction, so that a session that begins anew waits for it.
async fn lives(transaction: &Transaction<'_>, owner: i64) -> Result<bool, Fault> {
    for pause in LOOKS {
        sleep(pause).await;
        if is_free(transaction, owner).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether no session holds the lock of this owner just now.
pub(super) async fn is_free(transaction: &Transaction<'_>, owner: i64) -> Result<bool, Fault> {
    let statement = transaction.prepare_cached("SELECT pg_try_advisory_xact_lock_shared($1)").await?;
    Ok(transaction.query_one(&statement, &[&owner]).await?.try_get(0)?)
}

/// The owner of this key; `None` where nobody is.
async fn owner_by(client: &impl GenericClient, key: i64) -> Result<Option<Owner>, Fault> {
    let statement = client.prepare_cached("SELECT host, pid, since FROM owner WHERE key = $1").await?;
    let row = client.query_opt(&statement, &[&key]).await?;
    row.map(|row| Ok(owner_of(&row, 0)?)).transpose()
}

/// The columns of who an owner is.
pub(super) fn owner_of(row: &Row, at: usize) -> Result<Owner, deadpool_postgres::tokio_postgres::Error> {
    let pid = u32::try_from(row.try_get::<_, i64>(at + 1)?).unwrap_or(0);
    Ok(Owner::new(row.try_get::<_, String>(at)?, pid, timestamp(row.try_get(at + 2)?)))
}

/// Who drives a run that was taken over, and whether we are named though we do not.
pub(super) async fn new_owner(client: &Client, us: Us<'_>, run: i64) -> Result<(Option<Owner>, bool), Fault> {
    let statement = client
        .prepare_cached(
            "SELECT owner.host, owner.pid, owner.since, owner.key FROM run JOIN owner ON owner.key = run.owner
            WHERE run.key = $1",
        )
        .await?;
    let Some(row) = client.query_opt(&statement, &[&run]).await? else { return Ok((None, false)) };
    // A lease that was ended while our session was lost leaves us named.
    let is_left = row.try_get::<_, i64>(3)? == us.key && !us.drives(run);
    Ok(((!is_left).then(|| owner_of(&row, 0)).transpose()?, is_left))
}

/// Makes the run hold these names and no others.
async fn take_names(transaction: &Transaction<'_>, us: Us<'_>, claim: &Claim, run: i64) -> Result<(), Fault> {
    let names: BTreeSet<&str> = claim.exclusive.iter().map(String::as_str).collect();
    let wanted: Vec<&str> = names.iter().copied().collect();
    transaction.execute("DELETE FROM exclusive WHERE run = $1 AND name <> ALL ($2)", &[&run, &wanted]).await?;
    // In one order for all, so that two who want the same ones do not wait for each other.
    for name in names {
        exact(&claim.run, name)?;
        take_name(transaction, us, claim, run, name).await?;
    }
    Ok(())
}

async fn take_name(
    transaction: &Transaction<'_>,
    us: Us<'_>,
    claim: &Claim,
    run: i64,
    name: &str,
) -> Result<(), Fault> {
    loop {
        // Waits for whoever is just doing the same.
        let statement = "INSERT INTO exclusive (name, run) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        if transaction.execute(statement, &[&name, &run]).await? == 1 {
            return Ok(());
        }
        let statement = "SELECT run FROM exclusive WHERE name = $1 FOR UPDATE";
        let Some(row) = transaction.query_opt(statement, &[&name]).await? else { continue };
        let holder: i64 = row.try_get(0)?;
        if holder != run {
            end_holding(transaction, us, claim, name, holder).await?;
            let statement = "UPDATE exclusive SET run = $2 WHERE name = $1";
            transaction.execute(statement, &[&name, &run]).await?;
        }
        return Ok(());
    }
}

/// Ends the lease of another run that holds a name; fails where it is driven, unless it is to be taken over.
async fn end_holding(
    transaction: &Transaction<'_>,
    us: Us<'_>,
    claim: &Claim,
    name: &str,
    holder: i64,
) -> Result<(), Fault> {
    let statement = "SELECT id, owner FROM run WHERE key = $1 FOR UPDATE";
    let row = transaction.query_one(statement, &[&holder]).await?;
    let owner = living_owner(transaction, us, holder, row.try_get(1)?).await?;
    let is_driven = owner.is_some();
    if let Some(owner) = owner.filter(|_| !claim.take_over) {
        let (run, name, owner) = (claim.run.clone(), name.to_owned(), Box::new(owner));
        let holder = RunId::from(row.try_get::<_, String>(0)?);
        return Err(Fault::Alone(JournalError::Exclusive { run, name, holder, owner }));
    }
    // Also of an owner whose session is lost: where that one lives after all, it must not write any more. The one who
    // drove the run stays named where it is dead.
    let statement = "UPDATE run SET epoch = epoch + 1, owner = CASE WHEN $2 THEN NULL ELSE owner END WHERE key = $1";
    transaction.execute(statement, &[&holder, &is_driven]).await?;
    transaction.execute("DELETE FROM exclusive WHERE run = $1 AND name <> $2", &[&holder, &name]).await?;
    Ok(())
}

/// Removes an owner whom no run names any more, unless it lives.
async fn forget(transaction: &Transaction<'_>, owner: i64) -> Result<(), Fault> {
    if is_free(transaction, owner).await? {
        let statement = "DELETE FROM owner WHERE key = $1 AND NOT EXISTS (SELECT FROM run WHERE run.owner = $1)";
        transaction.execute(statement, &[&owner]).await?;
    }
    Ok(())
}

/// Ends a lease, and says whether it still held.
pub(super) async fn give_back(client: &mut Client, lease: &Lease, last_seq: u64) -> Result<bool, Fault> {
    let (key, epoch) = (lease.key, signed(lease.epoch));
    let transaction = client.transaction().await?;
    let statement = "UPDATE run SET owner = NULL, last_seq = greatest(last_seq, $3) WHERE key = $1 AND epoch = $2";
    let is_held = transaction.execute(statement, &[&key, &epoch, &signed(last_seq)]).await? == 1;
    if is_held {
        clear(&transaction, key).await?;
    }
    transaction.commit().await?;
    Ok(is_held)
}

/// Lets go of a run that names us though we do not drive it: nobody else could have it as long as we live. Its claim came
/// through and only the answer was lost, or its lease was ended by others while our session was lost.
pub(super) async fn let_go(client: &mut Client, us: Us<'_>, run: &RunId) -> Result<(), Fault> {
    let transaction = client.transaction().await?;
    let found = find(&transaction, run).await?;
    let Some(found) = found.filter(|found| found.owner == Some(us.key) && !us.drives(found.key)) else { return Ok(()) };
    let statement = "UPDATE run SET owner = NULL, epoch = epoch + 1 WHERE key = $1";
    transaction.execute(statement, &[&found.key]).await?;
    clear(&transaction, found.key).await?;
    transaction.commit().await?;
    Ok(())
}

/// Frees the names of a run that nobody drives any more. One that has no event was never there.
async fn clear(transaction: &Transaction<'_>, run: i64) -> Result<(), Fault> {
    transaction.execute("DELETE FROM exclusive WHERE run = $1", &[&run]).await?;
    let statement =
        "DELETE FROM run WHERE key = $1 AND last_seq = 0 AND NOT EXISTS (SELECT FROM record WHERE run = $1)";
    transaction.execute(statement, &[&run]).await?;
    Ok(())
}

/// Gives up a run.
pub(super) async fn abandon(client: &mut Client, us: Us<'_>, run: &RunId, why: &str) -> Result<(), Fault> {
    let transaction = client.transaction().await?;
    let found = find(&transaction, run).await?.filter(|found| found.has_begun);
    let Some(found) = found else { return Err(Fault::Alone(JournalError::NotFound { run: run.clone() })) };
    check_free(&transaction, us, run, &found).await?;
    let now = timestamp(SystemTime::now());
    let statement = "UPDATE run SET abandoned_why = $2, abandoned_at = $3, epoch = epoch + 1 WHERE key = $1";
    transaction.execute(statement, &[&found.key, &clean(why), &now]).await?;
    transaction.execute("DELETE FROM exclusive WHERE run = $1", &[&found.key]).await?;
    transaction.commit().await?;
    Ok(())
}
