//! `swf_list_messages`

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use swf_db::{Json, Sql};

use crate::detail::{Detail, Shape, Shown};
use crate::list::{List, Listing, Order, arguments, window};
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// List workflow messages, newest first; the last hour unless a time is given. For failures use swf_list_logs(level='ERROR').
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListMessages {
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Only this workflow execution.
    pub execution_id: Option<String>,
    /// Only messages sent by this agent.
    pub agent: Option<String>,
    /// e.g. run_imminent, start_run, stf_gen, end_run, pause_run, resume_run.
    pub message_type: Option<String>,
    /// Sent at or after this time.
    pub start_time: Option<String>,
    /// Sent at or before this time.
    pub end_time: Option<String>,
    /// brief, normal or full (whole content).
    pub detail: Option<String>,
    /// Rows at most; 200 when left out.
    pub limit: Option<i64>,
    /// From `next` of the earlier answer.
    pub cursor: Option<String>,
}

/// A message in brief.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MessageItem {
    message_type: String,
    sender_agent: Option<String>,
    namespace: Option<String>,
    sent_at: Iso,
    execution_id: Option<String>,
    run_id: Option<String>,
    /// The start of the content; null when it has none.
    payload_summary: Option<String>,
    message_id: String,
    content: Json,
}

const SHAPE: Shape =
    Shape { brief: &["message_type", "sender_agent", "sent_at"], full: &["message_id", "content"] };

#[derive(Deserialize)]
struct MessageRow {
    message_type: String,
    sender_agent: Option<String>,
    namespace: Option<String>,
    sent_at: Iso,
    execution_id: Option<String>,
    run_id: Option<String>,
    message_id: String,
    message_content: Json,
}

/// Characters of the content that a list shows.
const SUMMARY: usize = 200;

impl Tool for ListMessages {
    const NAME: &'static str = "swf_list_messages";
    const TITLE: &'static str = "List messages";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"message_type": "stf_gen"}"#;
    type Output = List<Shown<MessageItem>>;

    async fn run(self, cx: &Cx) -> Result<List<Shown<MessageItem>>, Error> {
        let detail = Detail::of(self.detail.as_deref())?;
        let hour = TimeDelta::hours(1);
        let window = window(cx, self.start_time.as_deref(), self.end_time.as_deref(), Some(hour))?;
        let mut sql = Sql::new("");
        sql.filter("sent_at >= ?", window.start).filter("sent_at <= ?", window.end);
        sql.filter("namespace = ?", self.namespace.as_deref());
        sql.filter("execution_id = ?", self.execution_id.as_deref());
        sql.filter("sender_agent = ?", self.agent.as_deref());
        sql.filter("message_type = ?", self.message_type.as_deref());
        let link = cx.link(
            "Messages List",
            "/workflow/messages/",
            &[
                ("namespace", self.namespace.as_deref()),
                ("execution_id", self.execution_id.as_deref()),
                ("message_type", self.message_type.as_deref()),
            ],
        );
        let listing = Listing {
            cx,
            input: arguments(&self),
            select: format!(
                "message_id, message_type, sender_agent, namespace, sent_at, execution_id, run_id, {}",
                detail.column(Detail::Normal, "message_content")
            ),
            from: "swf_workflow_messages".into(),
            conditions: sql,
            key: Order::descending("sent_at"),
            tie: Order::descending(cx.db.dialect().byte_order(&cx.db.dialect().text("message_id"))),
            maximum: 200,
            window,
            link,
        };
        listing.fetch_with(|row| detail.show(&SHAPE, summarise(row))).await
    }
}

/// The first characters of the content as JSON; `None` when there is nothing in it.
fn summary(content: &Value) -> Option<String> {
    let nothing = match content {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    (!nothing).then(|| content.to_string().chars().take(SUMMARY).collect())
}

fn summarise(row: MessageRow) -> MessageItem {
    MessageItem {
        message_type: row.message_type,
        sender_agent: row.sender_agent,
        namespace: row.namespace,
        sent_at: row.sent_at,
        execution_id: row.execution_id,
        run_id: row.run_id,
        payload_summary: summary(&row.message_content.0),
        message_id: row.message_id,
        content: row.message_content,
    }
}
