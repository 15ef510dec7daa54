//! The manager over a real broker, with native supervision.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use swf_agents::manager::{ManagerConfig, run_manager};
use tokio_util::sync::CancellationToken;

use crate::helpers::{alive, members, pid_in, role, role_folder, signal, wait_for};
use crate::testbed::{Asker, Beats, LIMIT, Place, Running, broker, crypto, pid, states};

const BOTH: [&str; 2] = ["workflow-runner RUNNING", "example-data-agent RUNNING"];

#[tokio::test]
async fn a_testbed_is_started_watched_and_stopped_on_command() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(0).await;
    let (beats, monitor) = Beats::listen().await;
    let place = Place::new(folder.path(), broker.port, &monitor);
    let manager = Running::start(place.config());
    let mut asker = Asker::new(&place).await;

    let alive_answer = asker.command("ping").await;
    assert_eq!((&alive_answer["status"], &alive_answer["success"]), (&json!("alive"), &json!(true)));
    assert_eq!(alive_answer["username"], "ann");
    let idle = asker.command("status").await;
    assert_eq!(
        (&idle["message"], &idle["agents_running"], &idle["agents"]),
        (&json!("idle"), &json!(false), &json!([]))
    );
    let beat = beats.until("an idle heartbeat", |beat| beat["mq_connected"] == true).await;
    assert_eq!(beat["instance_name"], "agent-manager-ann");
    assert_eq!(
        beat["description"],
        "Agent manager for ann. namespace: nstest. MQ: connected. supervision: idle"
    );
    assert_eq!((&beat["status"], &beat["metadata"]["agents_running"]), (&json!("OK"), &json!(false)));

    let started = asker.command("start_testbed").await;
    assert_eq!(started["success"], true, "{started}");
    assert_eq!(states(&started), BOTH);
    assert_eq!(started["namespace"], "nstest");
    let beat = beats.until("a running heartbeat", |beat| beat["metadata"]["agents_running"] == true).await;
    assert_eq!(beat["metadata"]["backend"], "native");

    let refused = asker.command("start_testbed").await;
    assert_eq!(refused["success"], false);
    let error = refused["error"].as_str().unwrap();
    assert!(
        error
            .contains("runs already: workflow-runner RUNNING, example-data-agent RUNNING; send stop_testbed"),
        "{error}"
    );

    let group = pid(&started, "example-data-agent");
    assert_eq!(members(group).len(), 2, "the script and its child");
    let stopped = asker.command("stop_testbed").await;
    assert_eq!(stopped["message"], "2 agents were stopped");
    assert_eq!(members(group), [0; 0]);
    let log = std::fs::read_to_string(folder.path().join("logs/example-data-agent.log")).unwrap();
    let path = folder.path().join("testbed.toml");
    assert_eq!(
        log,
        "data with testbed.toml and testbed.toml\n".replace("testbed.toml", path.to_str().unwrap())
    );

    manager.end().await;
    let last = beats.all().pop().unwrap();
    assert_eq!((&last["status"], &last["operational_state"]), (&json!("EXITED"), &json!("EXITED")));
    assert!(!folder.path().join("data/agent-manager/ann.pid").exists());
}

#[tokio::test]
async fn the_chosen_configuration_reaches_the_agents_and_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(0).await;
    let place = Place::new(folder.path(), broker.port, "http://127.0.0.1:9/swf-monitor");
    let manager = Running::start(place.config());
    let mut asker = Asker::new(&place).await;
    let started = asker.ask(json!({"command": "start_testbed", "config_name": "other"})).await;
    let want = ["workflow-runner RUNNING", "example-fastmon-agent RUNNING"];
    assert_eq!(states(&started), want);
    assert_eq!(
        (&started["namespace"], started["config"].as_str().unwrap().ends_with("/other.toml")),
        (&json!("other"), true)
    );
    let again = asker.command("restart").await;
    assert_eq!(states(&again), want);
    assert_ne!(pid(&again, "workflow-runner"), pid(&started, "workflow-runner"));
    assert!(!alive(pid(&started, "workflow-runner")));

    let unknown = asker.ask(json!({"command": "restart", "config_name": "nonesuch"})).await;
    assert!(unknown["error"].as_str().unwrap().contains("nonesuch"), "{unknown}");
    assert_eq!(states(&unknown), want, "a wrong name costs no running testbed");
    manager.end().await;
    assert!(!alive(pid(&again, "workflow-runner")));
}

#[tokio::test]
async fn an_agent_that_does_not_start_is_named_with_its_last_log_lines_and_the_rest_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(0).await;
    let place = Place::new(folder.path(), broker.port, "http://127.0.0.1:9/swf-monitor");
    std::fs::write(folder.path().join("fail-data"), "").unwrap();
    let manager = Running::start(place.config());
    let mut asker = Asker::new(&place).await;
    // Questions are answered while the start is at work.
    let start = asker.send(json!({"command": "start_testbed"})).await;
    let ping = asker.send(json!({"command": "ping"})).await;
    assert_eq!(asker.answer().await["correlation_id"], json!(ping));
    let failed = asker.answer().await;
    assert_eq!((&failed["correlation_id"], &failed["success"]), (&json!(start), &json!(false)));
    let error = failed["error"].as_str().unwrap();
    assert!(
        error.starts_with("1 of 2 agents did not start, so all were stopped: example-data-agent FATAL"),
        "{error}"
    );
    assert!(error.ends_with("| no broker for data)"), "{error}");
    assert_eq!(states(&failed), ["workflow-runner STOPPED", "example-data-agent FATAL"]);
    // Put right, it starts.
    std::fs::remove_file(folder.path().join("fail-data")).unwrap();
    assert_eq!(states(&asker.command("start_testbed").await), BOTH);
    manager.end().await;
}

#[tokio::test]
async fn a_killed_agent_comes_back_unless_the_kill_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(0).await;
    let (beats, monitor) = Beats::listen().await;
    let place = Place::new(folder.path(), broker.port, &monitor);
    let manager = Running::start(place.config());
    let mut asker = Asker::new(&place).await;
    let started = asker.command("start_testbed").await;
    let first = pid(&started, "workflow-runner");
    signal("KILL", first);
    let is_back = |beat: &Value| {
        let agents = beat["metadata"]["agents"].as_array().unwrap();
        agents.iter().any(|a| a["name"] == "workflow-runner" && a["restarts"] == 1 && a["state"] == "RUNNING")
    };
    beats.until("the restarted runner", is_back).await;

    // By its instance name, which its identity file ties to the process.
    let now = asker.command("status").await;
    let victim = pid(&now, "example-data-agent");
    let identities = folder.path().join("data/agents");
    std::fs::create_dir_all(&identities).unwrap();
    std::fs::write(
        identities.join("nstest-data.id"),
        json!({"id": 7, "monitor": "", "pid": victim}).to_string(),
    )
    .unwrap();
    let killed = asker.ask(json!({"command": "kill_agent", "name": "data-agent-ann-7"})).await;
    assert_eq!(killed["success"], true, "{killed}");
    assert_eq!(states(&killed), ["workflow-runner RUNNING", "example-data-agent STOPPED"]);
    assert_eq!(members(victim), [0; 0]);
    let beat = beats.until("a degraded heartbeat", |beat| beat["status"] == "WARNING").await;
    assert!(beat["description"].as_str().unwrap().ends_with("running, 1 of 2 agents RUNNING"));
    let unknown = asker.ask(json!({"command": "kill_agent", "name": "data-agent-bob-7"})).await;
    assert!(
        unknown["error"].as_str().unwrap().contains("known programs: workflow-runner, example-data-agent")
    );
    manager.end().await;
}

#[tokio::test]
async fn a_command_that_comes_twice_is_obeyed_once_and_answered_twice() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(0).await;
    let place = Place::new(folder.path(), broker.port, "http://127.0.0.1:9/swf-monitor");
    let manager = Running::start(place.config());
    let mut asker = Asker::new(&place).await;
    let body = json!({"command": "start_testbed", "reply_to": "/queue/answers.test"}).to_string();
    for _ in 0..2 {
        asker.post_as(Some("u1"), body.clone()).await;
    }
    let (first, second) = (asker.answer().await, asker.answer().await);
    assert_eq!((&first, &first["success"]), (&second, &json!(true)));

    // Even when the manager that obeyed it is not the one that gets it again.
    manager.end().await;
    let data = folder.path().join("data/agent-manager");
    let wanted = json!({"config": first["config"], "namespace": "nstest", "asked_by": "u1",
                        "programs": ["workflow-runner", "example-data-agent"], "since": "2026-11-22T12:00:00Z"});
    std::fs::write(data.join("ann.json"), wanted.to_string()).unwrap();
    let manager = Running::start(place.config());
    asker.post_as(Some("u1"), body.clone()).await;
    let third = asker.answer().await;
    let message = third["message"].as_str().unwrap();
    assert!(
        message.starts_with("the testbed was started by this very command before: workflow-runner"),
        "{message}"
    );
    assert_eq!(states(&third), BOTH);
    manager.end().await;
}

#[tokio::test]
async fn messages_that_are_no_commands_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(0).await;
    let place = Place::new(folder.path(), broker.port, "http://127.0.0.1:9/swf-monitor");
    let manager = Running::start(place.config());
    let mut asker = Asker::new(&place).await;
    for bad in ["", "no json", "[1]", "{\"command\":null}"] {
        asker.post(bad.to_owned()).await;
    }
    let unknown = asker.command("explode").await;
    assert!(unknown["error"].as_str().unwrap().contains("known: start_testbed, stop_testbed"), "{unknown}");
    let old = (chrono::Utc::now() - chrono::TimeDelta::minutes(10)).to_rfc3339();
    let late = asker.ask(json!({"command": "start_testbed", "timestamp": old})).await;
    assert!(late["error"].as_str().unwrap().contains("s old"), "{late}");
    assert_eq!(asker.command("ping").await["status"], "alive");
    manager.end().await;
}

#[tokio::test]
async fn the_broker_may_go_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let first = broker(0).await;
    let (port, (beats, monitor)) = (first.port, Beats::listen().await);
    let place = Place::new(folder.path(), port, &monitor);
    let manager = Running::start(place.config());
    assert_eq!(Asker::new(&place).await.command("ping").await["status"], "alive");
    first.end().await;
    let down = beats
        .until("an honest heartbeat", |beat| beat["mq_connected"] == false && beat["status"] == "ERROR")
        .await;
    assert!(down["description"].as_str().unwrap().contains("MQ: disconnected"));
    let before = beats.all().len();
    let _second = broker(port).await;
    wait_for("a connected heartbeat", LIMIT, || {
        beats.all().iter().skip(before).any(|beat| beat["mq_connected"] == true).then_some(())
    })
    .await;
    assert_eq!(Asker::new(&place).await.command("ping").await["status"], "alive");
    manager.end().await;
}

#[tokio::test]
async fn a_second_manager_of_the_user_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(0).await;
    let place = Place::new(folder.path(), broker.port, "http://127.0.0.1:9/swf-monitor");
    let manager = Running::start(place.config());
    wait_for("the lock", LIMIT, || pid_in(&folder.path().join("data/agent-manager/ann.pid"))).await;
    let refused = run_manager(place.config(), CancellationToken::new()).await.unwrap_err();
    let text = format!("{refused:#}");
    assert!(text.contains("an agent manager of ann runs already") && text.contains("process"), "{text}");
    manager.end().await;
}

#[tokio::test]
async fn a_configuration_that_cannot_work_ends_the_manager_with_one_line() {
    let folder = tempfile::tempdir().unwrap();
    crypto();
    let place = Place::new(folder.path(), 9, "http://127.0.0.1:9/swf-monitor");
    std::fs::write(folder.path().join("testbed.toml"), "[testbed]\n").unwrap();
    let error = format!("{:#}", run_manager(place.config(), CancellationToken::new()).await.unwrap_err());
    assert!(
        error.contains("testbed.toml") && error.contains("namespace") && !error.contains('\n'),
        "{error}"
    );
    let mut config = place.config();
    config.user = "../x".into();
    let error = run_manager(config, CancellationToken::new()).await.unwrap_err().to_string();
    assert!(error.starts_with("user name \"../x\" cannot name a queue"), "{error}");
}

#[tokio::test]
async fn a_heartbeat_is_sent_when_asked_for_by_signal() {
    let folder = tempfile::tempdir().unwrap();
    let (beats, monitor) = Beats::listen().await;
    // No broker: nothing changes, so nothing else sends a second heartbeat.
    let place = Place::new(folder.path(), 9, &monitor);
    let manager = Running::start(ManagerConfig { heartbeat: Duration::from_secs(3600), ..place.config() });
    beats.until("the first heartbeat", |_| true).await;
    assert_eq!(beats.all().len(), 1);
    signal("USR1", std::process::id());
    wait_for("the second heartbeat", LIMIT, || (beats.all().len() == 2).then_some(())).await;
    manager.end().await;
}

/// Role of the next test: a manager that is killed from outside.
#[tokio::test]
async fn role_manager() {
    let Some(folder) = role_folder() else { return };
    crypto();
    let port = std::fs::read_to_string(folder.join("port")).unwrap().parse().unwrap();
    let place = Place::new(&folder, port, "http://127.0.0.1:9/swf-monitor");
    run_manager(place.config(), CancellationToken::new()).await.unwrap();
}

fn manager_process(folder: &Path, port: u16) -> std::process::Child {
    std::fs::write(folder.join("port"), port.to_string()).unwrap();
    role("native::role_manager", folder)
}

#[tokio::test]
async fn a_manager_killed_and_started_again_resumes_its_testbed_and_leaves_no_orphan() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(0).await;
    let place = Place::new(folder.path(), broker.port, "http://127.0.0.1:9/swf-monitor");
    let mut first = manager_process(folder.path(), broker.port);
    let mut asker = Asker::new(&place).await;
    let started = asker.ask(json!({"command": "start_testbed", "config_name": "other"})).await;
    assert_eq!(started["success"], true, "{started}");
    let old = ["workflow-runner", "example-fastmon-agent"].map(|name| pid(&started, name));
    first.kill().unwrap();
    first.wait().unwrap();
    for group in old {
        wait_for("the end of the agents", Duration::from_secs(2), || members(group).is_empty().then_some(()))
            .await;
    }

    let manager = Running::start(place.config());
    let resumed = loop {
        let status = asker.command("status").await;
        if states(&status) == ["workflow-runner RUNNING", "example-fastmon-agent RUNNING"] {
            break status;
        }
    };
    assert_eq!(resumed["namespace"], "other");
    assert!(!old.contains(&pid(&resumed, "workflow-runner")));

    // Ended in order, it is not resumed.
    manager.end().await;
    let manager = Running::start(place.config());
    assert_eq!(asker.command("status").await["message"], "idle");
    manager.end().await;
}

#[tokio::test]
async fn a_manager_that_requires_signatures_obeys_signed_commands_only() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(0).await;
    let place = Place::new(folder.path(), broker.port, "http://127.0.0.1:9/swf-monitor");
    let signer = swf_stomp::Signer::new("one key").unwrap();
    let trust = swf_agents::Trust { signer: Some(signer.clone()), required: true };
    let manager = Running::start(ManagerConfig { trust, ..place.config() });
    let mut asker = Asker::new(&place).await;
    for command in ["ping", "start_testbed"] {
        let answer = asker.command(command).await;
        assert_eq!(answer["success"], false);
        let why = answer["error"].as_str().unwrap();
        assert!(why.contains("require_signed") && why.contains("not signed"), "{why}");
    }
    asker.signer = Some(signer);
    assert_eq!(asker.command("ping").await["status"], "alive");
    asker.signer = swf_stomp::Signer::new("another key");
    assert!(asker.command("ping").await["error"].as_str().unwrap().contains("does not fit"));
    manager.end().await;
}

/// Role of the next test: a supervisor that is killed, and its manager.
#[tokio::test]
async fn role_supervised_manager() {
    let Some(folder) = role_folder() else { return };
    crypto();
    let port = std::fs::read_to_string(folder.join("port")).unwrap().parse().unwrap();
    let place = Place::new(&folder, port, "http://127.0.0.1:9/swf-monitor");
    // Its first supervisor is whoever made it; the test says so beforehand by another number.
    let supervisor = std::fs::read_to_string(folder.join("supervisor")).unwrap().parse().unwrap();
    let shutdown = CancellationToken::new();
    let end = shutdown.clone();
    tokio::spawn(async move {
        let mut told = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
        told.recv().await;
        end.cancel();
    });
    run_manager(ManagerConfig { supervisor: Some(supervisor), ..place.config() }, shutdown).await.unwrap();
}

#[tokio::test]
async fn a_manager_whose_supervisor_was_killed_leaves_its_testbed_to_be_resumed() {
    // True: the process named as supervisor is not its parent (any more).
    for gone in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let broker = broker(0).await;
        let place = Place::new(folder.path(), broker.port, "http://127.0.0.1:9/swf-monitor");
        let supervisor = if gone { 1 } else { std::process::id() };
        std::fs::write(folder.path().join("supervisor"), supervisor.to_string()).unwrap();
        std::fs::write(folder.path().join("port"), broker.port.to_string()).unwrap();
        let mut first = role("native::role_supervised_manager", folder.path());
        let mut asker = Asker::new(&place).await;
        assert_eq!(asker.command("start_testbed").await["success"], true);
        signal("TERM", first.id());
        first.wait().unwrap();
        let manager = Running::start(place.config());
        let running = loop {
            let status = asker.command("status").await;
            let up = states(&status).iter().filter(|s| s.ends_with("RUNNING")).count();
            if !gone || up > 1 {
                break up;
            }
        };
        assert_eq!(running > 0, gone, "resumed only when the supervisor was lost");
        manager.end().await;
    }
}
