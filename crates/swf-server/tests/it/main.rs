//! Tests of the surfaces over real sockets.

mod blackbox;
mod harness;
mod mcp;
mod mcp_clients;
mod openapi;
mod rest;
mod rest_agents;
mod rest_auth;
mod rest_pcs;
mod rest_records;
mod rig;
mod scripts;
mod sse;
