//! `swf_workflow_definitions`. Workflows by name and version.

use swf_db::schema::{Column, Default, Key, Kind, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "swf_workflow_definitions",
    columns: &[
        Column::new("id", Kind::BigInt).with(Default::Identity),
        Column::new("workflow_name", Kind::Varchar(200)),
        Column::new("version", Kind::Varchar(50)),
        Column::new("workflow_type", Kind::Varchar(100)),
        Column::new("definition", Kind::Text),
        Column::new("parameter_values", Kind::Json).with(Default::EmptyObject),
        Column::new("created_by", Kind::Varchar(100)),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
    ],
    primary_key: Key { name: "swf_workflow_definitions_pkey", columns: &["id"] },
    uniques: &[Key {
        name: "swf_workflow_definitions_workflow_name_version_c54e03fa_uniq",
        columns: &["workflow_name", "version"],
    }],
    indexes: &[],
    foreign_keys: &[],
    checks: &[],
};
