//! `swf_list_stf_files`

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::{Json, Sql};

use crate::detail::{Detail, Shape, Shown};
use crate::list::{List, Listing, Order, arguments, window};
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// List STF files, newest first; the last 24 hours unless a time or a run is given.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListStfFiles {
    /// Only files of this run.
    pub run_number: Option<i64>,
    /// registered, processing, processed, done or failed.
    pub status: Option<String>,
    /// Detector state, e.g. physics, cosmics.
    pub machine_state: Option<String>,
    /// Created at or after this time.
    pub start_time: Option<String>,
    /// Created at or before this time.
    pub end_time: Option<String>,
    /// brief, normal or full.
    pub detail: Option<String>,
    /// Rows at most; 100 when left out.
    pub limit: Option<i64>,
    /// From `next` of the earlier answer.
    pub cursor: Option<String>,
}

/// An STF file.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StfFileItem {
    file_id: String,
    stf_filename: String,
    run_number: i64,
    status: String,
    machine_state: String,
    file_size_bytes: Option<i64>,
    created_at: Iso,
    tf_file_count: i64,
    checksum: Option<String>,
    metadata: Json,
    workflow_id: Option<String>,
    daq_state: Option<String>,
    daq_substate: Option<String>,
    workflow_status: Option<String>,
}

const SHAPE: Shape = Shape {
    brief: &["stf_filename", "status"],
    full: &["checksum", "metadata", "workflow_id", "daq_state", "daq_substate", "workflow_status"],
};

impl Tool for ListStfFiles {
    const NAME: &'static str = "swf_list_stf_files";
    const TITLE: &'static str = "List STF files";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"run_number": 100010}"#;
    type Output = List<Shown<StfFileItem>>;

    async fn run(self, cx: &Cx) -> Result<List<Shown<StfFileItem>>, Error> {
        let detail = Detail::of(self.detail.as_deref())?;
        let back = self.run_number.is_none().then(|| TimeDelta::hours(24));
        let window = window(cx, self.start_time.as_deref(), self.end_time.as_deref(), back)?;
        let mut sql = Sql::new("");
        sql.filter("f.created_at >= ?", window.start).filter("f.created_at <= ?", window.end);
        sql.filter("r.run_number = ?", self.run_number);
        sql.filter("lower(f.status) = ?", self.status.as_deref().map(super::status).transpose()?);
        sql.filter("lower(f.machine_state) = lower(?)", self.machine_state.as_deref());
        let run = self.run_number.map(|r| r.to_string());
        let link = cx.link(
            "STF Files List",
            "/stf-files/",
            &[("run_number", run.as_deref()), ("status", self.status.as_deref())],
        );
        let listing = Listing {
            cx,
            input: arguments(&self),
            select: format!(
                "f.file_id, f.stf_filename, r.run_number, f.status, f.machine_state, f.file_size_bytes, \
                 f.created_at, {}, f.checksum, {}, f.workflow_id, f.daq_state, f.daq_substate, f.workflow_status",
                super::TF_FILE_COUNT,
                detail.column(Detail::Full, "f.metadata")
            ),
            from: super::FROM.into(),
            conditions: sql,
            key: Order::descending("f.created_at"),
            tie: Order::descending(cx.db.dialect().byte_order(&cx.db.dialect().text("f.file_id"))),
            maximum: 100,
            window,
            link,
        };
        listing.fetch_with(|row: StfFileItem| detail.show(&SHAPE, row)).await
    }
}
