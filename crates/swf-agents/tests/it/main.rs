//! Agents on a real embedded broker. The monitor's side is a double that speaks the REST wire of the contract
//! (`double.rs`), because the server is another crate's part; the end-to-end test with the real server is in `swf`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets something unexpected fails there"
)]

mod double;
mod logs;
mod rig;
mod runner;
mod whole_run;
mod work;
