//! A Mattermost on a socket: REST and events as version 4 has them, with one team, people and channels.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::broadcast;

pub const TOKEN: &str = "chat-token";

#[derive(Default)]
struct World {
    posts: BTreeMap<String, Value>,
    /// Events of the one connection that is remembered: number and text.
    sent: Vec<(i64, String)>,
    connection: String,
    connections: usize,
    challenges: usize,
    /// The next connection does not remember anything.
    forgetful: bool,
    /// Posts are refused with 503 so many times.
    busy: usize,
}

pub struct FakeChat {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    wire: broadcast::Sender<Wire>,
}

#[derive(Clone)]
enum Wire {
    Event(String),
    Cut,
}

impl FakeChat {
    pub async fn start() -> FakeChat {
        let shared = Arc::new(Shared { world: Mutex::default(), wire: broadcast::channel(1000).0 });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route(
                "/api/v4/users/me",
                get(async || Json(json!({"id": "bot", "username": "pandabot", "is_bot": true}))),
            )
            .route("/api/v4/users/{id}", get(user))
            .route(
                "/api/v4/teams/name/{team}",
                get(async |Path(team): Path<String>| Json(json!({"id": format!("t-{team}")}))),
            )
            .route("/api/v4/teams/{team}/channels/name/{name}", get(channel_by_name))
            .route("/api/v4/channels/{id}", get(channel))
            .route("/api/v4/channels/{id}/members", post(async || (StatusCode::CREATED, Json(json!({})))))
            .route("/api/v4/channels/{id}/posts", get(channel_posts))
            .route("/api/v4/posts/{id}/thread", get(thread))
            .route("/api/v4/posts", post(new_post))
            .route("/api/v4/websocket", get(socket))
            .with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        FakeChat { url, shared }
    }

    /// Somebody posts; who is connected hears of it.
    pub fn say(&self, id: &str, user: &str, channel: &str, root: &str, message: &str) {
        self.say_with(id, user, channel, root, message, json!({}));
    }

    pub fn say_with(&self, id: &str, user: &str, channel: &str, root: &str, message: &str, more: Value) {
        let mut post = json!({"id": id, "user_id": user, "channel_id": channel, "root_id": root, "message": message,
            "type": "", "create_at": chrono_now(), "delete_at": 0, "props": {}});
        for (name, value) in more.as_object().unwrap() {
            post[name] = value.clone();
        }
        let mentions = if message.contains("@pandabot") { json!(["bot"]).to_string() } else { String::new() };
        self.shared.posted(post, &mentions);
    }

    /// Posts of the bot, oldest first.
    pub fn replies(&self) -> Vec<Value> {
        let world = self.shared.world.lock().unwrap();
        let mut posts: Vec<Value> = world.posts.values().filter(|p| p["user_id"] == "bot").cloned().collect();
        posts.sort_by_key(|p| p["number"].as_i64());
        posts
    }

    /// The network goes; the server still remembers the connection, unless `forgetful`.
    pub fn cut(&self, forgetful: bool) {
        self.shared.world.lock().unwrap().forgetful = forgetful;
        drop(self.shared.wire.send(Wire::Cut));
    }

    pub fn connections(&self) -> usize {
        self.shared.world.lock().unwrap().connections
    }

    pub fn challenges(&self) -> usize {
        self.shared.world.lock().unwrap().challenges
    }

    /// So many posts are refused before one is taken.
    pub fn busy(&self, times: usize) {
        self.shared.world.lock().unwrap().busy = times;
    }
}

fn chrono_now() -> i64 {
    i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis())
        .unwrap()
}

fn kind(channel: &str) -> &'static str {
    match channel {
        c if c.starts_with("dm") => "D",
        c if c.starts_with("group") => "G",
        c if c.starts_with("private") => "P",
        _ => "O",
    }
}

impl Shared {
    fn posted(&self, mut post: Value, mentions: &str) -> Value {
        let mut world = self.world.lock().unwrap();
        post["number"] = world.posts.len().into();
        world.posts.insert(post["id"].as_str().unwrap().to_owned(), post.clone());
        let channel = post["channel_id"].as_str().unwrap();
        let data = json!({"post": post.to_string(), "channel_type": kind(channel), "channel_name": channel,
            "mentions": mentions, "sender_name": "@x"});
        let number = world.sent.last().map_or(1, |(n, _)| n + 1);
        let event =
            json!({"event": "posted", "data": data, "broadcast": {"channel_id": channel}, "seq": number})
                .to_string();
        world.sent.push((number, event.clone()));
        drop(self.wire.send(Wire::Event(event)));
        post
    }
}

type Server = State<Arc<Shared>>;

async fn user(Path(id): Path<String>) -> Json<Value> {
    Json(json!({"id": id, "username": format!("{id}-name"), "is_bot": id.starts_with("robot")}))
}

async fn channel_by_name(headers: HeaderMap, Path((team, name)): Path<(String, String)>) -> Response {
    if headers.get("authorization").is_none_or(|a| a != &format!("Bearer {TOKEN}")) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"message": "Invalid or expired session"})))
            .into_response();
    }
    assert_eq!(team, "t-main");
    if name != "home" {
        return (StatusCode::NOT_FOUND, Json(json!({"message": "Channel does not exist."}))).into_response();
    }
    Json(json!({"id": "home", "name": name, "type": "O"})).into_response()
}

async fn channel(Path(id): Path<String>) -> Json<Value> {
    Json(json!({"id": id, "name": id, "type": kind(&id)}))
}

fn listed<'a>(posts: impl Iterator<Item = &'a Value>) -> Json<Value> {
    let posts: serde_json::Map<String, Value> =
        posts.map(|p| (p["id"].as_str().unwrap().to_owned(), p.clone())).collect();
    let order: Vec<&String> = posts.keys().rev().collect();
    Json(json!({"order": order, "posts": posts}))
}

async fn channel_posts(
    State(shared): Server,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, i64>>,
) -> Json<Value> {
    let since = query.get("since").copied().unwrap_or(0);
    let world = shared.world.lock().unwrap();
    listed(
        world
            .posts
            .values()
            .filter(|p| p["channel_id"] == id.as_str() && p["create_at"].as_i64() >= Some(since)),
    )
}

async fn thread(State(shared): Server, Path(root): Path<String>) -> Json<Value> {
    let world = shared.world.lock().unwrap();
    listed(world.posts.values().filter(|p| p["id"] == root.as_str() || p["root_id"] == root.as_str()))
}

async fn new_post(State(shared): Server, Json(body): Json<Value>) -> Response {
    {
        let mut world = shared.world.lock().unwrap();
        if world.busy > 0 {
            world.busy -= 1;
            return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"message": "busy"}))).into_response();
        }
        if body["message"].as_str().unwrap().chars().count() > 16383 {
            return (StatusCode::BAD_REQUEST, Json(json!({"message": "too long"}))).into_response();
        }
    }
    let number = shared.world.lock().unwrap().posts.len();
    let post = json!({"id": format!("reply{number}"), "user_id": "bot", "channel_id": body["channel_id"],
        "root_id": body["root_id"], "message": body["message"], "type": "", "create_at": chrono_now(), "delete_at": 0,
        "props": {"from_bot": "true"}});
    (StatusCode::CREATED, Json(shared.posted(post, ""))).into_response()
}

async fn socket(
    State(shared): Server,
    Query(query): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(async move |socket| drop(serve(socket, shared, query).await))
}

async fn serve(
    mut socket: WebSocket,
    shared: Arc<Shared>,
    query: HashMap<String, String>,
) -> Result<(), axum::Error> {
    let Some(Ok(Message::Text(challenge))) = socket.recv().await else { return Ok(()) };
    let challenge: Value = serde_json::from_str(&challenge).unwrap();
    assert_eq!(challenge["action"], "authentication_challenge");
    if challenge["data"]["token"] != TOKEN {
        return socket
            .send(Message::text(json!({"status": "FAIL", "error": {"message": "no"}}).to_string()))
            .await;
    }
    let (mut wire, first) = {
        let mut world = shared.world.lock().unwrap();
        world.connections += 1;
        world.challenges += 1;
        let known = query.get("connection_id").is_some_and(|c| *c == world.connection) && !world.forgetful;
        let first = if known {
            let from: i64 = query["sequence_number"].parse().unwrap();
            world.sent.iter().filter(|(n, _)| *n >= from).map(|(_, e)| e.clone()).collect::<Vec<_>>()
        } else {
            world.connection = format!("connection{}", world.connections);
            world.forgetful = false;
            world.sent.clear();
            let hello = json!({"event": "hello", "data": {"connection_id": world.connection}, "seq": 0});
            vec![json!({"status": "OK", "seq_reply": 1}).to_string(), hello.to_string()]
        };
        (shared.wire.subscribe(), first)
    };
    for text in first {
        socket.send(Message::text(text)).await?;
    }
    loop {
        tokio::select! {
            told = wire.recv() => match told {
                Ok(Wire::Event(text)) => socket.send(Message::text(text)).await?,
                // Without goodbye, as networks do.
                Ok(Wire::Cut) | Err(_) => return Ok(()),
            },
            heard = socket.recv() => if heard.is_none() { return Ok(()) },
        }
    }
}
