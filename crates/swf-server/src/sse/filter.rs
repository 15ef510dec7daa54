//! What a client wants to see.

use std::collections::BTreeSet;

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};
use swf_db::{Dialect, Sql};

use crate::rest::pairs;

/// Filters of one client: a message must pass all that are given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Filter {
    msg_types: BTreeSet<String>,
    agents: BTreeSet<String>,
    run_ids: BTreeSet<String>,
    namespaces: BTreeSet<String>,
}

/// What a request asks for.
#[derive(Debug)]
pub(super) struct Asked {
    /// The filters.
    pub filter: Filter,
    /// The id of the last message that the client has.
    pub after: Option<String>,
}

/// What filters look at.
#[derive(Debug, Default)]
pub(super) struct Facts {
    kind: String,
    sender: Option<String>,
    processed_by: Option<String>,
    run_id: Option<String>,
    namespace: Option<String>,
}

const NAMES: &str = "msg_types, agents, run_ids, namespaces, last_event_id";

impl Asked {
    /// Reads query and headers; the name of what is wrong and why.
    pub fn read(query: &str, headers: &HeaderMap) -> Result<Asked, (String, String)> {
        let header = headers.get("last-event-id").and_then(|v| v.to_str().ok());
        let mut asked = Asked { filter: Filter::default(), after: header.map(str::to_owned) };
        for (name, value) in pairs(query) {
            let words = value.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned);
            match name.as_str() {
                "msg_types" => asked.filter.msg_types.extend(words),
                "agents" => asked.filter.agents.extend(words),
                "run_ids" => asked.filter.run_ids.extend(words),
                "namespaces" => asked.filter.namespaces.extend(words),
                "last_event_id" => asked.after = asked.after.or(Some(value)),
                "format" => {}
                _ => return Err((name, format!("is not a filter of the stream; accepted: {NAMES}"))),
            }
        }
        asked.after = asked.after.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
        Ok(asked)
    }
}

impl Facts {
    /// Of a message.
    pub fn of(payload: &Map<String, Value>) -> Facts {
        let text = |name: &str| match payload.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        Facts {
            kind: text("msg_type").unwrap_or_default(),
            sender: text("sender").or_else(|| text("sender_agent")),
            processed_by: text("processed_by"),
            run_id: text("run_id"),
            namespace: text("namespace"),
        }
    }
}

impl Filter {
    /// Whether a message is wanted.
    pub fn wants(&self, facts: &Facts) -> bool {
        let passes = |wanted: &BTreeSet<String>, value: &Option<String>| {
            wanted.is_empty() || value.as_ref().is_some_and(|v| wanted.contains(v))
        };
        let kind = self.msg_types.is_empty() || self.msg_types.contains(&facts.kind);
        let agent = passes(&self.agents, &facts.sender) || passes(&self.agents, &facts.processed_by);
        kind && agent && passes(&self.run_ids, &facts.run_id) && passes(&self.namespaces, &facts.namespace)
    }

    /// As the status page and the client's row show it.
    pub fn json(&self) -> Value {
        let mut out = Map::new();
        for (name, words) in [
            ("msg_types", &self.msg_types),
            ("agents", &self.agents),
            ("run_ids", &self.run_ids),
            ("namespaces", &self.namespaces),
        ] {
            if !words.is_empty() {
                out.insert(name.to_owned(), json!(words));
            }
        }
        Value::Object(out)
    }

    /// The same filters over the rows of stored messages.
    pub fn conditions(&self, sql: &mut Sql, dialect: Dialect) {
        let values = |words: &BTreeSet<String>| words.iter().map(swf_db::Value::from).collect::<Vec<_>>();
        for (column, words) in
            [("message_type", &self.msg_types), ("run_id", &self.run_ids), ("namespace", &self.namespaces)]
        {
            if !words.is_empty() {
                sql.and_in(column, values(words));
            }
        }
        if !self.agents.is_empty() {
            let marks = vec!["?"; self.agents.len()].join(", ");
            let processed_by = dialect.json_text("message_content", "processed_by");
            let both = [values(&self.agents), values(&self.agents)].concat();
            sql.and(&format!("(sender_agent IN ({marks}) OR {processed_by} IN ({marks}))"), both);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Asked {
        Asked::read(query, &HeaderMap::new()).unwrap()
    }

    fn passes(query: &str, message: Value) -> bool {
        asked(query).filter.wants(&Facts::of(message.as_object().unwrap()))
    }

    #[test]
    fn all_given_filters_must_be_passed() {
        let message = json!({"msg_type": "stf_gen", "sender": "daq", "run_id": 7, "namespace": "n"});
        assert!(passes("", message.clone()));
        assert!(passes("msg_types=stf_gen,%20x&run_ids=7&agents=daq&namespaces=n", message.clone()));
        assert!(!passes("msg_types=stf_gen&run_ids=8", message.clone()));
        assert!(!passes("namespaces=other", message.clone()));
        assert!(!passes("agents=other", message));
        assert!(passes("agents=b", json!({"msg_type": "x", "sender": "a", "processed_by": "b"})));
        assert!(passes("run_ids=7", json!({"msg_type": "x", "run_id": "7"})));
        assert!(!passes("run_ids=7", json!({"msg_type": "x"})));
    }

    #[test]
    fn unknown_parameters_are_refused_by_name() {
        let (name, why) = Asked::read("msg_type=x", &HeaderMap::new()).unwrap_err();
        assert_eq!(name, "msg_type");
        assert!(why.contains("msg_types"), "{why}");
        assert_eq!(asked("last_event_id=%20a").after.as_deref(), Some("a"));
        assert_eq!(asked("last_event_id=").after, None);
    }
}
