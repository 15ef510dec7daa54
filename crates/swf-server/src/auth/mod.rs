use swf_tools::*;
pub struct Auth; #[derive(Default)] pub struct Config { pub anonymous: Option<Scope> }
impl Auth { pub fn new(_: swf_db::Db, _: Config) -> Auth { Auth }
 pub async fn bootstrap(&self, _: &str, _: &str) -> anyhow::Result<()> { Ok(()) }
 pub async fn caller(&self, _: &axum::http::HeaderMap, _: Option<std::net::IpAddr>) -> Result<Caller, std::fmt::Error> { Ok(Caller::anonymous(Some(Scope::Control))) } }
