//! Tests of the surfaces over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like the tests themselves"
)]

mod harness;
mod rest;
mod rest_agents;
mod rest_auth;
mod rest_pcs;
mod rest_records;
