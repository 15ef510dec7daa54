//! `swf_get_ai_memory`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::Sql;

use crate::list::Truncated;
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// The latest turns of a user's dialogue with AI assistants, oldest first.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct GetAiMemory {
    /// Whose memory.
    pub username: String,
    /// Turns (question and answer) at most; 20 when left out.
    #[schemars(range(min = 1, max = 1000))]
    pub turns: Option<i64>,
    /// Only what was about this namespace.
    pub namespace: Option<String>,
}

/// The remembered dialogue.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Memory {
    items: Vec<MemoryItem>,
    count: usize,
    username: String,
    turns_requested: i64,
    namespace: Option<String>,
    /// Set when the oldest entries were left out to keep the answer within its byte ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<Truncated>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct MemoryItem {
    role: String,
    content: String,
    created_at: Iso,
    session_id: String,
    /// The entry's namespace.
    post_id: String,
    /// The entry's project path.
    root_id: String,
}

impl Tool for GetAiMemory {
    const NAME: &'static str = "swf_get_ai_memory";
    const TITLE: &'static str = "AI memory";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Memory;
    const EXAMPLE: &'static str = r#"{"username": "torre", "turns": 5}"#;
    type Output = Memory;

    async fn run(self, cx: &Cx) -> Result<Memory, Error> {
        super::own(cx, &self.username)?;
        let turns = self.turns.unwrap_or(20);
        let mut sql = Sql::new(
            "SELECT role, content, created_at, session_id, coalesce(namespace, '') AS post_id, \
             coalesce(project_path, '') AS root_id FROM swf_ai_memory",
        );
        sql.filter("username = ?", Some(self.username.as_str()));
        sql.filter("namespace = ?", self.namespace.as_deref());
        sql.push("ORDER BY created_at DESC, id DESC LIMIT ?", [(2 * turns).into()]);
        let rows: Vec<MemoryItem> = cx.db.fetch_all(&sql).await?;
        let (mut items, left_out) = newest_that_fit(rows, cx.settings().answer_ceiling)?;
        items.reverse();
        Ok(Memory {
            count: items.len(),
            items,
            username: self.username,
            turns_requested: turns,
            namespace: self.namespace,
            truncated: (left_out > 0)
                .then(|| Truncated { rows: left_out, limit_bytes: cx.settings().answer_ceiling }),
        })
    }
}

/// As many of the newest entries as fit, and how many older ones do not.
fn newest_that_fit(rows: Vec<MemoryItem>, ceiling: usize) -> Result<(Vec<MemoryItem>, usize), Error> {
    let all = rows.len();
    let (mut items, mut bytes) = (Vec::new(), 500);
    for row in rows {
        bytes += serde_json::to_string(&row).map_err(Error::internal)?.len() + 1;
        if bytes > ceiling && !items.is_empty() {
            break;
        }
        items.push(row);
    }
    let left_out = all - items.len();
    Ok((items, left_out))
}
