//! `swf_record_ai_memory`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::Sql;

use crate::tables::swf_ai_memory::ROLES;
use crate::tool::Hints;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// Remember one turn of a dialogue with an AI assistant.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RecordAiMemory {
    /// Whose memory.
    pub username: String,
    /// Dialogue it belongs to.
    pub session_id: String,
    /// user or assistant.
    pub role: String,
    /// What was said.
    pub content: String,
    /// Namespace or post it was about.
    pub namespace: Option<String>,
    /// Project folder or thread.
    pub project_path: Option<String>,
}

/// What was stored.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Recorded {
    success: bool,
    id: i64,
    username: String,
    role: String,
    /// Characters.
    content_length: usize,
}

impl Tool for RecordAiMemory {
    const NAME: &'static str = "swf_record_ai_memory";
    const TITLE: &'static str = "Record AI memory";
    const SCOPE: Scope = Scope::Write;
    const TOOLSET: Toolset = Toolset::Memory;
    const EXAMPLE: &'static str =
        r#"{"username": "torre", "session_id": "s1", "role": "user", "content": "What is running?"}"#;
    const HINTS: Hints = Hints::ADD;
    type Output = Recorded;

    async fn run(self, cx: &Cx) -> Result<Recorded, Error> {
        super::own(cx, &self.username)?;
        if !ROLES.contains(&self.role.as_str()) {
            let why = format!("Invalid role '{}'. Must be 'user' or 'assistant'.", self.role);
            return Err(Error::invalid("role", why));
        }
        filled("session_id", &self.session_id)?;
        filled("content", &self.content)?;
        for (name, value, most) in [
            ("username", Some(&self.username), 100),
            ("session_id", Some(&self.session_id), 255),
            ("namespace", self.namespace.as_ref(), 100),
            ("project_path", self.project_path.as_ref(), 500),
            ("content", Some(&self.content), CONTENT_MAX),
        ] {
            fits(name, value.map_or(0, |v| v.chars().count()), most)?;
        }
        let sql = Sql::new(
            "INSERT INTO swf_ai_memory (username, session_id, role, content, created_at, namespace, project_path)",
        )
        .with(
            "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
            [
                self.username.as_str().into(),
                self.session_id.into(),
                self.role.as_str().into(),
                self.content.as_str().into(),
                cx.now.into(),
                self.namespace.into(),
                self.project_path.into(),
            ],
        );
        Ok(Recorded {
            success: true,
            id: cx.db.fetch_one(&sql).await?,
            username: self.username,
            role: self.role,
            content_length: self.content.chars().count(),
        })
    }
}

/// A turn longer than this is not dialogue.
const CONTENT_MAX: usize = 200_000;

fn filled(name: &str, value: &str) -> Result<(), Error> {
    if value.trim().is_empty() { Err(Error::invalid(name, "is empty")) } else { Ok(()) }
}

fn fits(name: &str, length: usize, most: usize) -> Result<(), Error> {
    if length > most {
        return Err(Error::invalid(name, format!("is {length} characters long; the most is {most}")));
    }
    Ok(())
}
