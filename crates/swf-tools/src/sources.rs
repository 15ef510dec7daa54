//! How fresh the facts are: broker connection and heartbeats, looked up at most every few seconds.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::Sql;

use crate::Cx;

/// Freshness of the sources behind an answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Sources {
    /// Whether messages arrive now; null when no broker is configured.
    pub broker_connected: Option<bool>,
    /// Seconds since the newest captured message; null when there is none.
    pub newest_message_age_seconds: Option<i64>,
    /// Seconds since the oldest heartbeat among agents that count as alive; null when there is none.
    pub oldest_heartbeat_age_seconds: Option<i64>,
}

/// Freshness figures are shared by all calls for this long.
const KEPT: TimeDelta = TimeDelta::seconds(5);

/// The last look, shared by all calls.
#[derive(Default)]
pub struct Cache(Mutex<Option<(DateTime<Utc>, Times)>>);

#[derive(Clone, Copy, Deserialize)]
struct Times {
    newest: Option<DateTime<Utc>>,
    oldest: Option<DateTime<Utc>>,
}

/// Looks how fresh the sources are. A database that does not answer leaves the figures null: the answer
/// itself has already said so.
pub async fn sources(cx: &Cx) -> Sources {
    let service = cx.service();
    let kept = service.sources.0.lock().ok().and_then(|kept| *kept);
    let times = match kept {
        Some((at, times)) if (cx.now - at).abs() < KEPT => Some(times),
        _ => {
            let alive = cx.now - service.settings.stale_after;
            let sql = Sql::new(
                "SELECT (SELECT max(sent_at) FROM swf_workflow_messages) AS newest, \
                 (SELECT min(last_heartbeat) FROM swf_systemagent WHERE status <> 'EXITED' AND \
                 operational_state <> 'EXITED' AND last_heartbeat >=",
            )
            .with("?) AS oldest", [alive.into()]);
            let times = cx.db.fetch_one::<Times>(&sql).await.ok();
            if let (Some(times), Ok(mut kept)) = (times, service.sources.0.lock()) {
                *kept = Some((cx.now, times));
            }
            times
        }
    };
    let age = |t: Option<DateTime<Utc>>| t.map(|t| (cx.now - t).num_seconds().max(0));
    Sources {
        broker_connected: service.bus.as_ref().map(|b| b.status().connected),
        newest_message_age_seconds: times.and_then(|t| age(t.newest)),
        oldest_heartbeat_age_seconds: times.and_then(|t| age(t.oldest)),
    }
}
