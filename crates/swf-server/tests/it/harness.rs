//! A running server for one test: real socket, real database.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use swf_db::testing::{self, TestDb};
use swf_server::app::App;
use swf_server::auth::{self, Auth};
use swf_server::rest;
use swf_tools::tables::SCHEMA;
use swf_tools::{Clock, Scope, Service, Settings, accounts};

/// A server and a client with the token of account `alice`.
pub struct TestApp {
    pub url: String,
    pub db: swf_db::Db,
    pub token: String,
    client: Client,
    task: tokio::task::JoinHandle<()>,
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestApp {
    /// With the usual settings; anonymous callers may read.
    pub async fn start(db: &TestDb) -> TestApp {
        Self::with(db, auth::Config::default(), rest::Config::default()).await
    }

    pub async fn with(db: &TestDb, auth: auth::Config, rest: rest::Config) -> TestApp {
        let _ = tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::WARN).try_init();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let db = db.db.clone();
        let now = Clock::System.now();
        let token = accounts::create_token(&db, now, "alice", Scope::Write).await.unwrap();
        let service = Arc::new(Service {
            db: db.clone(),
            panda: None,
            bus: None,
            clock: Clock::System,
            settings: Settings::default(),
            sources: Default::default(),
        });
        let auth = Auth::new(db.clone(), auth);
        let app = Arc::new(App::new(service, auth, rest, Default::default()));
        let router = Router::new().nest("/swf-monitor", rest::router(app.clone())).merge(rest::router(app));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let service = router.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, service).await.unwrap();
        });
        let redirect = reqwest::redirect::Policy::none();
        let client = Client::builder().redirect(redirect).build().unwrap();
        TestApp { url, db, token, client, task }
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let place = response.url().clone();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect(&text) };
        assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "500 from {place}: {body}");
        Answer { status: status.as_u16(), headers, body }
    }

    pub async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        let request = self.request(method, path).header("authorization", format!("Token {}", self.token));
        self.send(if body.is_null() { request } else { request.json(&body) }).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, body).await
    }

    /// POST that must succeed; the row.
    pub async fn make(&self, path: &str, body: Value) -> Value {
        let answer = self.post(path, body.clone()).await;
        assert_eq!(answer.status, 201, "POST {path} {body}: {}", answer.body);
        answer.body
    }

    /// A run and its state.
    pub async fn make_run(&self, number: i64) -> Value {
        let state = json!({"run_number": number, "phase": "physics", "state": "running",
            "target_worker_count": 4, "state_changed_at": "2026-11-22T10:00:00Z"});
        self.make("/api/run-states/", state).await;
        self.make("/api/runs/", json!({"run_number": number, "start_time": "2026-11-22T10:00:00Z"})).await
    }
}

/// Runs a test against a server on each engine.
pub async fn on_each<F: AsyncFn(TestApp)>(test: F) {
    testing::on_each_db(Some(&SCHEMA), async |db| test(TestApp::start(&db).await).await).await;
}

/// A service without broker and PanDA for which it is always the same moment.
pub fn service_at(db: &swf_db::Db, now: chrono::DateTime<chrono::Utc>) -> Arc<Service> {
    Arc::new(Service {
        db: db.clone(),
        panda: None,
        bus: None,
        clock: Clock::fixed(now),
        settings: Settings::default(),
        sources: Default::default(),
    })
}
