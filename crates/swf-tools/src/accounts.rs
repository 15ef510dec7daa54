//! Accounts and their tokens, as Django's authentication keeps them.

use chrono::{DateTime, Utc};
use rand::Rng;
use serde::{Deserialize, Serialize};
use swf_db::{Db, Sql, Value};

use crate::{Error, Scope};

/// A password that no text hashes to: such an account has a token but cannot log in.
const UNUSABLE: &str = "!swf";

/// An account with its token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub username: String,
    /// False once it is closed.
    pub is_active: bool,
    /// Operators.
    pub is_staff: bool,
    /// Administrators.
    pub is_superuser: bool,
    /// When it was made.
    pub date_joined: DateTime<Utc>,
    /// The first characters of its token, enough to recognise it; null when there is none.
    pub token: Option<String>,
}

/// Makes the account unless it exists, gives it the rights of `scope` (it keeps what it has), and returns its
/// token, a new one unless there is one.
pub async fn create_token(
    db: &Db,
    now: DateTime<Utc>,
    username: &str,
    scope: Scope,
) -> Result<String, Error> {
    check_name(username)?;
    let mut tx = db.begin().await?;
    let insert = Sql::new(
        "INSERT INTO auth_user (password, last_login, is_superuser, username, first_name, last_name, email, \
         is_staff, is_active, date_joined)",
    )
    .with(
        "VALUES (?, NULL, ?, ?, '', '', '', ?, ?, ?) ON CONFLICT (username) DO NOTHING",
        [
            UNUSABLE.into(),
            (scope >= Scope::Admin).into(),
            username.into(),
            (scope >= Scope::Control).into(),
            true.into(),
            now.into(),
        ],
    );
    tx.execute(&insert).await?;
    for (column, wanted) in
        [("is_staff", Scope::Control), ("is_superuser", Scope::Admin), ("is_active", Scope::Read)]
    {
        if scope >= wanted {
            let raise = Sql::new(format!("UPDATE auth_user SET {column} = ? WHERE username = ?"))
                .with("", [true.into(), username.into()]);
            tx.execute(&raise).await?;
        }
    }
    let id: Option<i64> = tx
        .fetch_optional(&Sql::new("SELECT id FROM auth_user WHERE username = ?").with("", [username.into()]))
        .await?;
    let id = id.ok_or_else(|| Error::not_found("account", username, ""))?;
    let make = Sql::new("INSERT INTO authtoken_token (\"key\", created, user_id) VALUES (?, ?, ?)")
        .with("ON CONFLICT (user_id) DO NOTHING", [new_key().into(), now.into(), id.into()]);
    tx.execute(&make).await?;
    let read = Sql::new("SELECT \"key\" FROM authtoken_token WHERE user_id = ?").with("", [id.into()]);
    let key: Option<String> = tx.fetch_optional(&read).await?;
    tx.commit().await?;
    key.ok_or_else(|| Error::not_found("token of", username, ""))
}

/// All accounts with the beginnings of their tokens, by name.
pub async fn list(db: &Db) -> Result<Vec<Account>, Error> {
    let sql = Sql::new(
        "SELECT u.username, u.is_active, u.is_staff, u.is_superuser, u.date_joined, substr(k.\"key\", 1, 6) AS token \
         FROM auth_user AS u LEFT JOIN authtoken_token AS k ON k.user_id = u.id ORDER BY u.username",
    );
    Ok(db.fetch_all(&sql).await?)
}

/// Takes an account's token away; the account stays. An unknown account, or one without a token, is an error.
pub async fn revoke_token(db: &Db, username: &str) -> Result<(), Error> {
    let sql = Sql::new(
        "DELETE FROM authtoken_token WHERE user_id IN (SELECT id FROM auth_user WHERE username = ?)",
    )
    .with("", [username.into()]);
    match db.execute(&sql).await? {
        0 => Err(Error::not_found("token of", username, "see the list of accounts")),
        _ => Ok(()),
    }
}

/// Names as Django accepts them, without blanks.
fn check_name(username: &str) -> Result<(), Error> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '@' | '.' | '+' | '-' | '_');
    if (1..=150).contains(&username.chars().count()) && username.chars().all(fits) {
        return Ok(());
    }
    Err(Error::invalid("username", format!("'{username}' must be 1 to 150 letters, digits and @ . + - _")))
}

/// 40 hexadecimal digits of 20 random bytes.
fn new_key() -> String {
    let mut bytes = [0u8; 20];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What the owner of a token may do.
#[derive(Debug, Clone, Deserialize)]
pub struct TokenOwner {
    /// The account's name.
    pub username: String,
    /// False once it is closed.
    pub is_active: bool,
    /// Operators.
    pub is_staff: bool,
    /// Administrators.
    pub is_superuser: bool,
    /// The token itself.
    pub key: String,
}

/// The account that a token belongs to.
pub async fn owner_of(db: &Db, key: &str) -> Result<Option<TokenOwner>, Error> {
    owner(db, "k.\"key\" = ?", key.into()).await
}

/// The account with a name, if it has a token or not; `key` is empty without one.
pub async fn named(db: &Db, username: &str) -> Result<Option<TokenOwner>, Error> {
    owner(db, "u.username = ?", username.into()).await
}

async fn owner(db: &Db, condition: &str, value: Value) -> Result<Option<TokenOwner>, Error> {
    let mut sql = Sql::new(
        "SELECT u.username, u.is_active, u.is_staff, u.is_superuser, COALESCE(k.\"key\", '') AS key \
         FROM auth_user AS u LEFT JOIN authtoken_token AS k ON k.user_id = u.id",
    );
    sql.and(condition, [value]);
    Ok(db.fetch_optional(&sql).await?)
}
