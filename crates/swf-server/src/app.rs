//! What all surfaces of the server share.

use std::sync::Arc;

use swf_tools::Service;

use crate::auth::Auth;
use crate::rest;

/// The parts that a request handler needs.
pub struct App {
    /// Databases, broker, clock and settings.
    pub service: Arc<Service>,
    /// Who calls.
    pub auth: Auth,
    /// Settings of the REST interface.
    pub rest: rest::Config,
}
