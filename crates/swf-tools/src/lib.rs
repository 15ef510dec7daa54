//! What the monitor knows and does: tables, counters, tools.

pub mod tables;
