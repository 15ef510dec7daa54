//! The binary as users run it: real processes, real broker, real database.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod ask;
mod bad_input;
mod capture;
mod demo;
mod host;
mod kills;
mod namespaces;
