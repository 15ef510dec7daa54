//! Two namespaces on one monitor and one broker do not see each other's commands or messages.

use std::process::{Child, Command};
use std::time::Duration;

use serde_json::json;

use crate::host::{Host, swf, until};

/// A second user's agent manager, with a data folder and a namespace of its own.
fn second_manager(host: &Host, folder: &std::path::Path) -> Child {
    std::fs::create_dir_all(folder.join("workflows")).unwrap();
    let testbed = std::fs::read_to_string(host.folder().join("workflows/testbed.toml")).unwrap();
    let lines: Vec<String> = testbed
        .lines()
        .map(|l| if l.starts_with("namespace") { "namespace = \"second\"".into() } else { l.to_owned() })
        .collect();
    std::fs::write(folder.join("workflows/testbed.toml"), lines.join("\n")).unwrap();
    let quick = std::fs::read(host.folder().join("workflows/quick_default.toml")).unwrap();
    std::fs::write(folder.join("workflows/quick_default.toml"), quick).unwrap();
    let (broker_host, port) = host.broker.rsplit_once(':').unwrap();
    let token = std::fs::read_to_string(host.folder().join("token")).unwrap();
    let log = std::fs::File::create(folder.join("manager.log")).unwrap();
    let mut command: Command = swf();
    command
        .env("SWF__TESTBED__USER", "second")
        .env("SWF_MONITOR_URL", &host.url)
        .env("SWF_API_TOKEN", token)
        .env("ACTIVEMQ_HOST", broker_host)
        .env("ACTIVEMQ_PORT", port)
        .arg("--data-dir")
        .arg(folder)
        .arg("agent-manager")
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command.spawn().unwrap()
}

#[tokio::test]
async fn two_namespaces_side_by_side_do_not_meet() {
    let host = Host::start().await;
    host.start_testbed().await;
    let folder = tempfile::tempdir().unwrap();
    let mut manager = second_manager(&host, folder.path());
    let user = json!({"username": "second"});
    until("the second manager", Duration::from_secs(30), || async {
        (host.call("swf_check_agent_manager", user.clone()).await["alive"] == true).then_some(())
    })
    .await;
    host.call("swf_start_user_testbed", user.clone()).await;
    until("the second testbed", Duration::from_secs(60), || async {
        let status = host.call("swf_get_testbed_status", user.clone()).await;
        (status["ready"] == true && status["summary"]["running"] == 6).then_some(())
    })
    .await;
    let first = host.start_run(6).await;
    let arguments = json!({"workflow_name": "fast_processing", "config": "quick_default", "realtime": true, "stf_count": 6, "namespace": "second"});
    let second =
        host.call("swf_start_workflow", arguments).await["execution_id"].as_str().unwrap().to_owned();
    for execution in [&first, &second] {
        let monitor = until(&format!("the end of {execution}"), Duration::from_secs(60), || async {
            let m = host.monitor(execution).await;
            let p = &m["progress"];
            let done = p["slices_queued"] == 0
                && p["slices_processing"] == 0
                && p["stf_processed"] == 6
                && p["tf_files"] == 42;
            (m["status"] == "completed" && done && p["runs_closed"] == true).then_some(m)
        })
        .await;
        assert_eq!(monitor["stf_count"], 6, "{monitor}");
    }
    let messages = host.call("swf_list_messages", json!({"execution_id": second, "limit": 1000})).await;
    assert!(messages["total_count"].as_i64().unwrap() > 50);
    for message in messages["items"].as_array().unwrap() {
        assert_eq!(message["namespace"], "second", "{message}");
        assert!(message["sender_agent"].as_str().unwrap().contains("-agent-second-"), "{message}");
    }
    let pid = rustix::process::Pid::from_child(&manager);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    manager.wait().unwrap();
    host.down().await;
}
