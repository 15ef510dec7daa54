//! The resources under `/pcs/api/`.

use serde_json::Value as JsonValue;
use swf_db::schema::{Kind, Table};
use swf_db::{Row, Value};

use crate::records::describe::{ALL, Field, Method, Resource};
use crate::records::{Error, Input};
use crate::tables as t;

const fn resource(
    path: &'static str,
    model: &'static str,
    verbose: &'static str,
    table: &'static Table,
) -> Resource {
    Resource {
        path,
        model,
        verbose,
        table,
        lookup: "id",
        fields: &[],
        order: "t.id",
        filters: &[],
        methods: ALL,
        author: Some("created_by"),
        owned: true,
        guard: None,
    }
}

/// Categories of physics tags; the digit is the thousands of their numbers. Editable by all who write.
pub const CATEGORIES: Resource = Resource {
    lookup: "digit",
    order: "t.digit",
    methods: &[Method::Read, Method::Create, Method::Patch],
    owned: false,
    fields: &[
        Field::new("digit").within(1, 9),
        Field::new("name"),
        Field::new("description"),
        Field::fixed("created_by"),
        Field::fixed("created_at"),
        Field::computed(
            "tag_count",
            Kind::BigInt,
            "SELECT count(*) FROM pcs_physics_tag AS g WHERE g.category_id = t.digit",
        ),
    ],
    ..resource("physics-categories", "PhysicsCategory", "physics category", &t::pcs_physics_category::TABLE)
};

const TAG_METHODS: &[Method] = &[Method::Read, Method::Create, Method::Patch];

/// Tags of the physics process.
pub const PHYSICS: Resource = Resource {
    lookup: "tag_number",
    order: "t.tag_number",
    methods: TAG_METHODS,
    guard: Some(tag_guard),
    fields: &[
        Field::fixed("id"),
        Field::fixed("tag_number"),
        Field::fixed("tag_label"),
        Field::key("category", "category_id", "pcs_physics_category", "digit"),
        Field::computed(
            "category_name",
            Kind::Varchar(100),
            "SELECT c.name FROM pcs_physics_category AS c WHERE c.digit = t.category_id",
        ),
        Field::fixed("status"),
        Field::new("description"),
        Field::new("parameters"),
        Field::fixed("created_by"),
        Field::fixed("created_at"),
        Field::fixed("updated_at"),
    ],
    ..resource("physics-tags", "PhysicsTag", "physics tag", &t::pcs_physics_tag::TABLE)
};

const TAG_FIELDS: &[Field] = &[
    Field::fixed("id"),
    Field::fixed("tag_number"),
    Field::fixed("tag_label"),
    Field::fixed("status"),
    Field::new("description"),
    Field::new("parameters"),
    Field::fixed("created_by"),
    Field::fixed("created_at"),
    Field::fixed("updated_at"),
];

const fn tags(
    path: &'static str,
    model: &'static str,
    verbose: &'static str,
    table: &'static Table,
) -> Resource {
    Resource {
        lookup: "tag_number",
        order: "t.tag_number",
        methods: TAG_METHODS,
        guard: Some(tag_guard),
        fields: TAG_FIELDS,
        ..resource(path, model, verbose, table)
    }
}

/// Tags of the event generation.
pub const EVGEN: Resource = tags("evgen-tags", "EvgenTag", "evgen tag", &t::pcs_evgen_tag::TABLE);
/// Tags of the simulation.
pub const SIMU: Resource = tags("simu-tags", "SimuTag", "simu tag", &t::pcs_simu_tag::TABLE);
/// Tags of the reconstruction.
pub const RECO: Resource = tags("reco-tags", "RecoTag", "reco tag", &t::pcs_reco_tag::TABLE);

/// A locked tag is final, its state changes by locking alone, and its number says its category.
fn tag_guard(old: &Row, input: &Input) -> Result<(), Error> {
    let text = |name: &str| match old.get(name) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    };
    if text("status") == "locked" {
        return Err(Error::detail(format!("Tag {} is locked and cannot be modified.", text("tag_label"))));
    }
    if input.fields.contains_key("status") {
        return Err(Error::detail("Use the /lock/ endpoint to change status."));
    }
    let stored = match old.get("category_id") {
        Some(Value::Int(digit)) => Some(*digit),
        _ => None,
    };
    match (stored, input.fields.get("category")) {
        (Some(digit), Some(given)) if crate::records::validate::whole(given) != Some(i128::from(digit)) => {
            let why =
                format!("This field is part of the tag's number and cannot be changed (it is {digit}).");
            Err(Error::field("category", why))
        }
        _ => Ok(()),
    }
}

/// True for a tag that may be used in datasets.
pub(super) fn is_locked(status: Option<&JsonValue>) -> bool {
    status.and_then(JsonValue::as_str) == Some("locked")
}

/// Datasets: one tag of each kind, in blocks.
pub const DATASETS: Resource = Resource {
    order: "t.created_at DESC, t.id DESC",
    methods: &[Method::Read, Method::Create],
    fields: &[
        Field::fixed("id"),
        Field::fixed("dataset_name"),
        Field::new("scope"),
        Field::new("detector_version"),
        Field::new("detector_config"),
        Field::key("physics_tag", "physics_tag_id", "pcs_physics_tag", "id"),
        Field::key("evgen_tag", "evgen_tag_id", "pcs_evgen_tag", "id"),
        Field::key("simu_tag", "simu_tag_id", "pcs_simu_tag", "id"),
        Field::key("reco_tag", "reco_tag_id", "pcs_reco_tag", "id"),
        label(
            "physics_tag_label",
            "SELECT g.tag_label FROM pcs_physics_tag AS g WHERE g.id = t.physics_tag_id",
        ),
        label("evgen_tag_label", "SELECT g.tag_label FROM pcs_evgen_tag AS g WHERE g.id = t.evgen_tag_id"),
        label("simu_tag_label", "SELECT g.tag_label FROM pcs_simu_tag AS g WHERE g.id = t.simu_tag_id"),
        label("reco_tag_label", "SELECT g.tag_label FROM pcs_reco_tag AS g WHERE g.id = t.reco_tag_id"),
        Field::fixed("block_num"),
        Field::fixed("blocks"),
        Field::fixed("did"),
        Field::fixed("file_count"),
        Field::fixed("data_size"),
        Field::new("description"),
        Field::new("metadata"),
        Field::fixed("created_by"),
        Field::fixed("created_at"),
    ],
    ..resource("datasets", "Dataset", "dataset", &t::pcs_dataset::TABLE)
};

const fn label(name: &'static str, sql: &'static str) -> Field {
    Field::computed(name, Kind::Varchar(300), sql)
}

/// Production configurations.
pub const CONFIGS: Resource = Resource {
    order: "t.updated_at DESC, t.id DESC",
    fields: &[
        Field::fixed("id"),
        Field::new("name"),
        Field::new("description"),
        Field::new("bg_mixing"),
        Field::new("bg_cross_section"),
        Field::new("bg_evtgen_file"),
        Field::new("copy_reco"),
        Field::new("copy_full"),
        Field::new("copy_log"),
        Field::new("use_rucio"),
        Field::new("jug_xl_tag"),
        Field::new("container_image"),
        Field::new("target_hours_per_job"),
        Field::new("events_per_task").within(0, i32::MAX as i64),
        Field::new("condor_template"),
        Field::new("panda_site"),
        Field::new("panda_queue"),
        Field::new("panda_working_group"),
        Field::new("panda_resource_type"),
        Field::new("rucio_rse"),
        Field::new("rucio_replication_rules"),
        Field::new("data"),
        Field::fixed("created_by"),
        Field::fixed("created_at"),
        Field::fixed("updated_at"),
    ],
    ..resource("prod-configs", "ProdConfig", "prod config", &t::pcs_prod_config::TABLE)
};

/// Production tasks.
pub const TASKS: Resource = Resource {
    order: "t.updated_at DESC, t.id DESC",
    fields: &[
        Field::fixed("id"),
        Field::new("name"),
        Field::new("description"),
        Field::new("status"),
        Field::key("dataset", "dataset_id", "pcs_dataset", "id"),
        label("dataset_name", "SELECT d.dataset_name FROM pcs_dataset AS d WHERE d.id = t.dataset_id"),
        label("dataset_did", "SELECT d.did FROM pcs_dataset AS d WHERE d.id = t.dataset_id"),
        Field::key("prod_config", "prod_config_id", "pcs_prod_config", "id"),
        label("prod_config_name", "SELECT c.name FROM pcs_prod_config AS c WHERE c.id = t.prod_config_id"),
        Field::new("csv_file"),
        Field::new("overrides"),
        Field::fixed("condor_command"),
        Field::fixed("panda_command"),
        Field::new("panda_task_id"),
        Field::new("condor_cluster_id"),
        Field::fixed("created_by"),
        Field::fixed("created_at"),
        Field::fixed("updated_at"),
    ],
    ..resource("prod-tasks", "ProdTask", "prod task", &t::pcs_prod_task::TABLE)
};
