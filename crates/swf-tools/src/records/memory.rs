//! Dialogue of AI assistants, kept per user.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use swf_db::Sql;

use super::{Error, Store};
use crate::tables::swf_ai_memory::ROLES;
use crate::time::iso;

/// One remark to keep.
#[derive(Debug, Clone, Default)]
pub struct Remark {
    /// Whose dialogue it is.
    pub username: String,
    /// The client's session.
    pub session_id: String,
    /// `user` or `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
    /// Where it belongs, if anywhere.
    pub namespace: Option<String>,
    /// The folder the assistant worked in.
    pub project_path: Option<String>,
}

/// One remark as it is given back.
#[derive(Debug, Serialize)]
pub struct Item {
    /// `user` or `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
    /// UTC.
    pub created_at: String,
    /// The client's session.
    pub session_id: String,
    /// The namespace or `""`; the name is the original's.
    pub post_id: String,
    /// The project path or `""`; the name is the original's.
    pub root_id: String,
}

/// Turns (two remarks each) that are given back when nothing is said.
pub const TURNS: i64 = 20;
/// Turns at most.
pub const MOST_TURNS: i64 = 1000;

#[derive(Deserialize)]
struct Stored {
    role: String,
    content: String,
    created_at: DateTime<Utc>,
    session_id: String,
    namespace: Option<String>,
    project_path: Option<String>,
}

impl Store {
    /// Keeps a remark; returns its id.
    pub async fn record_memory(&self, remark: &Remark) -> Result<i64, Error> {
        let r = remark;
        if [&r.username, &r.session_id, &r.role, &r.content].iter().any(|text| text.is_empty()) {
            return Err(Error::detail("username, session_id, role, and content are required"));
        }
        if !ROLES.contains(&r.role.as_str()) {
            return Err(Error::detail(format!("Invalid role '{}'. Must be 'user' or 'assistant'.", r.role)));
        }
        for (name, text, most) in [
            ("username", &r.username, 100),
            ("session_id", &r.session_id, 255),
            ("namespace", r.namespace.as_ref().unwrap_or(&String::new()), 100),
            ("project_path", r.project_path.as_ref().unwrap_or(&String::new()), 500),
        ] {
            if text.chars().count() > most {
                return Err(Error::detail(format!("{name} is longer than {most} characters")));
            }
        }
        let sql = Sql::new(
            "INSERT INTO swf_ai_memory (username, session_id, role, content, created_at, namespace, project_path)",
        )
        .with(
            "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
            [
                r.username.as_str().into(),
                r.session_id.as_str().into(),
                r.role.as_str().into(),
                r.content.as_str().into(),
                self.clock.now().into(),
                r.namespace.as_ref().into(),
                r.project_path.as_ref().into(),
            ],
        );
        Ok(self.db.fetch_one::<i64>(&sql).await?)
    }

    /// The newest remarks of a user, oldest first.
    pub async fn memory(
        &self,
        username: &str,
        turns: i64,
        namespace: Option<&str>,
    ) -> Result<Vec<Item>, Error> {
        let mut sql = Sql::new(
            "SELECT role, content, created_at, session_id, namespace, project_path FROM swf_ai_memory",
        );
        sql.and("username = ?", [username.into()]).filter("namespace = ?", namespace);
        sql.push("ORDER BY created_at DESC, id DESC LIMIT ?", [(turns.clamp(0, MOST_TURNS) * 2).into()]);
        let rows: Vec<Stored> = self.db.fetch_all(&sql).await?;
        Ok(rows
            .into_iter()
            .rev()
            .map(|s| Item {
                role: s.role,
                content: s.content,
                created_at: iso(s.created_at),
                session_id: s.session_id,
                post_id: s.namespace.unwrap_or_default(),
                root_id: s.project_path.unwrap_or_default(),
            })
            .collect())
    }
}
