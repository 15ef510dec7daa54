//! The PanDA tools on synthetic productions, on both engines, with real databases and a real HTTP server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up must fail at once"
)]

mod bench;
mod closed;
mod common;
mod engines;
mod faults;
mod logs;
mod questions;
mod shapes;
mod sharing;
