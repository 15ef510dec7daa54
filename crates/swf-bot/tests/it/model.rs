//! A model endpoint on a socket: speaks the Messages API, says what a test has written down, keeps what it got.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

/// What is said next; it may depend on the request.
type Line = Box<dyn FnOnce(&Value) -> Response + Send>;

#[derive(Default)]
struct Stage {
    lines: Mutex<VecDeque<Line>>,
    heard: Mutex<Vec<Value>>,
}

/// The endpoint.
#[derive(Clone)]
pub struct FakeModel {
    pub url: String,
    stage: Arc<Stage>,
}

impl FakeModel {
    pub async fn start() -> FakeModel {
        let stage = Arc::new(Stage::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/messages", post(messages)).with_state(stage.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        FakeModel { url, stage }
    }

    /// Adds a line to the script.
    pub fn then(&self, line: impl FnOnce(&Value) -> Response + Send + 'static) -> &FakeModel {
        self.stage.lines.lock().unwrap().push_back(Box::new(line));
        self
    }

    /// Says a text and stops.
    pub fn says(&self, text: &str) -> &FakeModel {
        let text = text.to_owned();
        self.then(move |_| said(&text, "end_turn"))
    }

    /// Asks for tools.
    pub fn calls(&self, calls: &[(&str, Value)]) -> &FakeModel {
        let blocks: Vec<Value> = calls
            .iter()
            .enumerate()
            .map(|(n, (name, input))| json!({"type": "tool_use", "id": format!("tu_{n}"), "name": name, "input": input}))
            .collect();
        self.then(move |_| answer(&blocks, "tool_use"))
    }

    /// Says a text that cites the ids of the results it got; `{result}` is the first of them.
    pub fn cites(&self, text: &str) -> &FakeModel {
        let text = text.to_owned();
        self.then(move |request| {
            let ids: Vec<String> = results(request).iter().filter_map(|r| stamp(r)).collect();
            said(&format!("{text}\nDPID: {}", ids.join(", ")), "end_turn")
        })
    }

    /// The requests so far.
    pub fn heard(&self) -> Vec<Value> {
        self.stage.heard.lock().unwrap().clone()
    }

    /// Nothing of the script is left.
    pub fn is_done(&self) -> bool {
        self.stage.lines.lock().unwrap().is_empty()
    }
}

/// Texts of the tool results in the newest message.
pub fn results(request: &Value) -> Vec<String> {
    let newest = request["messages"].as_array().unwrap().last().unwrap();
    let blocks = newest["content"].as_array().unwrap();
    blocks.iter().filter_map(|b| b["content"].as_str().map(str::to_owned)).collect()
}

/// The id in front of a result.
pub fn stamp(result: &str) -> Option<String> {
    Some(result.strip_prefix("[DPID:")?.split_once(']')?.0.to_owned())
}

pub fn said(text: &str, stop: &str) -> Response {
    answer(&[json!({"type": "text", "text": text})], stop)
}

pub fn answer(blocks: &[Value], stop: &str) -> Response {
    Json(json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "scripted", "content": blocks,
        "stop_reason": stop, "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1},
    }))
    .into_response()
}

/// Refuses as the endpoint does.
pub fn refused(status: u16, kind: &str, words: &str, retry_after: Option<&str>) -> Response {
    let body = Json(json!({"type": "error", "error": {"type": kind, "message": words}}));
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert("retry-after", seconds.parse().unwrap());
    }
    response
}

async fn messages(
    State(stage): State<Arc<Stage>>,
    headers: HeaderMap,
    Json(request): Json<Value>,
) -> Response {
    if headers.get("x-api-key").is_none_or(|k| k != "key") || headers.get("anthropic-version").is_none() {
        return refused(401, "authentication_error", "invalid x-api-key", None);
    }
    stage.heard.lock().unwrap().push(request.clone());
    let line = stage.lines.lock().unwrap().pop_front();
    match line {
        Some(line) => line(&request),
        None => refused(400, "invalid_request_error", "the script has ended", None),
    }
}
