//! Both generations of stomp.py against the embedded broker, each in a process of its own.

use std::{path::Path, process::Stdio};

use swf_stomp::{Broker, BrokerConfig, Client, ClientConfig, Subscribe};
use tokio::process::Command;

use crate::support::*;

async fn exchange(environment: &str) {
    let python = ci_dir().join(environment).join("bin/python");
    if !python.exists() {
        return skip(&format!("{} is not there", python.display()));
    }
    let folder = tempfile::tempdir().unwrap();
    let logins = [("admin".to_owned(), "secret".to_owned())].into_iter().collect();
    let data_file = Some(folder.path().join("messages.sqlite"));
    let broker = Broker::start(BrokerConfig { logins: Some(logins), data_file, ..config() }).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/exchange.py");
    let output = Command::new(python)
        .arg(script)
        .arg(broker.addr().port().to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE * 4, output).await.expect("the script hangs").unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("all checks passed"), "{said}");
    broker.shutdown().await;
}

#[tokio::test]
async fn stomp_py_8_and_the_broker_understand_each_other() {
    exchange("stomp8").await;
}

#[tokio::test]
async fn stomp_py_9_and_the_broker_understand_each_other() {
    exchange("stomp9").await;
}

/// Eight publishers that ask for no receipts, and a capture that is restarted again and again.
#[tokio::test]
async fn a_restarted_capture_gets_every_message_of_eight_publishers_once() {
    const PUBLISHERS: usize = 8;
    const EACH: usize = 250;
    let python = ci_dir().join("stomp9/bin/python");
    if !python.exists() {
        return skip(&format!("{} is not there", python.display()));
    }
    let broker = broker().await;
    let capture = || async {
        let client =
            Client::start(ClientConfig { client_id: Some("monitor".into()), ..client_config(broker.addr()) });
        let subscribe = Subscribe { durable: Some("capture".into()), ..acknowledging("/topic/epictopic") };
        let subscription = client.subscribe(subscribe).await.unwrap();
        (client, subscription)
    };
    let (mut client, mut subscription) = capture().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/publish.py");
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| {
            Command::new(&python)
                .arg(&script)
                .args([broker.addr().port().to_string(), number.to_string(), EACH.to_string()])
                .stdin(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap()
        })
        .collect();
    let (mut rows, mut ids) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    while rows.len() < PUBLISHERS * EACH {
        let delivery = next(&mut subscription).await;
        // The message's id tells the repetitions that restarts bring.
        if ids.insert(delivery.message_id().to_owned()) {
            assert!(rows.insert(text(&delivery)), "one message under two ids");
        }
        delivery.ack().await.unwrap();
        if ids.len() % 400 == 0 {
            client.shutdown().await;
            (client, subscription) = capture().await;
        }
    }
    for mut publisher in publishers {
        assert!(within(publisher.wait()).await.unwrap().success());
    }
    until("nothing left over", || broker.stats().destinations["/topic/epictopic#monitor#capture"].depth == 0)
        .await;
    assert_eq!(broker.stats().received, (PUBLISHERS * EACH) as u64);
}
