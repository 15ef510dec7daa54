//! Namespaces: made by whoever names one first.

use swf_db::Sql;

use super::{Error, Store};

/// A namespace, and whether it is new.
#[derive(Debug, serde::Serialize)]
pub struct Ensured {
    /// Its name.
    pub name: String,
    /// Who made it first.
    pub owner: String,
    /// What the first one said about it.
    pub description: String,
    /// True when it did not exist before.
    pub created: bool,
    /// Always `success`.
    pub status: &'static str,
}

/// True for names that can stand in addresses, queue names and file names.
pub fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b'-'))
}

impl Store {
    /// Makes the namespace unless it exists; the row that exists wins.
    pub async fn ensure_namespace(
        &self,
        name: &str,
        owner: &str,
        description: &str,
    ) -> Result<Ensured, Error> {
        let (name, owner) = (name.trim(), owner.trim());
        if !is_name(name) {
            return Err(Error::detail(format!(
                "name '{name}' is not possible: 1 to 100 letters, digits and the characters . _ @ - are accepted"
            )));
        }
        if owner.chars().count() > 100 {
            return Err(Error::detail("owner is longer than 100 characters"));
        }
        let now = self.clock.now();
        let insert = Sql::new(
            "INSERT INTO swf_namespace (name, owner, description, metadata, created_at, updated_at)",
        )
        .with(
            "VALUES (?, ?, ?, NULL, ?, ?) ON CONFLICT (name) DO NOTHING",
            [name.into(), owner.into(), description.into(), now.into(), now.into()],
        );
        let created = self.db.execute(&insert).await? == 1;
        let read =
            Sql::new("SELECT owner, description FROM swf_namespace WHERE name = ?").with("", [name.into()]);
        let (owner, description) = self.db.fetch_one::<(String, String)>(&read).await?;
        Ok(Ensured { name: name.to_owned(), owner, description, created, status: "success" })
    }
}
