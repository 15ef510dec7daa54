//! The built-in catalogue and, where PanDA has them, its own tables of error texts, which come first.

use std::collections::HashMap;

use regex::Regex;
use serde::Deserialize;
use swf_db::Sql;

use super::{COMPONENTS, Class, Explanation, JobError, explain};
use crate::panda::schema::SCHEMA;
use crate::panda::{Catalog, Panda};

/// PanDA's tables of error texts; many installations have none.
pub const TABLES: [&str; 2] = ["error_descriptions", "error_classification"];

/// Rows read of each at most.
const ROWS: i64 = 20_000;

/// What error codes mean in one installation.
#[derive(Debug, Default)]
pub struct Dictionary {
    described: HashMap<(&'static str, i64), Described>,
    classified: Vec<Classified>,
}

#[derive(Debug)]
struct Described {
    name: Option<String>,
    meaning: Option<String>,
    class: Option<Class>,
}

#[derive(Debug)]
struct Classified {
    source: &'static str,
    code: i64,
    diag: Regex,
    meaning: Option<String>,
    responsible: String,
}

#[derive(Deserialize)]
struct Description {
    component: Option<String>,
    code: i64,
    acronym: Option<String>,
    diagnostics: Option<String>,
    description: Option<String>,
    category: Option<i64>,
}

#[derive(Deserialize)]
struct Classification {
    error_source: Option<String>,
    error_code: i64,
    error_diag: Option<String>,
    description: Option<String>,
    error_class: Option<String>,
}

impl Dictionary {
    /// Reads the tables that there are; what cannot be read is as if it were absent.
    pub(crate) async fn load(panda: &Panda, catalog: &Catalog) -> Dictionary {
        let [descriptions, classification] = TABLES;
        let mut out = Dictionary::default();
        let columns = ["component", "code", "acronym", "diagnostics", "description", "category"];
        if catalog.trouble(descriptions).is_none() && catalog.missing(descriptions, &columns).is_none() {
            let sql = Sql::new(format!("SELECT {} FROM {SCHEMA}.{descriptions}", columns.join(", ")));
            match panda.fetch_all::<Description>(&sql.with("LIMIT ?", [ROWS.into()])).await {
                Ok(rows) => out.described = rows.into_iter().filter_map(described).collect(),
                Err(e) => tracing::warn!("{descriptions}: {e}"),
            }
        }
        let columns = ["error_source", "error_code", "error_diag", "description", "error_class", "active"];
        if catalog.trouble(classification).is_none() && catalog.missing(classification, &columns).is_none() {
            let sql = Sql::new(format!(
                "SELECT error_source, error_code, error_diag, description, error_class FROM {SCHEMA}.{classification} \
                 WHERE active = 'Y'"
            ));
            match panda.fetch_all::<Classification>(&sql.with("LIMIT ?", [ROWS.into()])).await {
                Ok(rows) => out.classified = rows.into_iter().filter_map(classified).collect(),
                Err(e) => tracing::warn!("{classification}: {e}"),
            }
        }
        out
    }

    /// A component's code in words; `diag` tells kills apart.
    pub fn explain(&self, component: &str, number: i64, diag: &str) -> Explanation {
        let mut out = explain(component, number, diag);
        let known = COMPONENTS.iter().find(|(tool, _)| *tool == component);
        let own = known.and_then(|(tool, _)| self.described.get(&(*tool, number)));
        // The text of a kill says more than any table.
        if let Some(own) = own.filter(|_| !(component == "taskbuffer" && number == 100)) {
            out.name = own.name.clone().unwrap_or(out.name);
            out.meaning = own.meaning.clone().unwrap_or(out.meaning);
            if let Some(class) = own.class.filter(|_| out.class == Class::Unknown) {
                out.class = class;
                out.action = class.action().to_owned();
            }
        }
        let fits = |c: &&Classified| c.source == component && c.code == number && c.diag.is_match(diag);
        if let Some(own) = self.classified.iter().find(fits) {
            out.responsible = Some(own.responsible.clone());
            out.meaning = own.meaning.clone().unwrap_or(out.meaning);
        }
        out
    }

    /// A job's error in words.
    pub fn error(&self, error: &JobError) -> Explanation {
        match error.component {
            "transformation" => error.explanation(),
            component => self.explain(component, error.number(), error.diag.as_deref().unwrap_or_default()),
        }
    }
}

/// The tool's name of a component that PanDA's tables call by its own names: with or without `errorcode`.
fn component(name: &str) -> Option<&'static str> {
    let name = name.trim().to_lowercase();
    let name = name.strip_suffix("errorcode").unwrap_or(&name);
    if name == "dataservice" {
        return Some("ddm");
    }
    COMPONENTS.iter().find(|(tool, prefix)| *tool == name || *prefix == name).map(|(tool, _)| *tool)
}

fn filled(text: Option<String>) -> Option<String> {
    text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty())
}

fn described(row: Description) -> Option<((&'static str, i64), Described)> {
    let component = component(&row.component?)?;
    let class = match row.category {
        Some(1) => Some(Class::Data),
        Some(2) => Some(Class::Limit),
        Some(3) => Some(Class::Service),
        Some(4) => Some(Class::Killed),
        Some(5) => Some(Class::Environment),
        Some(6) => Some(Class::Internal),
        _ => None,
    };
    let meaning = filled(row.description).or(filled(row.diagnostics));
    Some(((component, row.code), Described { name: filled(row.acronym), meaning, class }))
}

fn classified(row: Classification) -> Option<Classified> {
    let pattern = row.error_diag.unwrap_or_default();
    let diag = Regex::new(&pattern)
        .inspect_err(|e| tracing::warn!("error_classification: '{pattern}' is not a pattern: {e}"))
        .ok()?;
    Some(Classified {
        source: component(&row.error_source?)?,
        code: row.error_code,
        diag,
        meaning: filled(row.description),
        responsible: filled(row.error_class)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_known_by_all_their_names() {
        let names = ["pilotErrorCode", "exe", "dataservice", "jobdispatcher", "Supervisor", "sup", "nobody"];
        let found = names.map(component);
        let wanted = [
            Some("pilot"),
            Some("executor"),
            Some("ddm"),
            Some("dispatcher"),
            Some("supervisor"),
            Some("supervisor"),
            None,
        ];
        assert_eq!(found, wanted);
    }
}
