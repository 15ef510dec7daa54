//! Hubs: cards that lead to pages, with the number of what is there.

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use swf_tools::{Error, registry};

use super::body::{Block, Body, Card, Notice};
use super::catalog::{self, Group, Page, View};
use super::table::blocks;
use super::visit::Visit;
use super::{Answered, list};

/// A hub.
pub async fn show(visit: &Visit, page: &Page, groups: &[Group]) -> Result<Answered, Error> {
    let mut body = list::frame(visit, page, &Vec::new(), &Value::Null);
    body.blocks = cards(visit, groups, true).await?;
    if visit.json {
        return Ok(Answered::Json(as_json(&body)));
    }
    Ok(Answered::Page(body.into()))
}

/// Groups of cards, with counts if they are wanted. Counts that cannot be had are left out, unless the
/// database is away for all of them.
pub async fn cards(visit: &Visit, groups: &[Group], counted: bool) -> Result<Vec<Block>, Error> {
    let mut out = Vec::new();
    for group in groups {
        let pages = group.cards.iter().filter_map(|path| Some((*path, catalog::at(path)?)));
        let pages: Vec<_> = pages.filter(|(_, page)| page.exists()).collect();
        let counts = join_all(
            pages.iter().map(|(_, page)| async { if counted { count(visit, page).await } else { Ok(None) } }),
        );
        let mut cards = Vec::new();
        for ((path, page), count) in pages.iter().zip(counts.await) {
            let count = match count {
                Err(e @ (Error::Unavailable { .. } | Error::Forbidden(_))) if is_own(page) => return Err(e),
                other => other.ok().flatten(),
            };
            let (title, text) = (page.title.to_owned(), page.lead.to_owned());
            cards.push(Card { title, href: visit.link(path), text, count });
        }
        if !cards.is_empty() {
            out.push(Block::Cards { title: group.title.to_owned(), cards });
        }
    }
    Ok(out)
}

/// Made from the database of record; PanDA may be away while that one works.
fn is_own(page: &Page) -> bool {
    !page.path.starts_with("/panda/")
}

async fn count(visit: &Visit, page: &Page) -> Result<Option<String>, Error> {
    let View::List(list) = &page.view else { return Ok(None) };
    if !is_own(page) {
        // Counting the jobs of PanDA is work; its own pages do it when somebody looks.
        return Ok(None);
    }
    let one = vec![("limit".to_owned(), "1".to_owned())];
    let total = list.load(visit, &Vec::new(), &one).await?.total;
    Ok(total.map(|n| n.to_string()))
}

fn as_json(body: &Body) -> Value {
    let cards = body.blocks.iter().filter_map(|b| match b {
        Block::Cards { cards, .. } => Some(cards),
        _ => None,
    });
    let cards: Vec<Value> = cards
        .flatten()
        .map(|c| json!({"title": c.title, "href": c.href, "count": c.count, "text": c.text}))
        .collect();
    json!({"title": body.title, "pages": cards})
}

const GROUPS: &[Group] = &[Group {
    title: "Where to look",
    cards: &[
        "/testbed/",
        "/prod/",
        "/workflow-executions/",
        "/workflow/agents/",
        "/workflow/messages/",
        "/logs/",
        "/tools/",
        "/about/",
    ],
}];

/// The first page: what is wrong, what runs, where to look. Without a database it still says where.
pub async fn home(visit: &Visit, page: &Page) -> Result<Answered, Error> {
    let mut answers = Map::new();
    let mut body = Body { title: page.title.into(), live: true, ..Body::default() };
    for tool in ["swf_triage", "swf_get_system_state"] {
        if registry::find(tool).is_none() {
            continue;
        }
        match visit.call(tool, Map::new()).await {
            Ok(answer) => {
                answers.insert(tool.to_owned(), answer);
            }
            Err(e @ Error::Forbidden(_)) => return Err(e),
            Err(e) if visit.json => return Err(e),
            Err(e) => body.notices.push(Notice { class: "bad", text: e.to_string() }),
        }
    }
    if visit.json {
        return Ok(Answered::Json(Value::Object(answers)));
    }
    let look = visit.look();
    body.blocks = cards(visit, GROUPS, false).await?;
    if let Some(triage) = answers.get("swf_triage") {
        body.blocks.extend(blocks(&look, "What is wrong", triage));
    }
    if let Some(state) = answers.get("swf_get_system_state") {
        body.notices.extend(list::notices(&look, state));
        body.blocks.extend(blocks(&look, "State", &without(state, &["persistent_state"])));
    }
    body.as_of = format!("as of {}", look.clock(look.now));
    Ok(Answered::Page(body.into()))
}

fn without(answer: &Value, parts: &[&str]) -> Value {
    let map = answer.as_object().into_iter().flatten();
    Value::Object(
        map.filter(|(k, _)| !parts.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect(),
    )
}
