//! `swf_start_user_testbed`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use swf_db::Json;

use super::{command, control_queue, live_manager, may_command, workflow_agents};
use crate::tool::Hints;
use crate::{Cx, Error, Scope, Tool, Toolset, testbed_config};

/// Start a user's agents through their agent manager, which must be alive (swf_check_agent_manager).
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct StartUserTestbed {
    /// Login name; the caller's own when left out.
    pub username: Option<String>,
    /// Testbed configuration, e.g. fast_processing; the user's default when left out.
    pub config_name: Option<String>,
}

/// What `config` says when the manager is left to take the configuration that it has.
const DEFAULT_CONFIG: &str = "agent manager default";

/// What a testbed command did.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Commanded {
    pub(super) success: bool,
    pub(super) message: String,
    pub(super) username: String,
    pub(super) config: Option<String>,
    pub(super) control_queue: String,
    /// True when the manager confirmed the effect; false when it has not answered (yet).
    pub(super) confirmed: bool,
    /// The manager's agents after the command.
    pub(super) agents: Json,
    pub(super) note: String,
}

impl Tool for StartUserTestbed {
    const NAME: &'static str = "swf_start_user_testbed";
    const TITLE: &'static str = "Start testbed";
    const SCOPE: Scope = Scope::Control;
    const TOOLSET: Toolset = Toolset::Control;
    const EXAMPLE: &'static str = r#"{"username": "wenauseic"}"#;
    const HINTS: Hints = Hints { read_only: false, destructive: false, idempotent: true };
    type Output = Commanded;

    async fn run(self, cx: &Cx) -> Result<Commanded, Error> {
        let user = testbed_config::user_of(cx, self.username.as_deref())?;
        may_command(cx, &user)?;
        let manager = live_manager(cx, &user, "").await?;
        let running: Vec<String> = workflow_agents(cx, &manager)
            .await?
            .into_iter()
            .filter(|a| a.alive(cx))
            .map(|a| a.instance_name)
            .collect();
        if !running.is_empty() {
            return Err(Error::conflict(
                format!("Cannot start: workflow agents already running: {}", running.join(", ")),
                "call swf_stop_user_testbed first to stop them",
            ));
        }
        let mut fields = vec![("command", "start_testbed")];
        if let Some(config) = &self.config_name {
            fields.push(("config_name", config));
        }
        let answer = command(cx, &manager, &user, &fields).await?;
        let config = self.config_name.unwrap_or_else(|| DEFAULT_CONFIG.to_owned());
        Ok(commanded(user, Some(config), answer, "Start"))
    }
}

/// The answer to a testbed command.
pub(super) fn commanded(
    user: String,
    config: Option<String>,
    answer: Option<Value>,
    word: &str,
) -> Commanded {
    let confirmed = answer.is_some();
    let said = |key: &str| answer.as_ref().and_then(|a| a.get(key)).cloned();
    let message = said("message").and_then(|m| m.as_str().map(str::to_owned));
    Commanded {
        success: true,
        message: message.unwrap_or_else(|| format!("{word} command sent to agent-manager-{user}")),
        control_queue: control_queue(&user),
        confirmed,
        agents: Json(said("agents").unwrap_or(Value::Null)),
        note: if confirmed {
            "done; swf_get_testbed_status shows the testbed".into()
        } else {
            "not confirmed yet: poll swf_get_testbed_status".into()
        },
        config,
        username: user,
    }
}
