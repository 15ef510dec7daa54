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

impl Store {
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
