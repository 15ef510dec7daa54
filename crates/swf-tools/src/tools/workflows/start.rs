//! `swf_start_workflow`

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use swf_db::Sql;

use crate::liveness::AgentRow;
use crate::tool::Hints;
use crate::{Cx, Error, Scope, Tool, Toolset, liveness, testbed_config};

/// Start a workflow on the live DAQ simulator of a namespace. Everything left out comes from the user's testbed.toml. Returns the execution_id that was started, or the reason why nothing will run.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct StartWorkflow {
    /// Workflow, e.g. stf_datataking or fast_processing.
    pub workflow_name: Option<String>,
    /// Namespace whose DAQ simulator shall run it.
    pub namespace: Option<String>,
    /// Configuration, e.g. fast_processing_default.
    pub config: Option<String>,
    /// True: one simulated second takes a second. False: as fast as possible.
    pub realtime: Option<bool>,
    /// Stop after this many simulated seconds; 0 for no limit.
    #[schemars(range(min = 0))]
    pub duration: Option<i64>,
    /// STF files per physics period.
    #[schemars(range(min = 1))]
    pub stf_count: Option<i64>,
    /// Physics periods; 0 for endless.
    #[schemars(range(min = 0))]
    pub physics_period_count: Option<i64>,
    /// Length of a physics period, simulated seconds.
    #[schemars(range(min = 0))]
    pub physics_period_duration: Option<f64>,
    /// Time between STF files, simulated seconds.
    #[schemars(range(min = 0))]
    pub stf_interval: Option<f64>,
}

/// What was started.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Started {
    success: bool,
    message: String,
    execution_id: String,
    workflow_name: String,
    namespace: String,
    config: String,
    realtime: bool,
    params: Map<String, Value>,
    runner: String,
    note: String,
}

impl Tool for StartWorkflow {
    const NAME: &'static str = "swf_start_workflow";
    const TITLE: &'static str = "Start a workflow";
    const SCOPE: Scope = Scope::Control;
    const TOOLSET: Toolset = Toolset::Control;
    const EXAMPLE: &'static str = r#"{"namespace": "epic-daq", "stf_count": 5}"#;
    const HINTS: Hints = Hints::ADD;
    type Output = Started;

    async fn run(self, cx: &Cx) -> Result<Started, Error> {
        let plan = self.plan(cx).await?;
        let runner = runner(cx, &plan.namespace).await?;
        let bus = super::super::bus(cx)?;
        let shared = "/queue/workflow_control";
        let own = runner.said("control_queue").and_then(Value::as_str);
        let body = plan.command(cx);
        let expires = cx.now + TimeDelta::seconds(60);
        let wait = cx.settings().reply_timeout;
        let execution_id = match own {
            Some(queue) => {
                let answer = bus.ask(queue, body, expires, wait).await?;
                accepted(answer, &runner, wait)?
            }
            // A runner of the original never answers: its execution shows up in the database.
            None => {
                let expires = [("expires", expires.timestamp_millis().to_string())];
                bus.send(shared, &expires, &body).await?;
                appeared(cx, &plan.namespace, &runner).await?
            }
        };
        Ok(Started {
            success: true,
            message: format!("Workflow '{}' started as {execution_id}", plan.workflow),
            note: format!(
                "It runs asynchronously: poll swf_get_workflow_monitor(execution_id='{execution_id}') every \
                 10-15 s until status is not running"
            ),
            execution_id,
            workflow_name: plan.workflow,
            namespace: plan.namespace,
            config: plan.config,
            realtime: plan.realtime,
            params: plan.params,
            runner: runner.instance_name,
        })
    }
}

struct Plan {
    workflow: String,
    namespace: String,
    config: String,
    realtime: bool,
    duration: i64,
    params: Map<String, Value>,
}

impl StartWorkflow {
    /// Argument, else testbed.toml, else the namespace of the newest live agent manager, else the shipped names.
    async fn plan(self, cx: &Cx) -> Result<Plan, Error> {
        let user = testbed_config::user_of(cx, None)?;
        let file = testbed_config::read(cx, &user).await?;
        let workflow_given = self.workflow_name.is_some();
        let workflow = self.workflow_name.or(file.workflow).unwrap_or_else(|| "stf_datataking".into());
        plain_name("workflow_name", &workflow)?;
        // The file's config belongs to the file's workflow; another workflow has its own default.
        let config = match (self.config, workflow_given) {
            (Some(config), _) => config,
            (None, true) => format!("{workflow}_default"),
            (None, false) => file.config.unwrap_or_else(|| "fast_processing_default".into()),
        };
        plain_name("config", &config)?;
        if self.namespace.as_deref().is_some_and(|n| n.trim().is_empty()) {
            return Err(Error::invalid("namespace", "is empty; leave it out for the one of testbed.toml"));
        }
        let namespace = match self.namespace.or(file.namespace) {
            Some(namespace) => namespace,
            None => newest_manager_namespace(cx).await?.ok_or_else(|| {
                Error::invalid("namespace", "is neither given nor in testbed.toml, and no agent manager is alive; name one (swf_list_namespaces)")
            })?,
        };
        let mut params = file.parameters;
        let given = [
            ("stf_count", self.stf_count.map(Value::from)),
            ("physics_period_count", self.physics_period_count.map(Value::from)),
            ("physics_period_duration", self.physics_period_duration.map(Value::from)),
            ("stf_interval", self.stf_interval.map(Value::from)),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                params.insert(name.into(), value);
            }
        }
        params.insert("namespace".into(), namespace.clone().into());
        Ok(Plan {
            workflow,
            namespace,
            config,
            realtime: self.realtime.or(file.realtime).unwrap_or(true),
            duration: self.duration.unwrap_or(0),
            params,
        })
    }
}

impl Plan {
    fn command(&self, cx: &Cx) -> Map<String, Value> {
        let body = json!({
            "msg_type": "run_workflow",
            "namespace": self.namespace,
            "workflow_name": self.workflow,
            "config": self.config,
            "realtime": self.realtime,
            "duration": self.duration,
            "params": self.params,
            "timestamp": crate::time::iso(cx.now),
            "source": "mcp",
            "requested_by": cx.caller.name(),
        });
        match body {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}

/// Names become parts of file names and queue names.
fn plain_name(field: &str, name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let stem = name.strip_suffix(".toml").unwrap_or(name);
    if stem.is_empty() || !stem.chars().all(plain) {
        return Err(Error::invalid(field, format!("'{name}' may hold only letters, digits, _ and -")));
    }
    Ok(())
}

async fn newest_manager_namespace(cx: &Cx) -> Result<Option<String>, Error> {
    let sql = Sql::new(format!(
        "SELECT {} FROM swf_systemagent WHERE agent_type = 'agent_manager' AND namespace IS NOT NULL \
         AND last_heartbeat IS NOT NULL ORDER BY last_heartbeat DESC LIMIT 20",
        liveness::COLUMNS
    ));
    let managers: Vec<AgentRow> = cx.db.fetch_all(&sql).await?;
    Ok(managers.into_iter().find(|m| m.alive(cx)).and_then(|m| m.namespace))
}

/// The live, idle runner of a namespace, or why there is none.
async fn runner(cx: &Cx, namespace: &str) -> Result<AgentRow, Error> {
    let agents = liveness::agents_of(cx, namespace).await?;
    let mut live: Vec<AgentRow> = agents.into_iter().filter(|a| a.is_runner() && a.alive(cx)).collect();
    if let Some(idle) = live.iter().position(|a| a.operational_state != "PROCESSING") {
        return Ok(live.swap_remove(idle));
    }
    if let Some(busy) = live.first().map(|a| a.instance_name.clone()) {
        let sql = Sql::new(
            "SELECT execution_id FROM swf_workflow_executions WHERE status = 'running' AND namespace =",
        )
        .with("? ORDER BY start_time DESC LIMIT 1", [namespace.into()]);
        let running: Option<String> = cx.db.fetch_optional(&sql).await?;
        // A heartbeat may be behind the end of the last execution: a runner that answers knows best.
        let answers = live.iter().position(|a| a.said("control_queue").is_some());
        if let (None, Some(at)) = (&running, answers) {
            return Ok(live.swap_remove(at));
        }
        return Err(Error::conflict(
            format!("nothing was started: {busy} in namespace '{namespace}' is busy"),
            match running {
                Some(id) => {
                    format!("wait for {id} (swf_get_workflow_monitor) or stop it (swf_stop_workflow)")
                }
                None => "try again in a few seconds".into(),
            },
        ));
    }
    Err(Error::conflict(
        format!("nothing was started: no DAQ simulator is alive in namespace '{namespace}'"),
        "start the testbed first (swf_start_user_testbed), or name a namespace that has one (swf_list_agents)",
    ))
}

fn accepted(answer: Option<Value>, runner: &AgentRow, wait: std::time::Duration) -> Result<String, Error> {
    let Some(answer) = answer else {
        return Err(Error::Unavailable {
            what: format!(
                "{} did not answer within {} s; the command expires by itself in a minute. \
                 See swf_list_workflow_executions(currently_running=true) before you try again",
                runner.instance_name,
                wait.as_secs()
            ),
        });
    };
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if answer.get("accepted") != Some(&Value::Bool(true)) {
        return Err(Error::conflict(format!("{} refused: {}", runner.instance_name, text("reason")), ""));
    }
    Ok(text("execution_id"))
}

/// Waits for the execution that a runner without replies creates.
async fn appeared(cx: &Cx, namespace: &str, runner: &AgentRow) -> Result<String, Error> {
    // The original writes naive local times, so "newer than now" cannot be asked of start_time.
    let known = Sql::new("SELECT execution_id FROM swf_workflow_executions WHERE namespace =")
        .with("? ORDER BY start_time DESC LIMIT 200", [namespace.into()]);
    let before: Vec<String> = cx.db.fetch_all(&known).await?;
    let deadline = tokio::time::Instant::now() + cx.settings().reply_timeout;
    let mut look = tokio::time::interval(std::time::Duration::from_millis(250));
    while tokio::time::Instant::now() < deadline {
        look.tick().await;
        let now: Vec<String> = cx.db.fetch_all(&known).await?;
        if let Some(new) = now.into_iter().find(|id| !before.contains(id)) {
            return Ok(new);
        }
    }
    Err(Error::Unavailable {
        what: format!(
            "the command was sent, but {} has not created an execution yet; look again with \
             swf_list_workflow_executions(namespace='{namespace}') before you try again",
            runner.instance_name
        ),
    })
}
