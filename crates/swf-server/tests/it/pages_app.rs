//! A running server with pages, and a day's worth of records made over REST as agents make them.

use std::sync::Arc;

use reqwest::{Client, redirect};
use serde_json::{Value, json};
use swf_db::Db;
use swf_db::testing::{self, TestDb};
use swf_server::app::App;
use swf_server::auth::{self, Auth};
use swf_server::{Server, mcp, rest, sse};
use swf_tools::panda;
use swf_tools::tables::SCHEMA;
use swf_tools::{Clock, Scope, Service, Settings, accounts};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::rig::production;

/// A name with everything that a path or a page could stumble over.
pub const ODD: &str = "a/b c.d%2F<script>alert(1)</script>é&x=1";

/// A server at some prefix.
pub struct Site {
    pub root: String,
    pub db: Db,
    token: String,
    client: Client,
    ended: CancellationToken,
    _panda: Option<tempfile::TempDir>,
}

/// An answer, read.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl Site {
    pub async fn start(db: &TestDb, prefix: &str) -> Site {
        Self::with(db, prefix, auth::Config::default()).await
    }

    /// With a synthetic production.
    pub async fn with_panda(db: &TestDb, prefix: &str) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let panda = production(folder.path()).await;
        let mut site = Self::made(db, prefix, auth::Config::default(), Some(panda)).await;
        site._panda = Some(folder);
        site
    }

    pub async fn with(db: &TestDb, prefix: &str, auth: auth::Config) -> Site {
        Self::made(db, prefix, auth, None).await
    }

    async fn made(db: &TestDb, prefix: &str, auth: auth::Config, panda: Option<panda::Panda>) -> Site {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let db = db.db.clone();
        let token = accounts::create_token(&db, Clock::System.now(), "alice", Scope::Admin).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}{prefix}", listener.local_addr().unwrap());
        let service = Arc::new(Service {
            db: db.clone(),
            panda,
            bus: None,
            clock: Clock::System,
            settings: Settings { base_url: root.clone(), ..Settings::default() },
            sources: Default::default(),
        });
        let app = Arc::new(App::new(
            service,
            Auth::new(db.clone(), auth),
            rest::Config::default(),
            sse::Config::default(),
        ));
        let server = Server {
            app,
            prefix: prefix.into(),
            mcp: mcp::Config::default(),
            capture: None,
            retention: Default::default(),
        };
        let ended = CancellationToken::new();
        tokio::spawn(server.run(listener, ended.clone()));
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
        Site { root, db, token, client, ended, _panda: None }
    }

    /// An answer by address.
    pub async fn fetch(&self, url: &str, accept: &str) -> Got {
        let response = self.client.get(url).header("accept", accept).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Got { status, headers, text: response.text().await.unwrap() }
    }

    /// A page as a browser asks for it.
    pub async fn get(&self, path: &str) -> Got {
        self.fetch(&format!("{}{path}", self.root), "text/html,application/xhtml+xml,*/*;q=0.8").await
    }

    /// A page that must be there.
    pub async fn page(&self, path: &str) -> String {
        let got = self.get(path).await;
        assert_eq!(got.status, 200, "{path}: {}", got.text);
        got.text
    }

    /// The facts of a page.
    pub async fn json(&self, path: &str) -> (u16, Value) {
        let got = self.fetch(&format!("{}{path}", self.root), "application/json").await;
        (got.status, serde_json::from_str(&got.text).expect(&got.text))
    }

    /// Makes a record.
    pub async fn make(&self, path: &str, body: Value) -> Value {
        let request = self.client.post(format!("{}/api/{path}/", self.root)).bearer_auth(&self.token);
        let response = request.json(&body).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "POST {path} {body}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// A run with files, slices, agents, messages and logs.
    pub async fn fill(&self) -> Value {
        let now = Clock::System.now().to_rfc3339();
        self.make(
            "namespaces/ensure",
            json!({"name": "torre1", "owner": "torre", "description": "<b>mine</b>"}),
        )
        .await;
        for (name, namespace) in [("data-agent-torre-1", "torre1"), (ODD, ODD)] {
            let sql = swf_db::Sql::new(
                "INSERT INTO swf_systemagent (instance_name, agent_type, description, status, last_heartbeat, \
                 agent_url, workflow_enabled, current_stf_count, total_stf_processed, operational_state, \
                 namespace, created_at, updated_at)",
            )
            .with(
                "VALUES (?, 'DATA', ?, 'OK', ?, '', ?, 0, 7, 'READY', ?, ?, ?)",
                [
                    name.into(),
                    "<script>alert(2)</script>".into(),
                    Clock::System.now().into(),
                    true.into(),
                    namespace.into(),
                    Clock::System.now().into(),
                    Clock::System.now().into(),
                ],
            );
            self.db.execute(&sql).await.unwrap();
        }
        let definition = json!({"workflow_name": "stf_datataking", "version": "1.0/a", "workflow_type": "simulation",
            "definition": "print('<script>')", "parameter_values": {"a": 1}, "created_by": "torre"});
        let definition = self.make("workflow-definitions", definition).await;
        let execution = json!({"execution_id": "stf_datataking-torre.x-0001", "workflow_definition": definition["id"],
            "namespace": "torre1", "status": "running", "executed_by": "torre", "parameter_values": {"stf_count": 2},
            "start_time": "2026-01-02T03:04:05Z"});
        self.make("workflow-executions", execution).await;
        let run = json!({"run_number": 100010, "start_time": now, "run_conditions": {"beam": "<i>on</i>"}});
        let run = self.make("runs", run).await;
        let stf = json!({"stf_filename": "swf.100010.000001.stf", "run": run["run_id"], "machine_state": "physics",
            "status": "registered", "file_size_bytes": 2_500_000_000_i64});
        let stf = self.make("stf-files", stf).await;
        let tf = json!({"stf_file": "swf.100010.000001.stf", "tf_filename": "swf.100010.000001.000001.tf",
            "status": "registered", "tf_first": 1, "tf_last": 100, "tf_count": 100});
        let tf = self.make("fastmon-files", tf).await;
        for n in 1..=3 {
            let slice = json!({"slice_id": n, "tf_first": n * 10, "tf_last": n * 10 + 9, "tf_count": 10,
                "tf_filename": "swf.100010.000001.000001.tf", "stf_filename": "swf.100010.000001.stf",
                "run_number": 100010, "status": "queued"});
            self.make("tf-slices", slice).await;
        }
        let mut message = Value::Null;
        for (kind, sender) in [("stf_gen", "data-agent-torre-1"), ("<script>alert(3)</script>", ODD)] {
            let body = json!({"message_type": kind, "sender_agent": sender, "namespace": "torre1",
                "execution_id": "stf_datataking-torre.x-0001", "run_id": "100010",
                "message_content": {"filename": "<img src=x onerror=alert(4)>"}});
            message = self.make("workflow-messages", body).await;
        }
        let mut log = Value::Null;
        for (level, text) in
            [(20, "all is well"), (40, "<script>alert('log')</script>\nTraceback:\n line 1\n line 2")]
        {
            let body = json!({"app_name": "data_agent", "instance_name": "data-agent-torre-1", "timestamp": now,
                "level": level, "levelname": if level == 40 { "ERROR" } else { "INFO" }, "message": text,
                "module": "m", "funcname": "f", "lineno": 3, "process": 1, "thread": 1,
                "extra_data": {"execution_id": "stf_datataking-torre.x-0001"}});
            log = self.make("logs", body).await;
        }
        let subscriber = self.make("subscribers", json!({"subscriber_name": "fast", "fraction": 0.05})).await;
        json!({"run": run, "stf": stf, "tf": tf, "message": message, "log": log, "subscriber": subscriber})
    }
}

/// Runs a test against a server below a prefix on each engine.
pub async fn on_each<F: AsyncFn(Site)>(test: F) {
    testing::on_each_db(Some(&SCHEMA), async |db| test(Site::start(&db, "/swf-monitor").await).await).await;
}

/// The same, with a synthetic production in PanDA.
pub async fn on_each_with_panda<F: AsyncFn(Site)>(test: F) {
    testing::on_each_db(Some(&SCHEMA), async |db| test(Site::with_panda(&db, "/swf-monitor").await).await)
        .await;
}
