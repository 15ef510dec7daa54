//! Why an operation on records was refused, in the shapes that REST clients know.

use serde_json::{Map, Value, json};

/// A refused or failed operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong; the object names each field and what is wrong with it (400).
    #[error("invalid request: {0}")]
    Invalid(Value),
    /// There is no such row (404).
    #[error("{0}")]
    NotFound(String),
    /// The caller may not do this to this row (403).
    #[error("{0}")]
    Forbidden(String),
    /// The state of the row does not allow it (409).
    #[error("{0}")]
    Conflict(String),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] swf_db::Error),
}

impl Error {
    /// One thing that is wrong with one field.
    pub fn field(name: &str, why: impl Into<String>) -> Error {
        Error::Invalid(json!({ name: [why.into()] }))
    }

    /// What is wrong with the request as a whole.
    pub fn general(why: impl Into<String>) -> Error {
        Error::field("non_field_errors", why)
    }

    /// A refusal with a text that belongs to no field.
    pub fn detail(why: impl Into<String>) -> Error {
        Error::Invalid(json!({ "detail": why.into() }))
    }
}

/// What is wrong with each field, collected while a request is read.
#[derive(Debug, Default)]
pub struct Problems(Map<String, Value>);

impl Problems {
    /// Adds texts to a field.
    pub fn add(&mut self, name: &str, texts: impl IntoIterator<Item = String>) {
        let list = self.0.entry(name).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.extend(texts.into_iter().map(Value::String));
        }
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An error when there are any.
    pub fn into_result(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(Value::Object(self.0))) }
    }
}
