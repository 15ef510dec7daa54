//! Both generations of stomp.py against the embedded broker, each in a process of its own.

use std::{path::Path, process::Stdio};

use swf_stomp::{Broker, BrokerConfig};
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
