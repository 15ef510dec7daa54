//! Tests of the surfaces over real sockets.

mod harness;
mod rest;
mod rest_agents;
mod rest_auth;
mod rest_pcs;
mod rest_records;
