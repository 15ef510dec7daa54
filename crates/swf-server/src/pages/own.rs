//! Pages that are more than one answer: about, the summary of the log, the tags.

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use swf_tools::Error;

use super::body::{Block, Body, Card, Form};
use super::catalog::Page;
use super::source::{Filter, refused};
use super::table::blocks;
use super::visit::Visit;
use super::{Answered, list};

/// What this is.
pub fn about(visit: &Visit, page: &Page) -> Answered {
    let version = env!("CARGO_PKG_VERSION");
    if visit.json {
        return Answered::Json(json!({"name": "swf", "version": version}));
    }
    let lines = [
        "swf monitors and steers the ePIC streaming workflow testbed and watches the PanDA production.",
        "Agents of the testbed talk over a message broker; what they say is captured, stored and shown here. Data \
         taking makes super time frame (STF) files, of which samples (TF files) and slices are processed.",
        "Every page is the answer of a tool that can also be called by programs and language models: add \
         ?format=json to any address, or see Tools.",
    ];
    let lines = lines.map(str::to_owned).to_vec();
    let blocks = vec![Block::Text { title: format!("swf {version}"), lines }];
    Answered::Page(Body { title: page.title.into(), blocks, ..Body::default() }.into())
}

const LEVELS: [&str; 5] = ["INFO", "WARNING", "ERROR", "CRITICAL", "DEBUG"];

/// Log entries by application and instance.
pub async fn log_summary(visit: &Visit, page: &Page) -> Result<Answered, Error> {
    visit.reads()?;
    let known = ["app_name", "instance_name"];
    if let Some((name, _)) = visit.query.iter().find(|(n, _)| !known.contains(&n.as_str())) {
        let why = format!("is not a filter of this page{}", swf_tools::args::choices(name, &known));
        return Err(Error::invalid(name, why));
    }
    let summary = visit.pages.store.log_summary().await.map_err(|e| refused(e, "log", ""))?;
    if visit.json {
        return Ok(Answered::Json(summary));
    }
    let look = visit.look();
    let fits = |name: &str, value: &str| visit.asked(name).is_none_or(|wanted| wanted == value);
    let mut rows = Vec::new();
    let mut errors = Vec::new();
    for (app, instances) in summary.as_object().into_iter().flatten().filter(|(app, _)| fits("app_name", app))
    {
        let instances = instances.as_object().into_iter().flatten();
        for (instance, counts) in instances.filter(|(instance, _)| fits("instance_name", instance)) {
            rows.push(counted(&look, app, instance, counts));
            for error in counts.get("recent_errors").and_then(Value::as_array).into_iter().flatten() {
                let mut error = error.as_object().cloned().unwrap_or_default();
                error.insert("instance_name".into(), instance.as_str().into());
                errors.push(error);
            }
        }
    }
    let mut columns = vec!["Application".to_owned(), "Instance".to_owned()];
    columns.extend(LEVELS.map(str::to_owned));
    columns.push("Total".into());
    let mut body = list::frame(visit, page, &Vec::new(), &Value::Null);
    let filter = |name: &&str| Filter {
        name: (*name).into(),
        help: String::new(),
        kind: "string".into(),
        required: false,
    };
    let filters: Vec<Filter> = known.iter().map(filter).collect();
    body.form = Some(list::form(visit, &filters, &[]));
    body.blocks.push(Block::Table {
        title: String::new(),
        more: None,
        columns,
        rows,
        empty: "No log entries.".into(),
    });
    errors.sort_by(|a, b| {
        b.get("timestamp").map(Value::to_string).cmp(&a.get("timestamp").map(Value::to_string))
    });
    errors.truncate(20);
    if !errors.is_empty() {
        let errors = Value::Array(errors.into_iter().map(Value::Object).collect());
        body.blocks.extend(blocks(&look, "Newest errors", &errors));
    }
    Ok(Answered::Page(body.into()))
}

fn counted(look: &super::cell::Look, app: &str, instance: &str, counts: &Value) -> Vec<super::cell::Cell> {
    let row: Map<String, Value> = [("app_name", app), ("instance_name", instance)]
        .map(|(k, v)| (k.to_owned(), v.into()))
        .into_iter()
        .collect();
    let number = |level: &str| {
        counts.get("error_counts").and_then(|c| c.get(level)).and_then(Value::as_i64).unwrap_or(0)
    };
    let total: i64 = counts
        .get("error_counts")
        .and_then(Value::as_object)
        .map(|c| c.values().filter_map(Value::as_i64).sum())
        .unwrap_or_default();
    let both = "/logs/?app_name={app_name}&instance_name={instance_name}";
    let mut cells = vec![
        look.linked("app_name", &app.into(), "/logs/?app_name={app_name}", &row),
        look.linked("instance_name", &instance.into(), "/logs/?instance_name={instance_name}", &row),
    ];
    cells.extend(LEVELS.map(|level| {
        let n = number(level);
        if n == 0 {
            return look.field("", &0.into());
        }
        let mut cell = look.linked("", &n.into(), &format!("{both}&levelname={level}"), &row);
        if matches!(level, "ERROR" | "CRITICAL") {
            cell.class = "bad";
        }
        cell
    }));
    cells.push(look.linked("", &total.into(), both, &row));
    cells
}

const TYPES: [(&str, &str); 4] =
    [("p", "Physics tags"), ("e", "EvGen tags"), ("s", "Simulation tags"), ("r", "Reconstruction tags")];

/// Tags by type, and the search for them.
pub async fn pcs(visit: &Visit, page: &Page) -> Result<Answered, Error> {
    let look = visit.look();
    let counts = join_all(TYPES.map(|(letter, _)| async move {
        let arguments = [("tag_type", letter), ("limit", "1")].map(|(n, v)| (n.to_owned(), Value::from(v)));
        visit.call("pcs_list_tags", arguments.into_iter().collect()).await
    }));
    let mut cards = Vec::new();
    let mut facts = Vec::new();
    for ((letter, title), answer) in TYPES.iter().zip(counts.await) {
        let count = answer?.get("count").and_then(Value::as_i64).unwrap_or(0);
        facts.push(json!({"tag_type": letter, "title": title, "count": count}));
        let href = visit.link(&format!("/pcs/tags/{letter}/"));
        cards.push(Card {
            title: (*title).into(),
            href,
            text: String::new(),
            count: Some(count.to_string()),
        });
    }
    let found = match visit.query.is_empty() {
        true => None,
        false => Some(visit.call("pcs_search_tags", list::arguments(&visit.query)).await?),
    };
    if visit.json {
        return Ok(Answered::Json(found.unwrap_or_else(|| json!({"tags": facts}))));
    }
    let mut body = list::frame(visit, page, &Vec::new(), found.as_ref().unwrap_or(&Value::Null));
    let filters = super::source::arguments_of("pcs_search_tags");
    let filters: Vec<Filter> =
        filters.into_iter().filter(|f| !["limit", "cursor"].contains(&f.name.as_str())).collect();
    body.form = Some(Form {
        button: "Search",
        ..list::form(visit, &filters, &[("tag_type", &["p", "e", "s", "r"])])
    });
    body.blocks.push(Block::Cards { title: String::new(), cards });
    if let Some(found) = &found {
        body.blocks.extend(blocks(&look, "Found", found));
    }
    Ok(Answered::Page(body.into()))
}
