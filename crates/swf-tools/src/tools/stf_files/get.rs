//! `swf_get_stf_file`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::{Json, Sql};
use uuid::Uuid;

use crate::list::Link;
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// One STF file with checksum, metadata and states. Give file_id or stf_filename.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct GetStfFile {
    /// UUID of the file.
    pub file_id: Option<String>,
    /// Name of the file.
    pub stf_filename: Option<String>,
}

/// An STF file in full.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StfFileDetail {
    file_id: String,
    stf_filename: String,
    run_number: i64,
    status: String,
    machine_state: String,
    file_size_bytes: Option<i64>,
    checksum: Option<String>,
    created_at: Iso,
    metadata: Json,
    workflow_id: Option<String>,
    daq_state: Option<String>,
    daq_substate: Option<String>,
    workflow_status: Option<String>,
    tf_file_count: i64,
    #[serde(skip_deserializing)]
    monitor_urls: Vec<Link>,
}

impl Tool for GetStfFile {
    const NAME: &'static str = "swf_get_stf_file";
    const TITLE: &'static str = "STF file detail";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"stf_filename": "swf.100010.000001.stf"}"#;
    type Output = StfFileDetail;

    async fn run(self, cx: &Cx) -> Result<StfFileDetail, Error> {
        let id = match self.file_id.as_deref() {
            Some(text) => Some(text.trim().parse::<Uuid>().map_err(|_| {
                let why = format!("'{text}' is not a UUID; a file name goes into stf_filename");
                Error::invalid("file_id", why)
            })?),
            None => None,
        };
        let Some(named) = self.stf_filename.clone().or(self.file_id) else {
            return Err(Error::invalid("arguments", "Provide either file_id or stf_filename"));
        };
        let mut sql = Sql::new(format!(
            "SELECT f.file_id, f.stf_filename, r.run_number, f.status, f.machine_state, f.file_size_bytes, \
             f.checksum, f.created_at, f.metadata, f.workflow_id, f.daq_state, f.daq_substate, \
             f.workflow_status, {} FROM {}",
            super::TF_FILE_COUNT,
            super::FROM
        ));
        sql.filter("f.file_id = ?", id).filter("f.stf_filename = ?", self.stf_filename.as_deref());
        let Some(mut file) = cx.db.fetch_optional::<StfFileDetail>(&sql).await? else {
            return Err(Error::not_found("STF file", named, "swf_list_stf_files lists the files"));
        };
        file.monitor_urls = vec![cx.link_to("STF File Detail", "/stf-files/", &file.file_id)];
        Ok(file)
    }
}
