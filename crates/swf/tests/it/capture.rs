//! Every message is stored exactly once, although the monitor is killed while they come in.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::host::{Host, until};

/// Eight publishers with receipts; each message names its publisher and number.
const PUBLISHERS: &str = r#"
import json, sys, threading, stomp
host, port, clients, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
def publish(n):
    c = stomp.Connection11([(host, port)])
    c.connect("admin", "admin", wait=True)
    for i in range(each):
        body = json.dumps({"msg_type": "load", "sender": f"publisher-{n}", "namespace": "load", "number": i})
        c.send("/topic/epictopic", body, headers={"persistent": "true"})
    c.disconnect(receipt=f"end-{n}")
threads = [threading.Thread(target=publish, args=(n,)) for n in range(clients)]
[t.start() for t in threads]
[t.join() for t in threads]
"#;

fn python() -> Option<std::path::PathBuf> {
    let folder = std::env::var("SWF_CI_DIR").map_or_else(
        |_| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/ci"),
        Into::into,
    );
    let python = folder.join("stomp9/bin/python");
    if python.is_file() {
        return Some(python);
    }
    assert!(std::env::var_os("SWF_REQUIRE_ALL").is_none(), "{} is absent: run ./ci/setup", python.display());
    println!("skipped: no Python with stomp.py; run ./ci/setup");
    None
}

#[tokio::test]
async fn messages_are_stored_once_each_while_the_monitor_is_killed_twice() {
    let Some(python) = python() else { return };
    let (clients, each) =
        (8, std::env::var("SWF_TEST_MESSAGES").map_or(500, |n| n.parse::<usize>().unwrap() / 8));
    let host = Host::start().await;
    let (broker, port) = host.broker.rsplit_once(':').unwrap();
    let mut publishers = Command::new(python)
        .args(["-c", PUBLISHERS, broker, port, &clients.to_string(), &each.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..2 {
        let before = host.pids(&["serve"]);
        until("some messages", Duration::from_secs(60), || async {
            let stored = host.call("swf_list_messages", json!({"namespace": "load", "limit": 1})).await;
            (stored["total_count"].as_i64() > Some(50)).then_some(())
        })
        .await;
        host.kill(&["serve"]);
        until("the next monitor", Duration::from_secs(30), || async {
            let now = host.pids(&["serve"]);
            (!now.is_empty() && now != before).then_some(())
        })
        .await;
    }
    assert!(publishers.wait().unwrap().success());
    let expected = i64::try_from(clients * each).unwrap();
    let stored = until("the last message", Duration::from_secs(60), || async {
        let stored = host.call("swf_list_messages", json!({"namespace": "load", "limit": 1})).await;
        (stored["total_count"].as_i64() >= Some(expected)).then_some(stored)
    })
    .await;
    assert_eq!(stored["total_count"], expected);
    for n in 0..clients {
        let arguments = json!({"agent": format!("publisher-{n}"), "limit": 1});
        let of_one = host.call("swf_list_messages", arguments).await;
        assert_eq!(of_one["total_count"], i64::try_from(each).unwrap(), "publisher {n}");
    }
    host.down().await;
}
