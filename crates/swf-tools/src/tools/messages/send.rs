//! `swf_send_message`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::tool::Hints;
use crate::{Cx, Error, Scope, Tool, Toolset, testbed_config};

/// Send a message to the monitored stream, e.g. an announcement to colleagues or a test of the pipeline. The sender is you.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct SendMessage {
    /// The text.
    pub message: String,
    /// announcement when left out; test goes out without namespace.
    pub message_type: Option<String>,
    /// Further key-value data.
    pub metadata: Option<Map<String, Value>>,
}

/// What was sent.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Sent {
    success: bool,
    message: String,
    sender: String,
    message_type: String,
    namespace: Option<String>,
    content: String,
    note: String,
}

/// Agents act on these, so only agents may send them.
const RESERVED: [&str; 19] = [
    "run_imminent",
    "start_run",
    "pause_run",
    "resume_run",
    "end_run",
    "stf_gen",
    "stf_ready",
    "data_ready",
    "tf_file_registered",
    "processing_complete",
    "run_workflow",
    "stop_workflow",
    "status_request",
    "run_imminent_worker",
    "slice",
    "slice_result",
    "heartbeat",
    "run_workflow_failed",
    "error",
];

/// Length of the column that keeps the type.
const TYPE_MAX: usize = 50;

impl Tool for SendMessage {
    const NAME: &'static str = "swf_send_message";
    const TITLE: &'static str = "Send a message";
    const SCOPE: Scope = Scope::Control;
    const TOOLSET: Toolset = Toolset::Control;
    const EXAMPLE: &'static str = r#"{"message": "hello", "message_type": "test"}"#;
    const HINTS: Hints = Hints::ADD;
    type Output = Sent;

    async fn run(self, cx: &Cx) -> Result<Sent, Error> {
        let kind = self.message_type.unwrap_or_else(|| "announcement".into());
        check_type(&kind)?;
        let user = testbed_config::user_of(cx, None)?;
        let namespace = match kind.as_str() {
            "test" => None,
            _ => Some(namespace_of(cx, &user).await?),
        };
        let sender = format!("{user}-personal-agent");
        let mut body = Map::new();
        body.insert("msg_type".into(), kind.clone().into());
        body.insert("sender".into(), sender.clone().into());
        body.insert("namespace".into(), namespace.clone().into());
        body.insert("message".into(), self.message.clone().into());
        body.insert("timestamp".into(), crate::time::iso(cx.now).into());
        body.insert("source".into(), "mcp_send_message".into());
        if let Some(metadata) = self.metadata {
            body.insert("metadata".into(), metadata.into());
        }
        let topic = &cx.settings().topic;
        super::super::bus(cx)?.send(topic, &[], &body).await?;
        Ok(Sent {
            success: true,
            message: format!("Message sent to {topic}"),
            note: format!("the broker has it; swf_list_messages(agent='{sender}') shows it once captured"),
            sender,
            message_type: kind,
            namespace,
            content: self.message,
        })
    }
}

fn check_type(kind: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if kind.is_empty() || kind.len() > TYPE_MAX || !kind.chars().all(plain) {
        let why = format!("'{kind}' is not a type: 1 to {TYPE_MAX} letters, digits, _ - and . only");
        return Err(Error::invalid("message_type", why));
    }
    if RESERVED.contains(&kind) {
        let why =
            format!("'{kind}' would steer agents; use announcement, status, test or a name of your own");
        return Err(Error::invalid("message_type", why));
    }
    Ok(())
}

async fn namespace_of(cx: &Cx, user: &str) -> Result<String, Error> {
    testbed_config::read(cx, user).await?.namespace.ok_or_else(|| {
        Error::conflict(
            format!("{user} has no namespace: [testbed] namespace is not set in a testbed.toml"),
            "set it, or send with message_type='test', which needs none",
        )
    })
}
