//! `swf_get_tf_slice`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::{Json, Sql};

use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// One TF slice with its assignment, retries and result.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetTfSlice {
    /// TF sample it belongs to.
    pub tf_filename: String,
    /// Number within the sample.
    pub slice_id: i64,
}

/// A slice in full.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TfSliceDetail {
    slice_id: i64,
    tf_filename: String,
    stf_filename: String,
    run_number: i64,
    tf_first: i64,
    tf_last: i64,
    tf_count: i64,
    status: String,
    retries: i64,
    assigned_worker: Option<String>,
    assigned_at: Option<Iso>,
    created_at: Iso,
    completed_at: Option<Iso>,
    metadata: Json,
}

impl Tool for GetTfSlice {
    const NAME: &'static str = "swf_get_tf_slice";
    const TITLE: &'static str = "TF slice detail";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str =
        r#"{"tf_filename": "swf.100010.000001_tf_001_slice_000.tf", "slice_id": 0}"#;
    type Output = TfSliceDetail;

    async fn run(self, cx: &Cx) -> Result<TfSliceDetail, Error> {
        let sql = Sql::new(
            "SELECT slice_id, tf_filename, stf_filename, run_number, tf_first, tf_last, tf_count, status, retries, \
             assigned_worker, assigned_at, created_at, completed_at, metadata FROM swf_tf_slices",
        )
        .with("WHERE tf_filename = ? AND slice_id = ?", [self.tf_filename.as_str().into(), self.slice_id.into()]);
        cx.db.fetch_optional(&sql).await?.ok_or_else(|| {
            let id = format!("{} of {}", self.slice_id, self.tf_filename);
            Error::not_found("TF slice", id, "swf_list_tf_slices lists the slices")
        })
    }
}
