//! `pcs_list_tags`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use swf_db::{Json, Sql};

use super::TagType;
use crate::list::{AsOf, LIMIT_MAX, Listing, Order, Truncated, Window, arguments};
use crate::{Cx, Error, Scope, Tool, Toolset};

/// List the tags of one type, highest number first.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListTags {
    /// p (physics), e (event generation), s (simulation) or r (reconstruction).
    pub tag_type: String,
    /// Physics category by name, case ignored; for p only.
    pub category: Option<String>,
    /// draft or locked.
    pub status: Option<String>,
    /// Only tags of this author.
    pub creator: Option<String>,
    /// Text in label or description, case ignored.
    pub search: Option<String>,
    /// Rows at most; 1000 when left out.
    pub limit: Option<i64>,
    /// From `next` of the earlier answer.
    pub cursor: Option<String>,
}

/// Tags of one type.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TagList {
    tag_type: &'static str,
    label: &'static str,
    /// Tags that match, also those not returned.
    count: i64,
    tags: Vec<TagItem>,
    has_more: bool,
    as_of: AsOf,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<Truncated>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Map<String, Value>>,
}

/// A tag.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TagItem {
    tag_label: String,
    status: String,
    description: String,
    created_by: String,
    parameters: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<String>,
}

const STATUSES: [&str; 2] = ["draft", "locked"];

impl Tool for ListTags {
    const NAME: &'static str = "pcs_list_tags";
    const TITLE: &'static str = "List PCS tags";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Pcs;
    const EXAMPLE: &'static str = r#"{"tag_type": "p"}"#;
    type Output = TagList;

    async fn run(self, cx: &Cx) -> Result<TagList, Error> {
        let kind = TagType::of(&self.tag_type)?;
        let mut sql = Sql::new("");
        if let Some(category) = self.category.as_deref() {
            if !kind.has_category() {
                let why = format!("only physics tags (p) have one, not {}", kind.letter);
                return Err(Error::invalid("category", why));
            }
            sql.and("lower(c.name) = lower(?)", [category.into()]);
        }
        sql.filter("t.status = ?", self.status.as_deref().map(status).transpose()?);
        sql.filter("t.created_by = ?", self.creator.as_deref());
        if let Some(search) = self.search.as_deref() {
            let dialect = cx.db.dialect();
            let pattern = dialect.containing(search);
            sql.and(
                &format!("({} OR {})", dialect.contains("t.description"), dialect.contains("t.tag_label")),
                [pattern.as_str().into(), pattern.into()],
            );
        }
        let listing = Listing {
            cx,
            input: arguments(&self),
            select: format!(
                "t.tag_label, t.status, t.description, t.created_by, t.parameters, {} AS category",
                kind.category()
            ),
            from: kind.from(),
            conditions: sql,
            key: Order::descending("t.tag_number"),
            tie: Order::descending("t.id"),
            maximum: LIMIT_MAX,
            window: Window::default(),
            link: cx.link("Tags", &format!("/pcs/tags/{}/", kind.letter), &[]),
        };
        let list = listing.fetch::<TagItem>().await?;
        Ok(TagList {
            tag_type: kind.letter,
            label: kind.label,
            count: list.total_count,
            tags: list.items,
            has_more: list.has_more,
            as_of: list.as_of,
            truncated: list.truncated,
            next: list.next,
        })
    }
}

fn status(given: &str) -> Result<String, Error> {
    let status = given.to_lowercase();
    if STATUSES.contains(&status.as_str()) {
        return Ok(status);
    }
    let why = format!("'{given}' is not a status{}", crate::args::choices(given, &STATUSES));
    Err(Error::invalid("status", why))
}
