//! Surfaces.
pub mod app;
pub mod auth;
pub mod ingest;
pub mod mcp;
pub mod observe;
pub mod problem;
pub mod rest;
pub mod upkeep;
