//! Sessions of MCP clients in the database, so that a restart or another replica knows them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use rmcp::transport::streamable_http_server::session::{SessionState, SessionStore, SessionStoreError};
use swf_db::{Json, Sql};
use swf_tools::Service;

/// Sessions that nobody used for this long are forgotten.
const KEPT: TimeDelta = TimeDelta::hours(24);

/// The session table, and who opened which session.
pub struct Sessions {
    service: Arc<Service>,
    subjects: Mutex<HashMap<String, Option<String>>>,
}

impl Sessions {
    /// Of this service.
    pub fn new(service: Arc<Service>) -> Sessions {
        Sessions { service, subjects: Mutex::default() }
    }

    fn now(&self) -> DateTime<Utc> {
        self.service.clock.now()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Option<String>>> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sessions opened in this process and not yet closed.
    pub fn open(&self) -> usize {
        self.known().len()
    }

    /// Ties a new session to the caller that opened it.
    pub async fn bind(&self, id: &str, subject: Option<String>) {
        self.known().insert(id.to_owned(), subject.clone());
        let sql = Sql::new("UPDATE swfx_mcp_session SET subject =")
            .with("? WHERE id = ?", [subject.into(), id.into()]);
        if let Err(e) = self.service.db.execute(&sql).await {
            tracing::warn!("the owner of an MCP session could not be stored: {e}");
        }
    }

    /// True when `subject` opened the session, or the session is unknown (the transport says so itself).
    pub async fn belongs_to(&self, id: &str, subject: Option<&str>) -> bool {
        let kept = self.known().get(id).cloned();
        let owner = match kept {
            Some(owner) => owner,
            None => {
                let sql = Sql::new("SELECT subject FROM swfx_mcp_session WHERE id =").with("?", [id.into()]);
                match self.service.db.fetch_optional::<(Option<String>,)>(&sql).await {
                    Ok(Some((owner,))) => {
                        self.known().insert(id.to_owned(), owner.clone());
                        owner
                    }
                    Ok(None) => return true,
                    Err(_) => return false,
                }
            }
        };
        owner.as_deref() == subject
    }

    /// Forgets sessions that nobody used for a day.
    pub async fn purge(&self) -> Result<u64, swf_db::Error> {
        let sql = Sql::new("DELETE FROM swfx_mcp_session WHERE last_used_at <")
            .with("?", [(self.now() - KEPT).into()]);
        self.service.db.execute(&sql).await
    }
}

#[async_trait::async_trait]
impl SessionStore for Sessions {
    async fn load(&self, id: &str) -> Result<Option<SessionState>, SessionStoreError> {
        let sql = Sql::new("UPDATE swfx_mcp_session SET last_used_at =")
            .with("? WHERE id = ? RETURNING state", [self.now().into(), id.into()]);
        match self.service.db.fetch_optional::<(Json,)>(&sql).await? {
            Some((Json(state),)) => Ok(Some(serde_json::from_value(state)?)),
            None => Ok(None),
        }
    }

    async fn store(&self, id: &str, state: &SessionState) -> Result<(), SessionStoreError> {
        let now = self.now();
        let sql = Sql::new("INSERT INTO swfx_mcp_session (id, state, created_at, last_used_at) VALUES").with(
            "(?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state, last_used_at = excluded.last_used_at",
            [id.into(), serde_json::to_value(state)?.into(), now.into(), now.into()],
        );
        self.service.db.execute(&sql).await?;
        Ok(())
    }

    async fn delete(&self, id: &str) -> Result<(), SessionStoreError> {
        self.known().remove(id);
        let sql = Sql::new("DELETE FROM swfx_mcp_session WHERE id =").with("?", [id.into()]);
        self.service.db.execute(&sql).await?;
        Ok(())
    }
}
