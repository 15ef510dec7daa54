//! Access tokens of an authorization server, made by an issuer that speaks the real protocol on a socket.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Response;
use serde_json::{Value, json};
use swf_db::testing::on_sqlite;
use swf_server::auth::{self, oidc};
use swf_tools::tables::SCHEMA;
use swf_tools::{Clock, Scope, accounts};

use crate::rig::{Rig, Wishes};

const RESOURCE: &str = "https://testbed.example/swf-monitor/mcp/";
const METADATA: &str = "https://testbed.example/swf-monitor/.well-known/oauth-protected-resource";

/// A key with its id.
struct Key {
    id: &'static str,
    signing: EncodingKey,
}

impl Key {
    fn new(id: &'static str) -> Key {
        let made = Command::new("openssl").args(["genpkey", "-algorithm", "RSA", "-quiet"]).output();
        let made = made.expect("openssl is installed by ci/setup");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Key { id, signing: EncodingKey::from_rsa_pem(&made.stdout).unwrap() }
    }

    fn public(&self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.signing, Algorithm::RS256).unwrap();
        jwk.common.key_id = Some(self.id.into());
        jwk
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.into()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &self.signing).unwrap()
    }
}

struct Published {
    keys: Mutex<Vec<Jwk>>,
    asked: AtomicUsize,
    away: AtomicBool,
}

/// An issuer on a socket.
struct Issuer {
    url: String,
    published: Arc<Published>,
}

impl Issuer {
    async fn start(keys: &[&Key]) -> Issuer {
        let published = Arc::new(Published {
            keys: Mutex::new(keys.iter().map(|k| k.public()).collect()),
            asked: AtomicUsize::new(0),
            away: AtomicBool::new(false),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (issuer, base) = (url.clone(), url.clone());
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(async move || Json(json!({"issuer": issuer, "jwks_uri": format!("{base}keys")}))),
            )
            .route("/keys", get(keys_of))
            .with_state(published.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Issuer { url, published }
    }

    fn config(&self) -> oidc::Config {
        oidc::Config {
            issuer: self.url.clone(),
            audiences: vec![RESOURCE.into()],
            jwks_url: None,
            default_scope: Some(Scope::Read),
            users: [("carol@lab.example".to_owned(), "carol".to_owned())].into(),
            metadata_url: METADATA.into(),
        }
    }

    fn claims(&self, more: Value) -> Value {
        let now = Clock::System.now().timestamp();
        let mut claims =
            json!({"iss": self.url, "aud": RESOURCE, "sub": "auth0|7", "exp": now + 600, "iat": now});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    fn asked(&self) -> usize {
        self.published.asked.load(Ordering::SeqCst)
    }
}

async fn keys_of(State(published): State<Arc<Published>>) -> Result<Json<JwkSet>, StatusCode> {
    published.asked.fetch_add(1, Ordering::SeqCst);
    if published.away.load(Ordering::SeqCst) {
        return Err(StatusCode::BAD_GATEWAY);
    }
    Ok(Json(JwkSet { keys: published.keys.lock().unwrap().clone() }))
}

fn wishes(issuer: &Issuer) -> Wishes {
    let auth = auth::Config { oidc: Some(issuer.config()), ..auth::Config::default() };
    Wishes { auth, ..Wishes::default() }
}

async fn call(rig: &Rig, token: &str, tool: &str) -> Response {
    let body =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}});
    let mut request =
        rig.http.post(format!("{}/mcp/", rig.url)).header("accept", "application/json").json(&body);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.send().await.unwrap()
}

fn challenge(response: &Response) -> String {
    response.headers()["www-authenticate"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn only_tokens_made_for_this_server_by_its_issuer_are_taken() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let (key, other) = (Key::new("one"), Key::new("two"));
        let issuer = Issuer::start(&[&key]).await;
        let rig = Rig::with(&db, wishes(&issuer)).await;
        let good = key.sign(&issuer.claims(json!({})));
        let answer: Value = call(&rig, &good, "swf_list_agents").await.json().await.unwrap();
        assert_eq!(answer["result"]["isError"], false, "{answer}");

        let now = Clock::System.now().timestamp();
        let symmetric = {
            let secret = EncodingKey::from_secret(b"public");
            let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::HS256) };
            jsonwebtoken::encode(&header, &issuer.claims(json!({})), &secret).unwrap()
        };
        let wrong = [
            key.sign(&issuer.claims(json!({"aud": "https://elsewhere.example/"}))),
            key.sign(&issuer.claims(json!({"iss": "https://elsewhere.example/"}))),
            key.sign(&issuer.claims(json!({"exp": now - 600}))),
            key.sign(&issuer.claims(json!({"nbf": now + 600}))),
            other.sign(&issuer.claims(json!({}))),
            symmetric,
            "a.b.c".to_owned(),
        ];
        for token in wrong {
            let refused = call(&rig, &token, "swf_list_agents").await;
            assert_eq!(refused.status(), 401, "{token}");
            let expected = format!(
                "Bearer realm=\"{RESOURCE}\", error=\"invalid_token\", resource_metadata=\"{METADATA}\""
            );
            assert_eq!(challenge(&refused), expected);
            let body: Value = refused.json().await.unwrap();
            assert_eq!(body, json!({"error": "unauthorized", "message": "Invalid or expired token"}));
        }
        assert_eq!(issuer.asked(), 1, "made-up tokens make no requests to the issuer");
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn clients_without_rights_are_told_where_to_sign_in() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let key = Key::new("one");
        let issuer = Issuer::start(&[&key]).await;
        let rig = Rig::with(&db, wishes(&issuer)).await;
        let stream = rig.http.get(format!("{}/mcp/", rig.url)).header("accept", "text/event-stream").send();
        let stream = stream.await.unwrap();
        assert_eq!(stream.status(), 401);
        assert_eq!(
            challenge(&stream),
            format!("Bearer realm=\"{RESOURCE}\", resource_metadata=\"{METADATA}\"")
        );
        assert_eq!(call(&rig, "", "swf_list_agents").await.status(), 200, "reading stays open");
        let nobody = call(&rig, "", "swf_start_user_testbed").await;
        assert_eq!(nobody.status(), 401);
        assert!(challenge(&nobody).contains("scope=\"swf:control\""), "{}", challenge(&nobody));
        let reader = call(&rig, &key.sign(&issuer.claims(json!({}))), "swf_start_user_testbed").await;
        assert_eq!(reader.status(), 403);
        assert!(challenge(&reader).contains("error=\"insufficient_scope\", scope=\"swf:control\""));

        let host = rig.url.trim_end_matches("/swf-monitor").to_owned();
        for place in [
            format!("{}/.well-known/oauth-protected-resource", rig.url),
            format!("{host}/.well-known/oauth-protected-resource"),
            format!("{host}/.well-known/oauth-protected-resource/swf-monitor/mcp/"),
        ] {
            let document: Value = rig.http.get(&place).send().await.unwrap().json().await.unwrap();
            assert_eq!(document["resource"], RESOURCE, "{place}");
            assert_eq!(document["authorization_servers"], json!([issuer.url]));
        }
        rig.stop().await;

        let plain = Rig::start(&db).await;
        let place = format!("{}/.well-known/oauth-protected-resource", plain.url);
        let document = plain.http.get(&place).send().await.unwrap();
        assert_eq!(document.status(), 503);
        assert_eq!(document.json::<Value>().await.unwrap(), json!({"error": "OAuth not configured"}));
        plain.stop().await;
    })
    .await;
}

#[tokio::test]
async fn subjects_have_the_rights_of_their_account_and_never_the_name_of_another() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let key = Key::new("one");
        let issuer = Issuer::start(&[&key]).await;
        let _ = rustls::crypto::ring::default_provider().install_default();
        accounts::create_token(&db.db, Clock::System.now(), "carol", Scope::Admin).await.unwrap();
        let auth = auth::Auth::new(
            db.db.clone(),
            auth::Config { oidc: Some(issuer.config()), ..auth::Config::default() },
        );
        let who = async |more: Value| {
            let token = key.sign(&issuer.claims(more));
            let headers = [("authorization".parse().unwrap(), format!("Bearer {token}").parse().unwrap())];
            let caller = auth.caller(&headers.into_iter().collect(), None, auth::Door::People).await.unwrap();
            (caller.user.unwrap(), caller.scope)
        };
        let stranger = "oauth:auth0|7".to_owned();
        assert_eq!(who(json!({})).await, (stranger.clone(), Some(Scope::Read)));
        assert_eq!(
            who(json!({"scope": "openid swf:control"})).await,
            (stranger.clone(), Some(Scope::Control))
        );
        assert_eq!(who(json!({"permissions": ["swf:write"]})).await, (stranger.clone(), Some(Scope::Write)));
        assert_eq!(who(json!({"sub": "carol"})).await, ("oauth:carol".into(), Some(Scope::Read)));
        let unproven = json!({"email": "carol@lab.example"});
        assert_eq!(who(unproven).await, (stranger, Some(Scope::Read)));
        let carol = json!({"email": "carol@lab.example", "email_verified": true});
        assert_eq!(who(carol.clone()).await, ("carol".into(), Some(Scope::Admin)));
        let mut reading = carol;
        reading["scope"] = "swf:read".into();
        assert_eq!(who(reading).await, ("carol".into(), Some(Scope::Read)));
    })
    .await;
}

#[tokio::test]
async fn keys_are_kept_while_the_issuer_is_away_and_it_is_not_asked_again_and_again() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let (key, later) = (Key::new("one"), Key::new("two"));
        let issuer = Issuer::start(&[&key]).await;
        issuer.published.away.store(true, Ordering::SeqCst);
        let rig = Rig::with(&db, wishes(&issuer)).await;
        let token = key.sign(&issuer.claims(json!({})));
        for _ in 0..3 {
            let dark = call(&rig, &token, "swf_list_agents").await;
            assert_eq!((dark.status().as_u16(), dark.headers()["retry-after"].to_str().unwrap()), (503, "5"));
        }
        assert_eq!(issuer.asked(), 1);
        rig.stop().await;

        issuer.published.away.store(false, Ordering::SeqCst);
        let rig = Rig::with(&db, wishes(&issuer)).await;
        assert_eq!(call(&rig, &token, "swf_list_agents").await.status(), 200);
        issuer.published.away.store(true, Ordering::SeqCst);
        issuer.published.keys.lock().unwrap().push(later.public());
        let new = later.sign(&issuer.claims(json!({})));
        assert_eq!(call(&rig, &new, "swf_list_agents").await.status(), 401);
        assert_eq!(call(&rig, &token, "swf_list_agents").await.status(), 200);
        assert_eq!(issuer.asked(), 2, "one refused fetch, one good one, and a pause after it");
        rig.stop().await;
    })
    .await;
}
