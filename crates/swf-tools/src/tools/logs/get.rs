//! `swf_get_log_entry`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::{Json, Sql};

use crate::list::Link;
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// One log entry in full.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetLogEntry {
    /// `id` in swf_list_logs.
    pub log_id: i64,
}

/// A log entry with its process.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct LogDetail {
    id: i64,
    timestamp: Iso,
    app_name: String,
    instance_name: String,
    level: String,
    message: String,
    module: String,
    funcname: String,
    lineno: i64,
    process: i64,
    thread: i64,
    extra_data: Json,
    #[serde(skip_deserializing)]
    monitor_urls: Vec<Link>,
}

impl Tool for GetLogEntry {
    const NAME: &'static str = "swf_get_log_entry";
    const TITLE: &'static str = "Log entry";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"log_id": 1}"#;
    type Output = LogDetail;

    async fn run(self, cx: &Cx) -> Result<LogDetail, Error> {
        let sql = Sql::new(format!("SELECT {}, process, thread FROM swf_applog WHERE id =", super::COLUMNS))
            .with("?", [self.log_id.into()]);
        let Some(mut entry) = cx.db.fetch_optional::<LogDetail>(&sql).await? else {
            return Err(Error::not_found("Log entry", self.log_id, "swf_list_logs lists the entries"));
        };
        entry.monitor_urls = vec![cx.link_to("Log Detail", "/logs/", &self.log_id.to_string())];
        Ok(entry)
    }
}
