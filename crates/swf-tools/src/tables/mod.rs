//! The tables of the database of record, one file each, and swf's own tables.
//!
//! *Invariant:* names, types, nullability, keys and indexes are those Django made; only what stands in
//! [`LATER_COLUMNS`] and [`own`] is ours.

pub mod auth_user;
pub mod authtoken_token;
pub mod django_session;
pub mod later;
pub mod own;
pub mod pcs_dataset;
pub mod pcs_evgen_tag;
pub mod pcs_physics_category;
pub mod pcs_physics_tag;
pub mod pcs_prod_config;
pub mod pcs_prod_task;
pub mod pcs_reco_tag;
pub mod pcs_simu_tag;
pub mod swf_agent_workflow_stages;
pub mod swf_ai_memory;
pub mod swf_applog;
pub mod swf_data_provenance;
pub mod swf_fastmon_files;
pub mod swf_namespace;
pub mod swf_panda_queues;
pub mod swf_persistent_state;
pub mod swf_rucio_endpoints;
pub mod swf_run_state;
pub mod swf_runs;
pub mod swf_stf_files;
pub mod swf_stf_workflows;
pub mod swf_subscribers;
pub mod swf_system_state_events;
pub mod swf_systemagent;
pub mod swf_tf_slices;
pub mod swf_workers;
pub mod swf_workflow_definitions;
pub mod swf_workflow_executions;
pub mod swf_workflow_messages;

pub use later::LATER_COLUMNS;
use swf_db::schema::{Schema, Table};

/// Every table of the contract, each after those it refers to.
pub const TABLES: &[&Table] = &[
    &auth_user::TABLE,
    &authtoken_token::TABLE,
    &django_session::TABLE,
    &swf_systemagent::TABLE,
    &swf_applog::TABLE,
    &swf_runs::TABLE,
    &swf_stf_files::TABLE,
    &swf_fastmon_files::TABLE,
    &swf_tf_slices::TABLE,
    &swf_workers::TABLE,
    &swf_run_state::TABLE,
    &swf_system_state_events::TABLE,
    &swf_subscribers::TABLE,
    &swf_persistent_state::TABLE,
    &swf_workflow_definitions::TABLE,
    &swf_workflow_executions::TABLE,
    &swf_stf_workflows::TABLE,
    &swf_agent_workflow_stages::TABLE,
    &swf_workflow_messages::TABLE,
    &swf_namespace::TABLE,
    &swf_panda_queues::TABLE,
    &swf_rucio_endpoints::TABLE,
    &swf_ai_memory::TABLE,
    &swf_data_provenance::TABLE,
    &pcs_physics_category::TABLE,
    &pcs_physics_tag::TABLE,
    &pcs_evgen_tag::TABLE,
    &pcs_simu_tag::TABLE,
    &pcs_reco_tag::TABLE,
    &pcs_dataset::TABLE,
    &pcs_prod_config::TABLE,
    &pcs_prod_task::TABLE,
];

/// The whole database of record, for `swf_db::migrate` and `swf_db::check`.
pub const SCHEMA: Schema = Schema {
    tables: TABLES,
    later: LATER_COLUMNS,
    own: own::TABLES,
    first_rows: &[("swf_persistent_state", 1)],
    steps: own::STEPS,
};
