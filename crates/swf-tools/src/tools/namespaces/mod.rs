//! Namespaces: who works where.

pub mod get;
pub mod list;

use crate::ToolDef;

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[ToolDef::of::<list::ListNamespaces>(), ToolDef::of::<get::GetNamespace>()];
