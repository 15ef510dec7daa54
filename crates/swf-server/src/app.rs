//! What all surfaces of the server share.

use std::sync::Arc;

use swf_tools::Service;

use crate::auth::Auth;
use crate::{ingest, rest, sse};

/// The parts that a request handler needs.
pub struct App {
    /// Databases, broker, clock and settings.
    pub service: Arc<Service>,
    /// Who calls.
    pub auth: Auth,
    /// Settings of the REST interface.
    pub rest: rest::Config,
    /// What is captured is handed to live listeners here.
    pub feed: ingest::Feed,
    /// Clients of the event stream.
    pub streams: Arc<sse::Hub>,
}

/// Captured messages that a slow listener of the feed may be behind before it misses some.
const FEED: usize = 4096;

impl App {
    /// With a feed of its own.
    pub fn new(service: Arc<Service>, auth: Auth, rest: rest::Config, streams: sse::Config) -> App {
        let streams = Arc::new(sse::Hub::new(streams));
        App { service, auth, rest, feed: ingest::Feed::new(FEED), streams }
    }
}
