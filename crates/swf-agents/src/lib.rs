//! The daemons of the testbed.

pub mod supervise;
