//! Who may do what.

use serde_json::{Value, json};
use swf_db::Sql;
use swf_db::testing::{on_each_db, on_sqlite};
use swf_server::auth::{self, Proxy};
use swf_server::rest::{self, LogIntake};
use swf_tools::tables::SCHEMA;
use swf_tools::{Clock, Scope, accounts};

use crate::harness::TestApp;

async fn try_as(app: &TestApp, authorization: Option<&str>, method: &str, path: &str) -> (u16, String, bool) {
    let mut request = app.request(method, path);
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let answer = app.send(request).await;
    let detail = answer.body["detail"].as_str().unwrap_or_default().to_owned();
    (answer.status, detail, answer.headers.contains_key("www-authenticate"))
}

#[tokio::test]
async fn each_class_of_endpoint_refuses_in_its_own_way() {
    on_each_db(Some(&SCHEMA), async |db| {
        let nobody = auth::Config { anonymous: None, ..auth::Config::default() };
        let app = TestApp::with(&db, nobody, rest::Config::default()).await;
        let not_provided = "Authentication credentials were not provided.".to_owned();
        for (method, path) in [
            ("GET", "/api/runs/"),
            ("POST", "/api/runs/"),
            ("POST", "/api/systemagents/heartbeat/"),
            ("POST", "/api/namespaces/ensure/"),
            ("POST", "/api/state/next-workflow-execution-id/"),
            ("GET", "/api/logs/summary/"),
            ("GET", "/api/users/"),
            ("DELETE", "/api/runs/1/"),
            ("POST", "/api/tf-slices/batch/"),
        ] {
            assert_eq!(
                try_as(&app, None, method, path).await,
                (403, not_provided.clone(), false),
                "{method} {path}"
            );
            let bad = try_as(&app, Some("Token 0000"), method, path).await;
            assert_eq!(bad, (403, "Invalid token.".into(), false), "{method} {path}");
        }
        for path in ["/api/state/next-run-number/", "/api/state/next-agent-id/"] {
            assert_eq!(try_as(&app, None, "POST", path).await, (401, not_provided.clone(), true));
            assert_eq!(
                try_as(&app, Some("Token 0000"), "POST", path).await,
                (401, "Invalid token.".into(), true)
            );
        }
        let spaces = try_as(&app, Some("Token a b"), "GET", "/api/runs/").await.1;
        assert_eq!(spaces, "Invalid token header. Token string should not contain spaces.");
        assert_eq!(
            try_as(&app, Some("Token"), "GET", "/api/runs/").await.1,
            "Invalid token header. No credentials provided."
        );
        let close =
            Sql::new("UPDATE auth_user SET is_active = ? WHERE username = 'alice'").with("", [false.into()]);
        app.db.execute(&close).await.unwrap();
        let token = format!("Token {}", app.token);
        assert_eq!(try_as(&app, Some(&token), "GET", "/api/runs/").await.1, "User inactive or deleted.");
    })
    .await;
}

#[tokio::test]
async fn anonymous_callers_read_and_send_logs_but_write_nothing_else() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let limits = LogIntake { per_second: 0.001, burst: 3.0, most_bytes: 2000 };
        let app = TestApp::with(&db, auth::Config::default(), rest::Config { log_intake: Some(limits), ..rest::Config::default() }).await;
        assert_eq!(try_as(&app, None, "GET", "/api/runs/").await.0, 200);
        assert_eq!(try_as(&app, None, "POST", "/api/runs/").await.0, 403);
        let record = json!({"app_name": "a", "instance_name": "i", "timestamp": "2026-11-22T10:00:00", "level": 20,
            "levelname": "INFO", "message": "m", "module": "m", "funcname": "f", "lineno": 1, "process": 1, "thread": 1});
        let send = async |body: &Value| app.send(app.request("POST", "/api/logs/").header("authorization", "Token wrong").json(body)).await;
        for _ in 0..3 {
            assert_eq!(send(&record).await.status, 201);
        }
        let limited = send(&record).await;
        assert_eq!(limited.status, 429);
        assert!(limited.headers.contains_key("retry-after"));
        let mut long = record.clone();
        long["message"] = "x".repeat(3000).into();
        assert_eq!(send(&long).await.status, 413);
        // A token lifts both limits.
        assert_eq!(app.post("/api/logs/", long).await.status, 201);
    })
    .await;
}

#[tokio::test]
async fn no_setting_lets_callers_without_token_write_over_rest() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let open = auth::Config {
            anonymous: Some(Scope::Control),
            local_user: Some("alice".into()),
            ..auth::Config::default()
        };
        let app = TestApp::with(&db, open, rest::Config::default()).await;
        assert_eq!(try_as(&app, None, "GET", "/api/runs/").await.0, 200);
        for path in [
            "/api/runs/",
            "/api/systemagents/heartbeat/",
            "/api/tf-slices/batch/",
            "/api/v1/tools/swf_start_user_testbed/",
        ] {
            let (status, ..) = try_as(&app, None, "POST", path).await;
            assert!(matches!(status, 401 | 403), "POST {path}: {status}");
        }
        assert_eq!(try_as(&app, None, "DELETE", "/api/runs/1/").await.0, 403);
        assert_eq!(try_as(&app, None, "GET", "/api/ai-memory/?username=alice").await.0, 403);
    })
    .await;
}

#[tokio::test]
async fn accounts_are_listed_for_administrators_only_and_without_passwords() {
    on_each_db(Some(&SCHEMA), async |db| {
        let app = TestApp::start(&db).await;
        assert_eq!(app.get("/api/users/").await.status, 403);
        let root = accounts::create_token(&app.db, Clock::System.now(), "root", Scope::Admin).await.unwrap();
        let request = app.request("GET", "/api/users/").header("authorization", format!("Token {root}"));
        let users = app.send(request).await.body["users"].clone();
        assert_eq!((&users[0]["username"], &users[1]["username"]), (&json!("alice"), &json!("root")));
        assert!(users[0].get("password").is_none());
    })
    .await;
}

#[tokio::test]
async fn tokens_are_made_once_listed_and_revoked() {
    on_each_db(Some(&SCHEMA), async |db| {
        let now = Clock::System.now();
        let key = accounts::create_token(&db, now, "carol", Scope::Write).await.unwrap();
        assert_eq!(key.len(), 40);
        assert_eq!(accounts::create_token(&db, now, "carol", Scope::Control).await.unwrap(), key);
        let list = accounts::list(&db).await.unwrap();
        assert_eq!(
            (list[0].username.as_str(), list[0].is_staff, list[0].is_superuser),
            ("carol", true, false)
        );
        assert_eq!(list[0].token.as_deref(), key.get(..6));
        accounts::revoke_token(&db, "carol").await.unwrap();
        assert!(accounts::owner_of(&db, &key).await.unwrap().is_none());
        assert!(accounts::revoke_token(&db, "carol").await.is_err());
        assert!(accounts::create_token(&db, now, "a b", Scope::Write).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_header_alone_makes_nobody_somebody() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let app = TestApp::start(&db).await;
        let as_user = async |app: &TestApp, name: &str, secret: Option<&str>| {
            let mut request = app.request("POST", "/api/namespaces/ensure/").header("x-remote-user", name);
            if let Some(secret) = secret {
                request = request.header("x-proxy-secret", secret);
            }
            app.send(request.json(&json!({"name": "n", "owner": "o"}))).await.status
        };
        assert_eq!(as_user(&app, "alice", None).await, 403);
        let proxy = Proxy {
            secret_header: "x-proxy-secret".into(),
            secret: "s3cret".into(),
            user_header: "x-remote-user".into(),
        };
        let config = auth::Config { proxy: Some(proxy), ..auth::Config::default() };
        let proxied = TestApp::with(&db, config, rest::Config::default()).await;
        assert_eq!(as_user(&proxied, "alice", None).await, 403);
        assert_eq!(as_user(&proxied, "alice", Some("wrong")).await, 403);
        assert_eq!(as_user(&proxied, "alice", Some("s3cret")).await, 200);
        assert_eq!(as_user(&proxied, "nobody", Some("s3cret")).await, 403);
    })
    .await;
}

#[tokio::test]
async fn a_dialogue_belongs_to_its_user() {
    on_each_db(Some(&SCHEMA), async |db| {
        let app = TestApp::start(&db).await;
        let remark = |user: &str, role: &str, text: &str| json!({"username": user, "session_id": "s", "role": role, "content": text});
        let record = async |body: Value| app.post("/api/ai-memory/record/", body).await;
        assert_eq!(record(remark("alice", "user", "q")).await.body["status"], "success");
        assert_eq!(record(remark("alice", "assistant", "a")).await.status, 200);
        assert_eq!(record(remark("bob", "user", "q")).await.status, 403);
        assert_eq!(record(remark("alice", "x", "q")).await.body, json!({"error": "Invalid role 'x'. Must be 'user' or 'assistant'."}));
        assert_eq!(record(remark("alice", "user", "")).await.body, json!({"error": "username, session_id, role, and content are required"}));
        let read = app.get("/api/ai-memory/?username=alice&turns=5").await.body;
        assert_eq!(read["count"], 2);
        assert_eq!((&read["items"][0]["content"], &read["items"][0]["post_id"]), (&json!("q"), &json!("")));
        assert_eq!(app.get("/api/ai-memory/?username=bob").await.status, 403);
        assert_eq!(app.get("/api/ai-memory/?username=alice&turns=-1").await.status, 400);
        assert_eq!(app.get("/api/ai-memory/").await.body, json!({"error": "username query parameter is required"}));
        let open = rest::Config { open_ai_memory: true, ..rest::Config::default() };
        let open = TestApp::with(&db, auth::Config::default(), open).await;
        let request = open.request("GET", "/api/ai-memory/?username=alice");
        assert_eq!(open.send(request).await.body["count"], 2);
    })
    .await;
}

#[tokio::test]
async fn tools_can_be_called_over_plain_http() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let app = TestApp::start(&db).await;
        let tools = app.get("/api/v1/tools/").await.body;
        assert!(tools["count"].as_i64().unwrap() > 0);
        let unknown = app.post("/api/v1/tools/no_such_tool/", json!({})).await;
        assert_eq!((unknown.status, &unknown.body["status"]), (404, &json!(404)));
        assert_eq!(unknown.headers["content-type"], "application/problem+json");
        let bad = app
            .send(
                app.request("POST", "/api/v1/tools/swf_list_agents")
                    .header("authorization", "Bearer x")
                    .json(&json!({})),
            )
            .await;
        assert_eq!(bad.status, 401);
        let found = app.post("/api/v1/tools/swf_list_agents", json!({"status": "all"})).await;
        assert_eq!(found.status, 200, "{}", found.body);
        let wrong = app.get("/api/v1/tools/swf_list_agents/?nonsense=1").await;
        assert_eq!((wrong.status, &wrong.body["field"]), (400, &json!("nonsense")));
    })
    .await;
}
