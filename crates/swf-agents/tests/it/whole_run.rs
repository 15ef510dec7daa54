//! All agents together.

use serde_json::json;
use swf_agents::Kind;

use crate::rig::{NAMESPACE, Rig};

/// STF files of the run; 7 TF files each.
const FILES: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_processing_run_completes_every_slice_exactly_once_and_closes() {
    let rig = Rig::start().await;
    let mut agents = Vec::new();
    for kind in Kind::ALL {
        agents.push(rig.agent(kind).await);
    }
    let command = json!({
        "msg_type": "run_workflow", "namespace": NAMESPACE, "workflow_name": "fast_processing", "realtime": false,
        "params": { "stf_count": FILES },
    });
    let answer = rig.command(&Rig::control_queue(), command).await;
    assert_eq!(answer["accepted"], json!(true), "{answer:?}");
    let execution_id = answer["execution_id"].as_str().unwrap().to_owned();
    assert_eq!(execution_id, "fast_processing-tester-0001");
    let double = rig.double.clone();
    double
        .until("the execution is completed", |rows| {
            rows.of("workflow-executions").iter().any(|row| row["status"] == "completed")
        })
        .await;
    double.until("every TF file is registered", |rows| rows.of("fastmon-files").len() == FILES * 7).await;
    double
        .until("every TF file is cut", |rows| {
            rows.of("system-state-events")
                .iter()
                .filter(|row| row["event_type"] == "tf_file_processed")
                .count()
                == FILES * 7
        })
        .await;
    double
        .until("every slice is completed", |rows| {
            rows.of("tf-slices").iter().all(|row| row["status"] == "completed")
        })
        .await;
    let slices = double.table("tf-slices");
    assert!(slices.len() >= FILES * 7 * 5, "{}", slices.len());
    assert_eq!(double.with(|rows| rows.completed_twice), 0);
    assert!(
        slices
            .iter()
            .all(|row| row["assigned_worker"].as_str().unwrap().starts_with("slice_worker-agent-tester-"))
    );
    double
        .until("the run is closed", |rows| rows.of("runs").iter().all(|row| row.contains_key("end_time")))
        .await;
    double
        .until("every STF file is processed", |rows| {
            rows.of("stf-files").len() == FILES
                && rows.of("stf-files").iter().all(|row| row["status"] == "processed")
        })
        .await;
    double
        .until("the run state is closed", |rows| {
            rows.of("run-states").iter().all(|row| row["phase"] == "completed" && row["state"] == "ended")
        })
        .await;
    let executions = double.table("workflow-executions");
    let metrics = &executions[0]["performance_metrics"];
    assert_eq!((&metrics["stf_files"], &metrics["run_number"]), (&json!(FILES), &json!(100_010)));
    assert_eq!(executions[0]["parameter_values"]["effective"]["stf_count"], json!(FILES));
    let patches = double.with(|rows| {
        let path = format!("PATCH workflow-executions/{execution_id}/");
        rows.calls.iter().filter(|call| **call == path).count()
    });
    assert_eq!(patches, 1, "one final status");
    for agent in agents {
        agent.end().await;
    }
    let agents = double.table("systemagents");
    assert_eq!(agents.len(), Kind::ALL.len());
    for row in agents {
        assert_eq!(
            (row["status"].as_str(), row["operational_state"].as_str()),
            (Some("EXITED"), Some("EXITED")),
            "{row:?}"
        );
        assert_eq!(row["metadata"]["messages_failed"], json!(0), "{row:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_completes_although_every_agent_but_the_runner_is_killed_in_the_middle() {
    let rig = Rig::start().await;
    let _runner = rig.agent(Kind::Runner).await;
    let kinds = [Kind::Data, Kind::Fastmon, Kind::FastProcessing, Kind::Worker];
    let mut agents = Vec::new();
    for kind in kinds {
        agents.push(rig.agent(kind).await);
    }
    let command = json!({
        "msg_type": "run_workflow", "namespace": NAMESPACE, "workflow_name": "fast_processing", "realtime": false,
        "params": { "stf_count": 40, "stf_sampling_rate": 1 },
    });
    assert_eq!(rig.command(&Rig::control_queue(), command).await["accepted"], json!(true));
    let double = rig.double.clone();
    double
        .until("some slices are through and some are not", |rows| {
            rows.of("tf-slices").iter().filter(|row| row["status"] == "completed").count() > 20
        })
        .await;
    for agent in agents {
        agent.kill().await;
    }
    let through =
        double.with(|rows| rows.of("tf-slices").iter().filter(|row| row["status"] == "completed").count());
    for kind in kinds {
        rig.agent_with(kind, rig.config());
    }
    double
        .until("every STF file is processed and its run closed", |rows| {
            rows.of("stf-files").len() == 40
                && rows.of("stf-files").iter().all(|row| row["status"] == "processed")
                && rows.of("runs").iter().all(|row| row.contains_key("end_time"))
        })
        .await;
    double
        .until("every TF file is cut", |rows| {
            let mut cut: Vec<&str> = rows
                .of("tf-slices")
                .iter()
                .map(|row| row["tf_filename"].as_str().unwrap().split("_slice_").next().unwrap())
                .collect();
            cut.dedup();
            cut.sort_unstable();
            cut.dedup();
            cut.len() == 40 * 7
        })
        .await;
    double
        .until("every slice is completed", |rows| {
            rows.of("tf-slices").iter().all(|row| row["status"] == "completed")
        })
        .await;
    let slices = double.table("tf-slices").len();
    assert!(through < slices, "the kill came in the middle: {through} of {slices}");
    assert_eq!(double.table("fastmon-files").len(), 40 * 7);
}
