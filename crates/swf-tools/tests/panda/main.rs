//! The PanDA tools on synthetic productions, on both engines, with real databases and a real HTTP server.

mod common;
mod engines;
mod faults;
mod logs;
mod questions;
mod shapes;
