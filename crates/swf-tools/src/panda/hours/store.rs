//! Closed hours in the database of record: a process that starts finds them, and replicas share them.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use swf_db::{Error, Sql};

use super::cell::{Cell, Hour};
use crate::panda::record::Record;

#[derive(Serialize)]
struct Written<'a, C> {
    words: &'a [String],
    cells: &'a [C],
}

#[derive(Deserialize)]
struct Read<C> {
    words: Vec<String>,
    cells: Vec<C>,
}

/// Hours of a PanDA (by its address) from the first to the last, both included; unreadable ones are left out.
pub async fn load<C: Cell>(
    record: &Record,
    panda: &str,
    first: NaiveDateTime,
    last: NaiveDateTime,
) -> Result<Vec<Hour<C>>, Error> {
    let mut sql = Sql::new("SELECT hour, made_at, body FROM swfx_panda_hour");
    sql.and("panda = ?", [panda.into()]).and("kind = ?", [C::KIND.into()]);
    sql.and("hour >= ?", [first.and_utc().into()]).and("hour <= ?", [last.and_utc().into()]);
    let rows: Vec<(DateTime<Utc>, DateTime<Utc>, String)> = record.fetch_all(&sql).await?;
    let read = |(hour, made_at, body): (DateTime<Utc>, DateTime<Utc>, String)| {
        let body: Read<C> = serde_json::from_str(&body).ok()?;
        Some(Hour { start: hour.naive_utc(), made_at, words: body.words, cells: body.cells })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Writes hours down; the newer reading stays.
pub async fn save<C: Cell>(record: &Record, panda: &str, hours: &[Hour<C>]) -> Result<(), Error> {
    // A statement of a day's hours stays far below the limits of either engine.
    for hours in hours.chunks(24) {
        let marks = vec!["(?, ?, ?, ?, ?, ?)"; hours.len()].join(", ");
        let mut sql = Sql::new("INSERT INTO swfx_panda_hour (id, panda, kind, hour, made_at, body) VALUES");
        sql.push(&marks, []);
        for hour in hours {
            let body = serde_json::to_string(&Written { words: &hour.words, cells: &hour.cells });
            let body = body.map_err(|e| Error::Row(e.to_string()))?;
            let id = format!("{} {} {panda}", C::KIND, hour.start);
            let start = hour.start.and_utc();
            sql.push(
                "",
                [id.into(), panda.into(), C::KIND.into(), start.into(), hour.made_at.into(), body.into()],
            );
        }
        sql.push(
            "ON CONFLICT (id) DO UPDATE SET made_at = excluded.made_at, body = excluded.body \
             WHERE excluded.made_at >= swfx_panda_hour.made_at",
            [],
        );
        record.execute(&sql).await?;
    }
    Ok(())
}

/// Removes hours that nobody asks for any more.
pub async fn purge(record: &Record, before: DateTime<Utc>) {
    let mut sql = Sql::new("DELETE FROM swfx_panda_hour");
    sql.and("hour < ?", [before.into()]);
    if let Err(e) = record.execute(&sql).await {
        tracing::debug!("old closed hours could not be removed: {e}");
    }
}

/// Removes all hours of a PanDA.
pub async fn forget(record: &Record, panda: &str) {
    let mut sql = Sql::new("DELETE FROM swfx_panda_hour");
    sql.and("panda = ?", [panda.into()]);
    if let Err(e) = record.execute(&sql).await {
        tracing::debug!("closed hours could not be removed: {e}");
    }
}
