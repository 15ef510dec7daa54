//! One question and its answer: the rounds between model and tools, and the check of what comes out.
//!
//! *Invariant:* every question has an answer that says how it ended.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use serde_json::{Map, Value, json};

use crate::catalog::{self, Catalog, Choice};
use crate::error::Error;
use crate::model::{Message, Role, Stop, ToolSpec, Use};
use crate::{Bot, prompt, provenance};

/// Calls of the model for one question.
const ROUNDS: usize = 10;
/// Calls of tools at the same time within one round.
const AT_ONCE: usize = 4;
/// Characters of one tool result that the model gets, stamp included.
pub const RESULT: usize = 10_000;
/// Begins every answer that is none.
const APOLOGY: &str = "Sorry,";
/// Tools that only serve the choice of others or speak of the bot itself.
const OWN: [&str; 2] = [catalog::SELECT, catalog::SERVERS];

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// The person's words.
    pub words: String,
    /// The same as the model gets it: with who speaks where, and what was said before in the thread.
    pub told: String,
    /// Earlier dialogue.
    pub memory: Vec<(Role, String)>,
    /// The thread it belongs to, and its channel.
    pub thread: Option<(String, String)>,
}

/// What comes out.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What the model said, checked and cleaned.
    pub body: String,
    /// Warnings and footers, or nothing.
    pub notes: String,
    /// Tools that were called, in order, each once.
    pub used: Vec<String>,
    /// There is no answer; the body says why.
    pub failed: bool,
}

impl Answer {
    /// Everything, as people get it.
    pub fn text(&self) -> String {
        if self.notes.is_empty() { self.body.clone() } else { format!("{}\n\n{}", self.body, self.notes) }
    }

    /// The model says that the message was not meant for it: one short marker in brackets.
    pub fn is_silence(&self) -> bool {
        let inner = self.body.trim().strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        inner.is_some_and(|t| t.chars().count() <= 200 && !t.contains(['[', ']', '\n']))
    }
}

/// How an exchange ended.
enum Ending {
    Said(String),
    MaxTokens(String),
    Rounds,
    Refusal(String),
    Full,
    Odd(String, String),
    Failed(Error),
    Late,
}

/// An exchange under way.
struct Exchange<'a> {
    bot: &'a Bot,
    catalog: Catalog,
    system: String,
    messages: Vec<Message>,
    loaded: Vec<String>,
    selected: Vec<String>,
    used: Vec<String>,
    ids: BTreeSet<String>,
    sources: Vec<String>,
    unrecorded: usize,
}

/// What one call of a tool gave.
struct Done {
    asked: Use,
    text: String,
    failed: bool,
    id: Option<String>,
    unrecorded: bool,
}

impl Bot {
    /// Answers a question.
    pub async fn answer(&self, question: Question) -> Answer {
        self.servers.wait_for(crate::config::HOME, self.patience).await;
        let catalog = Catalog::of(&self.servers);
        let thread = question.thread.as_ref().map(|(root, _)| self.threads.get(root)).unwrap_or_default();
        let choice = catalog.choose(&question.words, &thread.tools, &thread.servers);
        let mut exchange = Exchange {
            bot: self,
            system: prompt::system(self.config.system_prompt.as_deref(), &catalog).await,
            messages: opening(&question),
            loaded: choice.names.clone(),
            selected: Vec::new(),
            used: Vec::new(),
            ids: BTreeSet::new(),
            sources: vec![question.words.clone()],
            unrecorded: 0,
            catalog,
        };
        let run = tokio::time::timeout(self.config.turn_timeout, exchange.run());
        let ending = run.await.unwrap_or(Ending::Late);
        if let Some((root, channel)) = &question.thread {
            exchange.remember(root, channel, &choice);
        }
        exchange.finish(ending, &choice)
    }
}

/// Earlier dialogue and the question; speakers alternate, and a person begins.
fn opening(question: &Question) -> Vec<Message> {
    let now = chrono::Utc::now().format("%Y-%m-%d %H:%M UTC");
    let told = format!("Current date and time: {now}\n\n{}", question.told);
    let mut turns: Vec<(Role, String)> = Vec::new();
    for (role, text) in question.memory.iter().cloned().chain([(Role::User, told)]) {
        match turns.last_mut() {
            Some((last, before)) if *last == role => {
                before.push_str("\n\n");
                before.push_str(&text);
            }
            None if role == Role::Assistant => {}
            _ => turns.push((role, text)),
        }
    }
    turns.iter().map(|(role, text)| Message::text(*role, text)).collect()
}

impl Exchange<'_> {
    async fn run(&mut self) -> Ending {
        for _ in 0..ROUNDS {
            let tools = self.tools();
            let said = match self.bot.model.say(&self.system, &self.messages, &tools).await {
                Ok(said) => said,
                Err(e) => return Ending::Failed(e),
            };
            let text = said.text();
            match &said.stop {
                Stop::Tools if !said.uses().is_empty() => {}
                Stop::Pause => {
                    self.messages.push(Message { role: Role::Assistant, content: said.content });
                    continue;
                }
                Stop::End | Stop::Tools => return Ending::Said(text),
                Stop::MaxTokens => return Ending::MaxTokens(text),
                Stop::Refusal => return Ending::Refusal(text),
                Stop::Full => return Ending::Full,
                Stop::Other(reason) => return Ending::Odd(text, reason.clone()),
            }
            let uses = said.uses();
            self.messages.push(Message { role: Role::Assistant, content: said.content });
            let results = self.call_all(uses).await;
            self.messages.push(Message { role: Role::User, content: results });
        }
        Ending::Rounds
    }

    /// The loaded tools, in the order in which they were loaded, so that the endpoint's cache stays good.
    fn tools(&self) -> Vec<ToolSpec> {
        let own = catalog::own_tools().into_iter();
        own.chain(self.loaded.iter().filter_map(|name| self.catalog.spec(name))).collect()
    }

    /// Runs the calls of one round at the same time; the results keep their order.
    async fn call_all(&mut self, uses: Vec<Use>) -> Vec<Value> {
        let selected: Vec<String> =
            uses.iter().filter(|u| u.name == catalog::SELECT).flat_map(names).collect();
        let this = &*self;
        let calls = uses.into_iter().map(|u| this.call(u));
        let done: Vec<Done> = futures_util::stream::iter(calls).buffered(AT_ONCE).collect().await;
        for name in selected {
            if self.catalog.tools.contains_key(&name) && !self.loaded.contains(&name) {
                self.loaded.push(name.clone());
                self.selected.push(name);
            }
        }
        done.into_iter().map(|d| self.note(d)).collect()
    }

    fn note(&mut self, done: Done) -> Value {
        let name = done.asked.name;
        if !OWN.contains(&name.as_str())
            && self.catalog.tools.contains_key(&name)
            && !self.used.contains(&name)
        {
            self.used.push(name);
        }
        self.ids.extend(done.id);
        self.unrecorded += usize::from(done.unrecorded);
        self.sources.push(done.asked.input.to_string());
        self.sources.push(done.text.clone());
        let mut result = Map::new();
        result.insert("type".into(), "tool_result".into());
        result.insert("tool_use_id".into(), done.asked.id.into());
        result.insert("content".into(), done.text.into());
        if done.failed {
            result.insert("is_error".into(), true.into());
        }
        result.into()
    }

    async fn call(&self, asked: Use) -> Done {
        let own = match asked.name.as_str() {
            catalog::SELECT => Some(self.select(&names(&asked))),
            catalog::SERVERS => Some(self.catalog.server_table()),
            _ => None,
        };
        let (text, failed) = match own {
            Some(text) => return Done { asked, text, failed: false, id: None, unrecorded: false },
            None => self.ask_server(&asked).await,
        };
        if failed {
            return Done { asked, text: cut(&text), failed, id: None, unrecorded: false };
        }
        let id = provenance::fresh();
        let text = cut(&provenance::stamped(&id, &text));
        let recorded = self.bot.record_provenance(&id, &asked.name, &asked.input).await;
        if let Err(e) = &recorded {
            tracing::warn!("provenance id {id} of {} could not be recorded: {e}", asked.name);
        }
        Done { asked, text, failed, id: Some(id), unrecorded: recorded.is_err() }
    }

    async fn ask_server(&self, asked: &Use) -> (String, bool) {
        let Some(entry) = self.catalog.tools.get(&asked.name) else {
            let why = format!("there is no tool {:?}; use a name of the catalog", asked.name);
            return (why, true);
        };
        let arguments: Map<String, Value> = match &asked.input {
            Value::Object(map) => map.clone(),
            Value::Null => Map::new(),
            other => return (format!("the arguments must be an object, not {other}"), true),
        };
        let called = self.bot.servers.call(&entry.server, &entry.original, arguments, entry.repeatable).await;
        match called {
            Ok(outcome) => (outcome.text, outcome.failed),
            Err(e) => (e.to_string(), true),
        }
    }

    fn select(&self, names: &[String]) -> String {
        let (known, unknown): (Vec<&String>, Vec<&String>) =
            names.iter().partition(|n| self.catalog.tools.contains_key(*n));
        let new: Vec<&String> = known.into_iter().filter(|n| !self.loaded.contains(*n)).collect();
        let message = format!("Loaded {} tools. They are now available for use.", new.len());
        let mut out = Map::new();
        out.insert("loaded".into(), json!(new));
        out.insert("message".into(), message.into());
        if !unknown.is_empty() {
            out.insert("unknown".into(), json!(unknown));
        }
        Value::Object(out).to_string()
    }

    /// The next message of the thread starts with these tools.
    fn remember(&self, root: &str, channel: &str, choice: &Choice) {
        let suggested = choice.ranked.iter().take(3).map(|(name, _)| name);
        let mut tools: Vec<String> = Vec::new();
        for name in suggested.chain(&self.selected).chain(&self.used) {
            if !tools.contains(name) {
                tools.push(name.clone());
            }
        }
        let server = |name: &String| Some(self.catalog.tools.get(name)?.server.clone());
        let servers = self.used.iter().filter_map(server).collect();
        self.bot.threads.note(root, channel, &tools, &servers);
    }

    fn finish(self, ending: Ending, choice: &Choice) -> Answer {
        let seconds = self.bot.config.turn_timeout.as_secs();
        let (reply, remark) = ending.told(self.bot.model.max_tokens(), seconds);
        let body = provenance::stripped(&reply);
        let mut notes: Vec<String> = remark.into_iter().collect();
        if !body.starts_with(APOLOGY) {
            notes.extend(self.warnings(&reply, &body, choice));
        }
        if self.unrecorded > 0 {
            notes.push(format!(
                ":warning: *{} data provenance id(s) of this reply could not be recorded.*",
                self.unrecorded
            ));
        }
        if !self.used.is_empty() {
            let scores: Vec<String> = choice.ranked.iter().map(|(n, s)| format!("{n}:{s:.2}")).collect();
            if !scores.is_empty() {
                notes.push(format!("*(tools suggested: {})*", scores.join(", ")));
            }
            notes.push(format!("*(tools used: {})*", self.used.join(", ")));
        }
        let failed = body.starts_with(APOLOGY);
        Answer { body, notes: notes.join("\n"), used: self.used, failed }
    }

    fn warnings(&self, reply: &str, body: &str, choice: &Choice) -> Vec<String> {
        let mut out = Vec::new();
        if self.used.is_empty() {
            // A greeting, to which no tool has anything to say, and which names no figure, needs no warning.
            if !choice.ranked.is_empty() || body.contains(|c: char| c.is_ascii_digit()) {
                out.push(provenance::NOT_LIVE.to_owned());
            }
            return out;
        }
        if !provenance::verified(reply, &self.ids) {
            out.push(provenance::UNCITED.to_owned());
        }
        let unknown = provenance::unknown(body, &self.sources);
        if !unknown.is_empty() {
            out.push(provenance::unknown_warning(&unknown));
        }
        out
    }
}

impl Ending {
    /// The reply, and what is remarked about its end. `most` tokens and `seconds` were the limits.
    fn told(self, most: u32, seconds: u64) -> (String, Option<String>) {
        match self {
            Ending::Said(text) if text.is_empty() => {
                ("Sorry, the model gave no answer. Please ask again, or ask differently.".into(), None)
            }
            Ending::Said(text) => (text, None),
            Ending::MaxTokens(text) => (
                text,
                Some(format!(
                    ":warning: *The answer ends here because it reached the limit of {most} tokens.*"
                )),
            ),
            Ending::Rounds => {
                ("I hit the maximum number of tool calls. Please try a more specific question.".into(), None)
            }
            Ending::Refusal(text) if text.is_empty() => {
                ("Sorry, the model declined to answer this.".into(), None)
            }
            Ending::Refusal(text) => (text, Some(":warning: *The model declined to go on.*".into())),
            Ending::Full => (
                "Sorry, this exchange has become too long for the model. Please ask in a new thread.".into(),
                None,
            ),
            Ending::Odd(text, why) => {
                (text, Some(format!(":warning: *The model stopped for an unusual reason: {why}.*")))
            }
            Ending::Failed(e) => {
                tracing::error!("a question could not be answered: {e}");
                (format!("Sorry, I could not process your question: {e}."), None)
            }
            Ending::Late => (
                format!("Sorry, this took longer than {seconds} s and was given up. Please ask for less."),
                None,
            ),
        }
    }
}

fn names(asked: &Use) -> Vec<String> {
    let list = asked.input.get("names").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|n| n.as_str().map(str::to_owned)).collect()
}

/// The first [`RESULT`] characters, saying so when there were more.
fn cut(text: &str) -> String {
    let Some((end, _)) = text.char_indices().nth(RESULT) else { return text.to_owned() };
    let all = text.chars().count();
    let kept = text.get(..end).unwrap_or_default();
    format!("{kept}\n... (truncated: {RESULT} of {all} characters; ask for less to see all)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speakers_alternate_and_a_person_begins() {
        let said = |role, text: &str| (role, text.to_owned());
        let question = Question {
            told: "now".into(),
            memory: vec![said(Role::Assistant, "lost"), said(Role::User, "a"), said(Role::User, "b")],
            ..Question::default()
        };
        let messages = opening(&question);
        assert_eq!(messages.len(), 1);
        let text = messages[0].content[0]["text"].as_str().unwrap();
        assert!(text.starts_with("a\n\nb\n\nCurrent date and time: ") && text.ends_with("now"), "{text}");
    }

    #[test]
    fn a_long_result_says_that_it_is_cut() {
        let text = cut(&"ä".repeat(RESULT + 5));
        assert!(text.ends_with("... (truncated: 10000 of 10005 characters; ask for less to see all)"));
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn one_marker_in_brackets_is_silence() {
        let answer =
            |body: &str| Answer { body: body.into(), notes: String::new(), used: Vec::new(), failed: false };
        assert!(answer("[No response]").is_silence());
        assert!(!answer("[a](b) and [c]").is_silence() && !answer("fine").is_silence());
    }
}
