//! Deletes, from time to time, what was kept long enough.
//!
//! *Invariant:* of several replicas one does it, and between two batches others get at the tables.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use swf_db::Error;
use swf_tools::retention::{self, BATCH, Policy};
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
/// does it.
pub async fn round(
    service: &Service,
    policy: &Policy,
    holder: &str,
) -> Result<Option<Vec<(&'static str, u64)>>, Error> {
    let db = &service.db;
    let mine = || lease::take(db, service.clock.now(), LEASE_NAME, holder, LEASE);
    if !mine().await? {
        return Ok(None);
    }
    let mut deleted = Vec::new();
    for due in retention::plan(db, policy, service.clock.now()).await?.0 {
        let mut rows = 0;
        loop {
            let some = due.delete_some(db).await?;
            rows += some;
            if some < BATCH.unsigned_abs() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            if !mine().await? {
                tracing::warn!("another replica took over deleting old rows from {}", due.table);
                return Ok(Some(deleted));
            }
        }
        if rows > 0 {
            tracing::info!("deleted {rows} row(s) of {} from before {}", due.table, due.before);
            metrics::counter!("swf_expired_rows_total", "table" => due.table).increment(rows);
            deleted.push((due.table, rows));
        }
    }
    lease::give_back(db, LEASE_NAME, holder).await?;
    Ok(Some(deleted))
}
