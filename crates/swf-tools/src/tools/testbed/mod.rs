//! A user's testbed: the agent manager and the agents it keeps.

pub mod check_manager;
pub mod start;
pub mod status;
pub mod stop;

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Map, Value};

use crate::liveness::AgentRow;
use crate::{Cx, Error, Scope, ToolDef, liveness};

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[
    ToolDef::of::<check_manager::CheckAgentManager>(),
    ToolDef::of::<status::GetTestbedStatus>(),
    ToolDef::of::<start::StartUserTestbed>(),
    ToolDef::of::<stop::StopUserTestbed>(),
];

/// The queue an agent manager listens on.
pub fn control_queue(user: &str) -> String {
    format!("/queue/agent_control.{user}")
}

/// How a person starts a manager.
pub fn how_to_start(user: &str) -> String {
    format!(
        "as {user}, run `testbed agent-manager` (or `swf up` for a testbed of your own) and keep it running"
    )
}

/// A caller commands their own testbed; someone else's needs the admin scope.
pub(super) fn may_command(cx: &Cx, user: &str) -> Result<(), Error> {
    match cx.caller.user.as_deref() {
        Some(caller) if caller != user && !cx.caller.may(Scope::Admin) => Err(Error::Forbidden(Scope::Admin)),
        _ => Ok(()),
    }
}

/// Starting many agents takes longer than an ordinary answer.
const COMMAND_WAIT: Duration = Duration::from_secs(25);

/// Sends a command to a live manager. `None`: it is of a kind that does not answer, or took too long.
async fn command(
    cx: &Cx,
    manager: &AgentRow,
    user: &str,
    fields: &[(&str, &str)],
) -> Result<Option<Value>, Error> {
    let answer = ask(cx, manager, user, fields).await?;
    match &answer {
        Some(a) if !succeeded(a) => Err(Error::conflict(
            format!("agent-manager-{user} answered: {}", said(a)),
            "swf_list_logs(level='ERROR') and the manager's log files say more",
        )),
        _ => Ok(answer),
    }
}

/// Sends a command to a live manager; its answer as it is, also when it says no.
pub(super) async fn ask(
    cx: &Cx,
    manager: &AgentRow,
    user: &str,
    fields: &[(&str, &str)],
) -> Result<Option<Value>, Error> {
    let mut body = Map::new();
    for (name, value) in fields {
        body.insert((*name).into(), (*value).into());
    }
    body.insert("timestamp".into(), crate::time::iso(cx.now).into());
    body.insert("source".into(), "mcp".into());
    body.insert("requested_by".into(), cx.caller.name().into());
    let bus = super::bus(cx)?;
    let queue = control_queue(user);
    let expires = cx.now + TimeDelta::seconds(60);
    if manager.said("backend").is_none() {
        let expires = [("expires", expires.timestamp_millis().to_string())];
        bus.send(&queue, &expires, &body).await?;
        return Ok(None);
    }
    bus.ask(&queue, body, expires, COMMAND_WAIT).await
}

/// Whether a manager's answer says that the command was done.
pub(super) fn succeeded(answer: &Value) -> bool {
    answer.get("success") == Some(&Value::Bool(true))
}

/// What a manager's answer says in words.
pub(super) fn said(answer: &Value) -> &str {
    let text = ["error", "message"].iter().find_map(|k| answer.get(*k)).and_then(Value::as_str);
    text.unwrap_or("failed without a reason")
}

/// The live manager of a user, or the error that says how to start one.
async fn live_manager(cx: &Cx, user: &str, otherwise: &str) -> Result<AgentRow, Error> {
    match liveness::manager(cx, user).await? {
        Some(manager) if manager.alive(cx) => Ok(manager),
        _ => Err(Error::conflict(
            format!("Agent manager for '{user}' is not running"),
            format!("{}{otherwise}", how_to_start(user)),
        )),
    }
}

/// Agents of the manager's namespace that run now, managers left out.
async fn workflow_agents(cx: &Cx, manager: &AgentRow) -> Result<Vec<AgentRow>, Error> {
    let Some(namespace) = manager.namespace.as_deref() else { return Ok(Vec::new()) };
    let agents = liveness::agents_of(cx, namespace).await?;
    Ok(agents.into_iter().filter(|a| a.agent_type != "agent_manager").collect())
}
