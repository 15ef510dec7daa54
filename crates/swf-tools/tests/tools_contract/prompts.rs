//! The calls with which the documented example prompts are answered, as the documents write them.

use serde_json::{Value, json};
use swf_db::testing::{TestDb, on_each_db};
use swf_tools::tables::SCHEMA;

use crate::support::{World, rows};

/// What people ask, and the calls that answer it. Some documents leave the prefix of a tool's name out.
fn prompts() -> Vec<(&'static str, &'static str, Value)> {
    let week = json!({"start_time": "2099-11-15T00:00:00", "end_time": "2099-11-22T00:00:00"});
    let today = json!({"namespace": "torre1", "start_time": "2099-11-22T00:00:00"});
    let running = "fast_processing-wenauseic-0002";
    vec![
        (
            "what is running in the testbed",
            "swf_list_workflow_executions",
            json!({"currently_running": true}),
        ),
        (
            "what is the state of my running workflow",
            "get_workflow_monitor",
            json!({"execution_id": running}),
        ),
        (
            "the same by namespace",
            "swf_list_workflow_executions",
            json!({"currently_running": true, "namespace": "torre1"}),
        ),
        ("what is the state of the testbed", "swf_get_system_state", json!({"username": "wenauseic"})),
        ("am I ready to run a workflow", "swf_get_system_state", json!({"username": "torre"})),
        ("is my agent manager running", "check_agent_manager", json!({"username": "torre"})),
        ("start my testbed", "start_user_testbed", json!({"username": "wenauseic"})),
        ("check whether my agents are running", "swf_list_agents", json!({"namespace": "torre1"})),
        (
            "start a workflow with 5 STF files",
            "swf_start_workflow",
            json!({"namespace": "epic-daq", "stf_count": 5}),
        ),
        (
            "start a workflow with 3 physics periods",
            "swf_start_workflow",
            json!({"namespace": "epic-daq", "physics_period_count": 3}),
        ),
        ("how many STF files were made", "swf_get_workflow_monitor", json!({"execution_id": running})),
        (
            "stop my running workflow",
            "swf_stop_workflow",
            json!({"execution_id": "stf_datataking-torre-0001"}),
        ),
        ("stop the testbed", "stop_user_testbed", json!({"username": "torre"})),
        ("are there errors in the system", "swf_list_logs", json!({"level": "ERROR"})),
        (
            "why did my workflow fail, 1",
            "swf_list_workflow_executions",
            json!({"status": "failed", "namespace": "torre1"}),
        ),
        ("why did my workflow fail, 3", "swf_list_logs", json!({"execution_id": running, "level": "ERROR"})),
        ("show the logs of an agent", "swf_list_logs", json!({"instance_name": "data-agent-torre-1"})),
        ("look for words in the logs", "swf_list_logs", json!({"search": "connection failed"})),
        (
            "what was sent for an execution",
            "swf_list_messages",
            json!({"execution_id": "stf_datataking-torre-0001"}),
        ),
        ("what did an agent send", "swf_list_messages", json!({"agent": "daq_simulator-agent-torre-1"})),
        (
            "what was sent since a time",
            "swf_list_messages",
            json!({"namespace": "torre1", "start_time": "2099-11-22T05:00:00"}),
        ),
        ("summarize the past week, 1", "swf_list_workflow_executions", week),
        ("summarize the past week, 2", "swf_list_agents", json!({})),
        ("summarize the past week, 3", "swf_list_namespaces", json!({})),
        ("details of a run", "swf_get_run", json!({"run_number": 100_010})),
        ("the files of a run", "list_stf_files", json!({"run_number": 100_010})),
        ("an agent does not respond, 1", "swf_get_agent", json!({"name": "data-agent-torre-1"})),
        (
            "an agent does not respond, 2",
            "swf_list_logs",
            json!({"instance_name": "data-agent-torre-1", "level": "WARNING"}),
        ),
        ("what happens in a namespace today, 1", "swf_get_namespace", today.clone()),
        ("what happens in a namespace today, 2", "swf_list_workflow_executions", today),
        ("the slices of a run", "list_tf_slices", json!({"run_number": 100_010})),
        ("what can be asked", "swf_list_available_tools", json!({})),
        ("what PanDA does", "panda_get_activity", json!({})),
        ("what PanDA did in a week", "panda_get_activity", json!({"days": 7, "workinggroup": "EIC"})),
        ("one person's share", "panda_get_activity", json!({"username": "Dmitrii Kalinkin"})),
        ("tasks of a week", "panda_list_tasks", json!({"days": 7})),
        ("failed tasks", "panda_list_tasks", json!({"status": "failed"})),
        ("tasks by name", "panda_list_tasks", json!({"taskname": "%workflow%"})),
        ("tasks of a group", "panda_list_tasks", json!({"workinggroup": "EIC"})),
        ("errors of a week", "panda_error_summary", json!({"days": 7})),
        ("errors of the pilots", "panda_error_summary", json!({"error_source": "pilot"})),
        ("errors of a person", "panda_error_summary", json!({"username": "Dmitrii Kalinkin"})),
    ]
}

#[tokio::test]
async fn every_documented_example_prompt_can_be_answered_with_the_calls_it_names() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::busy(&db).await;
        let mut empty = Vec::new();
        for (prompt, tool, arguments) in prompts() {
            let answer = world.get(tool, arguments).await;
            if answer.get("items").is_some() && rows(&answer).is_empty() {
                empty.push(prompt);
            }
        }
        assert!(empty.is_empty(), "these prompts find nothing in the sample: {empty:?}");
    })
    .await;
}
