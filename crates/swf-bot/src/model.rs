//! The model endpoint: the Messages API over HTTP.
//!
//! Content blocks stay JSON values, so that kinds this code does not know go back as they came.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::ModelConfig;
use crate::error::{Error, deepest, shorten};

/// Version of the interface.
const VERSION: &str = "2023-06-01";
/// Lets the endpoint forget old tool results in long exchanges.
const BETA: &str = "context-management-2025-06-27";
/// Above so many tokens the endpoint forgets old tool results.
const FORGET_ABOVE: u32 = 80_000;
/// It keeps so many of the newest.
const KEEP: u32 = 3;
/// Tries of one request.
const TRIES: u32 = 5;
/// A wait longer than this is told instead of waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Characters of a refusal that are shown.
const WORDS: usize = 300;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person, or the results of tools.
    User,
    /// The model.
    Assistant,
}

/// One message.
#[derive(Debug, Clone, Serialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Content blocks.
    pub content: Vec<Value>,
}

impl Message {
    /// A message of one text.
    pub fn text(role: Role, text: &str) -> Message {
        Message { role, content: vec![json!({"type": "text", "text": text})] }
    }
}

/// A tool as the model gets it.
#[derive(Debug, Clone, Serialize)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON schema of its arguments.
    pub input_schema: Value,
    /// Marks the end of what the endpoint shall keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<Value>,
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    max_tokens: u32,
    system: [Value; 1],
    messages: &'a [Message],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tools: &'a [ToolSpec],
    /// The endpoint keeps everything up to the last block of the newest message.
    cache_control: Value,
    context_management: Value,
}

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It has said what it had to say.
    End,
    /// It wants tools.
    Tools,
    /// Its answer reached the limit.
    MaxTokens,
    /// It wants to go on.
    Pause,
    /// It declines.
    Refusal,
    /// The exchange no longer fits.
    Full,
    /// Something newer than this code.
    Other(String),
}

/// One call of a tool that the model asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Use {
    /// To name its result by.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub input: Value,
}

/// Tokens of one answer, for the log.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Usage {
    input_tokens: u64,
    output_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
}

#[derive(Deserialize)]
struct Answer {
    content: Vec<Value>,
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Usage,
}

/// What the model said.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its blocks, to be sent back unchanged.
    pub content: Vec<Value>,
    /// Why it stopped.
    pub stop: Stop,
}

impl Said {
    /// Its text, blocks joined.
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter(|b| b.get("type") == Some(&json!("text")));
        let texts: Vec<&str> = texts.filter_map(|b| b.get("text")?.as_str()).collect();
        texts.join("\n\n").trim().to_owned()
    }

    /// The tools it asks for.
    pub fn uses(&self) -> Vec<Use> {
        let asked = self.content.iter().filter(|b| b.get("type") == Some(&json!("tool_use")));
        asked
            .filter_map(|b| {
                let text = |name: &str| b.get(name)?.as_str().map(str::to_owned);
                Some(Use {
                    id: text("id")?,
                    name: text("name")?,
                    input: b.get("input").cloned().unwrap_or_default(),
                })
            })
            .collect()
    }
}

/// A client of the endpoint.
pub struct Model {
    http: reqwest::Client,
    config: ModelConfig,
}

enum Failure {
    /// The same request may succeed later; how long the endpoint wants to be left alone.
    Later(String, Option<Duration>),
    /// It never will.
    Never(String),
}

impl Model {
    /// Builds the client; nothing is sent yet.
    ///
    /// # Errors
    /// No key, or an address that is none.
    pub fn new(config: ModelConfig) -> Result<Model, Error> {
        if config.key.trim().is_empty() {
            return Err(Error::setting(
                "bot.anthropic_api_key",
                "is not set; give the key in ANTHROPIC_API_KEY",
            ));
        }
        let http =
            crate::servers::http(&config.url).map_err(|why| Error::setting("bot.anthropic_url", why))?;
        Ok(Model { http, config })
    }

    /// Tokens of one answer at most.
    pub fn max_tokens(&self) -> u32 {
        self.config.max_tokens
    }

    /// Sends the exchange so far and returns what the model says next. Overload and faults of the endpoint are
    /// waited out, as long as it asks for.
    ///
    /// # Errors
    /// A refusal, or no success after several tries.
    pub async fn say(&self, system: &str, messages: &[Message], tools: &[ToolSpec]) -> Result<Said, Error> {
        let ephemeral = json!({"type": "ephemeral"});
        let request = Request {
            model: &self.config.model,
            max_tokens: self.config.max_tokens,
            system: [json!({"type": "text", "text": system, "cache_control": ephemeral})],
            messages,
            tools,
            cache_control: ephemeral.clone(),
            context_management: json!({"edits": [{
                "type": "clear_tool_uses_20250919",
                "trigger": {"type": "input_tokens", "value": FORGET_ABOVE},
                "keep": {"type": "tool_uses", "value": KEEP},
            }]}),
        };
        let mut wait = self.config.first_wait;
        let mut tries = 1;
        loop {
            let (why, asked) = match self.once(&request).await {
                Ok(said) => return Ok(said),
                Err(Failure::Never(what)) => return Err(Error::Model { what }),
                Err(Failure::Later(why, asked)) => (why, asked),
            };
            let pause = asked.unwrap_or_else(|| wait.mul_f64(0.75 + rand::random::<f64>() * 0.5));
            if pause > LONGEST_WAIT {
                let what = format!("{why} and asks to come back in {} s", pause.as_secs());
                return Err(Error::Model { what });
            }
            if tries == TRIES {
                return Err(Error::Model { what: format!("{why}, {TRIES} times in a row") });
            }
            tracing::warn!("the model endpoint {why}; tried again in {:.1} s", pause.as_secs_f64());
            tokio::time::sleep(pause).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            tries += 1;
        }
    }

    async fn once(&self, request: &Request<'_>) -> Result<Said, Failure> {
        let address = format!("{}/v1/messages", self.config.url.trim_end_matches('/'));
        let sent = self
            .http
            .post(address)
            .timeout(self.config.timeout)
            .header("x-api-key", &self.config.key)
            .header("anthropic-version", VERSION)
            .header("anthropic-beta", BETA)
            .json(request)
            .send()
            .await;
        let later = |e: reqwest::Error| {
            let slow = e.is_timeout();
            let why = if slow {
                "gave no answer in time".into()
            } else {
                format!("cannot be reached ({})", deepest(&e))
            };
            Failure::Later(why, None)
        };
        let response = sent.map_err(later)?;
        let status = response.status();
        let asked =
            response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse::<f64>().ok());
        let asked = asked.and_then(|s| Duration::try_from_secs_f64(s).ok());
        let body = response.bytes().await.map_err(later)?;
        if status.is_success() {
            let answer: Answer = serde_json::from_slice(&body)
                .map_err(|e| Failure::Never(format!("gave an answer that cannot be read: {e}")))?;
            return Ok(said(answer));
        }
        let why = format!("answered {}: {}", status.as_u16(), refusal(&body));
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return Err(Failure::Later(why, asked));
        }
        Err(Failure::Never(why))
    }
}

fn said(answer: Answer) -> Said {
    let stop = match answer.stop_reason.as_deref() {
        Some("end_turn" | "stop_sequence") | None => Stop::End,
        Some("tool_use") => Stop::Tools,
        Some("max_tokens") => Stop::MaxTokens,
        Some("pause_turn") => Stop::Pause,
        Some("refusal") => Stop::Refusal,
        Some("model_context_window_exceeded") => Stop::Full,
        Some(other) => Stop::Other(other.to_owned()),
    };
    let usage = answer.usage;
    tracing::info!(
        input = usage.input_tokens,
        output = usage.output_tokens,
        cache_read = usage.cache_read_input_tokens,
        cache_written = usage.cache_creation_input_tokens,
        "the model answered"
    );
    Said { content: answer.content, stop }
}

/// The endpoint's own words.
fn refusal(body: &[u8]) -> String {
    let read: Option<Value> = serde_json::from_slice(body).ok();
    let words = read.as_ref().and_then(|v| v.pointer("/error/message")?.as_str());
    shorten(words.unwrap_or(&String::from_utf8_lossy(body)), WORDS)
}
