//! The bot in Mattermost: which posts it answers, in which order, and where its replies go.
//!
//! *Invariant:* it never answers itself, other bots, or a post it has answered before.
//! *Invariant:* what is said in direct, group or private channels never gets into the collective memory.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::ChatConfig;
use crate::error::Error;
use crate::mattermost::{Api, Event, Post, Socket, User, split};
use crate::turn::Question;
use crate::{Bot, provenance};

/// Posts that wait in one thread at most.
const WAITING: usize = 10;
/// Ids of posts that were taken, so that a repeated event does nothing.
const SEEN: usize = 2000;
/// Earlier posts of a thread or channel that a question carries.
const CONTEXT: usize = 30;
/// Posts of the channel that a question outside the home channel carries.
const CHANNEL_CONTEXT: usize = 12;
/// Characters of one earlier post.
const EARLIER: usize = 2000;

/// The bot at its place.
pub struct Chat {
    bot: Arc<Bot>,
    api: Arc<Api>,
    config: ChatConfig,
    me: User,
    home: String,
    turns: Arc<Semaphore>,
    /// Waiting posts by thread; a thread with an entry has a worker.
    queues: Mutex<HashMap<String, VecDeque<Heard>>>,
    seen: Mutex<VecDeque<String>>,
    /// When the newest post was made that was seen, milliseconds since 1970.
    newest: Mutex<i64>,
}

/// A post that is to be answered.
#[derive(Debug, Clone)]
struct Heard {
    post: Post,
    /// `O` open, `P` private, `D` direct, `G` group.
    channel_kind: String,
    channel_name: String,
    mentioned: bool,
}

impl Heard {
    /// The words are meant for the bot and for nobody else.
    fn is_addressed(&self) -> bool {
        self.mentioned || self.channel_kind == "D"
    }
}

impl Chat {
    /// Logs in and finds the home channel.
    ///
    /// # Errors
    /// A setting that cannot be used, a token that Mattermost refuses, a team or channel that is not there.
    pub async fn enter(bot: Arc<Bot>, config: ChatConfig) -> Result<Arc<Chat>, Error> {
        let api = Arc::new(Api::new(&config.url, &config.token)?);
        let me = api.me().await?;
        let home = api.channel_by_name(&config.team, &config.channel).await?;
        if let Err(e) = api.join(&home.id, &me.id).await {
            tracing::info!(
                "{} was not added to {}: {e}; it may be a member already",
                me.username,
                config.channel
            );
        }
        tracing::info!("{} is in {}/{}", me.username, config.team, config.channel);
        Ok(Arc::new(Chat {
            bot,
            api,
            turns: Arc::new(Semaphore::new(config.concurrent.max(1))),
            config,
            me,
            home: home.id,
            queues: Mutex::default(),
            seen: Mutex::default(),
            newest: Mutex::new(0),
        }))
    }

    /// Listens and answers until `shutdown`; questions under way are finished.
    pub async fn run(self: Arc<Chat>, shutdown: CancellationToken) {
        let mut socket = Socket::new(self.api.clone());
        let mut workers = JoinSet::new();
        loop {
            let event = tokio::select! {
                event = socket.next() => event,
                () = shutdown.cancelled() => break,
                Some(ended) = workers.join_next() => {
                    if let Err(e) = ended {
                        tracing::error!("a worker of the chat failed: {e}");
                    }
                    continue;
                }
            };
            match event {
                Event::Connected { resumed: false } => {
                    for heard in self.missed().await {
                        self.take(heard, &mut workers).await;
                    }
                }
                Event::Told(name, data) if name == "posted" => {
                    if let Some(heard) = self.read(&data) {
                        self.take(heard, &mut workers).await;
                    }
                }
                Event::Connected { .. } | Event::Told(..) => {}
            }
        }
        socket.close().await;
        while workers.join_next().await.is_some() {}
    }

    /// The post of an event.
    fn read(&self, data: &Value) -> Option<Heard> {
        let post = data.get("post")?.as_str()?;
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let post: Post = match serde_json::from_str(post) {
            Ok(post) => post,
            Err(e) => {
                tracing::warn!("a post cannot be read and was left out: {e}");
                return None;
            }
        };
        // `mentions` is JSON inside a text, like the post itself.
        let mentions: Vec<String> = serde_json::from_str(&text("mentions")).unwrap_or_default();
        let mentioned = mentions.contains(&self.me.id);
        Some(Heard {
            post,
            channel_kind: text("channel_type"),
            channel_name: text("channel_name"),
            mentioned,
        })
    }

    /// Posts made while nobody listened, in the home channel and where threads are.
    async fn missed(&self) -> Vec<Heard> {
        let since = *self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if since == 0 {
            return Vec::new();
        }
        let channels = self.bot.threads.channels().into_iter().chain([self.home.clone()]);
        let channels: BTreeSet<String> = channels.filter(|c| !c.is_empty()).collect();
        let mut out = Vec::new();
        for id in channels {
            let found = async {
                Ok::<_, Error>((self.api.channel(&id).await?, self.api.since(&id, since + 1).await?))
            };
            match found.await {
                Ok((channel, posts)) => {
                    out.extend(posts.into_iter().filter(|p| p.create_at > since).map(|post| {
                        let mentioned = post.message.contains(&format!("@{}", self.me.username));
                        let (channel_kind, channel_name) = (channel.kind.clone(), channel.name.clone());
                        Heard { post, channel_kind, channel_name, mentioned }
                    }))
                }
                Err(e) => tracing::warn!("posts of channel {id} that were missed cannot be read: {e}"),
            }
        }
        out.sort_by_key(|h| h.post.create_at);
        if !out.is_empty() {
            tracing::info!("{} post(s) were made while the connection was down", out.len());
        }
        out
    }

    /// Whether a post is answered at all.
    async fn is_for_me(&self, heard: &Heard) -> bool {
        let post = &heard.post;
        if post.user_id == self.me.id
            || !post.kind.is_empty()
            || post.message.trim().is_empty()
            || post.is_automatic()
        {
            return false;
        }
        let accepted = post.channel_id == self.home
            || heard.is_addressed()
            || (!post.root_id.is_empty() && self.bot.threads.is_active(&post.root_id));
        // Accounts of bots do not always mark their posts. Who cannot be looked up is taken for a person.
        accepted && !self.api.user(&post.user_id).await.is_ok_and(|u| u.is_bot)
    }

    /// Puts a post into the queue of its thread and sees to it that somebody works on it.
    async fn take(self: &Arc<Chat>, heard: Heard, workers: &mut JoinSet<()>) {
        if !self.is_new(&heard.post) || !self.is_for_me(&heard).await {
            return;
        }
        // What is said in a direct channel is one dialogue.
        let post = &heard.post;
        let key = if heard.channel_kind == "D" { &post.channel_id } else { post.root() }.to_owned();
        let (full, idle) = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = !queues.contains_key(&key);
            let queue = queues.entry(key.clone()).or_default();
            let full = queue.len() >= WAITING;
            if !full {
                queue.push_back(heard.clone());
            }
            (full, idle)
        };
        let this = self.clone();
        if full {
            workers.spawn(async move {
                this.reply(&heard.post, &format!("Sorry, {WAITING} questions of this thread are waiting already. Please ask again later.")).await;
            });
        } else if idle {
            workers.spawn(async move { this.work(&key).await });
        }
    }

    fn is_new(&self, post: &Post) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if post.id.is_empty() || seen.contains(&post.id) {
            return false;
        }
        seen.push_back(post.id.clone());
        if seen.len() > SEEN {
            seen.pop_front();
        }
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        *newest = (*newest).max(post.create_at);
        true
    }

    /// Answers the posts of one thread, one after the other, until none is left.
    async fn work(&self, key: &str) {
        loop {
            let next = {
                let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
                let next = queues.get_mut(key).and_then(VecDeque::pop_front);
                if next.is_none() {
                    queues.remove(key);
                }
                next
            };
            let Some(heard) = next else { return };
            // The semaphore is never closed.
            let permit = self.turns.acquire().await;
            self.answer(&heard).await;
            drop(permit);
        }
    }

    async fn answer(&self, heard: &Heard) {
        let post = &heard.post;
        let who = self.api.user(&post.user_id).await.map(|u| u.username).unwrap_or_default();
        let direct = heard.channel_kind == "D";
        let place = match (direct, heard.channel_name.as_str()) {
            (true, _) => "in DM".to_owned(),
            (false, "") => format!("in #{}", self.config.channel),
            (false, name) => format!("in #{name}"),
        };
        let tagged = format!("[{who} {place}] {}", post.message);
        let question = Question {
            words: post.message.clone(),
            told: self.with_context(heard, &tagged).await,
            memory: self.bot.recall().await,
            thread: Some((post.root().to_owned(), post.channel_id.clone())),
        };
        let answer = self.bot.answer(question).await;
        if answer.is_silence() && !heard.is_addressed() {
            tracing::info!("post {} was not meant for the bot", post.id);
            return;
        }
        let posted = self.reply(post, &answer.text()).await;
        let open = post.channel_id == self.home || heard.channel_kind == "O";
        if posted && open {
            self.bot.memorise(&tagged, &answer.body, &post.id, post.root()).await;
        }
    }

    /// Posts into the thread, in as many parts as it takes.
    async fn reply(&self, to: &Post, text: &str) -> bool {
        for part in split(text, self.config.post_limit) {
            if let Err(e) = self.api.post(&to.channel_id, to.root(), &part).await {
                tracing::error!("the reply to post {} could not be posted: {e}", to.id);
                return false;
            }
        }
        true
    }

    /// The question with what was said before: in its thread, or else, outside the home channel, in the channel.
    async fn with_context(&self, heard: &Heard, tagged: &str) -> String {
        let post = &heard.post;
        let home = post.channel_id == self.home;
        let (earlier, head, tail) = match (post.root_id.as_str(), home) {
            ("", true) => return tagged.to_owned(),
            ("", false) => {
                let last = self.api.last(&post.channel_id, CHANNEL_CONTEXT + 1).await;
                (last, "Recent channel history", "New message")
            }
            (root, _) => (self.api.thread(root).await, "Thread conversation so far", "New reply"),
        };
        let mut earlier = earlier.unwrap_or_else(|e| {
            tracing::warn!("what was said before post {} cannot be read: {e}", post.id);
            Vec::new()
        });
        earlier.retain(|p| p.id != post.id && p.kind.is_empty() && p.create_at <= post.create_at);
        let surplus = earlier.len().saturating_sub(CONTEXT);
        let mut lines = Vec::new();
        for p in earlier.iter().skip(surplus) {
            let (speaker, said) = if p.user_id == self.me.id {
                ("Bot".to_owned(), provenance::stripped(&p.message))
            } else {
                (self.api.user(&p.user_id).await.map_or("User".into(), |u| u.username), p.message.clone())
            };
            lines.push(format!("{speaker}: {}", crate::error::shorten(&said, EARLIER)));
        }
        if lines.is_empty() {
            return tagged.to_owned();
        }
        format!("[{head}:\n{}\n]\n{tail}: {tagged}", lines.join("\n"))
    }
}
