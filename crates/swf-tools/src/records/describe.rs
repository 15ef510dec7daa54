//! How a REST resource is described: which table, which fields in which order, what may be asked.

use swf_db::schema::{Column, Default, Kind, Table};

/// A collection of rows as REST clients see it.
#[derive(Debug, Clone, Copy)]
pub struct Resource {
    /// Path under `/api/` (or `/pcs/api/`), without slashes.
    pub path: &'static str,
    /// Name in "not found" texts.
    pub model: &'static str,
    /// Name in "already exists" texts.
    pub verbose: &'static str,
    /// Where the rows are.
    pub table: &'static Table,
    /// The column by which one row is addressed.
    pub lookup: &'static str,
    /// Fields in the order of the answer.
    pub fields: &'static [Field],
    /// `ORDER BY` of lists; always ends in a unique column, so pages do not overlap.
    pub order: &'static str,
    /// Filters beyond the scalar fields, which can all be filtered on.
    pub filters: &'static [Filter],
    /// What may be done.
    pub methods: &'static [Method],
    /// Column that gets the name of the user who makes a row.
    pub author: Option<&'static str>,
    /// Only the author and administrators may change or delete a row.
    pub owned: bool,
    /// Whether a row may be changed to what a client sent; asked while the row is locked.
    pub guard: Option<Allows>,
}

/// Refuses a change of a stored row.
pub type Allows = fn(&swf_db::Row, &super::Input) -> Result<(), super::Error>;

/// What may be done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET` of the list and of one row.
    Read,
    /// `POST` to the list.
    Create,
    /// `PUT` of one row.
    Put,
    /// `PATCH` of one row.
    Patch,
    /// `DELETE` of one row.
    Delete,
}

/// Everything that can be done with an ordinary resource.
pub const ALL: &[Method] = &[Method::Read, Method::Create, Method::Put, Method::Patch, Method::Delete];

/// One field of a resource.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Name in JSON.
    pub name: &'static str,
    /// Column of the resource's table (unused by computed fields).
    pub column: &'static str,
    /// Where the value comes from.
    pub source: Source,
    /// Clients cannot set it; what they send is ignored.
    pub read_only: bool,
    /// The only values clients may give, when the table does not say so itself.
    pub choices: &'static [&'static str],
    /// Smallest and largest value of a number, when tighter than its type.
    pub range: Option<(i64, i64)>,
    /// The text is an http, https or ftp address.
    pub url: bool,
}

/// Where the value of a field comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source {
    /// The column itself.
    Column,
    /// The column holds the key of a row of another table, and clients see that key.
    Key {
        /// Table referred to.
        table: &'static str,
        /// Its key.
        to: &'static str,
    },
    /// The column holds the key of a row of another table, and clients see a name of that row.
    Slug {
        /// Table referred to.
        table: &'static str,
        /// Its key.
        to: &'static str,
        /// Its column that clients see.
        slug: &'static str,
    },
    /// An SQL expression over the row, which stands under the name `t`; read-only.
    Computed(Kind, &'static str),
    /// A column that not every database has; kept in `metadata` where it is absent.
    Later,
}

/// A filter that is not just a field.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// Name in the query.
    pub name: &'static str,
    /// Type of its value.
    pub kind: Kind,
    /// Condition over the row `t` with one `?`.
    pub condition: &'static str,
}

impl Field {
    /// A field that shows the column of the same name.
    pub const fn new(name: &'static str) -> Field {
        Field {
            name,
            column: name,
            source: Source::Column,
            read_only: false,
            choices: &[],
            range: None,
            url: false,
        }
    }

    /// The same, not settable by clients.
    pub const fn fixed(name: &'static str) -> Field {
        Field { read_only: true, ..Field::new(name) }
    }

    /// The key of a row of another table.
    pub const fn key(
        name: &'static str,
        column: &'static str,
        table: &'static str,
        to: &'static str,
    ) -> Field {
        Field { column, source: Source::Key { table, to }, ..Field::new(name) }
    }

    /// A value that the database computes.
    pub const fn computed(name: &'static str, kind: Kind, sql: &'static str) -> Field {
        Field { column: "", source: Source::Computed(kind, sql), ..Field::fixed(name) }
    }

    /// A column that not every database has.
    pub const fn later(name: &'static str) -> Field {
        Field { source: Source::Later, ..Field::new(name) }
    }

    /// The same, limited to some values.
    #[must_use]
    pub const fn one_of(mut self, choices: &'static [&'static str]) -> Field {
        self.choices = choices;
        self
    }

    /// The same, limited to a range of numbers.
    #[must_use]
    pub const fn within(mut self, low: i64, high: i64) -> Field {
        self.range = Some((low, high));
        self
    }

    /// The same, must be an address.
    #[must_use]
    pub const fn url(mut self) -> Field {
        self.url = true;
        self
    }

    /// The name as texts show it.
    pub fn verbose(&self) -> String {
        self.name.replace('_', " ")
    }
}

/// What is known about the values of a field.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Type.
    pub kind: Kind,
    /// `null` is accepted.
    pub null: bool,
    /// `""` is accepted.
    pub blank: bool,
    /// What is stored when nothing is given.
    pub default: Default,
    /// The only accepted values; empty for any.
    pub choices: &'static [&'static str],
}

impl Facts {
    /// True when a client must give a value.
    pub fn required(&self) -> bool {
        !self.null && !self.blank && self.default == Default::None
    }
}

impl Resource {
    /// The column behind a field.
    pub fn column(&self, field: &Field) -> Option<&'static Column> {
        match field.source {
            Source::Computed(..) => None,
            Source::Later => crate::tables::LATER_COLUMNS
                .iter()
                .find(|l| l.table == self.table.name && l.column.name == field.column)
                .map(|l| &l.column),
            _ => self.table.column(field.column),
        }
    }

    /// What is known about the values of a field; computed fields are never written.
    pub fn facts(&self, field: &Field) -> Facts {
        let choices =
            |own: &'static [&'static str]| if field.choices.is_empty() { own } else { field.choices };
        match (self.column(field), field.source) {
            (Some(c), _) => {
                let text = matches!(c.kind, Kind::Varchar(_) | Kind::Text);
                Facts {
                    kind: c.kind,
                    null: c.null,
                    blank: text && (c.blank || c.null),
                    default: c.default,
                    choices: choices(c.choices),
                }
            }
            (None, Source::Computed(kind, _)) => {
                Facts { kind, null: true, blank: true, default: Default::None, choices: &[] }
            }
            (None, _) => {
                Facts { kind: Kind::Text, null: true, blank: true, default: Default::None, choices: &[] }
            }
        }
    }

    /// The type that the value of a field has in JSON and in the query.
    pub fn shown_kind(&self, field: &Field) -> Kind {
        match field.source {
            Source::Slug { .. } => Kind::Varchar(255),
            _ => self.facts(field).kind,
        }
    }

    /// The primary key's column.
    pub fn key(&self) -> &'static str {
        self.table.primary_key.columns.first().copied().unwrap_or_default()
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// The field that shows a column.
    pub fn field_of(&self, column: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.column == column)
    }

    /// True when it can be done.
    pub fn allows(&self, method: Method) -> bool {
        self.methods.contains(&method)
    }
}
