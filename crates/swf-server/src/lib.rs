//! Surfaces.
pub mod mcp;
