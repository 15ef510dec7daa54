//! Process supervision and the agent manager, with real processes, a real broker and a real
//! supervisord.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what the helpers of tests cannot have ends the test"
)]

mod helpers;
mod native;
mod supervise;
mod supervisord;
mod testbed;
