//! Tests of the surfaces over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail like the tests themselves"
)]

mod blackbox;
mod broker_status;
mod capture;
mod harness;
mod mcp;
mod mcp_clients;
mod oauth;
mod openapi;
mod pages;
mod pages_app;
mod pages_browser;
mod pages_links;
mod rest;
mod rest_agents;
mod rest_auth;
mod rest_pcs;
mod rest_records;
mod retention;
mod rig;
mod scripts;
mod slash;
mod sse;
mod upkeep;
