//! Accounts as an administrator sees them; never with passwords.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};
use swf_db::Sql;

use super::{Error, Store};

#[derive(Deserialize)]
struct User {
    username: String,
    email: String,
    first_name: String,
    last_name: String,
    is_active: bool,
    date_joined: DateTime<Utc>,
    last_login: Option<DateTime<Utc>>,
}

/// UTC with `Z`, microseconds kept.
pub(super) fn utc_z(time: DateTime<Utc>) -> String {
    if time.timestamp_subsec_micros() == 0 {
        time.to_rfc3339_opts(SecondsFormat::Secs, true)
    } else {
        time.to_rfc3339_opts(SecondsFormat::Micros, true)
    }
}

impl Store {
    /// All accounts, by name.
    pub async fn users(&self) -> Result<Vec<JsonValue>, Error> {
        let sql = Sql::new(
            "SELECT username, email, first_name, last_name, is_active, date_joined, last_login \
             FROM auth_user ORDER BY username",
        );
        let users: Vec<User> = self.db.fetch_all(&sql).await?;
        Ok(users
            .into_iter()
            .map(|u| {
                json!({
                    "username": u.username,
                    "email": u.email,
                    "first_name": u.first_name,
                    "last_name": u.last_name,
                    "is_active": u.is_active,
                    "date_joined": utc_z(u.date_joined),
                    "last_login": u.last_login.map(utc_z),
                })
            })
            .collect())
    }
}
