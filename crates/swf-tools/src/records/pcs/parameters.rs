//! Which parameters a tag must have, and which values they may take.

use serde_json::{Map, Value as JsonValue};
use swf_db::{Db, Json, Sql};

use crate::records::Error;

/// Parameters when an installation has not edited its list, by the letter of the tag: required ones, others.
/// All are texts, and any text is accepted.
const USUAL: &[(char, &[&str], &[&str])] = &[
    (
        'p',
        &["process", "beam_energy_electron", "beam_energy_hadron"],
        &[
            "beam_species",
            "q2_range",
            "decay_mode",
            "hadron_charge",
            "coherence",
            "model",
            "polarization",
            "notes",
        ],
    ),
    (
        'e',
        &["generator", "generator_version"],
        &["signal_freq", "signal_status", "bg_tag_prefix", "bg_files", "notes"],
    ),
    ('s', &["detector_sim", "sim_version"], &["background_config", "digitization", "notes"]),
    ('r', &["reco_version", "reco_config"], &["calibration_tag", "alignment_tag", "notes"]),
];

/// What one parameter must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    name: String,
    kind: String,
    required: bool,
    choices: Vec<JsonValue>,
    /// Values beside the choices are accepted.
    allow_other: bool,
}

impl Definition {
    fn text(name: &str, required: bool) -> Definition {
        Definition {
            name: name.to_owned(),
            kind: "string".into(),
            required,
            choices: Vec::new(),
            allow_other: true,
        }
    }

    /// From an installation's list; what it does not say restricts nothing.
    fn read(given: &JsonValue) -> Option<Definition> {
        let truth = |name: &str| given.get(name).and_then(JsonValue::as_bool);
        Some(Definition {
            name: given.get("name")?.as_str()?.to_owned(),
            kind: given.get("type").and_then(JsonValue::as_str).unwrap_or_default().to_lowercase(),
            required: truth("required") == Some(true),
            choices: given.get("choices").and_then(JsonValue::as_array).cloned().unwrap_or_default(),
            allow_other: truth("allow_other") != Some(false),
        })
    }

    /// What is wrong with a value, if anything; none given is a matter of `required`.
    fn wrong(&self, value: &JsonValue) -> Option<String> {
        let name = &self.name;
        let (fits, wanted) = match self.kind.as_str() {
            "string" | "text" | "str" => (value.is_string(), "a text"),
            "integer" | "int" => (value.is_i64() || value.is_u64(), "a whole number"),
            "number" | "float" => (value.is_number(), "a number"),
            "boolean" | "bool" => (value.is_boolean(), "true or false"),
            _ => (true, ""),
        };
        if !fits {
            return Some(format!("{name}: {value} is not {wanted}."));
        }
        if self.allow_other || self.choices.is_empty() || self.choices.contains(value) {
            return None;
        }
        let choices: Vec<String> =
            self.choices.iter().map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned)).collect();
        Some(format!("{name}: {value} is not one of: {}.", choices.join(", ")))
    }
}

/// The definitions in force: the installation's own list, if it has one.
pub async fn definitions(db: &Db, letter: char) -> Result<Vec<Definition>, Error> {
    let sql = Sql::new("SELECT state_data FROM swf_persistent_state WHERE id = 1");
    let state: Option<Json> = db.fetch_optional(&sql).await?;
    let own = state
        .as_ref()
        .and_then(|s| s.0.get(format!("pcs_param_defs_{letter}")))
        .and_then(JsonValue::as_array);
    if let Some(list) = own {
        return Ok(list.iter().filter_map(Definition::read).collect());
    }
    let usual = USUAL.iter().filter(|(l, ..)| *l == letter);
    Ok(usual
        .flat_map(|(_, required, others)| {
            let required = required.iter().map(|name| Definition::text(name, true));
            required.chain(others.iter().map(|name| Definition::text(name, false)))
        })
        .collect())
}

/// What is wrong with a tag's parameters. Empty values count as missing; names that are not defined are kept.
pub fn wrong(given: Option<&JsonValue>, definitions: &[Definition]) -> Vec<String> {
    let none = Map::new();
    let given = match given {
        None => &none,
        Some(JsonValue::Object(object)) => object,
        Some(_) => return vec!["Must be an object of names and values.".to_owned()],
    };
    let mut problems = Vec::new();
    let missing: Vec<&str> = definitions
        .iter()
        .filter(|d| d.required && empty(given.get(&d.name)))
        .map(|d| d.name.as_str())
        .collect();
    if !missing.is_empty() {
        problems.push(format!("Missing required parameters: {}", missing.join(", ")));
    }
    let present = definitions.iter().filter_map(|d| Some((d, given.get(&d.name).filter(|v| !unset(v))?)));
    // A required one of the wrong kind that counts as missing has been named already.
    let present = present.filter(|(d, _)| !missing.contains(&d.name.as_str()));
    problems.extend(present.filter_map(|(d, value)| d.wrong(value)));
    problems
}

/// Left open.
fn unset(value: &JsonValue) -> bool {
    value.is_null() || value.as_str() == Some("")
}

fn empty(value: Option<&JsonValue>) -> bool {
    match value {
        None | Some(JsonValue::Null | JsonValue::Bool(false)) => true,
        Some(JsonValue::String(s)) => s.is_empty(),
        Some(JsonValue::Number(n)) => n.as_f64() == Some(0.0),
        Some(JsonValue::Array(a)) => a.is_empty(),
        Some(JsonValue::Object(o)) => o.is_empty(),
        Some(JsonValue::Bool(true)) => false,
    }
}
