//! Surfaces.
pub mod ingest;
pub mod mcp;
pub mod observe;
pub mod upkeep;
