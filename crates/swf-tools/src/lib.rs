//! What the monitor knows and does: tables, counters, tools.

pub mod counters;
pub mod tables;
