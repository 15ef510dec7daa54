//! kill -9 of each process in the middle of a run: the run still completes, or is closed as failed with the reason.

use std::time::Duration;

use serde_json::{Value, json};

use crate::host::{Host, until};

const LIMIT: Duration = Duration::from_secs(90);

/// Starts a run, kills a process when five files are known, and follows the run to its end.
async fn killed_in_the_middle(host: &Host, words: &[&str]) -> Value {
    let execution = host.start_run(20).await;
    until("the fifth STF file", LIMIT, || async {
        (host.monitor(&execution).await["stf_count"].as_i64() >= Some(5)).then_some(())
    })
    .await;
    host.kill(words);
    until(&format!("the end of the run after kill -9 of {words:?}"), LIMIT, || async {
        let monitor = host.monitor(&execution).await;
        let p = &monitor["progress"];
        let open = p["slices_queued"].as_i64() != Some(0) || p["slices_processing"].as_i64() != Some(0);
        let all = p["stf_processed"] == monitor["stf_count"];
        let ended = monitor["status"] != "running" && p["runs_closed"] == true;
        let settled =
            ended && (monitor["status"] != "completed" || (all && !open && monitor["stf_count"] == 20));
        settled.then_some(monitor)
    })
    .await
}

/// Completed with every file and slice, each slice once.
async fn completed(host: &Host, monitor: &Value) {
    assert_eq!(monitor["status"], "completed", "{monitor}\n{}", host.logs());
    assert_eq!(monitor["stf_count"], 20);
    assert_eq!(monitor["progress"]["tf_files"], 140, "{monitor}");
    assert_eq!(monitor["progress"]["slices_failed"], 0);
    let run: i64 = monitor["run_id"].as_str().unwrap().parse().unwrap();
    let state = host.call("swf_get_system_state", json!({})).await;
    let counted = state["run_states"].as_array().unwrap().iter().find(|s| s["run_number"] == run).unwrap();
    // The counter moves once for each slice that really changes; a slice completed twice would show here.
    assert_eq!(counted["slices_completed"], monitor["progress"]["slices_completed"], "{counted}");
    assert_eq!(counted["slices_queued"], 0);
}

#[tokio::test]
async fn a_killed_agent_comes_back_and_the_run_completes() {
    let host = Host::start().await;
    host.start_testbed().await;
    for kind in ["data", "fastmon", "fast-processing", "worker", "processing"] {
        let monitor = killed_in_the_middle(&host, &["agent", kind]).await;
        completed(&host, &monitor).await;
        host.testbed_ready().await;
    }
    host.down().await;
}

#[tokio::test]
async fn a_killed_monitor_or_broker_comes_back_and_the_run_completes() {
    let host = Host::start().await;
    host.start_testbed().await;
    for role in ["serve", "broker"] {
        let monitor = killed_in_the_middle(&host, &[role]).await;
        completed(&host, &monitor).await;
    }
    host.down().await;
}

#[tokio::test]
async fn a_killed_runner_closes_its_run_as_failed_with_the_reason() {
    let host = Host::start().await;
    host.start_testbed().await;
    let monitor = killed_in_the_middle(&host, &["agent", "runner"]).await;
    assert_eq!(monitor["status"], "failed", "{monitor}");
    assert!(monitor["reason"].as_str().unwrap().contains("runner"), "{monitor}");
    assert!(monitor["end_time"].is_string());
    host.testbed_ready().await;
    let execution = host.start_run(3).await;
    until("a run after the killed one", LIMIT, || async {
        (host.monitor(&execution).await["status"] == "completed").then_some(())
    })
    .await;
    host.down().await;
}

#[tokio::test]
async fn a_killed_agent_manager_leaves_no_orphan_and_resumes_its_testbed() {
    let host = Host::start().await;
    host.start_testbed().await;
    let before = host.pids(&["agent"]);
    assert_eq!(before.len(), 6);
    let monitor = killed_in_the_middle(&host, &["agent-manager"]).await;
    let status = monitor["status"].as_str().unwrap().to_owned();
    assert!(
        status == "completed"
            || (status == "failed" && monitor["reason"].is_string())
            || status == "terminated",
        "{monitor}"
    );
    host.testbed_ready().await;
    let after = host.pids(&["agent"]);
    assert_eq!(after.len(), 6);
    assert!(before.iter().all(|pid| !after.contains(pid)), "{before:?} {after:?}");
    host.down().await;
}

#[tokio::test]
async fn a_killed_swf_up_leaves_nothing_and_the_next_one_resumes_its_testbed() {
    let host = Host::start().await;
    host.start_testbed().await;
    let host = host.killed_and_started_again().await;
    // Nobody starts it: it comes back by itself.
    host.testbed_ready().await;
    host.down().await;
}

#[tokio::test]
async fn with_a_key_the_monitor_s_commands_are_obeyed_and_others_are_not() {
    let signed = [("SWF__BROKER__COMMAND_KEY", "between us"), ("SWF__BROKER__REQUIRE_SIGNED", "true")];
    let host = Host::with(&signed).await;
    host.start_testbed().await;
    let (address, port) = host.broker.rsplit_once(':').unwrap();
    let config = swf_stomp::ClientConfig::new(address, port.parse().unwrap());
    let stranger = swf_stomp::Client::start(config);
    let manager = host.call("swf_check_agent_manager", json!({})).await;
    let queue = format!("/queue/agent_control.{}", manager["username"].as_str().unwrap());
    assert_eq!(manager["control_queue"], queue, "the name that is told is the one that is listened to");
    let mut answers = stranger.subscribe(swf_stomp::Subscribe::to("/queue/stranger")).await.unwrap();
    let command = json!({"command": "stop_testbed", "reply_to": "/queue/stranger"}).to_string();
    stranger.send(swf_stomp::Message::new(queue, command)).await.unwrap();
    let answer = tokio::time::timeout(LIMIT, answers.next()).await.unwrap().unwrap();
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["success"], false, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("not signed"), "{answer}");
    let execution = host.start_run(3).await;
    until("the end of the run", LIMIT, || async {
        (host.monitor(&execution).await["status"] == "completed").then_some(())
    })
    .await;
    host.call("swf_stop_user_testbed", json!({})).await;
    host.down().await;
}

#[tokio::test]
async fn stopping_ends_the_run_at_once_and_a_second_stop_says_so() {
    let host = Host::start().await;
    host.start_testbed().await;
    let execution = host.start_run(500).await;
    until("the first STF file", LIMIT, || async {
        (host.monitor(&execution).await["stf_count"].as_i64() >= Some(1)).then_some(())
    })
    .await;
    let busy = host
        .refused("swf_start_workflow", json!({"config": "quick_default", "workflow_name": "fast_processing"}))
        .await;
    assert!(busy.contains(&execution) && busy.contains("busy"), "{busy}");
    let stopped = host.call("swf_stop_workflow", json!({"execution_id": execution})).await;
    assert_eq!(stopped["confirmed"], true, "{stopped}");
    let end = until("the end of the stopped run", Duration::from_secs(10), || async {
        let monitor = host.monitor(&execution).await;
        (monitor["status"] == "terminated" && monitor["progress"]["runs_closed"] == true).then_some(monitor)
    })
    .await;
    assert!(end["end_time"].is_string(), "{end}");
    let again = host.refused("swf_stop_workflow", json!({"execution_id": execution})).await;
    assert!(again.contains("is not running but terminated"), "{again}");
    host.down().await;
}
