//! Bodies and answers of the calls agents make. Unknown answer fields are ignored; absent ones take a default, so
//! that the client works with older and newer monitors.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A JSON object that keeps the order of its keys.
pub type Object = Map<String, Value>;

/// `POST systemagents/heartbeat/`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Heartbeat {
    /// Unique name of the agent.
    pub instance_name: String,
    /// Kind as it is shown, at most 20 characters.
    pub agent_type: String,
    /// OK, WARNING, ERROR or EXITED.
    pub status: String,
    /// One line for people.
    pub description: String,
    /// Whether the broker connection stands.
    pub mq_connected: bool,
    /// STARTING, READY, PROCESSING or EXITED.
    pub operational_state: String,
    /// Process id.
    pub pid: u32,
    /// Host the process runs on.
    pub hostname: String,
    /// Namespace the agent works for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Whether the agent takes part in workflows.
    pub workflow_enabled: bool,
    /// Work at hand.
    pub current_stf_count: i64,
    /// Work done since the start of the process.
    pub total_stf_processed: i64,
    /// Anything else; merged key by key by the monitor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Object>,
}

/// `POST subscribers/`.
#[derive(Debug, Clone, Serialize)]
pub struct NewSubscriber {
    /// `<agent>-<destination>`, unique.
    pub subscriber_name: String,
    /// One line for people.
    pub description: String,
    /// Whether it listens now.
    pub is_active: bool,
    /// Share of the messages it takes, 0 to 1.
    pub fraction: f64,
}

/// A row of `workflow-definitions`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Definition {
    /// Primary key.
    pub id: i64,
    /// Name of the workflow.
    pub workflow_name: String,
    /// Version text.
    pub version: String,
    /// Source text.
    pub definition: String,
}

/// `POST workflow-definitions/`.
#[derive(Debug, Clone, Serialize)]
pub struct NewDefinition {
    /// Name of the workflow.
    pub workflow_name: String,
    /// Version text.
    pub version: String,
    /// `simulation`.
    pub workflow_type: String,
    /// Source text.
    pub definition: String,
    /// Sections of the configuration.
    pub parameter_values: Value,
    /// Login user.
    pub created_by: String,
    /// UTC with offset.
    pub created_at: String,
}

/// A row of `workflow-executions`; also the body that creates one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Execution {
    /// Unique id, `<workflow>-<user>-<sequence>`.
    pub execution_id: String,
    /// Key of the definition.
    pub workflow_definition: Value,
    /// Namespace it runs in.
    pub namespace: Option<String>,
    /// running, completed, failed or terminated.
    pub status: String,
    /// Login user.
    pub executed_by: String,
    /// UTC with offset.
    pub start_time: Option<String>,
    /// UTC with offset; none while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// Effective configuration.
    pub parameter_values: Value,
    /// Who runs it, and at the end what came out.
    pub performance_metrics: Value,
}

/// A row of `runs`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Run {
    /// Primary key, needed to PATCH the row.
    pub run_id: i64,
    /// Run number.
    pub run_number: i64,
}

/// A row of `stf-files`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct StfFile {
    /// Primary key (uuid text).
    pub file_id: String,
    /// Unique file name.
    pub stf_filename: String,
    /// registered, processing, processed, failed or done.
    pub status: String,
}

/// `POST stf-files/`.
#[derive(Debug, Clone, Serialize)]
pub struct NewStfFile {
    /// Key of the run's row.
    pub run: i64,
    /// Unique file name.
    pub stf_filename: String,
    /// Bytes, when known.
    pub file_size_bytes: Option<i64>,
    /// State of the machine when the file was taken.
    pub machine_state: String,
    /// `registered`.
    pub status: String,
    /// Anything else.
    pub metadata: Value,
}

/// One item of `POST fastmon-files/batch/`.
#[derive(Debug, Clone, Serialize)]
pub struct NewFastmonFile {
    /// Name of the STF file it was sampled from.
    pub stf_file: String,
    /// Unique file name.
    pub tf_filename: String,
    /// First time frame, counted inside the STF file.
    pub tf_first: i64,
    /// Last time frame, inclusive.
    pub tf_last: i64,
    /// Number of time frames.
    pub tf_count: i64,
    /// Size; the simulation gives frames here, as the contract does.
    pub file_size_bytes: i64,
    /// `registered`.
    pub status: String,
    /// Anything else.
    pub metadata: Value,
}

/// A row of `fastmon-files`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct FastmonFile {
    /// Primary key (uuid text).
    pub tf_file_id: String,
    /// Unique file name.
    pub tf_filename: String,
    /// First time frame; none on monitors that do not keep it.
    pub tf_first: Option<i64>,
    /// Last time frame.
    pub tf_last: Option<i64>,
    /// Number of time frames.
    pub tf_count: Option<i64>,
    /// Size.
    pub file_size_bytes: Option<i64>,
    /// registered, processing, processed, failed or done.
    pub status: String,
}

/// Answer of the batch calls.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Batch<T = Value> {
    /// Rows made now.
    pub created: i64,
    /// Rows that were there already.
    pub existing: i64,
    /// The rows, where the call returns them.
    pub items: Vec<T>,
}

/// One slice of `POST tf-slices/batch/`; also a row of `tf-slices`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Slice {
    /// Number inside its TF file, from 0.
    pub slice_id: i64,
    /// First time frame.
    pub tf_first: i64,
    /// Last time frame, inclusive.
    pub tf_last: i64,
    /// Number of time frames.
    pub tf_count: i64,
    /// Slice file name.
    pub tf_filename: String,
    /// STF file it comes from.
    pub stf_filename: String,
    /// Run number.
    pub run_number: i64,
    /// queued, processing, completed or failed.
    pub status: String,
    /// Tries so far.
    pub retries: i64,
    /// Anything else.
    pub metadata: Value,
}

/// One item of `POST tf-slices/results/`.
#[derive(Debug, Clone, Serialize)]
pub struct SliceResult {
    /// Run number.
    pub run_number: i64,
    /// Slice file name as in the slice message.
    pub tf_filename: String,
    /// Number inside its TF file.
    pub slice_id: i64,
    /// processing, completed or failed.
    pub status: String,
    /// Who did it.
    pub assigned_worker: Option<String>,
    /// Merged into the row's metadata.
    pub metadata: Value,
    /// UTC with offset.
    pub timestamp: String,
}

/// Answer of `POST tf-slices/results/`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ResultsAnswer {
    /// Rows that moved on.
    pub updated: i64,
    /// Rows that were there already.
    pub unchanged: i64,
    /// Slices the monitor does not know.
    pub unknown: Vec<Value>,
}

/// `POST run-states/`; with every field optional also a PATCH.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunState {
    /// Run number, the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_number: Option<i64>,
    /// initializing, physics or completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// imminent, running or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// preparing, physics or standby.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub substate: Option<String>,
    /// Workers asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_worker_count: Option<i64>,
    /// UTC with offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_changed_at: Option<String>,
    /// Anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
}

/// One item of `POST system-state-events/batch/`.
#[derive(Debug, Clone, Serialize)]
pub struct StateEvent {
    /// UTC with offset.
    pub timestamp: String,
    /// Run number.
    pub run_number: i64,
    /// What happened, at most 50 characters.
    pub event_type: String,
    /// Machine state, at most 20 characters.
    pub state: String,
    /// Machine substate.
    pub substate: Option<String>,
    /// Anything else.
    pub event_data: Value,
}

/// One item of `POST logs/batch/`.
#[derive(Debug, Clone, Serialize)]
pub struct LogRow {
    /// `base_agent` or `agent_manager`.
    pub app_name: String,
    /// Name of the agent.
    pub instance_name: String,
    /// UTC with offset.
    pub timestamp: String,
    /// 10, 20, 30, 40 or 50.
    pub level: i32,
    /// DEBUG, INFO, WARNING, ERROR or CRITICAL.
    pub levelname: String,
    /// The text.
    pub message: String,
    /// Where it was written.
    pub module: String,
    /// Function or span.
    pub funcname: String,
    /// Line, 0 when unknown.
    pub lineno: u32,
    /// Process id.
    pub process: u32,
    /// Thread number.
    pub thread: u64,
    /// Run, execution, namespace, user.
    pub extra_data: Option<Value>,
}
