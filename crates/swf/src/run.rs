//! `swf run`: starts the testbed if it is down, starts a workflow, follows it; and the watch that the demo shares.

use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::roles::Role;
use crate::tools::call;

/// How often progress is looked at.
pub const LOOK: Duration = Duration::from_millis(250);
/// Agents register within this time after their start.
const AGENTS: Duration = Duration::from_secs(60);
/// Without any change for this long a run counts as stuck.
const STUCK: Duration = Duration::from_secs(120);

/// Someone who can call tools: over REST, or as an MCP client.
pub trait Caller {
    /// Calls a tool.
    fn call(&self, tool: &'static str, arguments: Value) -> impl Future<Output = anyhow::Result<Value>>;
}

/// Calls over the derived REST interface.
pub struct OverRest<'a>(pub &'a Role);

impl Caller for OverRest<'_> {
    async fn call(&self, tool: &'static str, arguments: Value) -> anyhow::Result<Value> {
        call(self.0, tool, arguments).await
    }
}

/// Counts of a run, as the progress display shows them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// Status of the execution.
    pub status: String,
    /// Phase of the run.
    pub phase: String,
    /// Run number.
    pub run: String,
    /// STF files known, and processed.
    pub stf: (i64, i64),
    /// TF files.
    pub tf: i64,
    /// Slices queued, processing, completed, failed.
    pub slices: [i64; 4],
    /// Messages captured.
    pub messages: i64,
    /// Errors reported.
    pub errors: usize,
    /// Every run of it has its end time.
    pub closed: bool,
    /// Why it ended, if not ordinarily.
    pub reason: Option<String>,
}

impl Progress {
    /// From the answer of `swf_get_workflow_monitor`.
    pub fn of(answer: &Value) -> Progress {
        let text = |path: &str| match answer.pointer(path) {
            Some(Value::String(s)) => s.clone(),
            _ => String::new(),
        };
        let number =
            |name: &str| answer.pointer(&format!("/progress/{name}")).and_then(Value::as_i64).unwrap_or(0);
        Progress {
            status: text("/status"),
            phase: text("/phase"),
            run: text("/run_id"),
            stf: (answer.get("stf_count").and_then(Value::as_i64).unwrap_or(0), number("stf_processed")),
            tf: number("tf_files"),
            slices: ["queued", "processing", "completed", "failed"].map(|s| number(&format!("slices_{s}"))),
            messages: number("messages"),
            errors: answer.get("errors").and_then(Value::as_array).map_or(0, Vec::len),
            closed: answer.pointer("/progress/runs_closed") == Some(&Value::Bool(true)),
            reason: Some(text("/reason")).filter(|r| !r.is_empty()),
        }
    }

    /// Slices in all.
    pub fn slice_total(&self) -> i64 {
        self.slices.iter().sum()
    }

    /// The execution has ended, its runs are closed, and no file or slice waits.
    pub fn settled(&self, slices_expected: bool) -> bool {
        let [queued, processing, ..] = self.slices;
        let files = self.stf.0 == self.stf.1;
        let ended = self.status != "running" && self.status != "pending";
        let slices = queued + processing == 0 && (!slices_expected || self.slice_total() > 0);
        ended && (self.status != "completed" || (self.closed && files && slices))
    }

    /// One line.
    pub fn line(&self) -> String {
        let [queued, processing, completed, failed] = self.slices;
        format!(
            "{:<8} run {}  STF {}/{}  TF {}  slices {queued} queued {processing} processing {completed} completed {failed} failed  messages {}  errors {}",
            self.phase, self.run, self.stf.1, self.stf.0, self.tf, self.messages, self.errors
        )
    }
}

/// Starts the user's testbed unless it runs, and waits until a workflow can be started.
pub async fn ensure_testbed(caller: &impl Caller, user: &str, config: Option<&str>) -> anyhow::Result<()> {
    let deadline = Instant::now() + AGENTS;
    let mut ticks = tokio::time::interval(LOOK);
    let mut asked = false;
    loop {
        ticks.tick().await;
        let manager = caller.call("swf_check_agent_manager", json!({"username": user})).await?;
        let alive = manager.get("alive") == Some(&Value::Bool(true));
        if alive && !asked {
            let status = caller.call("swf_get_testbed_status", json!({"username": user})).await?;
            if status.pointer("/summary/running").and_then(Value::as_i64).unwrap_or(0) == 0 {
                // A null is the same as nothing.
                caller
                    .call("swf_start_user_testbed", json!({"username": user, "config_name": config}))
                    .await?;
            }
            asked = true;
        }
        if asked {
            let state = caller.call("swf_get_system_state", json!({"username": user})).await?;
            if state.get("ready_to_run") == Some(&Value::Bool(true)) && all_registered(caller, user).await? {
                return Ok(());
            }
        }
        if Instant::now() > deadline {
            let what = if alive { "its agents did not register" } else { "its agent manager is not alive" };
            bail!(
                "the testbed of {user} is not ready after {} s: {what}; see the log files and `swf status`",
                AGENTS.as_secs()
            );
        }
    }
}

/// Every program that the manager keeps has registered as an agent that lives.
async fn all_registered(caller: &impl Caller, user: &str) -> anyhow::Result<bool> {
    let manager = caller.call("swf_get_agent", json!({"name": format!("agent-manager-{user}")})).await?;
    let kept = manager.pointer("/metadata/agents").and_then(Value::as_array).map_or(0, Vec::len);
    let status = caller.call("swf_get_testbed_status", json!({"username": user})).await?;
    let running = status.pointer("/summary/running").and_then(Value::as_u64).unwrap_or(0);
    Ok(usize::try_from(running).unwrap_or(0) >= kept)
}

/// Follows an execution to its end; `show` gets every change.
pub async fn follow(
    caller: &impl Caller,
    execution: &str,
    slices_expected: bool,
    mut show: impl FnMut(&Progress),
) -> anyhow::Result<(Progress, Value)> {
    let mut ticks = tokio::time::interval(LOOK);
    let mut last = Progress::default();
    let mut changed = Instant::now();
    loop {
        ticks.tick().await;
        let answer = caller.call("swf_get_workflow_monitor", json!({"execution_id": execution})).await?;
        let progress = Progress::of(&answer);
        if progress != last {
            show(&progress);
            changed = Instant::now();
            last = progress.clone();
        }
        if progress.settled(slices_expected) {
            return Ok((progress, answer));
        }
        if changed.elapsed() > STUCK {
            bail!("nothing has changed for {} s: {}", STUCK.as_secs(), progress.line());
        }
    }
}

/// `swf run [config]`
pub async fn run(role: &Role, config: Option<&str>) -> anyhow::Result<()> {
    let caller = OverRest(role);
    let testbed = role.testbed()?;
    let request = testbed.run_request(config)?;
    ensure_testbed(&caller, &role.user(), None).await?;
    let parameter = |key: &str| request.params.get(key).cloned();
    let arguments = json!({
        "workflow_name": request.workflow_name,
        "namespace": request.namespace,
        "config": request.config,
        "realtime": request.realtime,
        "duration": request.duration,
        "stf_count": parameter("stf_count"),
        "physics_period_count": parameter("physics_period_count"),
        "physics_period_duration": parameter("physics_period_duration"),
        "stf_interval": parameter("stf_interval"),
    });
    let started = caller.call("swf_start_workflow", arguments).await?;
    let execution = started.get("execution_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    eprintln!("started {execution}");
    let fast = request.workflow_name == "fast_processing";
    let (end, _) = follow(&caller, &execution, fast, |p| eprintln!("{}", p.line())).await?;
    if end.status != "completed" {
        bail!(
            "{execution} ended as {}{}",
            end.status,
            end.reason.map(|r| format!(": {r}")).unwrap_or_default()
        );
    }
    println!("{execution} completed");
    Ok(())
}
