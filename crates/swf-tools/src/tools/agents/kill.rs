//! `swf_kill_agent`

use rustix::process::Pid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::Sql;

use super::process::{self, Outcome};
use crate::liveness::{self, AgentRow};
use crate::tool::Hints;
use crate::tools::testbed;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// Kill an agent's process: through its agent manager if one supervises it, else on this host after checking that the process is the agent. Its row becomes EXITED in any case; `killed` says whether a process died.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct KillAgent {
    /// Instance name, as swf_list_agents gives it.
    pub name: String,
}

/// What happened.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Killed {
    /// True: the row says EXITED now.
    success: bool,
    name: String,
    pid: Option<i64>,
    hostname: Option<String>,
    /// True only when a process was ended by this call.
    killed: bool,
    kill_error: Option<String>,
    old_state: String,
    new_state: &'static str,
    note: String,
}

/// How a kill went.
struct Report {
    killed: bool,
    error: Option<String>,
    note: String,
}

impl Tool for KillAgent {
    const NAME: &'static str = "swf_kill_agent";
    const TITLE: &'static str = "Kill an agent";
    const SCOPE: Scope = Scope::Control;
    const TOOLSET: Toolset = Toolset::Control;
    const EXAMPLE: &'static str = r#"{"name": "fastmon-agent-torre-9"}"#;
    const HINTS: Hints = Hints::END;
    type Output = Killed;

    async fn run(self, cx: &Cx) -> Result<Killed, Error> {
        let Some(agent) = liveness::agent(cx, &self.name).await? else {
            let hint = "swf_list_agents(status='all') lists the names";
            return Err(Error::not_found("Agent", &self.name, hint));
        };
        let user = user_in(&agent.instance_name);
        if let Some(user) = user {
            testbed::may_command(cx, user)?;
        }
        let pid = agent.pid.map(allowed).transpose()?;
        let report = match supervised(cx, &agent).await? {
            Some(report) => report,
            None => local(&agent, pid, user).await,
        };
        let sql = Sql::new(
            "UPDATE swf_systemagent SET status = 'EXITED', operational_state = 'EXITED', updated_at =",
        )
        .with("? WHERE instance_name = ?", [cx.now.into(), self.name.as_str().into()]);
        cx.db.execute(&sql).await?;
        Ok(Killed {
            success: true,
            name: self.name,
            pid: agent.pid,
            hostname: agent.hostname,
            killed: report.killed,
            kill_error: report.error,
            old_state: agent.operational_state,
            new_state: "EXITED",
            note: report.note,
        })
    }
}

/// A process that may be killed at all: neither everybody, nor init, nor this server.
fn allowed(pid: i64) -> Result<Pid, Error> {
    let parent = rustix::process::getppid().map_or(0, |p| p.as_raw_nonzero().get());
    let refused = if pid <= 1 {
        "is no process of an agent"
    } else if pid == i64::from(std::process::id()) || pid == i64::from(parent) {
        "is this server itself"
    } else {
        match i32::try_from(pid).ok().and_then(Pid::from_raw) {
            Some(pid) => return Ok(pid),
            None => "is no process id",
        }
    };
    Err(Error::conflict(
        format!("nothing was killed: process id {pid} of the agent's heartbeat {refused}"),
        "correct the row by letting the agent register anew, or end its process on its host",
    ))
}

/// `torre` of `data-agent-torre-1` and of `agent-manager-torre`.
fn user_in(name: &str) -> Option<&str> {
    if let Some(user) = name.strip_prefix("agent-manager-") {
        return Some(user);
    }
    let (_, rest) = name.split_once("-agent-")?;
    rest.rsplit_once('-').map(|(user, _)| user)
}

/// Asks the live manager that supervises the agent. `None` when there is none, or it does not know the agent.
async fn supervised(cx: &Cx, agent: &AgentRow) -> Result<Option<Report>, Error> {
    if agent.agent_type == "agent_manager" || cx.service().bus.is_none() {
        return Ok(None);
    }
    let Some(namespace) = agent.namespace.as_deref() else { return Ok(None) };
    let managers = liveness::agents_of(cx, namespace).await?;
    let of_user = user_in(&agent.instance_name);
    let manager = managers.into_iter().find_map(|m| {
        let user = m.instance_name.strip_prefix("agent-manager-")?.to_owned();
        let fits = of_user.is_none_or(|u| u == user) && m.alive(cx) && m.said("backend").is_some();
        fits.then_some((m, user))
    });
    let Some((manager, user)) = manager else { return Ok(None) };
    testbed::may_command(cx, &user)?;
    let fields = [("command", "kill_agent"), ("name", agent.instance_name.as_str())];
    let asked = testbed::ask(cx, &manager, &user, &fields).await;
    let by = &manager.instance_name;
    Ok(match asked {
        Ok(Some(answer)) if testbed::succeeded(&answer) => {
            Some(Report { killed: true, error: None, note: format!("{by}: {}", testbed::said(&answer)) })
        }
        // Not a child of the manager, or one without process: what this host knows decides.
        Ok(Some(_)) => None,
        Ok(None) => Some(not_killed(format!("{by} did not answer"), "it may still carry the command out")),
        Err(e) => Some(not_killed(format!("{by} could not be asked: {e}"), STILL)),
    })
}

const STILL: &str = "if it lives, its next heartbeat brings it back";

fn not_killed(error: String, note: &str) -> Report {
    Report { killed: false, error: Some(error), note: format!("not killed; {note}") }
}

async fn local(agent: &AgentRow, pid: Option<Pid>, user: Option<&str>) -> Report {
    let here = liveness::local_host();
    match (pid, agent.hostname.as_deref()) {
        (None, _) => Report {
            killed: false,
            error: None,
            note: format!("not killed: no process id is known; {STILL}"),
        },
        (Some(_), Some(host)) if host != here => {
            let error = format!("Agent on '{host}', not '{here}' - cannot kill remotely");
            not_killed(error, &format!("end it on {host}; {STILL}"))
        }
        (Some(_), None) => not_killed("its host is not known".into(), STILL),
        (Some(pid), Some(_)) => match process::kill(agent, pid, user).await {
            Outcome::Killed => {
                Report { killed: true, error: None, note: "its process was killed and is gone".into() }
            }
            Outcome::Gone(why) => not_killed(why, "it had ended already"),
            Outcome::Other(why) => not_killed(why, "the agent itself is gone"),
            Outcome::Alive(why) => not_killed(why, STILL),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_stands_in_the_name() {
        assert_eq!(user_in("data-agent-torre-1"), Some("torre"));
        assert_eq!(user_in("fast_processing-agent-first.last-12"), Some("first.last"));
        assert_eq!(user_in("agent-manager-wenauseic"), Some("wenauseic"));
        assert_eq!(user_in("sse_receiver"), None);
    }

    #[test]
    fn init_everybody_and_this_server_are_never_killed() {
        for pid in [-1, 0, 1, i64::from(std::process::id()), i64::MAX] {
            assert!(allowed(pid).unwrap_err().to_string().starts_with("nothing was killed"), "{pid}");
        }
        assert!(allowed(4_000_000).is_ok());
    }
}
