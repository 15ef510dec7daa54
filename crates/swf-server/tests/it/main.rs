//! Tests of the surfaces over real sockets.

mod harness;
mod pages;
mod pages_app;
mod pages_browser;
mod pages_links;
mod rest;
mod rest_agents;
mod rest_auth;
mod rest_pcs;
mod rest_records;
