//! Answers of the original, recorded on made-up rows at a set time: swf gives the same values on the same rows.

use serde_json::Value;
use swf_db::testing::{TestDb, on_each_db};
use swf_stomp::{Broker, BrokerConfig};
use swf_tools::Settings;
use swf_tools::tables::SCHEMA;

use crate::original::{Intended, Judge, Recorded};
use crate::rows::Rows;
use crate::support::{World, now};

const ROWS: &str = include_str!("../fixtures/original/testbed_rows.json");
const ANSWERS: &str = include_str!("../fixtures/original/testbed_answers.json");

const INTENDED: &[Intended] = &[
    // Agents that said good-bye in one of the two fields only.
    ("swf_list_agents", "", "items", "40"),
    ("swf_list_agents", "", "total_count", "40"),
    ("swf_get_system_state", "", "agents.active", "40"),
    ("swf_get_system_state", "", "agents.exited", "40"),
    ("swf_get_system_state", "", "agents.unhealthy", "40"),
    ("swf_get_testbed_status", r#"{"username":"torre"}"#, "agents", "40"),
    ("swf_get_testbed_status", r#"{"username":"torre"}"#, "summary.stopped", "40"),
    ("swf_get_testbed_status", r#"{"username":"silent"}"#, "agents", "40"),
    ("swf_get_testbed_status", r#"{"username":"silent"}"#, "summary.stopped", "40"),
    // An agent silent for longer than two minutes and shorter than the one limit.
    ("swf_get_testbed_status", r#"{"username":"wenauseic"}"#, "agents[].status", "39"),
    ("swf_get_testbed_status", r#"{"username":"wenauseic"}"#, "summary.running", "39"),
    ("swf_get_testbed_status", r#"{"username":"wenauseic"}"#, "summary.stopped", "39"),
    ("swf_get_testbed_status", r#"{"username":"gone"}"#, "agents[].status", "39"),
    ("swf_get_testbed_status", r#"{"username":"gone"}"#, "summary.running", "39"),
    ("swf_get_testbed_status", r#"{"username":"gone"}"#, "summary.stopped", "39"),
    // Executions whose messages do not tell their end, or their run.
    ("swf_get_workflow_monitor", "", "phase", "97"),
    ("swf_get_workflow_monitor", "", "run_id", "97"),
    ("swf_get_workflow_monitor", "", "errors[].error", "JSON stays JSON"),
    ("swf_list_runs", r#"{"end_time":"2099-11-21T12:00:00Z"}"#, "items", "An end without a start"),
    ("swf_list_runs", r#"{"end_time":"2099-11-21T12:00:00Z"}"#, "total_count", "An end without a start"),
    (
        "swf_list_logs",
        r#"{"end_time":"2099-11-22T10:30:00Z","level":"ERROR"}"#,
        "items",
        "An end without a start",
    ),
    (
        "swf_list_logs",
        r#"{"end_time":"2099-11-22T10:30:00Z","level":"ERROR"}"#,
        "total_count",
        "An end without a start",
    ),
    (
        "swf_get_namespace",
        r#"{"namespace":"torre1","end_time":"2099-11-22T11:00:00+02:00"}"#,
        "execution_count",
        "An end without a start",
    ),
    (
        "swf_get_namespace",
        r#"{"namespace":"torre1","end_time":"2099-11-22T11:00:00+02:00"}"#,
        "time_range.start",
        "An end without a start",
    ),
    (
        "swf_get_namespace",
        r#"{"namespace":"torre1","start_time":"2099-11-22T05:00:00"}"#,
        "time_range.start",
        "Naive times",
    ),
    ("swf_get_namespace", "", "active_users", "Each user once"),
    ("swf_get_namespace", r#"{"namespace":"nosuch"}"#, "answered", "Refusals are errors"),
    (
        "swf_list_workflow_executions",
        r#"{"currently_running":true,"status":"failed"}"#,
        "answered",
        "Lenient form, strict meaning",
    ),
    ("swf_list_workflow_executions", "", "monitor_urls[].url", "Links show the same rows"),
    ("swf_start_workflow", "{}", "answered", "52"),
    ("swf_get_stf_file", "", "answered", "Lenient form, strict meaning"),
    ("pcs_list_tags", r#"{"tag_type":"e","category":"DIS"}"#, "answered", "Lenient form, strict meaning"),
    ("pcs_search_tags", r#"{"query":"none"}"#, "count", "JSON stays JSON"),
    ("pcs_search_tags", r#"{"query":"none"}"#, "tags", "JSON stays JSON"),
    ("pcs_search_tags", r#"{"query":"['a'"}"#, "count", "JSON stays JSON"),
    ("pcs_search_tags", r#"{"query":"['a'"}"#, "tags", "JSON stays JSON"),
];

/// Tools that change rows; the next call finds them as they were.
const CHANGING: [&str; 3] = ["swf_end_execution", "swf_kill_agent", "swf_record_ai_memory"];

/// The original puts agents that were never heard first, swf last.
fn never_heard_last(mut answer: Value) -> Value {
    for key in ["items", "agents"] {
        if let Some(Value::Array(rows)) = answer.get_mut(key) {
            rows.sort_by_key(|row| row.get("last_heartbeat").is_some_and(Value::is_null));
        }
    }
    answer
}

#[tokio::test]
async fn every_recorded_answer_of_the_original_is_ours_too() {
    let recorded = Recorded::parse(ANSWERS);
    let rows = Rows::parse(ROWS);
    assert_eq!(rows.now, now());
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        rows.load(&db).await;
        let broker = Broker::start(BrokerConfig::new(([127, 0, 0, 1], 0).into())).await.unwrap();
        let world = World::on(&db, Some(broker), Settings::default()).await;
        let mut judge = Judge::new(INTENDED);
        for call in &recorded {
            let ours = world.call(&call.tool, call.arguments.clone()).await;
            judge.compare(call, &never_heard_last(call.answer.clone()), ours);
            if CHANGING.contains(&call.tool.as_str()) {
                rows.load(&db).await;
            }
        }
        judge.finish();
    })
    .await;
}
