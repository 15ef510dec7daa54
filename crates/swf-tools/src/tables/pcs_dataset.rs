//! `pcs_dataset`. Datasets: one tag of each kind and a block number.

use swf_db::schema::{Column, Default, ForeignKey, Index, Key, Kind, OnDelete, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "pcs_dataset",
    columns: &[
        Column::new("id", Kind::BigInt).with(Default::Identity),
        Column::new("dataset_name", Kind::Varchar(255)),
        Column::new("scope", Kind::Varchar(100)).with(Default::Text("group.EIC")),
        Column::new("detector_version", Kind::Varchar(50)),
        Column::new("detector_config", Kind::Varchar(100)),
        Column::new("block_num", Kind::Integer).with(Default::Int(1)),
        Column::new("blocks", Kind::Integer).with(Default::Int(1)),
        Column::new("did", Kind::Varchar(300)),
        Column::new("file_count", Kind::Integer).with(Default::Int(0)),
        Column::new("data_size", Kind::BigInt).with(Default::Int(0)),
        Column::new("description", Kind::Text).with(Default::Text("")).blank(),
        Column::new("metadata", Kind::Json).or_null(),
        Column::new("created_by", Kind::Varchar(100)),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("evgen_tag_id", Kind::BigInt),
        Column::new("physics_tag_id", Kind::BigInt),
        Column::new("reco_tag_id", Kind::BigInt),
        Column::new("simu_tag_id", Kind::BigInt),
    ],
    primary_key: Key { name: "pcs_dataset_pkey", columns: &["id"] },
    uniques: &[
        Key {
            name: "pcs_dataset_dataset_name_block_num_1e4cea76_uniq",
            columns: &["dataset_name", "block_num"],
        },
        Key { name: "pcs_dataset_did_key", columns: &["did"] },
    ],
    indexes: &[
        Index { name: "pcs_dataset_did_4fbc3f4f_like", columns: &["did varchar_pattern_ops"] },
        Index { name: "pcs_dataset_evgen_tag_id_d087bbcb", columns: &["evgen_tag_id"] },
        Index { name: "pcs_dataset_physics_tag_id_318b7788", columns: &["physics_tag_id"] },
        Index { name: "pcs_dataset_reco_tag_id_5036901f", columns: &["reco_tag_id"] },
        Index { name: "pcs_dataset_simu_tag_id_a61b4c78", columns: &["simu_tag_id"] },
    ],
    foreign_keys: &[
        ForeignKey {
            name: "pcs_dataset_evgen_tag_id_d087bbcb_fk_pcs_evgen_tag_id",
            column: "evgen_tag_id",
            table: "pcs_evgen_tag",
            to: "id",
            on_delete: OnDelete::Protect,
        },
        ForeignKey {
            name: "pcs_dataset_physics_tag_id_318b7788_fk_pcs_physics_tag_id",
            column: "physics_tag_id",
            table: "pcs_physics_tag",
            to: "id",
            on_delete: OnDelete::Protect,
        },
        ForeignKey {
            name: "pcs_dataset_reco_tag_id_5036901f_fk_pcs_reco_tag_id",
            column: "reco_tag_id",
            table: "pcs_reco_tag",
            to: "id",
            on_delete: OnDelete::Protect,
        },
        ForeignKey {
            name: "pcs_dataset_simu_tag_id_a61b4c78_fk_pcs_simu_tag_id",
            column: "simu_tag_id",
            table: "pcs_simu_tag",
            to: "id",
            on_delete: OnDelete::Protect,
        },
    ],
    checks: &[("pcs_dataset_block_num_check", "block_num >= 0"), ("pcs_dataset_blocks_check", "blocks >= 0")],
};
