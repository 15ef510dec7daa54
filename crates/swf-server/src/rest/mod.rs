#[derive(Default)] pub struct Config;
pub fn router(_: std::sync::Arc<crate::app::App>) -> axum::Router { axum::Router::new() }
