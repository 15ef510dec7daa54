//! The client against a real HTTP server on a socket that answers what the test says.
#![expect(clippy::unwrap_used, reason = "a test that meets something unexpected fails there")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use swf_client::{Client, ClientConfig, Error};

#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    seen: Arc<Mutex<Vec<(String, String, String)>>>,
}

/// A server that gives these answers in turn, and a client of it.
async fn rig(answers: &[(u16, &str)]) -> (Client, Script) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let script = Script::default();
    script.answers.lock().unwrap().extend(answers.iter().map(|(status, text)| (*status, (*text).to_owned())));
    let kept = script.clone();
    let answer = async move |method: Method, uri: Uri, headers: HeaderMap, body: String| {
        let token = headers.get("authorization").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
        kept.seen.lock().unwrap().push((format!("{method} {uri}"), token, body));
        let (status, text) =
            kept.answers.lock().unwrap().pop_front().unwrap_or((410, "no more answers".into()));
        (StatusCode::from_u16(status).unwrap(), text).into_response()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/swf-monitor/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let config = ClientConfig {
        base_url,
        token: Some("t0".into()),
        timeout: Duration::from_secs(2),
        ..Default::default()
    };
    (Client::new(&config).unwrap(), script)
}

#[tokio::test]
async fn transient_answers_are_tried_again_until_it_works() {
    let (client, script) =
        rig(&[(503, ""), (500, "x"), (200, r#"{"agent_id": 7, "status": "success"}"#)]).await;
    assert_eq!(client.next_agent_id().await.unwrap(), 7);
    let seen = script.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 3);
    assert_eq!(
        (seen[0].0.as_str(), seen[0].1.as_str()),
        ("POST /swf-monitor/api/state/next-agent-id/", "Token t0")
    );
}

#[tokio::test]
async fn a_client_mistake_comes_back_at_once_with_method_path_status_and_words() {
    for status in [400, 401, 403, 404, 409, 429] {
        let (client, script) = rig(&[(status, r#"{"detail":"no such thing"}"#)]).await;
        let error = client.execution("x-1").await.unwrap_err();
        assert_eq!(error.status(), Some(status));
        assert!(!error.is_transient());
        let text = error.to_string();
        for part in ["GET", "api/workflow-executions/x-1/", &status.to_string(), "no such thing"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(script.seen.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn patience_ends_the_tries() {
    let (client, script) = rig(&[(503, ""); 50]).await;
    let started = Instant::now();
    let error = client.patient(Duration::from_millis(600)).next_agent_id().await.unwrap_err();
    assert!(error.is_transient());
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!((2..=4).contains(&script.seen.lock().unwrap().len()));
}

#[tokio::test]
async fn nobody_listening_is_a_transient_error_that_names_the_address() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/p", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(&ClientConfig {
        base_url: base_url.clone(),
        patience: Duration::ZERO,
        ..Default::default()
    })
    .unwrap();
    let error = client.next_run_number().await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }) && error.is_transient(), "{error:?}");
    assert!(error.to_string().contains(&base_url), "{error}");
}

#[tokio::test]
async fn a_run_that_exists_already_is_looked_up() {
    let exists = r#"{"run_number":["run with this run number already exists."]}"#;
    let (client, script) =
        rig(&[(400, exists), (200, r#"[{"run_id": 3, "run_number": 8}, {"run_id": 5, "run_number": 9}]"#)])
            .await;
    let run = client.ensure_run(9, "2026-01-01T00:00:00+00:00", &json!({})).await.unwrap();
    assert_eq!(run.run_id, 5);
    assert_eq!(script.seen.lock().unwrap()[1].0, "GET /swf-monitor/api/runs/?run_number=9");
}

#[tokio::test]
async fn tools_are_called_by_name_and_patches_ask_for_merging() {
    let (client, script) = rig(&[(200, r#"{"items": []}"#), (200, "{}")]).await;
    let answer = client.call_tool("swf_list_agents", json!({ "namespace": "n" })).await.unwrap();
    assert_eq!(answer, json!({ "items": [] }));
    client.patch_stf_file("f-1", &json!({ "status": "processed" })).await.unwrap();
    let seen = script.seen.lock().unwrap().clone();
    assert_eq!(seen[0].0, "POST /swf-monitor/api/v1/tools/swf_list_agents");
    assert_eq!(serde_json::from_str::<Value>(&seen[0].2).unwrap(), json!({ "namespace": "n" }));
    assert_eq!(seen[1].0, "PATCH /swf-monitor/api/stf-files/f-1/?merge=true");
}

#[tokio::test]
async fn redirects_and_wrong_answers_are_errors() {
    let (client, _) = rig(&[(301, ""), (200, "<html>"), (200, r#"{"sequence": "x"}"#)]).await;
    assert_eq!(client.next_run_number().await.unwrap_err().status(), Some(301));
    assert!(matches!(client.next_run_number().await.unwrap_err(), Error::Answer { .. }));
    let error = client.next_execution_sequence("w").await.unwrap_err().to_string();
    assert!(error.contains("no whole number \"sequence\""), "{error}");
}

#[test]
fn bad_addresses_are_refused_with_the_way_out() {
    for base_url in ["localhost:8000", "ftp://x/", ""] {
        let Err(error) = Client::new(&ClientConfig { base_url: base_url.into(), ..Default::default() })
        else {
            panic!("{base_url:?} was accepted")
        };
        assert!(error.to_string().contains("http"), "{error}");
    }
}
