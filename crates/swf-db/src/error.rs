//! What can go wrong with a database, in words that say what was tried.

/// A failed database operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is not one that can be opened.
    #[error("database URL {url:?}: {why}")]
    Url { url: String, why: String },
    /// The database could not be reached or opened.
    #[error("cannot open database {url}")]
    Open {
        url: String,
        #[source]
        source: sqlx::Error,
    },
    /// A connection was lost, or none became free in time.
    #[error("database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The statement ran longer than allowed, or waited too long for a lock.
    #[error("database statement exceeded its time limit")]
    Timeout(#[source] sqlx::Error),
    /// The role may not do this.
    #[error("database refused the statement for lack of permission")]
    Denied(#[source] sqlx::Error),
    /// A table or column that the statement names does not exist, or one is demanded that it does not name.
    #[error("database schema is not the one that the statement is for")]
    Schema(#[source] sqlx::Error),
    /// A unique constraint was violated; `constraint` is its name or its columns.
    #[error("a row with this key already exists ({constraint})")]
    Unique {
        constraint: String,
        #[source]
        source: sqlx::Error,
    },
    /// A foreign key points nowhere, or a row is still referred to.
    #[error("a referenced row does not exist or is still in use")]
    ForeignKey(#[source] sqlx::Error),
    /// A value does not fit its column: too long, out of range, wrong type.
    #[error("a value does not fit its column")]
    BadValue(#[source] sqlx::Error),
    /// The database holds tables that neither swf nor Django made.
    #[error(
        "the database already has a table {table}, but it was made neither by swf nor by Django: \
         give swf an empty database"
    )]
    Foreign { table: String },
    /// A row does not have the expected shape.
    #[error("cannot read a row of this statement: {0}")]
    Row(String),
    /// Anything else the engine says.
    #[error("database statement failed")]
    Statement(#[source] sqlx::Error),
}

impl Error {
    /// Sorts an engine error into the variants above by SQLSTATE (PostgreSQL) or result code (SQLite).
    pub(crate) fn from_statement(e: sqlx::Error) -> Error {
        use sqlx::error::ErrorKind;
        let Some(db) = e.as_database_error() else {
            return match e {
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Protocol(_)
                | sqlx::Error::Tls(_) => Error::Unavailable(e),
                _ => Error::Statement(e),
            };
        };
        let code = db.code().map(|c| c.into_owned()).unwrap_or_default();
        match db.kind() {
            ErrorKind::UniqueViolation => {
                let constraint = db.constraint().map(str::to_owned).unwrap_or_else(|| {
                    // SQLite: "UNIQUE constraint failed: table.column, table.column"
                    db.message().rsplit(": ").next().unwrap_or_default().to_owned()
                });
                Error::Unique { constraint, source: e }
            }
            ErrorKind::ForeignKeyViolation => Error::ForeignKey(e),
            ErrorKind::NotNullViolation => Error::Schema(e),
            ErrorKind::CheckViolation => Error::BadValue(e),
            _ => match code.as_str() {
                // PostgreSQL: cancelled by statement_timeout, lock_timeout; SQLite: busy, locked
                "57014" | "55P03" | "5" | "6" | "517" => Error::Timeout(e),
                "42501" | "25006" | "8" | "28000" | "28P01" => Error::Denied(e),
                "42P01" | "42703" | "3F000" | "42883" => Error::Schema(e),
                c if c.starts_with("22") => Error::BadValue(e),
                c if c.starts_with("08") || c.starts_with("57P") || c.starts_with("53") => {
                    Error::Unavailable(e)
                }
                "1" if db.message().starts_with("no such") => Error::Schema(e),
                _ => Error::Statement(e),
            },
        }
    }
}
