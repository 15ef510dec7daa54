//! The collective memory of dialogues, kept by the monitor. What is said in private never gets there.

use serde_json::{Value, json};

use crate::Bot;
use crate::config::HOME;
use crate::model::Role;

/// Characters of remembered dialogue that a question carries; the newest count.
const MOST: usize = 40_000;

impl Bot {
    /// Earlier dialogue, oldest first. Without the monitor there is none.
    pub async fn recall(&self) -> Vec<(Role, String)> {
        if self.config.memory_turns == 0 {
            return Vec::new();
        }
        let asked = json!({"username": self.config.memory_user, "turns": self.config.memory_turns});
        let Some(answer) = self.memory_call("swf_get_ai_memory", asked).await else { return Vec::new() };
        let items = answer.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut out = Vec::new();
        let mut characters = 0;
        for item in items.iter().rev() {
            let text = item.get("content").and_then(Value::as_str).unwrap_or_default();
            characters += text.chars().count();
            if characters > MOST {
                break;
            }
            let role = match item.get("role").and_then(Value::as_str) {
                Some("user") => Role::User,
                Some("assistant") => Role::Assistant,
                _ => continue,
            };
            out.push((role, text.to_owned()));
        }
        out.reverse();
        out
    }

    /// Keeps a question and its answer.
    pub async fn memorise(&self, question: &str, answer: &str, post: &str, root: &str) {
        if self.config.memory_turns == 0 {
            return;
        }
        for (role, content) in [("user", question), ("assistant", answer)] {
            let remark = json!({
                "username": self.config.memory_user, "session_id": "mattermost", "role": role,
                "content": content, "namespace": post, "project_path": root,
            });
            // Half a turn would be worse than none.
            if self.memory_call("swf_record_ai_memory", remark).await.is_none() {
                return;
            }
        }
    }

    async fn memory_call(&self, tool: &str, arguments: Value) -> Option<Value> {
        let Value::Object(map) = arguments else { return None };
        let read = tool == "swf_get_ai_memory";
        match self.servers.call(HOME, tool, map, read).await {
            Ok(outcome) if !outcome.failed => {
                outcome.structured.or_else(|| serde_json::from_str(&outcome.text).ok())
            }
            Ok(outcome) => {
                tracing::warn!(
                    "{tool}: {}; the memory of {} needs its own token or an administrator's",
                    outcome.text,
                    self.config.memory_user
                );
                None
            }
            Err(e) => {
                tracing::warn!("{tool}: {e}");
                None
            }
        }
    }
}
