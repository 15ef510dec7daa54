//! Which parameters a tag must have.

use serde_json::{Map, Value as JsonValue};
use swf_db::{Db, Json, Sql};

use crate::records::Error;

/// Required parameters when an installation has not edited its list, by the letter of the tag.
const REQUIRED: &[(char, &[&str])] = &[
    ('p', &["process", "beam_energy_electron", "beam_energy_hadron"]),
    ('e', &["generator", "generator_version"]),
    ('s', &["detector_sim", "sim_version"]),
    ('r', &["reco_version", "reco_config"]),
];

/// The names required now: the installation's own list, if it has one.
pub async fn required(db: &Db, letter: char) -> Result<Vec<String>, Error> {
    let sql = Sql::new("SELECT state_data FROM swf_persistent_state WHERE id = 1");
    let state: Option<Json> = db.fetch_optional(&sql).await?;
    let own = state
        .as_ref()
        .and_then(|s| s.0.get(format!("pcs_param_defs_{letter}")))
        .and_then(JsonValue::as_array);
    if let Some(list) = own {
        let required = list.iter().filter(|d| d.get("required").and_then(JsonValue::as_bool) == Some(true));
        return Ok(required.filter_map(|d| Some(d.get("name")?.as_str()?.to_owned())).collect());
    }
    let usual = REQUIRED.iter().find(|(l, _)| *l == letter).map(|(_, names)| *names).unwrap_or_default();
    Ok(usual.iter().map(|name| (*name).to_owned()).collect())
}

/// What is wrong with a tag's parameters, if anything. Empty values count as missing.
pub fn wrong(given: Option<&JsonValue>, required: &[String]) -> Option<String> {
    let none = Map::new();
    let given = match given {
        None => &none,
        Some(JsonValue::Object(object)) => object,
        Some(_) => return Some("Must be an object of names and values.".to_owned()),
    };
    let empty = |v: Option<&JsonValue>| match v {
        None | Some(JsonValue::Null | JsonValue::Bool(false)) => true,
        Some(JsonValue::String(s)) => s.is_empty(),
        Some(JsonValue::Number(n)) => n.as_f64() == Some(0.0),
        Some(JsonValue::Array(a)) => a.is_empty(),
        Some(JsonValue::Object(o)) => o.is_empty(),
        Some(JsonValue::Bool(true)) => false,
    };
    let missing: Vec<&str> = required.iter().filter(|n| empty(given.get(*n))).map(String::as_str).collect();
    if missing.is_empty() {
        None
    } else {
        Some(format!("Missing required parameters: {}", missing.join(", ")))
    }
}
