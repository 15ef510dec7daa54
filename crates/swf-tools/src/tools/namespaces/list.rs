//! `swf_list_namespaces`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::Sql;

use crate::list::{List, Listing, Order, Window, arguments};
use crate::{Cx, Error, Scope, Tool, Toolset};

/// List the testbed namespaces with their owners.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListNamespaces {
    /// Rows at most; 100 when left out.
    pub limit: Option<i64>,
    /// From `next` of the earlier answer.
    pub cursor: Option<String>,
}

/// A namespace.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct NamespaceItem {
    name: String,
    owner: String,
    description: String,
}

impl Tool for ListNamespaces {
    const NAME: &'static str = "swf_list_namespaces";
    const TITLE: &'static str = "List namespaces";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = "{}";
    type Output = List<NamespaceItem>;

    async fn run(self, cx: &Cx) -> Result<List<NamespaceItem>, Error> {
        let name = cx.db.dialect().byte_order("name");
        let listing = Listing {
            cx,
            input: arguments(&self),
            select: "name, owner, description".into(),
            from: "swf_namespace".into(),
            conditions: Sql::new(""),
            key: Order::ascending(name.clone()),
            tie: Order::ascending(name),
            maximum: 100,
            window: Window::default(),
            link: cx.link("Namespaces List", "/namespaces/", &[]),
        };
        listing.fetch().await
    }
}
