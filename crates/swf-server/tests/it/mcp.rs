//! MCP over HTTP as different clients speak it.

use reqwest::header::HeaderMap;
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use swf_db::testing::{on_each_db, on_sqlite};
use swf_server::{auth, mcp};
use swf_tools::tables::SCHEMA;
use swf_tools::{Clock, Scope, accounts, registry};

use crate::rig::{Rig, Wishes};

const BOTH: &str = "application/json, text/event-stream";
const PLAIN: &str = "application/json";

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn session(&self) -> String {
        self.headers["mcp-session-id"].to_str().unwrap().to_owned()
    }

    fn tools(&self) -> Vec<&str> {
        self.body["result"]["tools"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect()
    }
}

/// Posts one message; headers without value are left out.
async fn post(rig: &Rig, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut request = rig.http.post(format!("{}{path}", rig.url)).json(body);
    if !headers.iter().any(|(name, _)| *name == "authorization") {
        request = request.header("authorization", format!("Token {}", rig.token));
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    // In an event stream the answer is the last event with data.
    let data = text.lines().rev().filter_map(|l| l.strip_prefix("data: ")).find(|d| d.starts_with('{'));
    let body = serde_json::from_str(data.unwrap_or(&text)).unwrap_or(Value::String(text.clone()));
    Answer { status, headers, body }
}

fn rpc(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

fn initialize() -> Value {
    let client = json!({"name": "test", "version": "1"});
    rpc("initialize", json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}))
}

fn list() -> Value {
    rpc("tools/list", json!({}))
}

fn call(name: &str, arguments: Value) -> Value {
    rpc("tools/call", json!({"name": name, "arguments": arguments}))
}

/// The tools as a client is shown them.
pub async fn listed(rig: &Rig, below: &str) -> Vec<Value> {
    let answer = post(rig, &format!("/mcp/{below}"), &[("accept", PLAIN)], &list()).await;
    answer.body["result"]["tools"].as_array().unwrap().clone()
}

/// Opens a session as a client that takes event streams.
async fn session(rig: &Rig) -> String {
    let opened = post(rig, "/mcp/", &[("accept", BOTH)], &initialize()).await;
    assert_eq!((opened.status, &opened.body["result"]["protocolVersion"]), (200, &json!("2025-11-25")));
    let id = opened.session();
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let headers = [("accept", BOTH), ("mcp-session-id", id.as_str()), ("mcp-protocol-version", "2025-11-25")];
    assert_eq!(post(rig, "/mcp/", &headers, &ready).await.status, 202);
    id
}

async fn list_in(rig: &Rig, session: &str, authorization: &str) -> Answer {
    let headers = [
        ("accept", BOTH),
        ("mcp-session-id", session),
        ("mcp-protocol-version", "2025-11-25"),
        ("authorization", authorization),
    ];
    post(rig, "/mcp/", &headers, &list()).await
}

#[tokio::test]
async fn clients_that_take_json_alone_are_answered_in_json_with_or_without_session() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        for path in ["/mcp", "/mcp/"] {
            let opened = post(&rig, path, &[("accept", PLAIN)], &initialize()).await;
            assert_eq!((opened.status, &opened.headers["content-type"]), (200, &PLAIN.parse().unwrap()));
            assert_eq!(opened.body["result"]["serverInfo"]["name"], "swf-testbed");
            assert!(opened.body["result"]["instructions"].as_str().unwrap().len() > 100);
            let id = opened.session();
            let headers = [("accept", PLAIN), ("mcp-session-id", id.as_str())];
            let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
            assert_eq!(post(&rig, path, &headers, &ready).await.status, 202);
            let tools = post(&rig, path, &headers, &list()).await;
            assert_eq!(tools.tools(), registry::names());
            let called =
                post(&rig, path, &[("accept", PLAIN)], &call("swf_list_agents", json!({"limit": "5"}))).await;
            let result = &called.body["result"];
            let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
            assert_eq!(text, result["structuredContent"]);
            assert_eq!((&text["items"], &result["isError"]), (&json!([]), &json!(false)));
        }
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_session_lives_until_it_is_deleted_and_outlives_the_server() {
    on_each_db(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let token = format!("Token {}", rig.token);
        let id = session(&rig).await;
        let listed = list_in(&rig, &id, &token).await;
        assert_eq!(listed.headers["content-type"], "text/event-stream");
        assert_eq!(listed.tools().len(), registry::names().len());
        let listen = rig.get("/mcp/").header("accept", "text/event-stream").header("mcp-session-id", &id);
        let listening = listen.send().await.unwrap();
        assert_eq!(
            (listening.status().as_u16(), &listening.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        drop(listening);
        rig.stop().await;

        let rig = Rig::start(&db).await;
        let token = format!("Token {}", rig.token);
        assert_eq!(list_in(&rig, &id, &token).await.tools().len(), registry::names().len());
        let end = rig
            .http
            .delete(format!("{}/mcp/", rig.url))
            .header("authorization", &token)
            .header("mcp-session-id", &id);
        assert!(end.send().await.unwrap().status().is_success());
        assert_eq!(list_in(&rig, &id, &token).await.status, 404);
        assert_eq!(list_in(&rig, "67e55044-10b1-426f-9247-bb680e5fe0c8", &token).await.status, 404);
        let unnamed =
            rig.get("/mcp/").header("accept", "text/event-stream").send().await.unwrap().status().as_u16();
        assert!((400..500).contains(&unnamed), "{unnamed}");
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_session_belongs_to_the_caller_that_opened_it() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let bob = accounts::create_token(&rig.db, Clock::System.now(), "bob", Scope::Write).await.unwrap();
        let id = session(&rig).await;
        assert_eq!(list_in(&rig, &id, &format!("Token {bob}")).await.status, 404);
        assert_eq!(list_in(&rig, &id, "").await.status, 404);
        assert_eq!(list_in(&rig, &id, &format!("Bearer {}", rig.token)).await.status, 200);
        let wrong =
            post(&rig, "/mcp/", &[("accept", PLAIN), ("authorization", "Bearer nonsense")], &list()).await;
        assert_eq!((wrong.status, &wrong.body["error"]), (401, &json!("unauthorized")));
        assert!(wrong.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer "));
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_number_of_open_sessions_is_bounded_and_an_ended_one_makes_room() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let mcp = mcp::Config { max_sessions: 2, ..mcp::Config::default() };
        let rig = Rig::with(&db, Wishes { mcp, ..Wishes::default() }).await;
        let first = session(&rig).await;
        session(&rig).await;
        let refused = post(&rig, "/mcp/", &[("accept", BOTH)], &initialize()).await;
        assert_eq!(refused.status, 503);
        assert!(refused.headers.contains_key("retry-after"));
        assert_eq!(post(&rig, "/mcp/", &[("accept", PLAIN)], &initialize()).await.status, 200);
        let end = rig.http.delete(format!("{}/mcp/", rig.url)).header("mcp-session-id", &first);
        let end = end.header("authorization", format!("Token {}", rig.token)).send().await.unwrap();
        assert!(end.status().is_success());
        session(&rig).await;
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let mcp = mcp::Config {
            allowed_hosts: vec!["monitor.example".into()],
            allowed_origins: vec!["https://claude.ai".into()],
            ..mcp::Config::default()
        };
        let rig = Rig::with(&db, Wishes { mcp, ..Wishes::default() }).await;
        for accept in [PLAIN, BOTH] {
            for (name, value, status) in [
                ("host", "evil.example", 403),
                ("host", "monitor.example", 200),
                ("host", "localhost:1234", 200),
                ("origin", "https://evil.example", 403),
                ("origin", "https://claude.ai", 200),
                ("origin", "http://localhost:6274", 200),
                ("origin", "null", 403),
            ] {
                let answer = post(&rig, "/mcp/", &[("accept", accept), (name, value)], &initialize()).await;
                assert_eq!(answer.status, status, "{name}: {value}, {accept}");
            }
        }
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn clients_choose_what_they_see_and_never_get_more_than_the_installation_shows() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let names = async |path: &str, headers: &[(&str, &str)]| {
            let headers = [&[("accept", PLAIN)], headers].concat();
            let answer = post(&rig, path, &headers, &list()).await;
            answer.tools().into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let of = |keep: &dyn Fn(&swf_tools::ToolDef) -> bool| {
            registry::all().filter(|t| keep(t)).map(|t| t.name.to_owned()).collect::<Vec<_>>()
        };
        let monitor = of(&|t| t.toolset.as_str() == "monitor");
        assert_eq!(names("/mcp/x/monitor", &[]).await, monitor);
        assert_eq!(names("/mcp/x/monitor/", &[]).await, monitor);
        assert_eq!(names("/mcp/", &[("x-mcp-toolsets", "monitor")]).await, monitor);
        let reading = of(&|t| t.hints.read_only);
        assert!(reading.len() < registry::names().len());
        assert_eq!(names("/mcp/", &[("x-mcp-readonly", "true")]).await, reading);
        assert_eq!(names("/mcp/x/readonly", &[]).await, reading);
        let unknown = post(&rig, "/mcp/x/nonsense", &[("accept", PLAIN)], &list()).await;
        assert_eq!(unknown.status, 404);
        assert!(unknown.body.to_string().contains("monitor, control"), "{}", unknown.body);
        assert_eq!(
            post(&rig, "/mcp/", &[("accept", PLAIN), ("x-mcp-toolsets", "nonsense")], &list()).await.status,
            400
        );
        let writing = registry::all().find(|t| !t.hints.read_only).unwrap().name;
        let hidden = post(&rig, "/mcp/x/readonly", &[("accept", PLAIN)], &call(writing, json!({}))).await;
        assert_eq!(hidden.body["error"]["code"], -32602, "{}", hidden.body);
        rig.stop().await;

        let view = mcp::View { read_only: true, ..mcp::View::default() };
        let mcp = mcp::Config { view, ..mcp::Config::default() };
        let rig = Rig::with(&db, Wishes { mcp, ..Wishes::default() }).await;
        let shown = listed(&rig, "").await;
        assert!(shown.iter().all(|t| t["annotations"]["readOnlyHint"] == true));
        assert_eq!(shown.len(), reading.len());
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn mistakes_are_results_that_say_what_is_accepted_and_carry_no_structure() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        for (tool, arguments, part) in [
            ("swf_list_agents", json!({"namespac": "x"}), "did you mean 'namespace'?"),
            ("swf_list_agents", json!({"limit": "many"}), "whole number"),
            ("swf_list_logs", json!({"start_time": "yesterday"}), "ISO 8601"),
            ("swf_get_agent", json!({}), "required"),
        ] {
            let result =
                post(&rig, "/mcp/", &[("accept", PLAIN)], &call(tool, arguments)).await.body["result"]
                    .clone();
            assert_eq!(result["isError"], true, "{result}");
            assert!(result["content"][0]["text"].as_str().unwrap().contains(part), "{result}");
            assert!(result.get("structuredContent").is_none());
        }
        let unknown = post(&rig, "/mcp/", &[("accept", PLAIN)], &call("swf_list_agent", json!({}))).await;
        assert!(
            unknown.body["error"]["message"].as_str().unwrap().contains("'swf_list_agents'"),
            "{}",
            unknown.body
        );
        let nobody = [("accept", PLAIN), ("authorization", "")];
        let control = post(&rig, "/mcp/", &nobody, &call("swf_start_user_testbed", json!({}))).await;
        assert_eq!(control.body["result"]["isError"], true, "{}", control.body);
        assert!(control.body["result"]["content"][0]["text"].as_str().unwrap().contains("control"));
        rig.stop().await;

        let others = call("swf_get_ai_memory", json!({"username": "alice"}));
        let auth = auth::Config { local_user: Some("alice".into()), ..auth::Config::default() };
        let rig = Rig::with(&db, Wishes { auth, ..Wishes::default() }).await;
        let own = post(&rig, "/mcp/", &nobody, &others).await;
        assert_eq!(own.body["result"]["isError"], false, "{}", own.body);
        let through_a_proxy = [nobody[0], nobody[1], ("x-forwarded-for", "192.0.2.7")];
        let stranger = post(&rig, "/mcp/", &through_a_proxy, &others).await;
        assert_eq!(stranger.body["result"]["isError"], true, "{}", stranger.body);
        rig.stop().await;

        let auth = auth::Config { anonymous: None, ..auth::Config::default() };
        let rig = Rig::with(&db, Wishes { auth, ..Wishes::default() }).await;
        let reading = post(&rig, "/mcp/", &nobody, &call("swf_list_agents", json!({}))).await;
        assert_eq!(reading.body["result"]["isError"], true, "{}", reading.body);
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_stateless_protocol_needs_no_session_and_checks_its_headers() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        const VERSION: &str = "2026-07-28";
        let with_meta = |mut message: Value| {
            message["params"]["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": VERSION,
                "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            message
        };
        let send = async |method: &str, name: &str, accept: &str, message: Value| {
            let headers = [
                ("accept", accept),
                ("mcp-protocol-version", VERSION),
                ("mcp-method", method),
                ("mcp-name", name),
            ];
            post(&rig, "/mcp/", &headers, &with_meta(message)).await
        };
        for accept in [BOTH, PLAIN] {
            let found = send("server/discover", "", accept, rpc("server/discover", json!({}))).await;
            assert_eq!(found.status, 200, "{}", found.body);
            assert!(
                found.body["result"]["supportedVersions"].to_string().contains(VERSION),
                "{}",
                found.body
            );
            let tools = send("tools/list", "", accept, list()).await;
            assert_eq!(tools.tools(), registry::names());
            let called =
                send("tools/call", "swf_list_agents", accept, call("swf_list_agents", json!({}))).await;
            assert_eq!(
                (called.status, &called.body["result"]["isError"]),
                (200, &json!(false)),
                "{}",
                called.body
            );
        }
        let other = send("tools/call", "swf_get_agent", BOTH, call("swf_list_agents", json!({}))).await;
        assert_eq!(other.status, 400, "{}", other.body);
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_rust_client_lists_and_calls() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let config = StreamableHttpClientTransportConfig::with_uri(format!("{}/mcp/", rig.url))
            .auth_header(rig.token.clone());
        let transport = StreamableHttpClientTransport::with_client(rig.http.clone(), config);
        let client = ().serve(transport).await.unwrap();
        let tools = client.list_all_tools().await.unwrap();
        assert_eq!(tools.len(), registry::names().len());
        let result = client.call_tool(CallToolRequestParams::new("swf_list_agents")).await.unwrap();
        assert_eq!(result.structured_content.unwrap()["total_count"], 0);
        client.cancel().await.unwrap();
        rig.stop().await;
    })
    .await;
}
