//! `swf_stop_user_testbed`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::start::{Commanded, commanded};
use super::{command, live_manager, may_command};
use crate::tool::Hints;
use crate::{Cx, Error, Scope, Tool, Toolset, testbed_config};

/// Stop a user's agents through their agent manager. If the manager is not alive, use swf_kill_agent.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct StopUserTestbed {
    /// Login name; the caller's own when left out.
    pub username: Option<String>,
}

impl Tool for StopUserTestbed {
    const NAME: &'static str = "swf_stop_user_testbed";
    const TITLE: &'static str = "Stop testbed";
    const SCOPE: Scope = Scope::Control;
    const TOOLSET: Toolset = Toolset::Control;
    const EXAMPLE: &'static str = r#"{"username": "torre"}"#;
    const HINTS: Hints = Hints::END;
    type Output = Commanded;

    async fn run(self, cx: &Cx) -> Result<Commanded, Error> {
        let user = testbed_config::user_of(cx, self.username.as_deref())?;
        may_command(cx, &user)?;
        let otherwise = "; without a manager, end single agents with swf_kill_agent";
        let manager = live_manager(cx, &user, otherwise).await?;
        let answer = command(cx, &manager, &user, &[("command", "stop_testbed")]).await?;
        Ok(commanded(user, None, answer, "Stop"))
    }
}
