//! Pilots as Harvester reports them: from the PanDA monitor's API or from the table behind it.

use std::collections::{BTreeSet, HashMap};

use chrono::{NaiveDateTime, TimeDelta};
use serde_json::{Map, Value, json};
use swf_db::Sql;

use super::answer::{int, moment, text};
use super::counts::ranked;
use super::filter::{like, matches};
use super::schema::SCHEMA;
use super::{Catalog, Panda};
use crate::Error;
use crate::links::encode;

/// Pilots of one kind at one queue.
#[derive(Debug, Clone)]
pub struct Workers {
    /// Queue.
    pub site: String,
    /// State.
    pub status: String,
    /// Kind of resource.
    pub resource: String,
    /// Kind of jobs they take.
    pub jobtype: String,
    /// How many.
    pub workers: i64,
    /// When Harvester reported them.
    pub last_update: Option<NaiveDateTime>,
}

/// Which pilots.
#[derive(Debug, Clone, Default)]
pub struct WorkerFilter {
    /// State.
    pub status: Option<String>,
    /// Queue.
    pub site: Option<String>,
    /// Kind of resource.
    pub resource: Option<String>,
    /// Reported at or after this.
    pub since: NaiveDateTime,
    /// The end of the window.
    pub until: NaiveDateTime,
    /// Only these queues (those of the VO), unless a site is asked for.
    pub queues: Option<BTreeSet<String>>,
}

/// From the table: a snapshot that Harvester rewrites, so the window says how fresh a report must be.
pub async fn from_database(
    panda: &Panda,
    catalog: &Catalog,
    filter: &WorkerFilter,
) -> Result<Vec<Workers>, Error> {
    catalog.need("harvester_worker_stats")?;
    let mut sql = Sql::new(format!(
        "SELECT computingsite, status, resourcetype, jobtype, sum(n_workers) AS n, max(lastupdate) AS last_time \
         FROM {SCHEMA}.harvester_worker_stats"
    ));
    sql.and("lastupdate >= ?", [filter.since.into()]);
    let texts =
        [("computingsite", &filter.site), ("status", &filter.status), ("resourcetype", &filter.resource)];
    for (column, value) in texts {
        if let Some(value) = value {
            let (condition, value) = matches(panda.db().engine(), column, value);
            sql.and(&condition, [value]);
        }
    }
    sql.push("GROUP BY computingsite, status, resourcetype, jobtype", []);
    let rows = panda.rows(&sql).await?;
    let named = |row: &swf_db::Row, name: &str| text(row, name).unwrap_or_else(|| "unknown".into());
    let workers = rows.iter().map(|row| Workers {
        site: named(row, "computingsite"),
        status: named(row, "status"),
        resource: named(row, "resourcetype"),
        jobtype: named(row, "jobtype"),
        workers: int(row, "n"),
        last_update: row.get("last_time").and_then(moment),
    });
    Ok(workers.filter(|w| filter.has(&w.site)).collect())
}

/// From the PanDA monitor's API. The text is why it gave nothing.
pub async fn from_api(panda: &Panda, filter: &WorkerFilter) -> Result<Vec<Workers>, String> {
    let Some(base) = panda.settings().api_url.as_deref() else {
        return Err("no PanDA monitor API is configured".into());
    };
    // The API takes seconds without an offset and nothing else.
    let time = |t: NaiveDateTime| t.format("%Y-%m-%dT%H:%M:%S").to_string();
    let mut url = format!(
        "{}/harvester/getworkerstats/?lastupdate_from={}&lastupdate_to={}",
        base.trim_end_matches('/'),
        encode(&time(filter.since)),
        encode(&time(filter.until + TimeDelta::seconds(1)))
    );
    if let Some(site) = filter.site.as_deref().filter(|s| !s.contains('%')) {
        url.push_str(&format!("&computingsite={}", encode(site)));
    }
    let answer = panda.fetcher().get(&url, "application/json").await?;
    if answer.status != 200 {
        return Err(format!("the PanDA monitor answered {}", answer.status));
    }
    let rows: Vec<Map<String, Value>> = serde_json::from_slice(&answer.body)
        .map_err(|_| "the PanDA monitor's answer is not a list".to_owned())?;
    let named = |row: &Map<String, Value>, name: &str| {
        row.get(name).and_then(Value::as_str).unwrap_or("unknown").to_owned()
    };
    let workers = rows.iter().filter_map(|row| {
        let at = row.get("lastupdate").and_then(Value::as_str).unwrap_or_default();
        Some(Workers {
            site: named(row, "computingsite"),
            status: named(row, "status"),
            resource: named(row, "resourcetype"),
            jobtype: named(row, "jobtype"),
            workers: row.get("nworkers")?.as_i64()?,
            last_update: super::filter::time("lastupdate", at).ok(),
        })
    });
    let fits = |filter: &Option<String>, text: &str| filter.as_ref().is_none_or(|f| like(f, text));
    Ok(workers
        .filter(|w| {
            fits(&filter.site, &w.site)
                && fits(&filter.status, &w.status)
                && fits(&filter.resource, &w.resource)
                && filter.has(&w.site)
        })
        .collect())
}

impl WorkerFilter {
    fn has(&self, site: &str) -> bool {
        self.site.is_some() || self.queues.as_ref().is_none_or(|q| q.contains(site))
    }
}

/// Sums by one property, largest first.
pub fn sums(workers: &[Workers], key: impl Fn(&Workers) -> &str) -> Map<String, Value> {
    let mut sums: HashMap<&str, i64> = HashMap::new();
    for w in workers {
        *sums.entry(key(w)).or_default() += w.workers;
    }
    ranked(sums).into_iter().map(|(name, n)| (name.to_owned(), json!(n))).collect()
}
