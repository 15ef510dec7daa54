//! The client, the broker, real brokers and real stomp.py, over real sockets.

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
