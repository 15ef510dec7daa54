//! The bot against a real monitor with a synthetic production, and endpoints that speak the real protocols.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail like the tests themselves"
)]

mod chat;
mod chats;
mod model;
mod rig;
mod servers;
mod turns;
