//! The program: reads arguments, configuration and environment, builds what a role needs, and runs it.
//!
//! *Invariant:* no other crate reads the environment.

mod bot;
pub mod cli;
mod commands;
pub mod config;
mod demo;
mod files;
mod logging;
mod once;
mod prune;
mod rights;
mod roles;
mod run;
mod tools;
mod up;
