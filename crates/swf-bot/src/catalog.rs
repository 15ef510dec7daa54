//! All tools of all servers under names of their own, and which of them a question starts with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rmcp::model::Tool;
use serde_json::{Map, Value, json};

use crate::config::{HOME, ServerSpec};
use crate::model::ToolSpec;
use crate::search::{self, Document};
use crate::servers::{Link, Servers};

/// Name of the tool that loads others.
pub const SELECT: &str = "select_tools";
/// Name of the tool that lists the servers.
pub const SERVERS: &str = "bot_list_servers";
/// Characters of a line of the catalog.
const LINE: usize = 120;
/// Longest tool name that the model endpoint takes.
const NAME: usize = 64;

/// One tool.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Name that the model sees.
    pub name: String,
    /// Its server.
    pub server: String,
    /// Name that the server has for it.
    pub original: String,
    /// Its description.
    pub description: String,
    /// JSON schema of its arguments.
    pub schema: Arc<Map<String, Value>>,
    /// It says that it only reads or may be repeated.
    pub repeatable: bool,
}

/// The tools at one moment.
pub struct Catalog {
    /// By name.
    pub tools: BTreeMap<String, Entry>,
    /// Keywords by server.
    keywords: BTreeMap<String, Vec<String>>,
    /// What the monitor says about its use.
    pub instructions: Option<String>,
    /// One line for each server.
    pub servers: Vec<ServerLine>,
}

/// State of a server for people.
pub struct ServerLine {
    /// Its name.
    pub name: String,
    /// Its version, or why it is down.
    pub state: String,
    /// Tools offered.
    pub tools: usize,
    /// It answers.
    pub up: bool,
}

/// What a question starts with.
#[derive(Debug, Default, PartialEq)]
pub struct Choice {
    /// Names, carried over first, then by rank.
    pub names: Vec<String>,
    /// Names and scores of those that fit the question.
    pub ranked: Vec<(String, f64)>,
}

impl Catalog {
    /// From what is connected now.
    pub fn of(servers: &Servers) -> Catalog {
        let mut catalog = Catalog {
            tools: BTreeMap::new(),
            keywords: BTreeMap::new(),
            instructions: None,
            servers: Vec::new(),
        };
        for (spec, link) in servers.all() {
            catalog.keywords.insert(spec.name.clone(), spec.keywords.clone());
            let (state, tools, up) = match &link {
                Link::Starting => ("starting".to_owned(), 0, false),
                Link::Down(why) => (why.clone(), 0, false),
                Link::Up(connection) => {
                    if spec.name == HOME {
                        catalog.instructions.clone_from(&connection.instructions);
                    }
                    let before = catalog.tools.len();
                    for tool in connection.tools.iter().filter(|t| allowed(&spec, t)) {
                        catalog.add(&spec, tool);
                    }
                    let version = connection.version.clone().unwrap_or_else(|| "connected".into());
                    (version, catalog.tools.len() - before, true)
                }
            };
            catalog.servers.push(ServerLine { name: spec.name.clone(), state, tools, up });
        }
        catalog
    }

    fn add(&mut self, spec: &ServerSpec, tool: &Tool) {
        let mut name = usable(&format!("{}{}", spec.prefix, tool.name));
        if self.tools.contains_key(&name) || matches!(name.as_str(), SELECT | SERVERS) {
            name = usable(&format!("{}_{name}", spec.name));
        }
        let hints = tool.annotations.as_ref();
        let repeatable =
            hints.is_some_and(|h| h.read_only_hint == Some(true) || h.idempotent_hint == Some(true));
        let entry = Entry {
            name: name.clone(),
            server: spec.name.clone(),
            original: tool.name.to_string(),
            description: tool.description.as_deref().unwrap_or_default().to_owned(),
            schema: tool.input_schema.clone(),
            repeatable,
        };
        self.tools.insert(name, entry);
    }

    /// One line for each tool, by name.
    pub fn lines(&self) -> String {
        let line = |e: &Entry| {
            let first = e.description.lines().next().unwrap_or_default();
            format!("- {}: {}\n", e.name, crate::error::shorten(first, LINE))
        };
        self.tools.values().map(line).collect()
    }

    /// The tools that a question starts with: those carried over from its thread, then those that fit it best
    /// among the servers that are always there, were used in the thread or are spoken of.
    pub fn choose(&self, question: &str, carried: &[String], used_servers: &BTreeSet<String>) -> Choice {
        let open = |e: &&Entry| {
            let keywords = self.keywords.get(&e.server).map(Vec::as_slice).unwrap_or_default();
            keywords.is_empty() || used_servers.contains(&e.server) || search::mentions(question, keywords)
        };
        let candidates: Vec<&Entry> = self.tools.values().filter(open).collect();
        let documents: Vec<Document<'_>> = candidates.iter().map(|e| document(e)).collect();
        let ranked = search::rank(question, &documents);
        let scores: Vec<f64> = ranked.iter().map(|(_, score)| *score).collect();
        let ranked: Vec<(String, f64)> = ranked
            .into_iter()
            .take(search::above_cliff(&scores))
            .filter_map(|(at, score)| Some((candidates.get(at)?.name.clone(), score)))
            .collect();
        let mut names: Vec<String> =
            carried.iter().filter(|n| self.tools.contains_key(*n)).cloned().collect();
        for (name, _) in &ranked {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Choice { names, ranked }
    }

    /// How the model gets a tool.
    pub fn spec(&self, name: &str) -> Option<ToolSpec> {
        let entry = self.tools.get(name)?;
        Some(ToolSpec {
            name: entry.name.clone(),
            description: entry.description.clone(),
            input_schema: Value::Object((*entry.schema).clone()),
            cache_control: None,
        })
    }

    /// State of the servers as a table.
    pub fn server_table(&self) -> String {
        let mut out = "| Server | State | Tools |\n|---|---|---|\n".to_owned();
        for s in &self.servers {
            let mark = if s.up { "" } else { "down: " };
            out.push_str(&format!("| {} | {mark}{} | {} |\n", s.name, s.state.replace('|', "/"), s.tools));
        }
        out
    }
}

fn document(entry: &Entry) -> Document<'_> {
    let properties = entry.schema.get("properties").and_then(Value::as_object);
    Document {
        name: &entry.name,
        description: &entry.description,
        parameters: properties.into_iter().flat_map(|p| p.keys().map(String::as_str)).collect(),
    }
}

/// Whether a server's tool is offered at all. What is not listed is offered only when it says that it only reads.
fn allowed(spec: &ServerSpec, tool: &Tool) -> bool {
    if spec.allow.is_empty() {
        return tool.annotations.as_ref().is_some_and(|a| a.read_only_hint == Some(true));
    }
    spec.allow.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => tool.name.starts_with(beginning),
        None => tool.name == pattern.as_str(),
    })
}

/// Letters, digits, `_` and `-`, no longer than the model endpoint takes.
fn usable(name: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    name.chars().take(NAME).map(clean).collect()
}

/// The tools that the bot itself has.
pub fn own_tools() -> [ToolSpec; 2] {
    [
        ToolSpec {
            name: SELECT.into(),
            description: "Loads tools of the catalog by name, so that they can be called in the next step."
                .into(),
            input_schema: json!({
                "type": "object",
                "properties": {"names": {"type": "array", "items": {"type": "string"}, "description": "Names as the catalog has them."}},
                "required": ["names"],
            }),
            cache_control: None,
        },
        ToolSpec {
            name: SERVERS.into(),
            description: "Lists the servers that the bot gets its tools from, and whether they answer."
                .into(),
            input_schema: json!({"type": "object", "properties": {}}),
            cache_control: None,
        },
    ]
}
