//! The workflow runner: commands, refusals, stop, shutdown, close-up.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use swf_agents::Kind;

use crate::rig::{NAMESPACE, Rig, next, next_of};

fn run_command(workflow: &str, params: Value) -> Value {
    json!({ "msg_type": "run_workflow", "namespace": NAMESPACE, "workflow_name": workflow, "params": params })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_interrupts_a_wait_at_once_and_closes_the_run_with_one_final_status() {
    let rig = Rig::start().await;
    let runner = rig.agent(Kind::Runner).await;
    let mut topic = rig.listen("/topic/epictopic").await;
    let answer = rig.command(&Rig::control_queue(), run_command("stf_datataking", json!({}))).await;
    let id = answer["execution_id"].clone();
    rig.double.until("the run state is open", |rows| rows.of("run-states").len() == 1).await;
    let status = rig
        .command(&Rig::control_queue(), json!({ "msg_type": "status_request", "namespace": NAMESPACE }))
        .await;
    assert_eq!((&status["state"], &status["execution_id"]), (&json!("running"), &id));
    let busy = rig.command(&Rig::control_queue(), run_command("stf_datataking", json!({}))).await;
    assert_eq!(busy["accepted"], json!(false));
    assert!(busy["reason"].as_str().unwrap().contains("busy with execution"), "{busy:?}");
    let other = json!({ "msg_type": "stop_workflow", "namespace": NAMESPACE, "execution_id": "other" });
    assert_eq!(rig.command(&Rig::control_queue(), other).await["accepted"], json!(false));
    let started = Instant::now();
    let stop = json!({ "msg_type": "stop_workflow", "namespace": NAMESPACE, "execution_id": id });
    assert_eq!(rig.command(&Rig::control_queue(), stop).await["accepted"], json!(true));
    let (end, delivery) = next_of(&mut topic, "end_run").await;
    assert!(started.elapsed() < Duration::from_secs(3), "the first wait of the workflow is 5 s");
    assert_eq!(end["reason"], json!("stopped by command"));
    assert_eq!(delivery.headers.get("run_id"), end["run_id"].as_str());
    rig.double
        .until("the execution is terminated", |rows| {
            rows.of("workflow-executions")
                .iter()
                .any(|row| row["status"] == "terminated" && row["end_time"].is_string())
        })
        .await;
    let patches = rig
        .double
        .with(|rows| rows.calls.iter().filter(|call| call.starts_with("PATCH workflow-executions")).count());
    assert_eq!(patches, 1);
    runner.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_cannot_run_are_refused_with_the_reason_and_leave_no_execution() {
    let rig = Rig::start().await;
    let _runner = rig.agent(Kind::Runner).await;
    let discrete = |mut command: Value| {
        command["realtime"] = json!(false);
        command
    };
    let cases = [
        (run_command("nothing", json!({})), "no workflow \"nothing\"; known workflows: fast_processing"),
        (run_command("../x", json!({})), "may hold letters"),
        (run_command("stf_datataking", json!({ "stf_cuont": 1 })), "did you mean \"stf_count\"?"),
        (discrete(run_command("stf_datataking", json!({ "physics_period_count": 0 }))), "endless workflow"),
        (json!({ "msg_type": "run_workflow", "namespace": NAMESPACE }), "workflow_name is missing"),
        (
            json!({
                "msg_type": "run_workflow", "namespace": NAMESPACE, "workflow_name": "stf_datataking",
                "timestamp": "2020-01-01T00:00:00+00:00",
            }),
            "s old, more than 120 s",
        ),
        (json!({ "msg_type": "dance", "namespace": NAMESPACE }), "\"dance\" is not one of run_workflow"),
    ];
    for (command, expected) in cases {
        let answer = rig.command(&Rig::control_queue(), command).await;
        assert_eq!(answer["accepted"], json!(false));
        assert!(answer["reason"].as_str().unwrap().contains(expected), "{answer:?}");
    }
    assert!(rig.double.table("workflow-executions").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_of_another_namespace_on_the_shared_queue_reaches_that_namespace() {
    let rig = Rig::start().await;
    let _runner = rig.agent(Kind::Runner).await;
    let mut theirs = rig.listen("/queue/workflow_control.other").await;
    let command =
        json!({ "msg_type": "run_workflow", "namespace": "other", "workflow_name": "stf_datataking" });
    rig.send_as("/queue/workflow_control", command.clone(), "uid-7").await;
    let (body, delivery) = next(&mut theirs).await;
    assert_eq!(Value::Object(body), command);
    assert_eq!(delivery.headers.get("message-uid"), Some("uid-7"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_sender_on_the_shared_queue_is_served_and_the_rows_have_the_contracts_order() {
    let rig = Rig::start().await;
    let _runner = rig.agent(Kind::Runner).await;
    let mut topic = rig.listen("/topic/epictopic").await;
    let command = json!({
        "msg_type": "run_workflow", "namespace": NAMESPACE, "workflow_name": "stf_datataking", "config": null,
        "realtime": false, "duration": 0, "params": { "namespace": NAMESPACE, "stf_count": 2 },
        "timestamp": chrono::Local::now().naive_local().to_string().replace(' ', "T"),
    });
    rig.send("/queue/workflow_control", command).await;
    let (end, _) = next_of(&mut topic, "end_run").await;
    assert_eq!(end["total_stf_files"], json!(2));
    assert!(end["sender"].as_str().unwrap().starts_with("daq_simulator-agent-tester-"));
    assert!(!end.contains_key("reason"));
    rig.double
        .until("the execution is completed", |rows| {
            rows.of("workflow-executions").iter().any(|row| row["status"] == "completed")
        })
        .await;
    let calls: Vec<String> = rig.double.with(|rows| {
        let own =
            |call: &&String| call.contains("workflow-") || call.contains("run-") || call.contains("sequence");
        rows.calls.iter().filter(own).cloned().collect()
    });
    assert_eq!(
        calls,
        [
            "GET workflow-executions/",
            "POST state/next-workflow-execution-id/",
            "GET workflow-definitions/",
            "POST workflow-definitions/",
            "POST workflow-executions/",
            "POST state/next-run-number/",
            "POST run-states/",
            "PATCH workflow-executions/stf_datataking-tester-0001/",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_definition_is_registered_under_its_version_and_hash() {
    let rig = Rig::start().await;
    rig.double.with(|rows| {
        let row = json!({ "id": 7, "workflow_name": "stf_datataking", "version": "1.0", "definition": "class X: pass" });
        rows.of("workflow-definitions").push(row.as_object().unwrap().clone());
    });
    let _runner = rig.agent(Kind::Runner).await;
    let mut command = run_command("stf_datataking", json!({ "stf_count": 1 }));
    command["realtime"] = json!(false);
    for round in 0..2 {
        assert_eq!(rig.command(&Rig::control_queue(), command.clone()).await["accepted"], json!(true));
        rig.double
            .until("the execution ends and the runner is ready", |rows| {
                rows.of("workflow-executions").iter().filter(|row| row["status"] == "completed").count()
                    == round + 1
                    && rows.of("systemagents").iter().all(|row| row["operational_state"] == "READY")
            })
            .await;
    }
    let definitions = rig.double.table("workflow-definitions");
    assert_eq!(definitions.len(), 2, "the second run finds the first one's row");
    let version = definitions[1]["version"].as_str().unwrap();
    assert!(version.starts_with("1.0+") && version.len() == 12, "{version}");
    assert_ne!(rig.double.table("workflow-executions")[0]["workflow_definition"], json!(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_runner_closes_its_execution_as_failed_when_it_comes_back_under_its_name() {
    let rig = Rig::start().await;
    let mut topic = rig.listen("/topic/epictopic").await;
    let runner = rig.agent(Kind::Runner).await;
    let quick = run_command("stf_datataking", json!({ "no_beam_not_ready_delay": 0 }));
    let answer = rig.command(&Rig::control_queue(), quick).await;
    assert_eq!(answer["accepted"], json!(true));
    next_of(&mut topic, "run_imminent").await;
    runner.kill().await;
    let execution = rig.double.table("workflow-executions")[0].clone();
    assert_eq!(execution["status"], json!("running"), "a killed process writes nothing");
    let _again = rig.agent_with(Kind::Runner, rig.config());
    let (end, _) = next_of(&mut topic, "end_run").await;
    assert_eq!(end["reason"], json!("the runner was killed or lost"));
    assert_eq!((&end["run_id"], &end["execution_id"]), (&json!("100010"), &execution["execution_id"]));
    rig.double
        .until("the execution is failed", |rows| {
            rows.of("workflow-executions").iter().all(|row| {
                row["status"] == "failed"
                    && row["performance_metrics"]["reason"] == "the runner was killed or lost"
            })
        })
        .await;
    assert_eq!(rig.double.table("systemagents").len(), 1, "it kept its name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_in_the_middle_of_a_run_terminates_it_and_the_duration_limit_completes_it() {
    let rig = Rig::start().await;
    let runner = rig.agent(Kind::Runner).await;
    let mut command = run_command("stf_datataking", json!({}));
    (command["realtime"], command["duration"]) = (json!(false), json!(14));
    rig.command(&Rig::control_queue(), command).await;
    rig.double
        .until("the duration limit completes the execution", |rows| {
            rows.of("workflow-executions").iter().any(|row| {
                row["status"] == "completed"
                    && row["performance_metrics"]["reason"] == "duration limit reached"
            }) && rows.of("systemagents").iter().all(|row| row["operational_state"] == "READY")
        })
        .await;
    rig.command(&Rig::control_queue(), run_command("stf_datataking", json!({}))).await;
    rig.double.until("the second run is open", |rows| rows.of("run-states").len() == 2).await;
    runner.end().await;
    let executions = rig.double.table("workflow-executions");
    assert_eq!(executions[1]["status"], json!("terminated"));
    assert_eq!(executions[1]["performance_metrics"]["reason"], json!("the runner was told to end"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_namespaces_share_a_queue_and_each_runs_its_own_commands() {
    let rig = Rig::start().await;
    let _ours = rig.agent(Kind::Runner).await;
    let mut config = rig.config();
    config.namespace = "other".into();
    let _theirs = rig.agent_with(Kind::Runner, config);
    rig.double.until("both runners are up", |rows| rows.of("systemagents").len() == 2).await;
    for n in 0..6 {
        let namespace = if n % 2 == 0 { NAMESPACE } else { "other" };
        let workflow = if n % 2 == 0 { "stf_datataking" } else { "prompt_processing" };
        let folder = rig.folder.path().to_str().unwrap().to_owned();
        let mut params = json!({ "stf_count": 1 });
        if workflow == "prompt_processing" {
            params["container"] = json!(folder);
        }
        let command = json!({
            "msg_type": "run_workflow", "namespace": namespace, "workflow_name": workflow, "realtime": false,
            "params": params,
        });
        assert_eq!(rig.command("/queue/workflow_control", command).await["accepted"], json!(true));
        rig.double
            .until("it is completed", |rows| {
                rows.of("workflow-executions").iter().filter(|row| row["status"] == "completed").count()
                    == n + 1
            })
            .await;
    }
    for row in rig.double.table("workflow-executions") {
        let id = row["execution_id"].as_str().unwrap();
        let expected = if id.starts_with("stf_datataking-") { NAMESPACE } else { "other" };
        assert_eq!(row["namespace"], json!(expected), "{id}");
    }
    let written = rig.folder.path().join("swf.100011.run/swf.100011.000001.stf");
    let stf: Value = serde_json::from_slice(&std::fs::read(written).unwrap()).unwrap();
    assert_eq!(stf["msg_type"], json!("stf_gen"));
}

/// The end of a run, whose broker is away when it ends and comes back later.
async fn ends_without_broker(restarted: bool) {
    let mut rig = Rig::start().await;
    // A queue in place of the topic keeps what is sent until it is looked at.
    let config = |rig: &Rig| swf_agents::Config { topic: "/queue/instead".into(), ..rig.config() };
    let runner = rig.agent_with(Kind::Runner, config(&rig));
    let mut command = run_command("stf_datataking", json!({}));
    // In real time; the first wait of the workflow is longer than the run.
    command["duration"] = json!(if restarted { 0 } else { 2 });
    assert_eq!(rig.command(&Rig::control_queue(), command).await["accepted"], json!(true));
    rig.double.until("the run state is open", |rows| rows.of("run-states").len() == 1).await;
    rig.lose_broker().await;
    let expected = if restarted {
        ("terminated", "the runner was told to end")
    } else {
        ("completed", "duration limit reached")
    };
    let runner = if restarted {
        runner.end().await;
        None
    } else {
        Some(runner)
    };
    rig.double
        .until("the execution is closed", |rows| {
            rows.of("workflow-executions").iter().all(|row| row["status"] == expected.0)
        })
        .await;
    rig.bring_broker_back().await;
    rig.client.connected(Duration::from_secs(30)).await.unwrap();
    let again = if restarted { Some(rig.agent_with(Kind::Runner, config(&rig))) } else { None };
    let mut sent = rig.listen("/queue/instead").await;
    let (end, delivery) = next_of(&mut sent, "end_run").await;
    assert_eq!((end["reason"].as_str(), end["run_id"].as_str()), (Some(expected.1), Some("100010")));
    assert!(delivery.headers.get("message-uid").is_some());
    // Sent means gone: another life sends nothing.
    let left = rig.folder.path().join(format!("data/agents/{NAMESPACE}-runner.outbox"));
    let looked = async {
        while std::fs::read_dir(&left).unwrap().count() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looked).await.expect("what was sent is removed");
    for agent in [runner, again].into_iter().flatten() {
        agent.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_meets_no_broker_is_sent_when_it_is_back() {
    ends_without_broker(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_met_no_broker_is_sent_by_the_next_life_of_the_runner() {
    ends_without_broker(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_requires_signatures_obeys_signed_commands_only() {
    let rig = Rig::start().await;
    let signer = swf_stomp::Signer::new("one key").unwrap();
    let mut config = rig.config();
    config.trust = swf_agents::Trust { signer: Some(signer.clone()), required: true };
    let _runner = rig.agent_with(Kind::Runner, config);
    rig.double
        .until("the runner is ready", |rows| {
            rows.of("systemagents").iter().any(|row| row["operational_state"] == "READY")
        })
        .await;
    let mut replies = rig.listen("/queue/replies.signed").await;
    let command = json!({
        "msg_type": "status_request", "namespace": NAMESPACE, "reply_to": "/queue/replies.signed",
    });
    let message = |queue: &str| swf_stomp::Message::new(queue, command.to_string().into_bytes());
    let own = Rig::control_queue();
    let wrong_key = swf_stomp::Signer::new("another").unwrap();
    let mut moved = signer.sign(message("/queue/elsewhere"));
    moved.destination = own.clone();
    let mut changed = signer.sign(message(&own));
    changed.body = command.to_string().replace("status_request", "stop_workflow").into_bytes().into();
    for (refused, why) in [
        (message(&own), "not signed"),
        (wrong_key.sign(message(&own)), "does not fit"),
        (moved, "does not fit"),
        (changed, "does not fit"),
    ] {
        rig.client.send(refused).await.unwrap();
        let (answer, _) = next(&mut replies).await;
        assert_eq!(answer["accepted"], json!(false));
        assert!(answer["reason"].as_str().unwrap().contains(why), "{answer:?}");
    }
    rig.client.send(signer.sign(message("/queue/workflow_control"))).await.unwrap();
    let (answer, _) = next(&mut replies).await;
    assert_eq!(answer["state"], json!("idle"), "{answer:?}");
    // One for another namespace keeps its trust on the way there; an unsigned one ends here.
    let mut theirs = rig.listen("/queue/workflow_control.other").await;
    let foreign = json!({ "msg_type": "status_request", "namespace": "other" });
    let message = swf_stomp::Message::new("/queue/workflow_control", foreign.to_string().into_bytes());
    rig.client.send(message.clone().with("message-uid", "unsigned")).await.unwrap();
    rig.client.send(signer.sign(message.with("message-uid", "signed"))).await.unwrap();
    let (_, delivery) = next(&mut theirs).await;
    assert_eq!(delivery.headers.get("message-uid"), Some("signed"));
    let fine =
        signer.check(delivery.destination(), &delivery.headers, &delivery.body, Duration::from_secs(60));
    assert_eq!(fine, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_sequence_number_nothing_starts_and_the_answer_says_so() {
    let rig = Rig::start().await;
    let _runner = rig.agent(Kind::Runner).await;
    rig.double.with(|rows| rows.broken = Some("state/next-workflow-execution-id"));
    let answer = rig.command(&Rig::control_queue(), run_command("stf_datataking", json!({}))).await;
    assert_eq!(answer["accepted"], json!(false));
    let reason = answer["reason"].as_str().unwrap();
    assert!(reason.contains("next-workflow-execution-id") && reason.contains("500"), "{reason}");
    assert!(rig.double.table("workflow-executions").is_empty());
    rig.double.with(|rows| rows.broken = None);
    let answer = rig.command(&Rig::control_queue(), run_command("stf_datataking", json!({}))).await;
    assert_eq!(answer["execution_id"], json!("stf_datataking-tester-0001"), "no number was made up or used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_runs_once_completes_its_run_and_ends_or_says_why_not() {
    let rig = Rig::start().await;
    let mut topic = rig.listen("/topic/epictopic").await;
    let once = |workflow: &str, params: Value| swf_agents::RunWorkflow {
        workflow_name: workflow.into(),
        config: None,
        realtime: false,
        duration: 0.0,
        params: params.as_object().cloned().unwrap(),
        execution_id: None,
    };
    let run = async |command| {
        swf_agents::run_once(rig.config(), command, tokio_util::sync::CancellationToken::new()).await
    };
    run(once("stf_datataking", json!({ "stf_count": 2 }))).await.unwrap();
    assert_eq!(next_of(&mut topic, "end_run").await.0["total_stf_files"], json!(2));
    assert_eq!(rig.double.table("workflow-executions")[0]["status"], json!("completed"));
    assert!(rig.double.table("subscribers").is_empty(), "it takes no commands");
    assert_eq!(rig.double.table("systemagents")[0]["operational_state"], json!("EXITED"));
    let error = run(once("nothing", json!({}))).await.unwrap_err().to_string();
    assert!(error.contains("no workflow \"nothing\""), "{error}");
}
