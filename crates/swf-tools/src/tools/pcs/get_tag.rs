//! `pcs_get_tag`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::{Json, Sql};

use super::{TYPES, TagType};
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// One tag by its label, with parameters and author.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetTag {
    /// e.g. p1001, e3, s1, r1.
    pub tag_label: String,
}

/// A tag in full.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TagDetail {
    tag_label: String,
    tag_number: i64,
    status: String,
    description: String,
    parameters: Json,
    created_by: String,
    created_at: Iso,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category_digit: Option<i64>,
}

impl Tool for GetTag {
    const NAME: &'static str = "pcs_get_tag";
    const TITLE: &'static str = "PCS tag";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Pcs;
    const EXAMPLE: &'static str = r#"{"tag_label": "p1001"}"#;
    type Output = TagDetail;

    async fn run(self, cx: &Cx) -> Result<TagDetail, Error> {
        let given = self.tag_label.as_str();
        let (kind, number) = parse(given)?;
        let digit = if kind.has_category() { "c.digit" } else { "CAST(NULL AS INTEGER)" };
        let sql = Sql::new(format!(
            "SELECT t.tag_label, t.tag_number, t.status, t.description, t.parameters, t.created_by, t.created_at, \
             {} AS category, {digit} AS category_digit FROM {} WHERE t.tag_number =",
            kind.category(),
            kind.from()
        ))
        .with("?", [number.into()]);
        cx.db.fetch_optional(&sql).await?.ok_or_else(|| {
            let hint = format!("pcs_list_tags(tag_type='{}') lists the labels", kind.letter);
            Error::not_found("Tag", given, hint)
        })
    }
}

/// Type and number of a label; blanks around it and its case do not matter.
fn parse(given: &str) -> Result<(TagType, i64), Error> {
    let label = given.trim().to_lowercase();
    let kind = TYPES.into_iter().find_map(|t| label.strip_prefix(t.letter).map(|rest| (t, rest)));
    let Some((kind, rest)) = kind else {
        let why = format!("Invalid tag label '{given}'. Format: p1001, e3, s1, r1");
        return Err(Error::invalid("tag_label", why));
    };
    let digits = !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit());
    match rest.parse() {
        Ok(number) if digits => Ok((kind, number)),
        _ => Err(Error::invalid("tag_label", format!("Invalid tag number in '{given}'"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_letter_and_plain_digits() {
        let read = |label: &str| parse(label).map(|(t, n)| (t.letter, n)).map_err(|e| e.to_string());
        assert_eq!(read(" P1001 "), Ok(("p", 1001)));
        assert_eq!(
            read("x1"),
            Err("tag_label: Invalid tag label 'x1'. Format: p1001, e3, s1, r1".to_owned())
        );
        for bad in ["p", "p-1", "p1_0", "p 1", "p+1", "p١", "e99999999999999999999"] {
            assert_eq!(read(bad), Err(format!("tag_label: Invalid tag number in '{bad}'")));
        }
    }
}
