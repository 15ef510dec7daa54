//! The records that agents and scripts read and write: one description per resource, and generic operations.
//!
//! *Invariant:* nothing here knows HTTP; answers are JSON in the field order of the descriptions, refusals are
//! in the words that existing clients look for.

pub mod batch;
pub mod describe;
mod error;
mod fields;
pub mod heartbeat;
pub mod logs;
pub mod memory;
pub mod namespaces;
mod present;
pub mod provenance;
pub mod query;
pub mod resources;
pub mod slices;
mod store;
pub mod times;
pub mod users;
pub mod validate;
mod write;

pub use describe::{Facts, Field, Filter, Method, Resource, Source};
pub use error::Error;
pub use query::Page;
pub use store::{List, MOST_ROWS, Store};
pub use validate::Input;
pub use write::Change;

use resources as r;

/// Every resource under `/api/`, in the order of the listing.
pub const RECORDS: &[&Resource] = &[
    &r::systemagents::RESOURCE,
    &r::logs::RESOURCE,
    &r::runs::RESOURCE,
    &r::stf_files::RESOURCE,
    &r::subscribers::RESOURCE,
    &r::fastmon_files::RESOURCE,
    &r::workflows::RESOURCE,
    &r::workflow_stages::RESOURCE,
    &r::workflow_messages::RESOURCE,
    &r::workflow_definitions::RESOURCE,
    &r::workflow_executions::RESOURCE,
    &r::run_states::RESOURCE,
    &r::system_state_events::RESOURCE,
    &r::tf_slices::RESOURCE,
    &r::workers::RESOURCE,
];

/// A resource by its path.
pub fn find(path: &str) -> Option<&'static Resource> {
    RECORDS.iter().copied().find(|r| r.path == path)
}
