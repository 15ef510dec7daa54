//! PCS, the physics configuration system: tags that name physics, generator, simulation and reconstruction.

pub mod get_tag;
pub mod list_tags;
pub mod search_tags;

use crate::{Error, ToolDef};

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[
    ToolDef::of::<list_tags::ListTags>(),
    ToolDef::of::<get_tag::GetTag>(),
    ToolDef::of::<search_tags::SearchTags>(),
];

/// A kind of tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagType {
    /// Letter that labels begin with.
    pub letter: &'static str,
    /// Name for people.
    pub label: &'static str,
    table: &'static str,
}

/// All kinds, in the order in which they are searched.
pub const TYPES: [TagType; 4] = [
    TagType { letter: "p", label: "Physics", table: "pcs_physics_tag" },
    TagType { letter: "e", label: "EvGen", table: "pcs_evgen_tag" },
    TagType { letter: "s", label: "Simulation", table: "pcs_simu_tag" },
    TagType { letter: "r", label: "Reconstruction", table: "pcs_reco_tag" },
];

impl TagType {
    /// Reads the argument `tag_type`.
    pub fn of(given: &str) -> Result<TagType, Error> {
        let letter = given.trim().to_lowercase();
        TYPES
            .into_iter()
            .find(|t| t.letter == letter)
            .ok_or_else(|| Error::invalid("tag_type", format!("Invalid tag_type '{given}'. Use: p, e, s, r")))
    }

    /// Only physics tags have a category.
    pub fn has_category(self) -> bool {
        self.letter == "p"
    }

    /// Table, joined with its category; tags are `t`, categories `c`.
    fn from(self) -> String {
        if self.has_category() {
            format!("{} t JOIN pcs_physics_category c ON c.digit = t.category_id", self.table)
        } else {
            format!("{} t", self.table)
        }
    }

    /// The category's name, NULL for tags that have none.
    fn category(self) -> &'static str {
        if self.has_category() { "c.name" } else { "CAST(NULL AS TEXT)" }
    }
}
