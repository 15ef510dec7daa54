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
pub mod pcs;
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

pub use describe::{Allows, Facts, Field, Filter, Method, Resource, Source};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_stands_on_a_column_and_every_reference_on_a_table() {
        for resource in RECORDS.iter().chain(pcs::RECORDS) {
            let table = resource.table;
            for name in [resource.lookup, resource.key()].into_iter().chain(resource.author) {
                assert!(table.column(name).is_some(), "{}: {name}", resource.path);
            }
            for field in resource.fields {
                let known = matches!(field.source, Source::Computed(..)) || resource.column(field).is_some();
                assert!(known, "{}.{}", resource.path, field.name);
                if let Source::Key { table: other, to } | Source::Slug { table: other, to, .. } = field.source
                {
                    let key = table.foreign_keys.iter().find(|k| k.column == field.column).unwrap();
                    assert_eq!((key.table, key.to), (other, to), "{}.{}", resource.path, field.name);
                }
            }
            let last = resource
                .order
                .rsplit(", ")
                .next()
                .unwrap()
                .trim_start_matches("t.")
                .trim_end_matches(" DESC");
            let uniques = table.uniques.iter().chain([&table.primary_key]);
            assert!(
                uniques.into_iter().any(|k| k.columns == [last]),
                "{} is ordered by {last}",
                resource.path
            );
        }
    }

    #[test]
    fn every_column_that_must_be_given_can_be_given() {
        use swf_db::schema::Default;
        for resource in RECORDS {
            for column in resource.table.columns.iter().filter(|c| c.default == Default::None && !c.null) {
                let field = resource.field_of(column.name);
                assert!(field.is_some_and(|f| !f.read_only), "{}.{}", resource.path, column.name);
            }
        }
    }
}
