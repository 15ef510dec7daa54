//! The REST interface, version 4.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::error::{Error, deepest, shorten};

/// One request may take so long.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Tries of one request that Mattermost is too busy for.
const TRIES: u32 = 4;
/// Longest wait that Mattermost may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A post.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Post {
    /// Its id.
    pub id: String,
    /// Its channel.
    pub channel_id: String,
    /// The first post of its thread; empty for that post itself.
    pub root_id: String,
    /// Its author.
    pub user_id: String,
    /// Its text.
    pub message: String,
    /// Empty for posts of people and bots.
    #[serde(rename = "type")]
    pub kind: String,
    /// Milliseconds since 1970.
    pub create_at: i64,
    /// Milliseconds since 1970; 0 while it is there.
    pub delete_at: i64,
    /// More about it; integrations put their marks here.
    pub props: Value,
}

impl Post {
    /// The first post of its thread.
    pub fn root(&self) -> &str {
        if self.root_id.is_empty() { &self.id } else { &self.root_id }
    }

    /// A bot, a webhook or a plugin wrote it.
    pub fn is_automatic(&self) -> bool {
        let marked =
            |name: &str| matches!(self.props.get(name), Some(v) if v == "true" || v == &Value::Bool(true));
        ["from_bot", "from_webhook", "from_plugin"].into_iter().any(marked)
    }
}

/// An account.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct User {
    /// Its id.
    pub id: String,
    /// Its name.
    pub username: String,
    /// It is a bot.
    pub is_bot: bool,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

/// A channel.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Channel {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `O` open, `P` private, `D` direct, `G` group.
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Deserialize)]
struct Posts {
    posts: HashMap<String, Post>,
}

/// A client with the bot's token.
pub struct Api {
    http: reqwest::Client,
    base: String,
    token: String,
    users: Mutex<HashMap<String, User>>,
    channels: Mutex<HashMap<String, Channel>>,
}

impl Api {
    /// Builds the client; nothing is sent yet.
    ///
    /// # Errors
    /// An address that is none, no token.
    pub fn new(url: &str, token: &str) -> Result<Api, Error> {
        if token.trim().is_empty() {
            return Err(Error::setting(
                "bot.mattermost_token",
                "is not set; give the token in MATTERMOST_TOKEN",
            ));
        }
        let http = crate::servers::http(url).map_err(|why| Error::setting("bot.mattermost_url", why))?;
        let base = url.trim_end_matches('/').to_owned();
        Ok(Api { http, base, token: token.to_owned(), users: Mutex::default(), channels: Mutex::default() })
    }

    /// Address of the event socket.
    pub fn socket_address(&self) -> String {
        let base = match self.base.strip_prefix("http") {
            Some(rest) => format!("ws{rest}"),
            None => self.base.clone(),
        };
        format!("{base}/api/v4/websocket")
    }

    /// The bot's token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The bot's own account.
    ///
    /// # Errors
    /// As for all calls: a refusal, or no answer.
    pub async fn me(&self) -> Result<User, Error> {
        self.get("users/me").await
    }

    /// A channel by names.
    ///
    /// # Errors
    /// See [`Api::me`].
    pub async fn channel_by_name(&self, team: &str, channel: &str) -> Result<Channel, Error> {
        let team: Named = self.get(&format!("teams/name/{team}")).await?;
        self.get(&format!("teams/{}/channels/name/{channel}", team.id)).await
    }

    /// Makes the account a member of a channel.
    ///
    /// # Errors
    /// See [`Api::me`].
    pub async fn join(&self, channel: &str, user: &str) -> Result<(), Error> {
        let path = format!("channels/{channel}/members");
        let _: Value = self.send(Method::POST, &path, Some(&json!({"user_id": user}))).await?;
        Ok(())
    }

    /// An account, asked for once.
    ///
    /// # Errors
    /// See [`Api::me`].
    pub async fn user(&self, id: &str) -> Result<User, Error> {
        if let Some(user) = self.users.lock().await.get(id) {
            return Ok(user.clone());
        }
        let user: User = self.get(&format!("users/{id}")).await?;
        self.users.lock().await.insert(id.to_owned(), user.clone());
        Ok(user)
    }

    /// A channel, asked for once.
    ///
    /// # Errors
    /// See [`Api::me`].
    pub async fn channel(&self, id: &str) -> Result<Channel, Error> {
        if let Some(channel) = self.channels.lock().await.get(id) {
            return Ok(channel.clone());
        }
        let channel: Channel = self.get(&format!("channels/{id}")).await?;
        self.channels.lock().await.insert(id.to_owned(), channel.clone());
        Ok(channel)
    }

    /// All posts of a thread, oldest first.
    ///
    /// # Errors
    /// See [`Api::me`].
    pub async fn thread(&self, root: &str) -> Result<Vec<Post>, Error> {
        Ok(in_order(self.get(&format!("posts/{root}/thread")).await?))
    }

    /// Posts of a channel since a moment (milliseconds since 1970), oldest first.
    ///
    /// # Errors
    /// See [`Api::me`].
    pub async fn since(&self, channel: &str, moment: i64) -> Result<Vec<Post>, Error> {
        Ok(in_order(self.get(&format!("channels/{channel}/posts?since={moment}")).await?))
    }

    /// The last posts of a channel, oldest first.
    ///
    /// # Errors
    /// See [`Api::me`].
    pub async fn last(&self, channel: &str, number: usize) -> Result<Vec<Post>, Error> {
        Ok(in_order(self.get(&format!("channels/{channel}/posts?per_page={number}")).await?))
    }

    /// Posts into a thread. Mattermost takes a `pending_post_id` only once, so that a repeated request makes no
    /// second post.
    ///
    /// # Errors
    /// See [`Api::me`].
    pub async fn post(&self, channel: &str, root: &str, message: &str) -> Result<Post, Error> {
        let pending = format!("{channel}:{:016x}", rand::random::<u64>());
        let body = json!({
            "channel_id": channel, "root_id": root, "message": message, "pending_post_id": pending,
        });
        self.send(Method::POST, "posts", Some(&body)).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.send(Method::GET, path, None).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Error> {
        let mut wait = Duration::from_millis(500);
        let mut tries = 1;
        loop {
            let (what, asked) = match self.once(&method, path, body).await {
                Ok(answer) => return Ok(answer),
                Err((what, None)) => return Err(Error::Chat { what }),
                Err((what, Some(asked))) => (what, asked),
            };
            if tries == TRIES {
                return Err(Error::Chat { what });
            }
            tracing::debug!("Mattermost {what}; tried again");
            tokio::time::sleep(asked.max(wait).min(LONGEST_WAIT)).await;
            wait *= 2;
            tries += 1;
        }
    }

    /// The error has a wait when the same request may succeed later.
    async fn once<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, (String, Option<Duration>)> {
        let mut request = self.http.request(method.clone(), format!("{}/api/v4/{path}", self.base));
        request = request.bearer_auth(&self.token).timeout(TIMEOUT);
        if let Some(body) = body {
            request = request.json(body);
        }
        let lost = |e: reqwest::Error| (format!("{method} {path}: {}", deepest(&e)), Some(Duration::ZERO));
        let response = request.send().await.map_err(lost)?;
        let status = response.status();
        let reset =
            response.headers().get("x-ratelimit-reset").or_else(|| response.headers().get("retry-after"));
        let reset = reset.and_then(|v| v.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let bytes = response.bytes().await.map_err(lost)?;
        if status.is_success() {
            let read = serde_json::from_slice(&bytes);
            return read.map_err(|e| (format!("{method} {path}: the answer cannot be read: {e}"), None));
        }
        let told: Option<Value> = serde_json::from_slice(&bytes).ok();
        let words = told.as_ref().and_then(|t| t.get("message")?.as_str()).unwrap_or_default();
        let what = format!("{method} {path}: {} {}", status.as_u16(), shorten(words, 200));
        let busy = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
        Err((what, busy.then(|| reset.unwrap_or_default())))
    }
}

/// `order` is not trusted: what counts is when a post was made.
fn in_order(posts: Posts) -> Vec<Post> {
    let mut out: Vec<Post> = posts.posts.into_values().filter(|p| p.delete_at == 0).collect();
    out.sort_by(|a, b| a.create_at.cmp(&b.create_at).then_with(|| a.id.cmp(&b.id)));
    out
}
