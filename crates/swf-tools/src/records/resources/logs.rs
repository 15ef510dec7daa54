//! `/api/logs`: log records; only added, never changed.

use crate::records::describe::{Field, Method, Resource};
use crate::tables::swf_applog;

/// Levels that are accepted, highest first.
pub const LEVELS: &[&str] = &["50", "40", "30", "20", "10", "0"];

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "logs",
    model: "AppLog",
    verbose: "app log",
    table: &swf_applog::TABLE,
    lookup: "id",
    fields: &[
        Field::fixed("id"),
        Field::new("app_name"),
        Field::new("instance_name"),
        Field::new("timestamp"),
        Field::new("level").one_of(LEVELS),
        Field::new("levelname"),
        Field::new("message"),
        Field::new("module"),
        Field::new("funcname"),
        Field::new("lineno"),
        Field::new("process"),
        Field::new("thread"),
        Field::new("extra_data"),
    ],
    order: "t.timestamp DESC, t.id DESC",
    filters: &[],
    methods: &[Method::Read, Method::Create],
    author: None,
    owned: false,
    guard: None,
};
