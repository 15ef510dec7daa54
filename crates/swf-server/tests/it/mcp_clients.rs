//! Official clients of other makes list and call every tool.

use futures_util::StreamExt;
use serde_json::{Value, json};
use swf_db::testing::on_sqlite;
use swf_tools::registry;
use swf_tools::tables::SCHEMA;

use crate::rig::Rig;
use crate::scripts;

/// The client checks each structured answer against the tool's output schema itself.
#[tokio::test]
async fn the_python_client_lists_and_calls_every_tool() {
    let Some(python) = scripts::program("py/bin/python") else { return };
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let calls: Vec<Value> = registry::all()
            .map(|t| {
                let arguments: Value = serde_json::from_str(t.example).unwrap();
                json!({"name": t.name, "arguments": arguments, "read_only": t.hints.read_only})
            })
            .collect();
        let (url, calls) = (format!("{}/mcp/", rig.url), json!(calls).to_string());
        let said =
            scripts::run(&python, &[&scripts::script("mcp_client.py"), &url, &rig.token, &calls], &[]).await;
        assert!(said.contains("all tools called"), "{said}");
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_inspector_lists_and_calls_every_tool() {
    let bin = "node/node_modules/.bin";
    let (Some(node), Some(inspector)) =
        (scripts::program(&format!("{bin}/node")), scripts::program(&format!("{bin}/mcp-inspector")))
    else {
        return;
    };
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let url = format!("{}/mcp/", rig.url);
        let header = format!("Authorization: Token {}", rig.token);
        let inspector = inspector.display().to_string();
        let common =
            [inspector.as_str(), "--cli", &url, "--transport", "http", "--header", &header, "--method"];
        let listed = scripts::run(&node, &[&common[..], &["tools/list"]].concat(), &[]).await;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed["tools"].as_array().unwrap().len(), registry::names().len());
        let calls = registry::all().map(async |tool| {
            let example: Value = serde_json::from_str(tool.example).unwrap();
            let arguments: Vec<String> = example
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| {
                    format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                })
                .collect();
            let mut words = vec!["tools/call", "--tool-name", tool.name];
            for argument in &arguments {
                words.extend(["--tool-arg", argument]);
            }
            let answer = scripts::any_end(&node, &[&common[..], &words].concat()).await;
            let answer: Value =
                serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{}: {e}: {answer}", tool.name));
            let text = answer["content"][0]["text"].as_str().unwrap();
            assert!(!text.contains("internal error"), "{}: {text}", tool.name);
        });
        // A few at a time: each is a process of its own.
        futures_util::stream::iter(calls).buffer_unordered(3).collect::<Vec<()>>().await;
        rig.stop().await;
    })
    .await;
}
