//! Deletes, from time to time, what was kept long enough.
//!
//! *Invariant:* of several replicas one does it, and between two batches others get at the tables.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use swf_db::Error;
use swf_tools::retention::{self, BATCH, Due, Policy};
use swf_tools::{Service, lease};
use tokio_util::sync::CancellationToken;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(600);
/// Time left to others between two batches.
const PAUSE: Duration = Duration::from_millis(50);
/// A replica that dies in the middle of a round is replaced after this time.
const LEASE: TimeDelta = TimeDelta::minutes(5);
const LEASE_NAME: &str = "retention";

/// Runs until `shutdown`.
pub async fn run(service: Arc<Service>, policy: Policy, shutdown: CancellationToken) {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let holder = format!("{}:{}", swf_tools::liveness::local_host(), uuid::Uuid::new_v4().simple());
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = rounds.tick() => {}
        }
        let done = tokio::select! {
            // A batch that is cut off is rolled back; the next round takes it.
            () = shutdown.cancelled() => return,
            done = round(&service, &policy, &holder) => done,
        };
        match done {
            Err(e) => tracing::warn!("old rows could not be deleted: {e}"),
            Ok(None) => tracing::debug!("another replica deletes old rows"),
            Ok(Some(_)) => {}
        }
    }
}

/// One round: deletes all that is due and says how many rows of which table; `None` while another replica
/// does it. A table that fails, for a statement limit or a right that is missing, holds up no other.
pub async fn round(
    service: &Service,
    policy: &Policy,
    holder: &str,
) -> Result<Option<Vec<(&'static str, u64)>>, Error> {
    let db = &service.db;
    if !mine(service, holder).await? {
        return Ok(None);
    }
    let mut deleted = Vec::new();
    for due in retention::plan(db, policy, service.clock.now()).await?.0 {
        let mut rows = 0;
        let done = empty(service, &due, holder, &mut rows).await;
        if rows > 0 {
            tracing::info!("deleted {rows} row(s) of {} from before {}", due.table, due.before);
            metrics::counter!("swf_expired_rows_total", "table" => due.table).increment(rows);
            deleted.push((due.table, rows));
        }
        match done {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!("another replica took over deleting old rows");
                return Ok(Some(deleted));
            }
            Err(e) => tracing::warn!("old rows of {} could not be deleted: {e}", due.table),
        }
    }
    lease::give_back(db, LEASE_NAME, holder).await?;
    Ok(Some(deleted))
}

async fn mine(service: &Service, holder: &str) -> Result<bool, Error> {
    lease::take(&service.db, service.clock.now(), LEASE_NAME, holder, LEASE).await
}

/// Deletes batch after batch, counting in `rows`; false when the lease was lost on the way.
async fn empty(service: &Service, due: &Due, holder: &str, rows: &mut u64) -> Result<bool, Error> {
    loop {
        let some = due.delete_some(&service.db).await?;
        *rows += some;
        if some < BATCH.unsigned_abs() {
            return Ok(true);
        }
        tokio::time::sleep(PAUSE).await;
        if !mine(service, holder).await? {
            return Ok(false);
        }
    }
}
