//! `swf_list_tf_slices`

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::{Json, Sql};

use super::STATUSES;
use crate::detail::{Detail, Shape, Shown};
use crate::list::{List, Listing, Order, arguments, window};
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// List TF slices of fast processing, newest first; the last 24 hours unless a time, run or file is given.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListTfSlices {
    /// Only slices of this run.
    pub run_number: Option<i64>,
    /// Only slices of this STF file.
    pub stf_filename: Option<String>,
    /// Only slices of this TF sample.
    pub tf_filename: Option<String>,
    /// queued, processing, completed or failed.
    pub status: Option<String>,
    /// Only slices of this worker.
    pub assigned_worker: Option<String>,
    /// Created at or after this time.
    pub start_time: Option<String>,
    /// Created at or before this time.
    pub end_time: Option<String>,
    /// brief, normal or full.
    pub detail: Option<String>,
    /// Rows at most; 200 when left out.
    pub limit: Option<i64>,
    /// From `next` of the earlier answer.
    pub cursor: Option<String>,
}

/// A slice.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TfSliceItem {
    slice_id: i64,
    tf_filename: String,
    stf_filename: String,
    run_number: i64,
    tf_first: i64,
    tf_last: i64,
    tf_count: i64,
    status: String,
    assigned_worker: Option<String>,
    created_at: Iso,
    completed_at: Option<Iso>,
    retries: i64,
    assigned_at: Option<Iso>,
    metadata: Json,
}

const SHAPE: Shape =
    Shape { brief: &["slice_id", "tf_filename", "status"], full: &["retries", "assigned_at", "metadata"] };

impl Tool for ListTfSlices {
    const NAME: &'static str = "swf_list_tf_slices";
    const TITLE: &'static str = "List TF slices";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"run_number": 100010}"#;
    type Output = List<Shown<TfSliceItem>>;

    async fn run(self, cx: &Cx) -> Result<List<Shown<TfSliceItem>>, Error> {
        let detail = Detail::of(self.detail.as_deref())?;
        let narrow = self.run_number.is_some() || self.stf_filename.is_some() || self.tf_filename.is_some();
        let back = (!narrow).then(|| TimeDelta::hours(24));
        let window = window(cx, self.start_time.as_deref(), self.end_time.as_deref(), back)?;
        let mut sql = Sql::new("");
        sql.filter("created_at >= ?", window.start).filter("created_at <= ?", window.end);
        sql.filter("run_number = ?", self.run_number);
        sql.filter("stf_filename = ?", self.stf_filename.as_deref());
        sql.filter("tf_filename = ?", self.tf_filename.as_deref());
        sql.filter("lower(status) = ?", self.status.as_deref().map(status).transpose()?);
        sql.filter("assigned_worker = ?", self.assigned_worker.as_deref());
        let run = self.run_number.map(|r| r.to_string());
        let link = cx.link(
            "TF Slices List",
            "/tf-slices/",
            &[("run_number", run.as_deref()), ("status", self.status.as_deref())],
        );
        let listing = Listing {
            cx,
            input: arguments(&self),
            select: format!(
                "slice_id, tf_filename, stf_filename, run_number, tf_first, tf_last, tf_count, status, \
                 assigned_worker, created_at, completed_at, retries, assigned_at, {}",
                detail.column(Detail::Full, "metadata")
            ),
            from: "swf_tf_slices".into(),
            conditions: sql,
            key: Order::descending("created_at"),
            tie: Order::descending("id"),
            maximum: 200,
            window,
            link,
        };
        listing.fetch_with(|row: TfSliceItem| detail.show(&SHAPE, row)).await
    }
}

fn status(given: &str) -> Result<String, Error> {
    let status = given.to_lowercase();
    if STATUSES.contains(&status.as_str()) {
        return Ok(status);
    }
    let why = format!("'{given}' is not a status{}", crate::args::choices(given, &STATUSES));
    Err(Error::invalid("status", why))
}
