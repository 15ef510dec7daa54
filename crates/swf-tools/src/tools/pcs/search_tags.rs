//! `pcs_search_tags`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use swf_db::{Json, Sql};

use super::{TYPES, TagType};
use crate::list::{AsOf, LIMIT_MAX, Listing, Order, Truncated, Window, arguments};
use crate::{Cx, Error, Scope, Tool, Toolset};

/// Search tags of all types for a text in label, description or parameter values, case ignored.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct SearchTags {
    /// Text to look for.
    pub query: String,
    /// Only this type: p, e, s or r.
    pub tag_type: Option<String>,
    /// Rows at most; 1000 when left out.
    pub limit: Option<i64>,
    /// From `next` of the earlier answer.
    pub cursor: Option<String>,
}

/// Tags found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FoundTags {
    query: String,
    /// Tags that match, also those not returned.
    count: i64,
    tags: Vec<FoundTag>,
    has_more: bool,
    as_of: AsOf,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<Truncated>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Map<String, Value>>,
}

/// A tag.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct FoundTag {
    tag_label: String,
    status: String,
    description: String,
    parameters: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<String>,
}

impl Tool for SearchTags {
    const NAME: &'static str = "pcs_search_tags";
    const TITLE: &'static str = "Search PCS tags";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Pcs;
    const EXAMPLE: &'static str = r#"{"query": "pythia8"}"#;
    type Output = FoundTags;

    async fn run(self, cx: &Cx) -> Result<FoundTags, Error> {
        let kinds = match self.tag_type.as_deref() {
            Some(given) => vec![TagType::of(given)?],
            None => TYPES.to_vec(),
        };
        let values = cx.db.dialect().json_values_text("t.parameters");
        let parts: Vec<String> = kinds
            .iter()
            .enumerate()
            .map(|(rank, kind)| {
                format!(
                    "SELECT {rank} AS rank, t.tag_number, t.tag_label, t.status, t.description, t.parameters, \
                     {} AS category, t.tag_label || ' ' || t.description || ' ' || coalesce({values}, '') AS words \
                     FROM {}",
                    kind.category(),
                    kind.from()
                )
            })
            .collect();
        let mut sql = Sql::new("");
        let dialect = cx.db.dialect();
        sql.and(&dialect.contains("words"), [dialect.containing(&self.query).into()]);
        let listing = Listing {
            cx,
            input: arguments(&self),
            select: "tag_label, status, description, parameters, category".into(),
            from: format!("({}) found", parts.join(" UNION ALL ")),
            conditions: sql,
            key: Order::ascending("rank"),
            tie: Order::descending("tag_number"),
            maximum: LIMIT_MAX,
            window: Window::default(),
            link: cx.link("PCS", "/pcs/", &[]),
        };
        let list = listing.fetch::<FoundTag>().await?;
        Ok(FoundTags {
            query: self.query,
            count: list.total_count,
            tags: list.items,
            has_more: list.has_more,
            as_of: list.as_of,
            truncated: list.truncated,
            next: list.next,
        })
    }
}
