//! Agents on a real embedded broker. The monitor's side is a double that speaks the REST wire of the contract
//! (`double.rs`), because the server is another crate's part; the end-to-end test with the real server is in `swf`.

mod double;
mod rig;
mod runner;
mod whole_run;
mod work;
