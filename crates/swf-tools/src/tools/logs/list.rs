//! `swf_list_logs`

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::{Json, Sql};

use crate::detail::{Detail, Shape, Shown};
use crate::list::{List, Listing, Order, arguments, window};
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// List log entries of all agents, newest first; the last 24 hours unless a time is given.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListLogs {
    /// Only this application, e.g. data_agent.
    pub app_name: Option<String>,
    /// Only this agent instance.
    pub instance_name: Option<String>,
    /// Only entries of this workflow execution.
    pub execution_id: Option<String>,
    /// This level and above: DEBUG, INFO, WARNING, ERROR, CRITICAL.
    pub level: Option<String>,
    /// Text in the message, case ignored.
    pub search: Option<String>,
    /// At or after this time.
    pub start_time: Option<String>,
    /// At or before this time.
    pub end_time: Option<String>,
    /// brief, normal or full.
    pub detail: Option<String>,
    /// Rows at most; 200 when left out.
    pub limit: Option<i64>,
    /// From `next` of the earlier answer.
    pub cursor: Option<String>,
}

/// A log entry.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct LogItem {
    id: i64,
    timestamp: Iso,
    app_name: String,
    instance_name: String,
    level: String,
    message: String,
    module: String,
    funcname: String,
    lineno: i64,
    extra_data: Json,
    process: i64,
    thread: i64,
}

const SHAPE: Shape = Shape { brief: &["id", "timestamp", "level", "message"], full: &["process", "thread"] };

/// Characters of a message in the brief form.
const GIST: usize = 48;

/// Severity of a level name.
pub fn severity(level: &str) -> Result<i64, Error> {
    Ok(match level.to_uppercase().as_str() {
        "DEBUG" => 10,
        "INFO" => 20,
        "WARNING" | "WARN" => 30,
        "ERROR" => 40,
        "CRITICAL" | "FATAL" => 50,
        _ => {
            let why = format!("'{level}' is not a level; accepted: DEBUG, INFO, WARNING, ERROR, CRITICAL");
            return Err(Error::invalid("level", why));
        }
    })
}

impl Tool for ListLogs {
    const NAME: &'static str = "swf_list_logs";
    const TITLE: &'static str = "List logs";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"level": "ERROR"}"#;
    type Output = List<Shown<LogItem>>;

    async fn run(self, cx: &Cx) -> Result<List<Shown<LogItem>>, Error> {
        let detail = Detail::of(self.detail.as_deref())?;
        let day = TimeDelta::hours(24);
        let window = window(cx, self.start_time.as_deref(), self.end_time.as_deref(), Some(day))?;
        let mut sql = Sql::new("");
        sql.filter("timestamp >= ?", window.start).filter("timestamp <= ?", window.end);
        sql.filter("app_name = ?", self.app_name.as_deref());
        sql.filter("instance_name = ?", self.instance_name.as_deref());
        let execution = cx.db.dialect().json_text("extra_data", "execution_id");
        sql.filter(&format!("{execution} = ?"), self.execution_id.as_deref());
        sql.filter("level >= ?", self.level.as_deref().map(severity).transpose()?);
        let dialect = cx.db.dialect();
        let search = self.search.as_deref().map(|text| dialect.containing(text));
        sql.filter(&dialect.contains("message"), search);
        let link = cx.link(
            "Logs List",
            "/logs/",
            &[
                ("instance_name", self.instance_name.as_deref()),
                ("execution_id", self.execution_id.as_deref()),
                ("level", self.level.as_deref()),
            ],
        );
        let listing = Listing {
            cx,
            input: arguments(&self),
            select: format!("{}, process, thread", super::COLUMNS),
            from: "swf_applog".into(),
            conditions: sql,
            key: Order::descending("timestamp"),
            tie: Order::descending("id"),
            maximum: 200,
            window,
            link,
        };
        let item = |mut row: LogItem| {
            if detail == Detail::Brief {
                row.message = row.message.chars().take(GIST).collect();
            }
            detail.show(&SHAPE, row)
        };
        listing.fetch_with(item).await
    }
}
