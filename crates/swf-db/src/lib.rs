//! PostgreSQL and SQLite behind one enum: one SQL text, typed values, rows that deserialise into structs.
//!
//! *Invariant:* nothing here knows the testbed's domain; [`db`] is the only place that hands run-time
//! text to the SQL engine.

mod catalog;
pub mod check;
mod db;
pub mod ddl;
mod dialect;
mod error;
pub mod migrate;
mod row;
pub mod schema;
mod sql;
#[cfg(feature = "testing")]
pub mod testing;
mod value;

pub use check::check;
pub use db::{Db, Engine, Options, Tx, without_password};
pub use dialect::Dialect;
pub use error::Error;
pub use migrate::migrate;
pub use row::Row;
pub use sql::Sql;
pub use value::{Json, Value};
