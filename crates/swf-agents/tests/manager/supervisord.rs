//! The manager over a real supervisord.

use std::path::{Path, PathBuf};

use serde_json::json;
use swf_agents::manager::{BackendConfig, ManagerConfig, SupervisordConfig, run_manager};
use tokio_util::sync::CancellationToken;

use crate::helpers::{alive, members, role, role_folder, signal, wait_for};
use crate::testbed::{Asker, Beats, LIMIT, Place, Running, broker, crypto, pid, states};

/// The supervisord of `ci/setup`; `None` (said so) on machines without it.
fn supervisord() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/ci");
    let folder = std::env::var_os("SWF_CI_DIR").map_or(target, PathBuf::from);
    let path = folder.join("supervisor/bin/supervisord");
    if path.is_file() {
        return Some(path);
    }
    let required = std::env::var("SWF_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!required, "no supervisord at {}; run ci/setup", path.display());
    println!("skipped: no supervisord at {}", path.display());
    None
}

/// The shape of the shipped file: nothing starts by itself, everything is restarted.
fn conf(folder: &Path, programs: &[&str]) -> PathBuf {
    let at = folder.display();
    let mut text = format!(
        "[unix_http_server]\nfile={at}/s.sock\n[supervisord]\nlogfile={at}/logs/supervisord.log\npidfile={at}/s.pid\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = \
         supervisor.rpcinterface:make_main_rpcinterface\n"
    );
    for program in programs {
        let kind = if *program == "workflow-runner" { "runner" } else { "data" };
        text.push_str(&format!(
            "[program:{program}]\ncommand={at}/agent.sh agent {kind} --testbed-config %(ENV_SWF_TESTBED_CONFIG)s\n\
             environment=SWF_TESTBED_CONFIG=\"%(ENV_SWF_TESTBED_CONFIG)s\"\nautostart=false\nautorestart=true\n\
             startsecs=1\nstopwaitsecs=5\nstopsignal=QUIT\nstopasgroup=true\nkillasgroup=true\n\
             stdout_logfile={at}/logs/{program}.log\nredirect_stderr=true\n"
        ));
    }
    let path = folder.join("agents.supervisord.conf");
    std::fs::write(&path, text).unwrap();
    path
}

fn config(place: &Place, command: PathBuf, programs: &[&str]) -> ManagerConfig {
    let backend = BackendConfig::Supervisord(SupervisordConfig {
        command,
        conf: conf(&place.folder, programs),
        socket: place.folder.join("s.sock"),
        env: Vec::new(),
    });
    ManagerConfig { backend, ..place.config() }
}

#[tokio::test]
async fn a_supervisord_testbed_is_started_watched_and_stopped_on_command() {
    let Some(command) = supervisord() else { return };
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(0).await;
    let (beats, monitor) = Beats::listen().await;
    let place = Place::new(folder.path(), broker.port, &monitor);
    let manager = Running::start(config(&place, command, &["workflow-runner", "example-data-agent", "idle"]));
    let mut asker = Asker::new(&place).await;
    assert_eq!(asker.command("status").await["message"], "idle");

    let started = asker.command("start_testbed").await;
    assert_eq!(started["success"], true, "{started}");
    let mut up = states(&started);
    up.sort();
    assert_eq!(up, ["example-data-agent RUNNING", "idle STOPPED", "workflow-runner RUNNING"]);
    assert_eq!(started["backend"], "supervisord");
    let beat = beats.until("a running heartbeat", |beat| beat["metadata"]["agents_running"] == true).await;
    assert_eq!((&beat["status"], &beat["metadata"]["supervisord_healthy"]), (&json!("OK"), &json!(true)));
    assert!(beat["description"].as_str().unwrap().ends_with("supervisord: running, 2 of 3 agents RUNNING"));
    let log = std::fs::read_to_string(folder.path().join("logs/example-data-agent.log")).unwrap();
    let path = folder.path().join("testbed.toml").display().to_string();
    assert_eq!(log, format!("data with {path} and {path}\n"), "the chosen configuration reaches the agents");
    assert!(asker.command("start_testbed").await["error"].as_str().unwrap().contains("runs already"));

    let groups = ["workflow-runner", "example-data-agent"].map(|name| pid(&started, name));
    assert_eq!(groups.map(|group| members(group).len()), [2, 2], "each script with its child");

    // A crash is repaired by supervisord and told by the manager.
    signal("KILL", pid(&started, "workflow-runner"));
    beats
        .until("the restarted runner", |beat| {
            let agents = beat["metadata"]["agents"].as_array().unwrap();
            agents.iter().any(|a| a["name"] == "workflow-runner" && a["restarts"] == 1)
        })
        .await;
    let killed = asker.ask(json!({"command": "kill_agent", "name": "example-data-agent"})).await;
    assert_eq!(killed["success"], true, "{killed}");
    assert!(states(&killed).contains(&"example-data-agent STOPPED".to_owned()), "{killed}");

    let now = asker.command("status").await;
    let runner = pid(&now, "workflow-runner");
    assert_eq!(asker.command("stop_testbed").await["message"], "1 agents were stopped");
    for group in groups.into_iter().chain([runner]) {
        wait_for("the end of the group", LIMIT, || members(group).is_empty().then_some(())).await;
    }
    let daemon = crate::helpers::pid_in(&folder.path().join("s.pid")).unwrap();
    manager.end().await;
    wait_for("the end of supervisord", LIMIT, || (!alive(daemon)).then_some(())).await;
}

/// Role of the next test: a manager that is killed from outside.
#[tokio::test]
async fn role_manager() {
    let (Some(folder), Some(command)) = (role_folder(), supervisord()) else { return };
    crypto();
    let port = std::fs::read_to_string(folder.join("port")).unwrap().parse().unwrap();
    let place = Place::new(&folder, port, "http://127.0.0.1:9/swf-monitor");
    let config = config(&place, command, &["workflow-runner", "example-data-agent"]);
    run_manager(config, CancellationToken::new()).await.unwrap();
}

#[tokio::test]
async fn agents_of_supervisord_outlive_a_killed_manager_and_are_taken_over() {
    let Some(command) = supervisord() else { return };
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(0).await;
    let place = Place::new(folder.path(), broker.port, "http://127.0.0.1:9/swf-monitor");
    std::fs::write(folder.path().join("port"), broker.port.to_string()).unwrap();
    let mut first = role("supervisord::role_manager", folder.path());
    let mut asker = Asker::new(&place).await;
    let started = asker.command("start_testbed").await;
    assert_eq!(started["success"], true, "{started}");
    first.kill().unwrap();
    first.wait().unwrap();
    let manager = Running::start(config(&place, command, &["workflow-runner", "example-data-agent"]));
    let status = asker.command("status").await;
    assert_eq!(pid(&status, "workflow-runner"), pid(&started, "workflow-runner"));
    let names = |answer| {
        let mut all = states(answer);
        all.sort();
        all
    };
    assert_eq!(names(&status), ["example-data-agent RUNNING", "workflow-runner RUNNING"]);
    manager.end().await;
    assert!(!alive(pid(&started, "workflow-runner")));
}

#[tokio::test]
async fn agents_of_a_killed_supervisord_are_ended_before_others_start() {
    let Some(command) = supervisord() else { return };
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(0).await;
    let place = Place::new(folder.path(), broker.port, "http://127.0.0.1:9/swf-monitor");
    let manager = Running::start(config(&place, command, &["workflow-runner", "example-data-agent"]));
    let mut asker = Asker::new(&place).await;
    for next in ["start_testbed", "stop_testbed"] {
        let started = asker.command("start_testbed").await;
        assert_eq!(started["success"], true, "{started}");
        let old = ["workflow-runner", "example-data-agent"].map(|name| pid(&started, name));
        let daemon = crate::helpers::pid_in(&folder.path().join("s.pid")).unwrap();
        signal("KILL", daemon);
        wait_for("the end of supervisord", LIMIT, || (!alive(daemon)).then_some(())).await;
        assert_eq!(old.map(|group| members(group).len()), [2, 2], "the orphans live on");
        let answer = asker.command(next).await;
        assert_eq!(answer["success"], true, "{answer}");
        assert_eq!(old.map(|group| members(group).len()), [0, 0], "no orphan is left after {next}");
        if next == "start_testbed" {
            assert_eq!(asker.command("stop_testbed").await["success"], true);
        }
    }
    manager.end().await;
}

#[tokio::test]
async fn what_supervisord_cannot_start_is_named() {
    let Some(command) = supervisord() else { return };
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(0).await;
    let place = Place::new(folder.path(), broker.port, "http://127.0.0.1:9/swf-monitor");
    let manager = Running::start(config(&place, command, &["workflow-runner", "example-data-agent"]));
    let mut asker = Asker::new(&place).await;

    std::fs::write(folder.path().join("fail-data"), "").unwrap();
    let failed = asker.command("start_testbed").await;
    let error = failed["error"].as_str().unwrap();
    assert!(
        error.starts_with("1 of 2 agents did not start, so all were stopped: example-data-agent FATAL"),
        "{error}"
    );
    assert!(error.ends_with("no broker for data)"), "{error}");
    let missing = asker.ask(json!({"command": "start_testbed", "config_name": "other"})).await;
    let error = missing["error"].as_str().unwrap();
    assert!(error.contains("agents.supervisord.conf has no program example-fastmon-agent; add"), "{error}");
    manager.end().await;

    std::fs::write(folder.path().join("agents.supervisord.conf"), "[supervisord]\nlogfile=/nowhere/x\n")
        .unwrap();
    let manager = Running::start(ManagerConfig { backend: place_backend(&place), ..place.config() });
    let broken = asker.command("start_testbed").await;
    assert!(broken["error"].as_str().unwrap().starts_with("cannot start supervisord"), "{broken}");
    manager.end().await;
}

fn place_backend(place: &Place) -> BackendConfig {
    BackendConfig::Supervisord(SupervisordConfig {
        command: supervisord().unwrap(),
        conf: place.folder.join("agents.supervisord.conf"),
        socket: place.folder.join("s.sock"),
        env: Vec::new(),
    })
}
