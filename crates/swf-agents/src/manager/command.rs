//! The commands on a testbed and what becomes of them.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::plan::{Plan, instance, kind_of_program};
use super::{Manager, plan_of, wanted};
use crate::agent::Kind;
use crate::supervise::{ProgramStatus, State};

/// A command that waited longer than this in the queue was for another moment.
const TOO_OLD_SECONDS: i64 = 120;
const KNOWN: &str = "start_testbed, stop_testbed, restart, status, ping, kill_agent";

/// A command as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) command: String,
    /// Id of the message; the same when it is delivered again.
    pub(super) id: String,
    pub(super) config_name: Option<String>,
    /// Of `kill_agent`: instance name or program.
    pub(super) name: Option<String>,
    pub(super) reply_to: Option<String>,
    pub(super) correlation_id: Option<String>,
    /// When it was sent, if that can be told.
    pub(super) sent: Option<DateTime<Utc>>,
    /// When it expires, if it does.
    pub(super) expires: Option<DateTime<Utc>>,
}

impl Request {
    /// Reads a message. The error says what is wrong with it.
    pub(super) fn parse(headers: &swf_stomp::Headers, body: &[u8]) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| format!("it is no JSON: {error}"))?;
        let text = |key: &str| {
            body.get(key)
                .and_then(Value::as_str)
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let header = |key: &str| headers.get(key).map(str::to_owned);
        let expires = headers.get("expires").and_then(|text| text.parse().ok()).filter(|end| *end > 0);
        let sent = text("timestamp").and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
        let id = header("message-uid").or_else(|| header("message-id")).unwrap_or_default();
        Ok(Self {
            id,
            command: text("command").ok_or_else(|| format!("it has no text \"command\"; known: {KNOWN}"))?,
            config_name: text("config_name"),
            name: text("name"),
            reply_to: text("reply_to").or_else(|| header("reply-to")),
            correlation_id: text("correlation_id").or_else(|| header("correlation-id")),
            // A time without offset says nothing: sender and manager may be in different zones.
            sent: sent.map(|sent| sent.to_utc()),
            expires: expires.and_then(DateTime::from_timestamp_millis),
        })
    }

    /// Whether it only asks, so that it need not wait for the work at hand.
    pub(super) fn is_question(&self) -> bool {
        matches!(self.command.as_str(), "status" | "ping")
    }

    fn too_old(&self, now: DateTime<Utc>) -> Option<String> {
        let age = self.sent.map(|sent| (now - sent).num_seconds()).filter(|age| *age > TOO_OLD_SECONDS);
        if let Some(age) = age {
            return Some(format!("the command is {age} s old, more than {TOO_OLD_SECONDS} s; send it again"));
        }
        let expired = self.expires.filter(|end| *end < now);
        expired.map(|end| format!("the command expired at {}; send it again", end.to_rfc3339()))
    }
}

/// `name STATE (reason), …` of some agents.
pub(super) fn listing(agents: &[ProgramStatus]) -> String {
    if agents.is_empty() {
        return "no agents".to_owned();
    }
    agents.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Manager {
    /// Does what is asked; the answer's body.
    pub(super) async fn answer(&self, request: &Request) -> Value {
        let result = match request.too_old(Utc::now()) {
            Some(reason) => Err(reason),
            None => self.execute(request).await,
        };
        match &result {
            Ok(message) => tracing::info!(command = %request.command, "{}: {message}", request.command),
            Err(error) => tracing::warn!(command = %request.command, "{} failed: {error}", request.command),
        }
        self.reply(request, result).await
    }

    async fn execute(&self, request: &Request) -> Result<String, String> {
        let work = async {
            match request.command.as_str() {
                "ping" => Ok(format!("{} is alive", self.instance_name())),
                "status" => Ok(self.health().await.text),
                "start_testbed" => self.start_testbed(request).await,
                "stop_testbed" => self.stop_testbed().await,
                "restart" => self.restart(request).await,
                "kill_agent" => self.kill_agent(request.name.as_deref()).await,
                other => Err(format!("unknown command {other:?}; known: {KNOWN}")),
            }
        };
        self.unless_ending(work).await.unwrap_or_else(|| Err("the agent manager is ending".to_owned()))
    }

    async fn start_testbed(&self, request: &Request) -> Result<String, String> {
        let agents = self.backend.states().await?;
        let up: Vec<ProgramStatus> =
            agents.into_iter().filter(|agent| agent.state.has_process() || agent.state.is_wanted()).collect();
        if !up.is_empty() {
            let asked_by = self.wanted().as_ref().and_then(|wanted| wanted.asked_by.clone());
            if !request.id.is_empty() && asked_by.as_ref() == Some(&request.id) {
                return Ok(format!("the testbed was started by this very command before: {}", listing(&up)));
            }
            return Err(format!("the testbed runs already: {}; send stop_testbed first", listing(&up)));
        }
        let plan =
            plan_of(&self.config, request.config_name.as_deref()).map_err(|error| error.to_string())?;
        self.start(&plan, &request.id).await
    }

    async fn start(&self, plan: &Plan, asked_by: &str) -> Result<String, String> {
        plan.namespace.clone_into(&mut self.namespace());
        // Noted before the first process exists: whoever kills the manager now finds a resumed testbed.
        self.want(Some(wanted(plan, asked_by)));
        let started = self.backend.start(plan, false).await.and_then(|states| {
            let (up, failed): (Vec<_>, Vec<_>) =
                states.into_iter().partition(|agent| agent.state == State::Running);
            if failed.is_empty() { Ok(up) } else { Err(failure(&up, &failed)) }
        });
        match started {
            Ok(up) => {
                let names: Vec<&str> = up.iter().map(|agent| agent.name.as_str()).collect();
                let (count, names) = (names.len(), names.join(", "));
                Ok(format!("{count} agents of testbed {} run with {}: {names}", plan.namespace, plan.config))
            }
            Err(error) => {
                self.want(None);
                match self.backend.stop().await {
                    Ok(()) => Err(error),
                    Err(also) => Err(format!("{error}; stopping the rest failed too: {also}")),
                }
            }
        }
    }

    async fn stop_testbed(&self) -> Result<String, String> {
        self.want(None);
        let agents = self.backend.states().await?;
        let up = agents.iter().filter(|agent| agent.state.has_process() || agent.state.is_wanted()).count();
        self.backend.stop().await?;
        Ok(if up == 0 { "no agent was running".to_owned() } else { format!("{up} agents were stopped") })
    }

    /// Stops the testbed and starts it with its configuration as it is now.
    async fn restart(&self, request: &Request) -> Result<String, String> {
        let current = self.wanted().clone();
        let Some(config) = request.config_name.clone().or_else(|| current.map(|wanted| wanted.config)) else {
            let stopped = self.stop_testbed().await?;
            return Ok(format!("{stopped}; no testbed was wanted, so none was started"));
        };
        // Read before anything is stopped: a mistake in the file costs no running testbed.
        let plan = plan_of(&self.config, Some(&config)).map_err(|error| error.to_string())?;
        self.stop_testbed().await?;
        self.start(&plan, &request.id).await
    }

    async fn kill_agent(&self, name: Option<&str>) -> Result<String, String> {
        let name = name.ok_or("kill_agent needs a \"name\": an instance name or a program")?;
        let agents = self.backend.states().await?;
        let found = agents.iter().find(|agent| agent.name == name).or_else(|| {
            let (kind, id) = instance(name, &self.config.user)?;
            let pid = self.pid_of(kind, id);
            let mut of_kind = agents.iter().filter(|agent| kind_of_program(&agent.name) == Some(kind));
            // Agents that leave no identity file (Python's) are told apart by their kind alone.
            if pid.is_some() { of_kind.find(|agent| agent.pid == pid) } else { of_kind.next() }
        });
        let Some(agent) = found else {
            let known: Vec<&str> = agents.iter().map(|agent| agent.name.as_str()).collect();
            let known =
                if known.is_empty() { "none, no testbed was started".to_owned() } else { known.join(", ") };
            return Err(format!("no agent {name:?} here; known programs: {known}"));
        };
        if !(agent.state.has_process() || agent.state.is_wanted()) {
            return Err(format!("{agent} has no process to kill"));
        }
        self.backend.kill(&agent.name).await?;
        let pid = agent.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        Ok(format!("{}{pid} was killed and stays down until the testbed is restarted", agent.name))
    }

    /// The process that holds an agent id, by the identity files agents keep.
    fn pid_of(&self, kind: Kind, id: i64) -> Option<u32> {
        let start = format!("{}-{kind}", self.namespace());
        let files = std::fs::read_dir(self.config.data_dir.join("agents")).ok()?;
        let ours = files.flatten().filter(|file| file.file_name().to_string_lossy().starts_with(&start));
        ours.filter_map(|file| serde_json::from_slice::<Value>(&std::fs::read(file.path()).ok()?).ok())
            .find(|stored| stored.get("id").and_then(Value::as_i64) == Some(id))
            .and_then(|stored| u32::try_from(stored.get("pid")?.as_u64()?).ok())
    }

    pub(super) async fn reply(&self, request: &Request, result: Result<String, String>) -> Value {
        let health = self.health().await;
        let mut body = Map::new();
        let mut put = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
        put("command", json!(request.command));
        put("success", json!(result.is_ok()));
        match result {
            Ok(message) => put("message", json!(message)),
            Err(error) => put("error", json!(error)),
        }
        put("username", json!(self.config.user));
        put("namespace", json!(*self.namespace()));
        if request.command == "ping" {
            put("status", json!("alive"));
        }
        put("agents_running", json!(health.agents.iter().any(|agent| agent.state == State::Running)));
        put("supervisord_status", json!(lines(&health.agents, &health.text)));
        put("agents", json!(health.agents));
        put("backend", json!(self.backend.name()));
        put("config", json!(self.wanted().as_ref().map(|wanted| wanted.config.clone())));
        if let Some(id) = &request.correlation_id {
            put("correlation_id", json!(id));
        }
        put("timestamp", json!(Utc::now().to_rfc3339()));
        Value::Object(body)
    }
}

fn failure(up: &[ProgramStatus], failed: &[ProgramStatus]) -> String {
    let all = up.len() + failed.len();
    format!("{} of {all} agents did not start, so all were stopped: {}", failed.len(), listing(failed))
}

/// One line an agent, in the way of `supervisorctl status`.
fn lines(agents: &[ProgramStatus], text: &str) -> String {
    if agents.is_empty() {
        return text.to_owned();
    }
    let line = |agent: &ProgramStatus| {
        let detail = match (agent.pid, &agent.reason) {
            (Some(pid), _) => format!("pid {pid}, since {}", agent.since.to_rfc3339()),
            (None, Some(reason)) => reason.clone(),
            (None, None) => "Not started".to_owned(),
        };
        format!("{:<28} {:<9} {detail}", agent.name, agent.state.as_str())
    };
    agents.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Request, String> {
        Request::parse(&swf_stomp::Headers::new(), body.as_bytes())
    }

    #[test]
    fn a_command_is_read_with_what_it_may_carry() {
        let headers: swf_stomp::Headers =
            [("correlation-id", "c1"), ("expires", "1700000000000")].into_iter().collect();
        let body = br#"{"command":"start_testbed","timestamp":"2026-11-22T12:00:00+00:00","source":"mcp",
                        "config_name":"fast_processing_default","reply_to":"/queue/r"}"#;
        let request = Request::parse(&headers, body).unwrap();
        assert_eq!(request.config_name.as_deref(), Some("fast_processing_default"));
        assert_eq!(request.reply_to.as_deref(), Some("/queue/r"));
        assert_eq!(request.correlation_id.as_deref(), Some("c1"));
        assert_eq!(request.expires.unwrap().timestamp(), 1_700_000_000);
        assert!(!request.is_question() && parse(r#"{"command":"ping"}"#).unwrap().is_question());
    }

    #[test]
    fn what_is_no_command_is_refused_with_the_known_ones() {
        assert!(parse("hello").unwrap_err().contains("no JSON"));
        for body in ["[]", "{}", r#"{"command":""}"#, r#"{"command":7}"#] {
            assert!(parse(body).unwrap_err().contains("known: start_testbed"), "{body}");
        }
    }

    #[test]
    fn an_old_command_is_refused_and_a_time_without_zone_is_not_judged() {
        let now = Utc::now();
        let old = (now - chrono::TimeDelta::seconds(121)).to_rfc3339();
        let request = parse(&format!(r#"{{"command":"restart","timestamp":"{old}"}}"#)).unwrap();
        assert!(request.too_old(now).unwrap().contains("121 s old"));
        let naive = parse(r#"{"command":"restart","timestamp":"2020-01-01T00:00:00.000001"}"#).unwrap();
        assert_eq!(naive.too_old(now), None);
        let expired = Request { expires: Some(now - chrono::TimeDelta::seconds(1)), ..Request::default() };
        assert!(expired.too_old(now).unwrap().contains("expired"));
    }
}
