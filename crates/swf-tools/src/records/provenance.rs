//! Data provenance ids: which tool call an answer came from.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};
use swf_db::{Json, Sql};

use super::{Error, Store};
use crate::time::iso;

#[derive(Deserialize)]
struct Stored {
    dpid: String,
    tool_name: String,
    tool_args: Json,
    created_at: DateTime<Utc>,
}

/// Ids are as wide as their column at most.
const DPID: std::ops::RangeInclusive<usize> = 1..=12;
/// Width of the column for the tool's name.
const TOOL_NAME: usize = 100;

impl Store {
    /// Keeps which call an id was given to. The same id with the same call may come again; with another it is
    /// refused.
    pub async fn record_provenance(
        &self,
        dpid: &str,
        tool: &str,
        arguments: &JsonValue,
    ) -> Result<(), Error> {
        if !DPID.contains(&dpid.len()) || !dpid.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(Error::field("dpid", "must be 1 to 12 letters and digits."));
        }
        if tool.is_empty() || tool.chars().count() > TOOL_NAME {
            return Err(Error::field("tool_name", format!("must have 1 to {TOOL_NAME} characters.")));
        }
        let sql = Sql::new("INSERT INTO swf_data_provenance (dpid, tool_name, tool_args, created_at)").with(
            "VALUES (?, ?, ?, ?) ON CONFLICT (dpid) DO NOTHING",
            [dpid.into(), tool.into(), arguments.clone().into(), self.clock.now().into()],
        );
        self.db.execute(&sql).await?;
        let kept = self.provenance(dpid).await?;
        let same = kept.is_some_and(|k| {
            k.get("tool_name").and_then(JsonValue::as_str) == Some(tool)
                && k.get("tool_args") == Some(arguments)
        });
        if same { Ok(()) } else { Err(Error::Conflict(format!("dpid {dpid} belongs to another call."))) }
    }

    /// The call behind an id; `None` for an id that was never given out.
    pub async fn provenance(&self, dpid: &str) -> Result<Option<JsonValue>, Error> {
        let sql = Sql::new("SELECT dpid, tool_name, tool_args, created_at FROM swf_data_provenance")
            .with("WHERE dpid = ?", [dpid.into()]);
        let found: Option<Stored> = self.db.fetch_optional(&sql).await?;
        Ok(found.map(|s| {
            json!({
                "dpid": s.dpid,
                "tool_name": s.tool_name,
                "tool_args": s.tool_args,
                "created_at": iso(s.created_at),
                "verified": true,
            })
        }))
    }

    /// The newest ids.
    pub async fn newest_provenance(&self) -> Result<Vec<JsonValue>, Error> {
        let sql = Sql::new(
            "SELECT dpid, tool_name, tool_args, created_at FROM swf_data_provenance \
             ORDER BY created_at DESC, id DESC LIMIT 20",
        );
        let rows: Vec<Stored> = self.db.fetch_all(&sql).await?;
        Ok(rows
            .into_iter()
            .map(|s| json!({"dpid": s.dpid, "tool_name": s.tool_name, "created_at": iso(s.created_at)}))
            .collect())
    }
}
