//! The client, the broker, real brokers and real stomp.py, over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod abandoned;
mod brokers;
mod client;
mod durable;
mod limits;
mod persistence;
mod protocol;
mod python;
mod queues;
mod scenario;
mod support;
mod tls;
