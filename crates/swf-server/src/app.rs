pub struct App { pub service: std::sync::Arc<swf_tools::Service>, pub auth: crate::auth::Auth, pub rest: crate::rest::Config }
