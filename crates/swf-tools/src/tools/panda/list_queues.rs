//! Queues, searched by what they can run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::activity::filters;
use crate::args::choices;
use crate::list::{Link, arguments};
use crate::panda::answer::{self, Answer, AsOf};
use crate::panda::filter::{given, limit};
use crate::panda::queues::{self, Queue};
use crate::panda::{self};
use crate::{Cx, Error, Hints, Scope, Tool, Toolset};

/// List PanDA queues with status and limits; search by what a job needs.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListQueues {
    /// Cloud, e.g. US.
    pub cloud: Option<String>,
    /// Queue or site name; `%` is a wildcard.
    pub site: Option<String>,
    /// GRID, hpc_special, gpu, …
    pub resource_type: Option<String>,
    /// online, offline, test, brokeroff.
    pub status: Option<String>,
    /// Rows, default 500.
    pub limit: Option<i64>,
    /// Virtual organisation, default eic; `all` for any.
    pub vo: Option<String>,
    /// ACTIVE or other.
    pub state: Option<String>,
    /// Part of the queue name, any case.
    pub search: Option<String>,
    /// Room for a job of so many cores.
    pub min_cores: Option<i64>,
    /// Room for so many MB.
    pub min_memory_mb: Option<i64>,
    /// Room for so many hours.
    pub min_hours: Option<f64>,
}

/// Queues.
#[derive(Debug, Serialize, JsonSchema)]
pub struct QueueList {
    /// The queues by name.
    pub queues: Vec<Map<String, Value>>,
    /// Queues returned.
    pub count: usize,
    /// Arguments in force.
    pub filters: Map<String, Value>,
    /// Queues that match.
    pub total: usize,
    /// There are more than were returned.
    pub has_more: bool,
    /// Pages for people.
    pub monitor_urls: Vec<Link>,
    /// When it was true.
    pub as_of: AsOf,
    /// Set when the production is a made-up one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<bool>,
}

/// Settings shown of a listed queue, in the original's order.
const SHOWN: [&str; 17] = [
    "status",
    "state",
    "vo_name",
    "resource_type",
    "type",
    "capability",
    "corepower",
    "atlas_site",
    "region",
    "country",
    "tier",
    "cloud",
    "container_type",
    "pilot_version",
    "maxrss",
    "maxtime",
    "maxwdir",
];

/// Settings shown besides.
const MORE: [&str; 4] = ["corecount", "site", "is_unified", "use_pcache"];

/// Statuses and states that queues can have; an installation may have more.
const STATUSES: [&str; 6] = ["online", "offline", "test", "brokeroff", "paused", "standby"];
const STATES: [&str; 2] = ["ACTIVE", "INACTIVE"];

/// A word that no queue bears and none could bear is a mistake, not an empty answer.
fn known(
    field: &str,
    what: &str,
    asked: &Option<String>,
    all: &[Queue],
    usual: &[&str],
) -> Result<(), Error> {
    let Some(asked) = given(asked.as_ref()) else { return Ok(()) };
    let borne = all.iter().filter_map(|q| q.text(field));
    let mut words: Vec<String> = usual.iter().map(|w| (*w).to_owned()).chain(borne).collect();
    if words.iter().any(|w| w.eq_ignore_ascii_case(asked)) {
        return Ok(());
    }
    words.sort_unstable();
    words.dedup();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Err(Error::invalid(field, format!("'{asked}' is not {what}{}", choices(asked, &words))))
}

impl Tool for ListQueues {
    const NAME: &'static str = "panda_list_queues";
    const TITLE: &'static str = "PanDA queues";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Panda;
    const EXAMPLE: &'static str = r#"{"status": "online", "min_cores": 8, "min_memory_mb": 16000}"#;
    const HINTS: Hints = Hints::READ;
    type Output = Answer<QueueList>;

    async fn run(self, cx: &Cx) -> Result<Answer<QueueList>, Error> {
        answer::shared(cx, Self::NAME, &self, self.answer(cx)).await
    }
}

impl ListQueues {
    async fn answer(&self, cx: &Cx) -> Result<QueueList, Error> {
        let panda = panda::of(cx)?;
        let limit = usize::try_from(limit(self.limit, 500, 1000)?).unwrap_or(500);
        let catalog = panda.catalog().await?;
        let all = queues::queues(panda, &catalog).await?;
        known("status", "a status of a queue", &self.status, &all, &STATUSES)?;
        known("state", "a state of a queue", &self.state, &all, &STATES)?;
        let vo = given(self.vo.as_ref()).unwrap_or(&panda.settings().vo);
        let found: Vec<&Queue> = all.iter().filter(|q| self.takes(q, vo)).collect();
        let total = found.len();
        let queues: Vec<_> = found.into_iter().take(limit).map(shown).collect();
        let monitor = answer::monitor(panda, "PanDA monitor: queues", "/sites/");
        Ok(QueueList {
            count: queues.len(),
            has_more: total > queues.len(),
            queues,
            filters: filters(
                json!({"vo": self.vo, "status": self.status, "state": self.state, "search": self.search}),
                &[
                    ("cloud", json!(self.cloud)),
                    ("site", json!(self.site)),
                    ("resource_type", json!(self.resource_type)),
                    ("limit", json!(self.limit)),
                    ("min_cores", json!(self.min_cores)),
                    ("min_memory_mb", json!(self.min_memory_mb)),
                    ("min_hours", json!(self.min_hours)),
                ],
            ),
            total,
            monitor_urls: [
                Some(answer::page(cx, "queues", "/panda/epic-queues/", &arguments(self))),
                monitor,
            ]
            .into_iter()
            .flatten()
            .collect(),
            as_of: AsOf::new(cx, panda, None),
            synthetic: answer::synthetic(&catalog),
        })
    }

    fn takes(&self, queue: &Queue, vo: &str) -> bool {
        let is = |key: &str, asked: &Option<String>| {
            given(asked.as_ref()).is_none_or(|a| queue.text(key).is_some_and(|t| t.eq_ignore_ascii_case(a)))
        };
        let named =
            given(self.search.as_ref()).is_none_or(|s| queue.name.to_lowercase().contains(&s.to_lowercase()));
        let at = given(self.site.as_ref()).is_none_or(|s| queue.is_at(s));
        let of_vo = matches!(vo, "all" | "%") || queue.text("vo_name").as_deref() == Some(vo);
        of_vo
            && named
            && at
            && is("status", &self.status)
            && is("state", &self.state)
            && is("cloud", &self.cloud)
            && is("resource_type", &self.resource_type)
            && self.has_room(queue)
    }

    /// A limit of zero or none means that the queue sets none; without a core count the capability tells.
    fn has_room(&self, queue: &Queue) -> bool {
        let limit = |key: &str| queue.number(key).filter(|n| *n > 0.0);
        let capability = queue.text("capability").unwrap_or_default();
        let cores = limit("corecount").unwrap_or(match capability.as_str() {
            "score" => 1.0,
            "mcore" => 8.0,
            _ => f64::INFINITY,
        });
        let room = |asked: Option<f64>, has: Option<f64>| asked.is_none_or(|a| has.is_none_or(|h| h >= a));
        let many = capability == "ucore" || self.min_cores.is_none_or(|c| cores >= c as f64);
        many && room(self.min_memory_mb.map(|m| m as f64), limit("maxrss"))
            && room(self.min_hours.map(|h| h * 3600.0), limit("maxtime"))
    }
}

fn shown(queue: &Queue) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("panda_queue".into(), json!(queue.name));
    let take = |keys: &[&str], out: &mut Map<String, Value>| {
        for key in keys {
            if let Some(value) = queue.data.get(*key).filter(|v| !v.is_null()) {
                out.insert((*key).into(), value.clone());
            }
        }
    };
    take(&SHOWN, &mut out);
    out.insert("last_update".into(), queue.updated());
    take(&MORE, &mut out);
    let gpu = queue.text("resource_type").is_some_and(|t| t.to_lowercase().contains("gpu"));
    out.insert("gpu".into(), gpu.into());
    out
}
