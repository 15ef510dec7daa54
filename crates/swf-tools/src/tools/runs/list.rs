//! `swf_list_runs`

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::Sql;

use crate::list::{List, Listing, Order, arguments, window};
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// List runs with timing and file counts, newest first; the last 7 days unless a time is given.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListRuns {
    /// Started at or after this time.
    pub start_time: Option<String>,
    /// Started at or before this time.
    pub end_time: Option<String>,
    /// Rows at most; 100 when left out.
    pub limit: Option<i64>,
    /// From `next` of the earlier answer.
    pub cursor: Option<String>,
}

/// A run.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunItem {
    run_number: i64,
    start_time: Iso,
    end_time: Option<Iso>,
    duration_seconds: Option<f64>,
    stf_file_count: i64,
}

#[derive(Deserialize)]
struct RunRow {
    run_number: i64,
    start_time: Iso,
    end_time: Option<Iso>,
    stf_file_count: i64,
}

impl Tool for ListRuns {
    const NAME: &'static str = "swf_list_runs";
    const TITLE: &'static str = "List runs";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"limit": 10}"#;
    type Output = List<RunItem>;

    async fn run(self, cx: &Cx) -> Result<List<RunItem>, Error> {
        let week = TimeDelta::days(7);
        let window = window(cx, self.start_time.as_deref(), self.end_time.as_deref(), Some(week))?;
        let mut sql = Sql::new("");
        sql.filter("r.start_time >= ?", window.start).filter("r.start_time <= ?", window.end);
        let listing = Listing {
            cx,
            input: arguments(&self),
            select: "r.run_number, r.start_time, r.end_time, \
                     (SELECT count(*) FROM swf_stf_files f WHERE f.run_id = r.run_id) AS stf_file_count"
                .into(),
            from: "swf_runs r".into(),
            conditions: sql,
            key: Order::descending("r.start_time"),
            tie: Order::descending("r.run_number"),
            maximum: 100,
            window,
            link: cx.link("Runs List", "/runs/", &[]),
        };
        let item = |row: RunRow| RunItem {
            run_number: row.run_number,
            duration_seconds: super::duration(row.start_time.0, row.end_time.map(|e| e.0)),
            start_time: row.start_time,
            end_time: row.end_time,
            stf_file_count: row.stf_file_count,
        };
        listing.fetch_with(item).await
    }
}
