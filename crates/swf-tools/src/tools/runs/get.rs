//! `swf_get_run`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::{Json, Sql};

use crate::list::Link;
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// One run: timing, conditions, and its STF files counted by status.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetRun {
    /// As swf_list_runs gives it.
    pub run_number: i64,
}

/// A run in full.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunDetail {
    run_number: i64,
    start_time: Iso,
    end_time: Option<Iso>,
    duration_seconds: Option<f64>,
    run_conditions: Json,
    file_stats: FileStats,
    total_stf_files: i64,
    stf_file_count: i64,
    monitor_urls: Vec<Link>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FileStats {
    registered: i64,
    processing: i64,
    processed: i64,
    failed: i64,
    done: i64,
}

#[derive(Deserialize)]
struct RunRow {
    run_number: i64,
    start_time: Iso,
    end_time: Option<Iso>,
    run_conditions: Json,
    total: i64,
    registered: i64,
    processing: i64,
    processed: i64,
    failed: i64,
    done: i64,
}

impl Tool for GetRun {
    const NAME: &'static str = "swf_get_run";
    const TITLE: &'static str = "Run detail";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"run_number": 100010}"#;
    type Output = RunDetail;

    async fn run(self, cx: &Cx) -> Result<RunDetail, Error> {
        let of = |status: &str| format!("count(f.file_id) FILTER (WHERE f.status = '{status}') AS {status}");
        let counts: Vec<String> = crate::tables::swf_stf_files::STATUSES.iter().map(|s| of(s)).collect();
        let sql = Sql::new(format!(
            "SELECT r.run_number, r.start_time, r.end_time, r.run_conditions, count(f.file_id) AS total, {} \
             FROM swf_runs r LEFT JOIN swf_stf_files f ON f.run_id = r.run_id WHERE r.run_number =",
            counts.join(", ")
        ))
        .with("? GROUP BY r.run_id", [self.run_number.into()]);
        let Some(run) = cx.db.fetch_optional::<RunRow>(&sql).await? else {
            return Err(Error::not_found("Run", self.run_number, "swf_list_runs lists the run numbers"));
        };
        Ok(RunDetail {
            run_number: run.run_number,
            duration_seconds: super::duration(run.start_time.0, run.end_time.map(|e| e.0)),
            start_time: run.start_time,
            end_time: run.end_time,
            run_conditions: run.run_conditions,
            file_stats: FileStats {
                registered: run.registered,
                processing: run.processing,
                processed: run.processed,
                failed: run.failed,
                done: run.done,
            },
            total_stf_files: run.total,
            stf_file_count: run.total,
            monitor_urls: vec![cx.link_to("Run Detail", "/runs/", &run.run_number.to_string())],
        })
    }
}
