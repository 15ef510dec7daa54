//! Compares a database with the schema swf needs and says by name what differs and whether swf can run.

use std::collections::BTreeSet;
use std::fmt;

use crate::catalog::{self, Catalog, ColumnFact, Facts};
use crate::ddl::{OWN_SCHEMA, is_pattern, type_name};
use crate::migrate::{DJANGO_LEDGER, LEDGER, Owner};
use crate::schema::{Column, Default, Kind, Schema, Table};
use crate::{Db, Engine, Error, Sql};

/// How much a difference matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// swf cannot run on it.
    Fatal,
    /// What needs this table does not work; the rest does.
    Broken,
    /// The table can be read, but no row can be added.
    Closed,
    /// swf runs, but slower or with less safety.
    Degraded,
    /// Good to know.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Fatal => "fatal",
            Severity::Broken => "broken",
            Severity::Closed => "closed",
            Severity::Degraded => "degraded",
            Severity::Note => "note",
        })
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The table.
    pub table: String,
    /// The column, constraint or index; `None` when the table as a whole is meant.
    pub item: Option<String>,
    /// How much it matters.
    pub severity: Severity,
    /// What differs, and the way out where there is one.
    pub text: String,
}

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Who made the shared tables.
    pub owner: Owner,
    /// Shared tables looked at.
    pub tables: usize,
    /// The differences, the worst first.
    pub findings: Vec<Finding>,
}

impl Check {
    /// True when nothing found is fatal.
    pub fn can_run(&self) -> bool {
        self.findings.iter().all(|f| f.severity != Severity::Fatal)
    }

    /// The tables with a finding of this weight.
    pub fn tables(&self, severity: Severity) -> Vec<&str> {
        let tables: BTreeSet<&str> =
            self.findings.iter().filter(|f| f.severity == severity).map(|f| f.table.as_str()).collect();
        tables.into_iter().collect()
    }

    /// What this means for swf, in one sentence.
    pub fn verdict(&self) -> String {
        if !self.can_run() {
            return "swf cannot run on this database".into();
        }
        let mut verdict = "swf can run on this database".to_owned();
        let (broken, closed) = (self.tables(Severity::Broken), self.tables(Severity::Closed));
        if !broken.is_empty() {
            verdict += &format!(", without whatever needs {}", broken.join(", "));
        }
        if !closed.is_empty() {
            verdict += &format!(", and adds no row to {}", closed.join(", "));
        }
        verdict
    }

    /// True when nothing but notes was found.
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|f| f.severity == Severity::Note)
    }
}

/// As many findings as fit on one screen.
const SCREEN: usize = 36;

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made_by = match self.owner {
            Owner::Swf => "swf",
            Owner::Django => "Django",
        };
        let count = |severity| self.findings.iter().filter(|x| x.severity == severity).count();
        writeln!(
            f,
            "{} tables made by {made_by}: {} fatal, {} broken, {} closed, {} degraded, {} notes",
            self.tables,
            count(Severity::Fatal),
            count(Severity::Broken),
            count(Severity::Closed),
            count(Severity::Degraded),
            count(Severity::Note)
        )?;
        for finding in self.findings.iter().take(SCREEN) {
            let item = finding.item.as_ref().map(|i| format!(".{i}")).unwrap_or_default();
            writeln!(f, "{:8}  {}{item}: {}", finding.severity.to_string(), finding.table, finding.text)?;
        }
        if let Some(more) = self.findings.len().checked_sub(SCREEN).filter(|n| *n > 0) {
            writeln!(f, "… and {more} more")?;
        }
        f.write_str(&self.verdict())
    }
}

/// Compares the database with the schema. Reads the catalogue only.
pub async fn check(db: &Db, schema: &Schema) -> Result<Check, Error> {
    let mut names: Vec<&str> = schema.tables.iter().chain(schema.own).map(|t| t.name).collect();
    names.extend([LEDGER.name, DJANGO_LEDGER]);
    let catalog = catalog::read(db, &names).await?;
    let owner = if catalog.contains_key(DJANGO_LEDGER) { Owner::Django } else { Owner::Swf };
    let mut checker = Checker { engine: db.engine(), schema, findings: Vec::new() };
    for table in schema.tables {
        checker.table(table, &catalog);
    }
    checker.own(db, &catalog).await?;
    let mut findings = checker.findings;
    findings.sort_by_key(|f| f.severity);
    Ok(Check { owner, tables: schema.tables.len(), findings })
}

struct Checker<'a> {
    engine: Engine,
    schema: &'a Schema,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    /// What would be fatal only is where swf cannot do without the table.
    fn find(&mut self, table: &Table, item: Option<&str>, severity: Severity, text: impl Into<String>) {
        let severity = match severity {
            Severity::Fatal if self.optional(table) => Severity::Broken,
            Severity::Closed if !self.optional(table) => Severity::Fatal,
            other => other,
        };
        let item = item.map(str::to_owned);
        self.findings.push(Finding { table: table.name.to_owned(), item, severity, text: text.into() });
    }

    fn optional(&self, table: &Table) -> bool {
        self.schema.optional.contains(&table.name)
    }

    fn table(&mut self, table: &Table, catalog: &Catalog) {
        let Some(facts) = catalog.get(table.name) else {
            self.find(table, None, Severity::Fatal, "table is missing");
            return;
        };
        for column in table.columns {
            match facts.columns.iter().find(|c| c.name == column.name) {
                Some(fact) => self.column(table, column, fact),
                None => self.find(table, Some(column.name), Severity::Fatal, "column is missing"),
            }
        }
        self.later(table, facts);
        self.extra(table, facts);
        self.constraints(table, facts);
        self.indexes(table, facts);
        if !facts.denied.is_empty() {
            let text = format!("this role may not {}; grant it", facts.denied.join(", "));
            self.find(table, None, Severity::Fatal, text);
        }
    }

    fn column(&mut self, table: &Table, column: &Column, fact: &ColumnFact) {
        let wanted = type_name(self.engine, column.kind);
        if fact.type_name != wanted {
            let severity = type_severity(column.kind, &fact.type_name);
            let text = format!("type is {}, should be {wanted}", fact.type_name);
            self.find(table, Some(column.name), severity, text);
        }
        if fact.not_null && column.null {
            self.find(table, Some(column.name), Severity::Closed, "is NOT NULL, but swf writes NULL");
        }
        if !fact.not_null && !column.null {
            self.find(table, Some(column.name), Severity::Degraded, "may be NULL, should be NOT NULL");
        }
        if column.default == Default::Identity && !fact.filled {
            let text = "is not filled by the database, should be an identity column";
            self.find(table, Some(column.name), Severity::Closed, text);
        }
    }

    fn later(&mut self, table: &Table, facts: &Facts) {
        for later in self.schema.later.iter().filter(|l| l.table == table.name) {
            match facts.columns.iter().find(|c| c.name == later.column.name) {
                Some(fact) => self.column(table, &later.column, fact),
                None => {
                    let text = format!("optional, absent: {}", later.absent);
                    self.find(table, Some(later.column.name), Severity::Note, text);
                }
            }
        }
    }

    fn extra(&mut self, table: &Table, facts: &Facts) {
        for fact in &facts.columns {
            let later = |l: &crate::schema::Later| l.table == table.name && l.column.name == fact.name;
            if table.column(&fact.name).is_some() || self.schema.later.iter().any(later) {
                continue;
            }
            if fact.not_null && !fact.filled {
                let text = "unknown to swf, and rows without it are refused";
                self.find(table, Some(&fact.name), Severity::Closed, text);
            } else {
                self.find(table, Some(&fact.name), Severity::Note, "unknown to swf, left alone");
            }
        }
    }

    fn constraints(&mut self, table: &Table, facts: &Facts) {
        let key = |word: &str, columns: &[&str]| format!("{word} ({})", columns.join(", "));
        let primary = key("PRIMARY KEY", table.primary_key.columns);
        self.constraint(table, facts, table.primary_key.name, &primary, Severity::Fatal);
        for unique in table.uniques {
            self.constraint(table, facts, unique.name, &key("UNIQUE", unique.columns), Severity::Fatal);
        }
        for foreign in table.foreign_keys {
            let text =
                format!("FOREIGN KEY ({}) REFERENCES {}({})", foreign.column, foreign.table, foreign.to);
            self.constraint(table, facts, foreign.name, &text, Severity::Degraded);
        }
        if self.engine == Engine::Postgres {
            for (name, rule) in table.checks {
                self.constraint(table, facts, name, &format!("CHECK (({rule}))"), Severity::Note);
            }
        }
    }

    /// A constraint counts by what it says; another name is worth a note.
    fn constraint(&mut self, table: &Table, facts: &Facts, name: &str, wanted: &str, missing: Severity) {
        let same: Vec<_> = facts.constraints.iter().filter(|c| c.definition.starts_with(wanted)).collect();
        let named = same.iter().any(|c| c.name.as_deref().is_none_or(|n| n == name));
        match same.first() {
            _ if named => {}
            Some(other) => {
                let text = format!("is called {} here", other.name.as_deref().unwrap_or_default());
                self.find(table, Some(name), Severity::Note, text);
            }
            None => {
                let other = facts.constraints.iter().find(|c| c.name.as_deref() == Some(name));
                let text = match other {
                    Some(other) => format!("is {}, should be {wanted}", other.definition),
                    None => format!("constraint is missing: {wanted}"),
                };
                self.find(table, Some(name), missing, text);
            }
        }
    }

    fn indexes(&mut self, table: &Table, facts: &Facts) {
        for index in table.indexes {
            if self.engine == Engine::Sqlite && is_pattern(index) {
                continue;
            }
            let wanted = index.columns.join(", ");
            let same: Vec<_> = facts.indexes.iter().filter(|i| i.definition == wanted).collect();
            if same.iter().any(|i| i.name.as_deref() == Some(index.name)) {
                continue;
            }
            let (severity, text) = match same.first().and_then(|i| i.name.as_deref()) {
                Some(other) => (Severity::Note, format!("is called {other} here")),
                None if is_pattern(index) => (Severity::Note, format!("index is missing: ({wanted})")),
                None => (Severity::Degraded, format!("index is missing, queries get slower: ({wanted})")),
            };
            self.find(table, Some(index.name), severity, text);
        }
    }

    /// swf's own tables: absent ones are made by a migration, if the role may.
    async fn own(&mut self, db: &Db, catalog: &Catalog) -> Result<(), Error> {
        let mut absent = false;
        for table in self.schema.own.iter().copied().chain([&LEDGER]) {
            if catalog.contains_key(table.name) {
                self.table(table, catalog);
            } else {
                absent = true;
                self.find(table, None, Severity::Note, "swf's own table, made by `swf db migrate`");
            }
        }
        if absent && self.engine == Engine::Postgres {
            let sql = Sql::new("SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_namespace WHERE")
                .with("nspname = ?)", [OWN_SCHEMA.into()])
                .with("THEN has_schema_privilege(?, 'CREATE')", [OWN_SCHEMA.into()])
                .with("ELSE has_database_privilege(current_database(), 'CREATE') END", []);
            if !db.fetch_one::<bool>(&sql).await? {
                let text = format!(
                    "this role may not make the schema {OWN_SCHEMA}; as its owner run \
                     CREATE SCHEMA {OWN_SCHEMA} AUTHORIZATION <role of swf>"
                );
                self.find(&LEDGER, None, Severity::Fatal, text);
            }
        }
        Ok(())
    }
}

/// A wider type holds all that swf writes, a narrower one may refuse it, another class cannot be used.
fn type_severity(wanted: Kind, found: &str) -> Severity {
    let whole = |name: &str| match name {
        "smallint" => Some(2),
        "integer" => Some(4),
        "bigint" => Some(8),
        _ => None,
    };
    let length = |name: &str| match name {
        "text" | "character varying" => Some(usize::MAX),
        other => other.strip_prefix("character varying(")?.strip_suffix(')')?.parse::<usize>().ok(),
    };
    let name = type_name(Engine::Postgres, wanted);
    let sizes = match wanted {
        Kind::SmallInt | Kind::Integer | Kind::BigInt => (whole(&name), whole(found)),
        Kind::Varchar(_) | Kind::Text => (length(&name), length(found)),
        _ => (None, None),
    };
    match sizes {
        (Some(wanted), Some(found)) if found >= wanted => Severity::Note,
        (Some(_), Some(_)) => Severity::Degraded,
        _ => Severity::Fatal,
    }
}
