//! The rows of clients in `swf_subscribers`: written before a client joins, counted in batches, closed when it
//! leaves, and forgotten after a while.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use swf_db::{Error, Sql, Value};
use swf_tools::Service;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::filter::Filter;
use super::hub::{Entry, Hub};

/// Counts are written this often.
const WRITE: Duration = Duration::from_secs(5);
/// Rounds of writing between two signs of life of this process and searches for what others left behind.
const SWEEP: u32 = 60;
/// Clients of a process without such a sign for this long are gone with it.
const LOST: TimeDelta = TimeDelta::minutes(30);
/// Rows in one statement.
const CHUNK: usize = 200;
/// What stands in `description` before the name of the process.
const MARK: &str = "event stream of swf@";

/// The row of a client.
pub(super) struct Row {
    /// Id of the client.
    pub client: Uuid,
    /// Key of the row.
    pub key: i64,
}

fn description() -> String {
    format!("{MARK}{}:{}", swf_tools::liveness::local_host(), std::process::id())
}

/// Writes the row of a new client.
pub(super) async fn open(
    service: &Service,
    filter: &Filter,
    ip: Option<IpAddr>,
    place: &str,
) -> Result<Row, Error> {
    // The name has only eight digits of the id: another client may have the same.
    let mut tries = 3;
    loop {
        let client = Uuid::new_v4();
        match service.db.fetch_one::<i64>(&insert(service, client, filter, ip, place)).await {
            Err(Error::Unique { .. }) if tries > 0 => tries -= 1,
            Err(e) => return Err(e),
            Ok(key) => return Ok(Row { client, key }),
        }
    }
}

fn insert(service: &Service, client: Uuid, filter: &Filter, ip: Option<IpAddr>, place: &str) -> Sql {
    let now = service.clock.now();
    let short: String = client.simple().to_string().chars().take(8).collect();
    let marks = format!(
        "(?, ?, ?, ?, ?, {}, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING subscriber_id",
        service.db.dialect().inet_parameter()
    );
    Sql::new(
        "INSERT INTO swf_subscribers (subscriber_name, description, is_active, created_at, updated_at, client_ip, \
         client_location, connected_at, last_activity, delivery_type, message_filters, messages_received, \
         messages_sent, messages_dropped) VALUES",
    )
    .with(
        &marks,
        [
            format!("sse_{short}").into(),
            description().into(),
            true.into(),
            now.into(),
            now.into(),
            ip.map(|ip| ip.to_string()).into(),
            place.into(),
            now.into(),
            now.into(),
            "sse".into(),
            filter.json().into(),
            Value::Int(0),
            Value::Int(0),
            Value::Int(0),
        ],
    )
}

/// Keeps the rows current until `shutdown`, then closes those of this process.
pub(super) async fn keep(hub: &Hub, service: &Service, shutdown: CancellationToken) {
    let mut rounds = tokio::time::interval(WRITE);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut round = 0;
    loop {
        let ended = tokio::select! {
            () = shutdown.cancelled() => true,
            _ = rounds.tick() => false,
        };
        let mut gone = hub.take_gone();
        let staying = hub.clients();
        let counted = count(service, staying.iter().chain(&gone)).await;
        if ended {
            gone.extend(staying);
        }
        let closed = match counted {
            Ok(()) => close(service, &gone).await,
            Err(e) => Err(e),
        };
        if let Err(e) = closed {
            tracing::warn!("the rows of event stream clients could not be written: {e}");
            hub.put_back(gone);
        }
        if ended {
            return;
        }
        if round % SWEEP == 0
            && let Err(e) = sweep(service, hub).await
        {
            tracing::warn!("old rows of event stream clients could not be removed: {e}");
        }
        round += 1;
    }
}

/// Adds what was sent and dropped since the last time; what cannot be written is kept for the next.
async fn count(service: &Service, entries: impl Iterator<Item = &Arc<Entry>>) -> Result<(), Error> {
    let changes: Vec<(&Arc<Entry>, u32, u32)> = entries
        .map(|e| (e, e.sent.swap(0, Ordering::Relaxed), e.dropped.swap(0, Ordering::Relaxed)))
        .filter(|(_, sent, dropped)| sent + dropped > 0)
        .collect();
    let mut written = Ok(());
    for chunk in changes.chunks(CHUNK) {
        if written.is_ok() {
            written = service.db.execute(&addition(service, chunk)).await.map(|_| ());
        }
        for (entry, sent, dropped) in chunk {
            match written {
                Ok(()) => metrics::counter!("swf_sse_sent_total").increment((*sent).into()),
                Err(_) => {
                    entry.sent.fetch_add(*sent, Ordering::Relaxed);
                    entry.dropped.fetch_add(*dropped, Ordering::Relaxed);
                }
            }
        }
    }
    written
}

fn addition(service: &Service, chunk: &[(&Arc<Entry>, u32, u32)]) -> Sql {
    let now = service.clock.now();
    let first = "SELECT ? AS id, ? AS sent, ? AS dropped".to_owned();
    let others = chunk.iter().skip(1).map(|_| "SELECT ?, ?, ?".to_owned());
    let table = std::iter::once(first).chain(others).collect::<Vec<_>>().join(" UNION ALL ");
    let values =
        chunk.iter().flat_map(|(e, sent, dropped)| [Value::Int(e.row), (*sent).into(), (*dropped).into()]);
    Sql::new(
        "UPDATE swf_subscribers SET messages_sent = swf_subscribers.messages_sent + c.sent, \
         messages_dropped = swf_subscribers.messages_dropped + c.dropped,",
    )
    .with("last_activity = ?, updated_at = ?", [now.into(), now.into()])
    .with(&format!("FROM ({table}) AS c WHERE swf_subscribers.subscriber_id = c.id"), values)
}

async fn close(service: &Service, gone: &[Arc<Entry>]) -> Result<(), Error> {
    let now = service.clock.now();
    for chunk in gone.chunks(CHUNK) {
        let mut sql = Sql::new("UPDATE swf_subscribers SET").with(
            "is_active = ?, disconnected_at = ?, updated_at = ?",
            [false.into(), now.into(), now.into()],
        );
        sql.and_in("subscriber_id", chunk.iter().map(|e| Value::Int(e.row)));
        service.db.execute(&sql).await?;
    }
    Ok(())
}

/// Shows that this process lives, closes the rows of processes that no longer do, and forgets old rows.
async fn sweep(service: &Service, hub: &Hub) -> Result<(), Error> {
    let now = service.clock.now();
    let alive = Sql::new("UPDATE swf_subscribers SET updated_at =").with(
        "? WHERE delivery_type = 'sse' AND is_active = ? AND description = ?",
        [now.into(), true.into(), description().into()],
    );
    service.db.execute(&alive).await?;
    let lost = Sql::new("UPDATE swf_subscribers SET is_active =").with(
        "?, disconnected_at = updated_at WHERE delivery_type = 'sse' AND is_active = ? AND updated_at < ? AND \
         description LIKE ?",
        [false.into(), true.into(), (now - LOST).into(), format!("{MARK}%").into()],
    );
    service.db.execute(&lost).await?;
    let old = Sql::new("DELETE FROM swf_subscribers WHERE delivery_type = 'sse' AND is_active =")
        .with("? AND disconnected_at < ?", [false.into(), (now - hub.config().keep_rows).into()]);
    let removed = service.db.execute(&old).await?;
    if removed > 0 {
        tracing::info!("removed {removed} rows of event stream clients that left long ago");
    }
    Ok(())
}
