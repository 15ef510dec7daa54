//! `pcs_prod_task`. Production tasks: a dataset with a configuration.

use swf_db::schema::{Column, Default, ForeignKey, Index, Key, Kind, OnDelete, Table};

/// Values of `status`.
pub const STATUSES: &[&str] = &["draft", "ready", "submitted", "completed", "failed"];

/// The table.
pub const TABLE: Table = Table {
    name: "pcs_prod_task",
    columns: &[
        Column::new("id", Kind::BigInt).with(Default::Identity),
        Column::new("name", Kind::Varchar(255)),
        Column::new("description", Kind::Text).with(Default::Text("")).blank(),
        Column::new("status", Kind::Varchar(20)).with(Default::Text("draft")).one_of(STATUSES),
        Column::new("csv_file", Kind::Varchar(500)).with(Default::Text("")).blank(),
        Column::new("overrides", Kind::Json).or_null(),
        Column::new("condor_command", Kind::Text).with(Default::Text("")).blank(),
        Column::new("panda_command", Kind::Text).with(Default::Text("")).blank(),
        Column::new("panda_task_id", Kind::BigInt).or_null(),
        Column::new("condor_cluster_id", Kind::Varchar(100)).with(Default::Text("")).blank(),
        Column::new("created_by", Kind::Varchar(100)),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
        Column::new("dataset_id", Kind::BigInt),
        Column::new("prod_config_id", Kind::BigInt),
    ],
    primary_key: Key { name: "pcs_prod_task_pkey", columns: &["id"] },
    uniques: &[Key { name: "pcs_prod_task_name_key", columns: &["name"] }],
    indexes: &[
        Index { name: "pcs_prod_task_dataset_id_c973b6bd", columns: &["dataset_id"] },
        Index { name: "pcs_prod_task_name_dcdd46ad_like", columns: &["name varchar_pattern_ops"] },
        Index { name: "pcs_prod_task_prod_config_id_18763ab2", columns: &["prod_config_id"] },
    ],
    foreign_keys: &[
        ForeignKey {
            name: "pcs_prod_task_dataset_id_c973b6bd_fk_pcs_dataset_id",
            column: "dataset_id",
            table: "pcs_dataset",
            to: "id",
            on_delete: OnDelete::Protect,
        },
        ForeignKey {
            name: "pcs_prod_task_prod_config_id_18763ab2_fk_pcs_prod_config_id",
            column: "prod_config_id",
            table: "pcs_prod_config",
            to: "id",
            on_delete: OnDelete::Protect,
        },
    ],
    checks: &[],
};
