//! `swf ask`: the binary as bot, with the binary itself as a server of tools over stdio.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::host::swf;

type Script = Arc<Mutex<(VecDeque<Value>, Vec<Value>)>>;

/// A model endpoint that says these contents, one after the other, and keeps what it heard.
async fn model(script: Vec<Value>) -> (String, Script) {
    let script: Script = Arc::new(Mutex::new((script.into(), Vec::new())));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = async |State(script): State<Script>, Json(request): Json<Value>| {
        let mut script = script.lock().unwrap();
        script.1.push(request);
        let block = script.0.pop_front().unwrap();
        let stop = if block["type"] == "tool_use" { "tool_use" } else { "end_turn" };
        Json(json!({"content": [block], "stop_reason": stop, "usage": {}}))
    };
    let router = Router::new().route("/v1/messages", post(answer)).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, script)
}

#[tokio::test]
async fn a_question_is_answered_with_the_tools_of_a_program() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    let call = json!({"type": "tool_use", "id": "t1", "name": "local_swf_list_agents", "input": {}});
    let (url, script) = model(vec![call, json!({"type": "text", "text": "No agents."})]).await;
    let config = format!(
        "[bot]\nanthropic_url = {url:?}\n[bot.servers.local]\ncommand = {:?}\nargs = ['--data-dir', {:?}, 'mcp']\nenv = ['ACTIVEMQ_PORT=1']\nprefix = 'local_'\n",
        env!("CARGO_BIN_EXE_swf"),
        other.display().to_string(),
    );
    std::fs::write(folder.path().join("swf.toml"), config).unwrap();
    let ask = |key: &'static str| {
        let folder = folder.path().to_owned();
        tokio::task::spawn_blocking(move || {
            let mut command = swf();
            command.arg("--data-dir").arg(folder).env("ANTHROPIC_API_KEY", key);
            command.env("MCP_URL", "http://127.0.0.1:1/swf-monitor/mcp/");
            command.args(["ask", "Which agents are there?"]).output().unwrap()
        })
    };
    let output = ask("key").await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text} {errors}");
    assert!(
        text.starts_with("No agents.\n") && text.contains("*(tools used: local_swf_list_agents)*"),
        "{text}"
    );
    let heard = script.lock().unwrap().1.clone();
    let result = &heard[1]["messages"][2]["content"][0];
    assert!(result["content"].as_str().unwrap().starts_with("[DPID:"), "{result}");
    let names: Vec<&str> =
        heard[0]["tools"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert!(!names.contains(&"local_swf_kill_agent"), "only what says that it reads: {names:?}");
    assert!(!heard[0]["system"].to_string().contains("local_swf_kill_agent"));
    assert!(errors.contains("server swf"), "the monitor that is not there is named: {errors}");

    let without = ask("").await.unwrap();
    let line = String::from_utf8_lossy(&without.stderr).into_owned();
    assert_eq!(line.trim(), "swf: bot.anthropic_api_key: is not set; give the key in ANTHROPIC_API_KEY");
}

#[test]
fn secrets_of_the_bot_are_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = swf();
    command.arg("--data-dir").arg(folder.path()).args(["config", "show"]);
    for name in ["ANTHROPIC_API_KEY", "MATTERMOST_TOKEN", "MATTERMOST_SLASH_TOKEN", "MCP_BEARER_TOKEN"] {
        command.env(name, "very-secret");
    }
    command.env("MATTERMOST_CHANNEL", "dispatcher");
    let shown = String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned();
    assert!(shown.contains("channel = \"dispatcher\"  # MATTERMOST_CHANNEL"), "{shown}");
    assert!(shown.contains("slash_token = \"(hidden)\"  # MATTERMOST_SLASH_TOKEN"), "{shown}");
    assert!(!shown.contains("very-secret"), "{shown}");
}
