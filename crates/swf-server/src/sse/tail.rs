//! Follows the stored messages, so that clients of this process also see live what other replicas captured.
//!
//! *Invariant:* a message is handed on once, whether it comes from this process' capture or from here, and those
//! of one capturing replica in the order of their capture.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;
use swf_db::{Error, Json, Sql};
use swf_tools::Service;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::hub::Hub;
use crate::ingest::{self, Captured};

/// How often is looked: other replicas' messages arrive so much later.
const LOOK: Duration = Duration::from_millis(300);
/// The clocks of two replicas and the time that a transaction takes may differ by so much.
const OVERLAP: TimeDelta = TimeDelta::seconds(10);
/// Messages read at once.
const PAGE: usize = 500;

#[derive(Deserialize)]
struct Row {
    message_id: Uuid,
    message_content: Json,
    queue_name: Option<String>,
}

/// Runs until `shutdown`.
pub(super) async fn follow(hub: &Hub, service: &Service, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut newest = hub.started();
    let mut failing = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match look(hub, service, newest).await {
            Ok(seen) => (newest, failing) = (seen, false),
            Err(e) if failing => tracing::debug!("messages of other replicas cannot be read: {e}"),
            Err(e) => {
                failing = true;
                tracing::warn!("messages of other replicas cannot be read for now: {e}");
            }
        }
    }
}

/// Hands on what is new; gives back the time of the newest message seen.
async fn look(hub: &Hub, service: &Service, newest: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
    let sql = Sql::new("SELECT received_at, message_id FROM swfx_message_uid WHERE received_at >=").with(
        "? AND message_id IS NOT NULL ORDER BY received_at, message_id",
        // What was captured before the start is not news.
        [(newest - OVERLAP).max(hub.started()).into()],
    );
    let ledger: Vec<(DateTime<Utc>, Uuid)> = service.db.fetch_all(&sql).await?;
    let last = ledger.last().map_or(newest, |(at, _)| newest.max(*at));
    let unknown: Vec<(DateTime<Utc>, Uuid)> = ledger.into_iter().filter(|(_, id)| !hub.knows(*id)).collect();
    for page in unknown.chunks(PAGE) {
        hand_on(hub, service, page).await?;
    }
    Ok(last)
}

async fn hand_on(hub: &Hub, service: &Service, page: &[(DateTime<Utc>, Uuid)]) -> Result<(), Error> {
    let mut sql = Sql::new("SELECT message_id, message_content, queue_name FROM swf_workflow_messages");
    sql.and_in("message_id", page.iter().map(|(_, id)| (*id).into()));
    let rows: Vec<Row> = service.db.fetch_all(&sql).await?;
    let mut rows: HashMap<Uuid, Row> = rows.into_iter().map(|row| (row.message_id, row)).collect();
    for (at, id) in page {
        match rows.remove(id) {
            Some(Row { message_content: Json(Value::Object(body)), queue_name, .. }) => {
                let payload = ingest::payload(queue_name.as_deref().unwrap_or_default(), body, *at);
                hub.publish(&Captured { id: *id, payload: payload.into() });
            }
            // Heartbeats and dead letters have no message.
            _ => drop(hub.first_time(*id)),
        }
    }
    Ok(())
}
