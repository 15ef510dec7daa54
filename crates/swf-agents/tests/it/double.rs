//! An in-process stand-in for the monitor: the rows agents write, kept in memory, with the answers, the status codes
//! and the "already exists" words of the REST contract, and the additive batch calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Json, Response};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// Tables by path, rows in order of insertion.
#[derive(Default)]
pub struct Rows {
    pub tables: BTreeMap<String, Vec<Map<String, Value>>>,
    pub counters: BTreeMap<String, i64>,
    /// Every call as `METHOD path`.
    pub calls: Vec<String>,
    /// Calls still to be answered with 503, as a monitor behind a proxy does while it restarts.
    pub unavailable: usize,
    /// Calls of this path are answered with 500.
    pub broken: Option<&'static str>,
    /// Place of each slice in its table, by file name and number.
    slices: HashMap<(String, i64), usize>,
    /// Slices that were asked to leave a final state.
    pub completed_twice: usize,
}

#[derive(Clone)]
pub struct Double {
    rows: Arc<Mutex<Rows>>,
    changed: watch::Sender<u64>,
    pub url: String,
}

impl Double {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/swf-monitor", listener.local_addr().unwrap());
        let double = Self { rows: Arc::default(), changed: watch::channel(0).0, url };
        let app = Router::new().fallback(answer).with_state(double.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        double
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut Rows) -> T) -> T {
        look(&mut self.rows.lock().unwrap())
    }

    pub fn table(&self, name: &str) -> Vec<Map<String, Value>> {
        self.with(|rows| rows.tables.get(name).cloned().unwrap_or_default())
    }

    /// Wait until the rows satisfy a condition; the test fails with the rows' counts when they never do.
    pub async fn until(&self, what: &str, condition: impl Fn(&mut Rows) -> bool) {
        let mut changed = self.changed.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            while !self.with(&condition) {
                changed.changed().await.unwrap();
            }
        });
        if waited.await.is_err() {
            let counts = self.with(|rows| {
                rows.tables.iter().map(|(name, rows)| (name.clone(), rows.len())).collect::<BTreeMap<_, _>>()
            });
            panic!("never: {what}; rows: {counts:?}");
        }
    }
}

/// The token that agents must send.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

async fn answer(
    State(double): State<Double>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if headers.get("authorization").is_none_or(|value| *value != format!("Token {TOKEN}")) {
        return (StatusCode::FORBIDDEN, Json(json!({ "detail": "Invalid token." }))).into_response();
    }
    let (status, answer) = double.with(|rows| rows.answer(&method, &uri, &body));
    double.changed.send_modify(|n| *n += 1);
    (status, Json(answer)).into_response()
}

fn text<'a>(row: &'a Map<String, Value>, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn slice_key(slice: &Value) -> (String, i64) {
    (slice["tf_filename"].as_str().unwrap().to_owned(), slice["slice_id"].as_i64().unwrap())
}

fn same_text(value: Option<&Value>, wanted: &str) -> bool {
    match value {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Number(number)) => number.as_i64().is_some_and(|n| wanted.parse() == Ok(n)),
        _ => false,
    }
}

type Answer = (StatusCode, Value);

fn ok(value: Value) -> Answer {
    (StatusCode::OK, value)
}

impl Rows {
    pub fn of(&mut self, table: &str) -> &mut Vec<Map<String, Value>> {
        self.tables.entry(table.to_owned()).or_default()
    }

    fn next(&mut self, counter: &str) -> i64 {
        let value = self.counters.entry(counter.to_owned()).or_insert(0);
        *value += 1;
        *value
    }

    fn answer(&mut self, method: &Method, uri: &Uri, body: &[u8]) -> Answer {
        let path = uri.path().strip_prefix("/swf-monitor/api/").unwrap_or_default().to_owned();
        self.calls.push(format!("{method} {path}"));
        if self.unavailable > 0 {
            self.unavailable -= 1;
            return (StatusCode::SERVICE_UNAVAILABLE, json!({ "detail": "restarting" }));
        }
        if self.broken.is_some_and(|broken| path.starts_with(broken)) {
            return (StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": "the counter is broken" }));
        }
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let query: BTreeMap<String, String> = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.replace("%2B", "+")))
            .collect();
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("POST", ["state", "next-agent-id"]) => ok(json!({ "agent_id": self.next("agent") })),
            ("POST", ["state", "next-run-number"]) => ok(json!({ "run_number": 100_009 + self.next("run") })),
            ("POST", ["state", "next-workflow-execution-id"]) => {
                ok(json!({ "sequence": self.next("execution") }))
            }
            ("POST", ["namespaces", "ensure"]) => ok(json!({ "status": "success" })),
            ("POST", ["systemagents", "heartbeat"]) => self.heartbeat(body),
            ("POST", ["tf-slices", "batch"]) => self.slices(&body),
            ("POST", ["tf-slices", "results"]) => self.results(&body),
            ("POST", [table, "batch"]) => self.batch(table, &body),
            ("POST", [table]) => self.insert(table, body),
            ("GET", [table]) => {
                let matches = |row: &&Map<String, Value>| {
                    query.iter().all(|(key, wanted)| {
                        same_text(row.get(key), wanted) || (key == "run_number" && !row.contains_key(key))
                    })
                };
                ok(self.of(table).iter().filter(matches).cloned().collect())
            }
            ("GET", [table, key]) => match self.find(table, key) {
                Some(row) => ok(Value::Object(row.clone())),
                None => (StatusCode::NOT_FOUND, json!({ "detail": "Not found." })),
            },
            ("PATCH", [table, key]) => self.patch(table, key, body, query.contains_key("merge")),
            _ => (StatusCode::NOT_FOUND, json!({ "detail": "Not found." })),
        }
    }

    fn key_of(table: &str) -> (&'static str, &'static str) {
        match table {
            "runs" => ("run_id", "run_number"),
            "stf-files" => ("file_id", "stf_filename"),
            "fastmon-files" => ("tf_file_id", "tf_filename"),
            "run-states" => ("run_number", "run_number"),
            "subscribers" => ("subscriber_id", "subscriber_name"),
            "workflow-executions" => ("execution_id", "execution_id"),
            "system-state-events" => ("event_id", ""),
            _ => ("id", ""),
        }
    }

    fn find(&mut self, table: &str, key: &str) -> Option<&mut Map<String, Value>> {
        let (column, _) = Self::key_of(table);
        self.of(table).iter_mut().find(|row| same_text(row.get(column), key))
    }

    fn insert(&mut self, table: &str, body: Value) -> Answer {
        let Value::Object(mut row) = body else {
            return (StatusCode::BAD_REQUEST, json!({ "non_field_errors": ["Invalid data."] }));
        };
        let (key, unique) = Self::key_of(table);
        let taken = |other: &Map<String, Value>| match table {
            "workflow-definitions" => {
                ["workflow_name", "version"].iter().all(|column| other.get(*column) == row.get(*column))
            }
            _ => !unique.is_empty() && other.get(unique) == row.get(unique),
        };
        if !(unique.is_empty() && table != "workflow-definitions") && self.of(table).iter().any(taken) {
            return (StatusCode::BAD_REQUEST, json!({ unique: ["row with this value already exists."] }));
        }
        if !row.contains_key(key) {
            let id = self.next(table);
            let id =
                if key == "file_id" || key == "tf_file_id" { json!(format!("uuid-{id}")) } else { json!(id) };
            row.insert(key.into(), id);
        }
        self.of(table).push(row.clone());
        (StatusCode::CREATED, Value::Object(row))
    }

    fn patch(&mut self, table: &str, key: &str, body: Value, merge: bool) -> Answer {
        let Some(row) = self.find(table, key) else {
            return (StatusCode::NOT_FOUND, json!({ "detail": "Not found." }));
        };
        for (column, value) in body.as_object().unwrap() {
            match (row.get_mut(column), value) {
                (Some(Value::Object(old)), Value::Object(new)) if merge => old.extend(new.clone()),
                _ => {
                    row.insert(column.clone(), value.clone());
                }
            }
        }
        ok(Value::Object(row.clone()))
    }

    fn heartbeat(&mut self, body: Value) -> Answer {
        let beat = body.as_object().unwrap().clone();
        let agents = self.of("systemagents");
        match agents.iter_mut().find(|row| row.get("instance_name") == beat.get("instance_name")) {
            Some(row) => row.extend(beat),
            None => agents.push(beat),
        }
        ok(json!({}))
    }

    fn batch(&mut self, table: &str, body: &Value) -> Answer {
        let (mut created, mut existing, mut items) = (0, 0, Vec::new());
        let (_, unique) = Self::key_of(table);
        for item in body.as_array().unwrap() {
            let (status, row) = self.insert(table, item.clone());
            if status == StatusCode::CREATED {
                created += 1;
                items.push(row);
            } else {
                existing += 1;
                let rows = self.of(table);
                items.extend(
                    rows.iter().find(|r| r.get(unique) == item.get(unique)).cloned().map(Value::Object),
                );
            }
        }
        ok(json!({ "created": created, "existing": existing, "items": items }))
    }

    fn slices(&mut self, body: &Value) -> Answer {
        let (mut created, mut existing) = (0, 0);
        for slice in body["slices"].as_array().unwrap() {
            let place = self.of("tf-slices").len();
            if self.slices.contains_key(&slice_key(slice)) {
                existing += 1;
                continue;
            }
            created += 1;
            self.slices.insert(slice_key(slice), place);
            self.of("tf-slices").push(slice.as_object().unwrap().clone());
        }
        ok(json!({ "created": created, "existing": existing }))
    }

    fn results(&mut self, body: &Value) -> Answer {
        let (mut updated, mut unchanged, mut unknown, mut twice) = (0, 0, Vec::new(), 0);
        for result in body.as_array().unwrap() {
            let place = self.slices.get(&slice_key(result)).copied();
            let row = place.and_then(|place| self.of("tf-slices").get_mut(place));
            match row.filter(|row| row["run_number"] == result["run_number"]) {
                None => unknown.push(result.clone()),
                Some(row) if matches!(text(row, "status"), "completed" | "failed") => {
                    unchanged += 1;
                    twice += 1;
                }
                Some(row) => {
                    updated += 1;
                    for key in ["status", "assigned_worker"] {
                        row.insert(key.into(), result[key].clone());
                    }
                }
            }
        }
        self.completed_twice += twice;
        ok(json!({ "updated": updated, "unchanged": unchanged, "unknown": unknown }))
    }
}
