//! PostgreSQL and SQLite behind one enum: one SQL text, typed values, rows that deserialise into structs.
//!
//! *Invariant:* nothing here knows the testbed's domain; [`db`] is the only place that hands run-time
//! text to the SQL engine.

mod db;
mod dialect;
mod error;
mod row;
pub mod schema;
mod sql;
mod value;

pub use db::{Db, Engine, Options, Tx};
pub use dialect::Dialect;
pub use error::Error;
pub use row::Row;
pub use sql::Sql;
pub use value::{Json, Value};
