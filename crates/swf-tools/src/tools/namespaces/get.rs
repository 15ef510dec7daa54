//! `swf_get_namespace`

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::Sql;

use crate::list::{Link, Window, window};
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// A namespace: owner, number of agents, and executions, messages and users in a time range (the last 24 hours unless given).
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct GetNamespace {
    /// Name, as swf_list_namespaces gives it.
    pub namespace: String,
    /// Start of the range.
    pub start_time: Option<String>,
    /// End of the range; now when left out.
    pub end_time: Option<String>,
}

/// A namespace and what went on in it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NamespaceDetail {
    name: String,
    /// Null when only agents, executions or messages know the namespace.
    owner: Option<String>,
    description: Option<String>,
    agent_count: i64,
    execution_count: i64,
    message_count: i64,
    active_users: Vec<String>,
    time_range: Range,
    monitor_urls: Vec<Link>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Range {
    start: Iso,
    end: Iso,
}

#[derive(Deserialize)]
struct Record {
    owner: String,
    description: String,
}

#[derive(Deserialize)]
struct Counts {
    agents: i64,
    executions: i64,
    messages: i64,
    ever: bool,
}

impl Tool for GetNamespace {
    const NAME: &'static str = "swf_get_namespace";
    const TITLE: &'static str = "Namespace detail";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"namespace": "torre1"}"#;
    type Output = NamespaceDetail;

    async fn run(self, cx: &Cx) -> Result<NamespaceDetail, Error> {
        let day = TimeDelta::hours(24);
        let range = window(cx, self.start_time.as_deref(), self.end_time.as_deref(), Some(day))?;
        let range = Window { end: range.end.or(Some(cx.now)), ..range };
        let name = self.namespace.as_str();
        let sql =
            Sql::new("SELECT owner, description FROM swf_namespace WHERE name =").with("?", [name.into()]);
        let (record, counts, active_users) = tokio::try_join!(
            async { Ok::<_, Error>(cx.db.fetch_optional::<Record>(&sql).await?) },
            counts(cx, name, range),
            users(cx, name, range),
        )?;
        if record.is_none() && counts.agents == 0 && !counts.ever {
            return Err(unknown(cx, name).await?);
        }
        let (owner, description) = record.map(|r| (r.owner, r.description)).unzip();
        Ok(NamespaceDetail {
            owner,
            description,
            agent_count: counts.agents,
            execution_count: counts.executions,
            message_count: counts.messages,
            active_users,
            time_range: Range {
                start: Iso(range.start.unwrap_or(cx.now - day)),
                end: Iso(range.end.unwrap_or(cx.now)),
            },
            monitor_urls: vec![cx.link_to("Namespace Detail", "/workflow/namespaces/", name)],
            name: self.namespace,
        })
    }
}

/// Agents now, executions and messages in the range, and whether there ever were any.
async fn counts(cx: &Cx, name: &str, range: Window) -> Result<Counts, Error> {
    let mut sql = Sql::new("SELECT (SELECT count(*) FROM swf_systemagent WHERE namespace =")
        .with("?) AS agents,", [name.into()]);
    for (label, table, time) in [
        ("executions", "swf_workflow_executions", "start_time"),
        ("messages", "swf_workflow_messages", "sent_at"),
    ] {
        let mut part = Sql::new(format!("(SELECT count(*) FROM {table}"));
        part.filter("namespace = ?", Some(name));
        part.filter(&format!("{time} >= ?"), range.start).filter(&format!("{time} <= ?"), range.end);
        sql.push(part.text(), part.values().to_vec()).push(&format!(") AS {label},"), []);
    }
    sql.push(
        "(EXISTS (SELECT 1 FROM swf_workflow_executions WHERE namespace = ?) OR \
         EXISTS (SELECT 1 FROM swf_workflow_messages WHERE namespace = ?)) AS ever",
        [name.into(), name.into()],
    );
    Ok(cx.db.fetch_one(&sql).await?)
}

async fn users(cx: &Cx, name: &str, range: Window) -> Result<Vec<String>, Error> {
    let by = cx.db.dialect().byte_order("executed_by");
    let mut sql = Sql::new("SELECT executed_by FROM swf_workflow_executions");
    sql.filter("namespace = ?", Some(name));
    sql.filter("start_time >= ?", range.start).filter("start_time <= ?", range.end);
    sql.push(&format!("GROUP BY executed_by ORDER BY {by} LIMIT 500"), []);
    Ok(cx.db.fetch_all(&sql).await?)
}

async fn unknown(cx: &Cx, name: &str) -> Result<Error, Error> {
    let sql = Sql::new("SELECT name FROM swf_namespace ORDER BY updated_at DESC, name LIMIT 50");
    let names: Vec<String> = cx.db.fetch_all(&sql).await?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let hint = format!("swf_list_namespaces lists them{}", crate::args::choices(name, &names));
    Ok(Error::not_found("Namespace", name, hint))
}
