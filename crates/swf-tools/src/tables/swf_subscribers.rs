//! `swf_subscribers`. Consumers of messages: agents of the broker and clients of the event stream.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// Values of `delivery_type`.
pub const DELIVERY_TYPES: &[&str] = &["activemq", "sse"];

/// The table.
pub const TABLE: Table = Table {
    name: "swf_subscribers",
    columns: &[
        Column::new("subscriber_id", Kind::Integer).with(Default::Identity),
        Column::new("subscriber_name", Kind::Varchar(255)),
        Column::new("fraction", Kind::Double).or_null(),
        Column::new("description", Kind::Text).or_null(),
        Column::new("is_active", Kind::Boolean).with(Default::Bool(true)),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
        Column::new("client_ip", Kind::Inet).or_null(),
        Column::new("client_location", Kind::Varchar(255)).with(Default::Text("")).blank(),
        Column::new("connected_at", Kind::Time).or_null(),
        Column::new("delivery_type", Kind::Varchar(20))
            .with(Default::Text("activemq"))
            .one_of(DELIVERY_TYPES),
        Column::new("disconnected_at", Kind::Time).or_null(),
        Column::new("last_activity", Kind::Time).or_null(),
        Column::new("message_filters", Kind::Json).with(Default::EmptyObject),
        Column::new("messages_dropped", Kind::Integer).with(Default::Int(0)),
        Column::new("messages_received", Kind::Integer).with(Default::Int(0)),
        Column::new("messages_sent", Kind::Integer).with(Default::Int(0)),
    ],
    primary_key: Key { name: "swf_subscribers_pkey", columns: &["subscriber_id"] },
    uniques: &[Key { name: "swf_subscribers_subscriber_name_key", columns: &["subscriber_name"] }],
    indexes: &[
        Index { name: "swf_subscri_deliver_1836c2_idx", columns: &["delivery_type", "is_active"] },
        Index {
            name: "swf_subscribers_subscriber_name_bf06d936_like",
            columns: &["subscriber_name varchar_pattern_ops"],
        },
    ],
    foreign_keys: &[],
    checks: &[],
};
