//! The tools as pages: what each does and takes, and a form to try those that only look.

use serde_json::{Map, Value, json};
use swf_tools::{Error, ToolDef, Toolset, registry};

use super::body::{Block, Body, Card, Form, Notice};
use super::catalog::{Page, Params};
use super::cell::text;
use super::source::arguments_of;
use super::table::{blocks, links};
use super::visit::Visit;
use super::{Answered, list};

/// All tools by their sets.
pub fn index(visit: &Visit, page: &Page) -> Answered {
    if visit.json {
        return Answered::Json(json!({"tools": registry::all().map(described).collect::<Vec<_>>()}));
    }
    let mut body = Body { title: page.title.into(), lead: page.lead.into(), ..Body::default() };
    for set in Toolset::ALL {
        let cards: Vec<Card> = registry::all().filter(|t| t.toolset == set).map(|t| card(visit, t)).collect();
        if !cards.is_empty() {
            body.blocks.push(Block::Cards { title: super::cell::label(set.as_str()), cards });
        }
    }
    Answered::Page(body.into())
}

fn card(visit: &Visit, tool: &ToolDef) -> Card {
    let needs = (!tool.hints.read_only).then(|| tool.scope.to_string());
    let href = visit.link(&format!("/tools/{}/", swf_tools::links::encode(tool.name)));
    Card { title: tool.name.into(), href, text: registry::first_sentence(&tool.description()), count: needs }
}

fn described(tool: &ToolDef) -> Value {
    json!({
        "name": tool.name,
        "title": tool.title,
        "description": tool.description(),
        "scope": tool.scope,
        "toolset": tool.toolset.as_str(),
        "read_only": tool.hints.read_only,
        "input_schema": tool.input_schema(),
    })
}

/// One tool. Its arguments are the query; `run=1` calls it, as does any argument.
pub async fn one(visit: &Visit, page: &Page, params: &Params) -> Result<Answered, Error> {
    let name = params.first().map(|(_, v)| v.as_str()).unwrap_or_default();
    let Some(tool) = registry::find(name) else {
        let hint = swf_tools::args::choices(name, &registry::names());
        return Err(Error::not_found("tool", name, hint.trim_start_matches([',', ';', ' '])));
    };
    let asked: Vec<_> = visit.query.iter().filter(|(n, _)| n != "run").cloned().collect();
    let called = !visit.query.is_empty();
    if called && !tool.hints.read_only {
        let field = asked.first().map_or("run", |(n, _)| n);
        return Err(Error::invalid(
            field,
            format!(
                "{name} changes something and is not called from a page: use MCP or POST /api/v1/tools/{name}/"
            ),
        ));
    }
    if visit.json && !called {
        return Ok(Answered::Json(described(tool)));
    }
    let result = if called { Some(visit.call(tool.name, list::arguments(&asked)).await) } else { None };
    if visit.json {
        return result.unwrap_or(Ok(Value::Null)).map(Answered::Json);
    }
    let mut body = Body { title: page.titled(params), lead: tool.description(), ..Body::default() };
    body.crumbs.push(super::body::Anchor::new("Tools", visit.link("/tools/")));
    body.form = tool.hints.read_only.then(|| trial(visit, tool));
    match result {
        Some(Ok(answer)) => {
            let look = visit.look();
            body.also = links(&visit.root, &visit.gate.service.settings.base_url, &answer);
            body.notices = list::notices(&look, &answer);
            body.blocks.extend(blocks(&look, "Answer", &answer));
            let json = serde_json::to_string_pretty(&answer).unwrap_or_default();
            body.blocks.push(Block::Code { title: "Answer as JSON".into(), text: json });
        }
        Some(Err(e @ Error::Invalid { .. })) => {
            body.notices.push(Notice { class: "bad", text: e.to_string() });
        }
        Some(Err(e)) => return Err(e),
        None => body.blocks.push(Block::Code { title: "Call over REST".into(), text: request(tool) }),
    }
    body.blocks.push(manual(tool));
    Ok(Answered::Page(body.into()))
}

fn trial(visit: &Visit, tool: &ToolDef) -> Form {
    let inputs = arguments_of(tool.name).iter().map(|f| list::input(visit, f, &[])).collect();
    Form { inputs, button: "Call", hidden: vec![("run".into(), "1".into())], set: !visit.query.is_empty() }
}

fn manual(tool: &ToolDef) -> Block {
    let mut rows = vec![
        ("Title".to_owned(), text(tool.title)),
        ("Needs".to_owned(), text(&format!("scope {}", tool.scope))),
        ("Set".to_owned(), text(tool.toolset.as_str())),
        ("Changes something".to_owned(), text(if tool.hints.read_only { "no" } else { "yes" })),
        ("Example".to_owned(), text(tool.example)),
    ];
    for argument in arguments_of(tool.name) {
        let must = if argument.required { ", required" } else { "" };
        rows.push((argument.name, text(&format!("{} ({}{must})", argument.help, argument.kind))));
    }
    Block::Fields { title: "What it takes".into(), rows }
}

fn request(tool: &ToolDef) -> String {
    let example: Value = serde_json::from_str(tool.example).unwrap_or_else(|_| Value::Object(Map::new()));
    let token = if tool.hints.read_only { "" } else { "-H 'Authorization: Token …' " };
    format!("curl {token}-H 'Content-Type: application/json' -d '{example}' …/api/v1/tools/{}/", tool.name)
}
