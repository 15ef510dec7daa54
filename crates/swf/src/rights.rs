//! Who may do what, as configured.

use std::collections::BTreeSet;

use anyhow::bail;
use swf_server::auth::{self, oidc};
use swf_tools::Scope;

use crate::roles::Role;

/// A right by its name in the configuration; `none` is none.
fn right(key: &str, word: &str) -> anyhow::Result<Option<Scope>> {
    match word {
        "none" => Ok(None),
        "read" | "write" | "control" => Ok(word.parse().ok()),
        _ => bail!("{key} = {word:?} is not one of none, read, write, control"),
    }
}

impl Role {
    /// How callers are known.
    pub(crate) fn auth_config(&self) -> anyhow::Result<auth::Config> {
        let section = &self.loaded.config.auth;
        let local = section.local_user && self.listen()?.ip().is_loopback();
        Ok(auth::Config {
            anonymous: right("auth.anonymous", &section.anonymous)?,
            local_user: local.then(|| self.user()),
            any_token_controls: section.any_token_controls,
            controllers: section.controllers.clone(),
            proxy: (!section.proxy_secret.is_empty()).then(|| auth::Proxy {
                secret_header: section.proxy_secret_header.clone(),
                secret: section.proxy_secret.clone(),
                user_header: section.proxy_user_header.clone(),
            }),
            oidc: self.oidc()?,
        })
    }

    /// The authorization server, if one is configured.
    fn oidc(&self) -> anyhow::Result<Option<oidc::Config>> {
        let section = &self.loaded.config.oauth;
        if section.issuer.is_empty() {
            return Ok(None);
        }
        if !section.issuer.starts_with("https://") && !section.issuer.starts_with("http://127.0.0.1") {
            bail!("oauth.issuer = {:?} must begin with https://", section.issuer);
        }
        let url = self.url()?;
        let own = format!("{url}/mcp/");
        let resource = if section.audience.is_empty() { own.clone() } else { section.audience.clone() };
        // Clients are told one resource and may send it with or without the last slash.
        let bare = resource.trim_end_matches('/').to_owned();
        let mut audiences = vec![resource, bare.clone(), format!("{bare}/"), own];
        let mut seen = BTreeSet::new();
        audiences.retain(|audience| seen.insert(audience.clone()));
        Ok(Some(oidc::Config {
            issuer: section.issuer.clone(),
            audiences,
            jwks_url: Some(section.jwks_url.clone()).filter(|url| !url.is_empty()),
            default_scope: right("oauth.default_scope", &section.default_scope)?,
            users: section.users.clone(),
            metadata_url: format!("{url}/.well-known/oauth-protected-resource"),
        }))
    }
}
