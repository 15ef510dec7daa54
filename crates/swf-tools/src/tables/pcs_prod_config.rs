//! `pcs_prod_config`. Production configurations.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "pcs_prod_config",
    columns: &[
        Column::new("id", Kind::BigInt).with(Default::Identity),
        Column::new("name", Kind::Varchar(200)),
        Column::new("description", Kind::Text).with(Default::Text("")).blank(),
        Column::new("bg_mixing", Kind::Boolean).with(Default::Bool(false)),
        Column::new("bg_cross_section", Kind::Varchar(200)).with(Default::Text("")).blank(),
        Column::new("bg_evtgen_file", Kind::Varchar(500)).with(Default::Text("")).blank(),
        Column::new("copy_reco", Kind::Boolean).with(Default::Bool(true)),
        Column::new("copy_full", Kind::Boolean).with(Default::Bool(false)),
        Column::new("copy_log", Kind::Boolean).with(Default::Bool(true)),
        Column::new("use_rucio", Kind::Boolean).with(Default::Bool(true)),
        Column::new("jug_xl_tag", Kind::Varchar(100)).with(Default::Text("")).blank(),
        Column::new("container_image", Kind::Varchar(500)).with(Default::Text("")).blank(),
        Column::new("target_hours_per_job", Kind::Numeric(6, 2)).or_null(),
        Column::new("events_per_task", Kind::Integer).or_null(),
        Column::new("condor_template", Kind::Text).with(Default::Text("")).blank(),
        Column::new("panda_site", Kind::Varchar(200)).with(Default::Text("")).blank(),
        Column::new("panda_queue", Kind::Varchar(200)).with(Default::Text("")).blank(),
        Column::new("panda_working_group", Kind::Varchar(100)).with(Default::Text("")).blank(),
        Column::new("panda_resource_type", Kind::Varchar(100)).with(Default::Text("")).blank(),
        Column::new("rucio_rse", Kind::Varchar(200)).with(Default::Text("")).blank(),
        Column::new("rucio_replication_rules", Kind::Json).or_null(),
        Column::new("created_by", Kind::Varchar(100)),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
        Column::new("data", Kind::Json).or_null(),
    ],
    primary_key: Key { name: "pcs_prod_config_pkey", columns: &["id"] },
    uniques: &[Key { name: "pcs_prod_config_name_key", columns: &["name"] }],
    indexes: &[Index { name: "pcs_prod_config_name_c4e482bb_like", columns: &["name varchar_pattern_ops"] }],
    foreign_keys: &[],
    checks: &[("pcs_prod_config_events_per_task_check", "events_per_task >= 0")],
};
