//! One queue with all its settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::links::encode;
use crate::list::Link;
use crate::panda::answer::{self, Answer, AsOf};
use crate::panda::{self, queues};
use crate::{Cx, Error, Hints, Scope, Tool, Toolset};

/// All settings of one PanDA queue: status, limits (MB, seconds, cores), storage, computing elements.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct GetQueue {
    /// Exact queue name.
    pub panda_queue: String,
}

/// A queue.
#[derive(Debug, Serialize, JsonSchema)]
pub struct QueueDetail {
    /// All settings that are not null.
    pub queue: Map<String, Value>,
    /// Pages for people.
    pub monitor_urls: Vec<Link>,
    /// When it was true.
    pub as_of: AsOf,
    /// Set when the production is a made-up one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<bool>,
}

impl Tool for GetQueue {
    const NAME: &'static str = "panda_get_queue";
    const TITLE: &'static str = "PanDA queue";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Panda;
    const EXAMPLE: &'static str = r#"{"panda_queue": "NERSC_Perlmutter_epic"}"#;
    const HINTS: Hints = Hints::READ;
    type Output = Answer<QueueDetail>;

    async fn run(self, cx: &Cx) -> Result<Answer<QueueDetail>, Error> {
        answer::shared(cx, Self::NAME, &self, self.answer(cx)).await
    }
}

impl GetQueue {
    async fn answer(&self, cx: &Cx) -> Result<QueueDetail, Error> {
        let panda = panda::of(cx)?;
        let catalog = panda.catalog().await?;
        let all = queues::queues(panda, &catalog).await?;
        let Some(found) = all.iter().find(|q| q.name == self.panda_queue) else {
            let near: Vec<&str> = all.iter().map(|q| q.name.as_str()).collect();
            let nearest = near
                .iter()
                .max_by(|a, b| {
                    let like = |name: &str| {
                        strsim::jaro_winkler(&name.to_lowercase(), &self.panda_queue.to_lowercase())
                    };
                    like(a).total_cmp(&like(b))
                })
                .map(|n| format!("did you mean '{n}'? "))
                .unwrap_or_default();
            return Err(Error::not_found(
                "queue",
                &self.panda_queue,
                format!("{nearest}panda_list_queues has the names"),
            ));
        };
        let mut queue: Map<String, Value> =
            found.data.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect();
        queue.insert("panda_queue".into(), json!(found.name));
        queue.insert("last_update".into(), found.updated());
        let path = format!("/panda/epic-queues/{}/", encode(&found.name));
        let monitor =
            answer::monitor(panda, "PanDA monitor: queue", &format!("/site/{}/", encode(&found.name)));
        Ok(QueueDetail {
            queue,
            monitor_urls: [Some(answer::page(cx, "this queue", &path, &Map::new())), monitor]
                .into_iter()
                .flatten()
                .collect(),
            as_of: AsOf::new(cx, panda, None),
            synthetic: answer::synthetic(&catalog),
        })
    }
}
