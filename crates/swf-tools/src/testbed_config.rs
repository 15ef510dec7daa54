//! What the tools need of a user's testbed.toml.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Cx, Error};

/// Defaults of a user's testbed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TestbedConfig {
    /// File name.
    pub file: Option<String>,
    /// `SWF_TESTBED_CONFIG` or `default`.
    pub source: Option<String>,
    /// `[testbed] namespace`
    pub namespace: Option<String>,
    /// `[workflow] name`
    pub workflow: Option<String>,
    /// `[workflow] config`
    pub config: Option<String>,
    /// `[workflow] realtime`
    pub realtime: Option<bool>,
    /// `[parameters]`
    pub parameters: serde_json::Map<String, Value>,
}

/// Letters, digits and `._@-`: what a user name may consist of, since it becomes part of a queue name.
pub fn check_user(field: &str, user: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    if user.is_empty() || user.len() > 80 || !user.chars().all(plain) {
        return Err(Error::invalid(
            field,
            format!("'{user}' is not a user name (letters, digits and ._@- only)"),
        ));
    }
    Ok(())
}

/// The user a call is about: the argument, else the caller, else the owner of `SWF_HOME`
/// (`/data/<user>/github`), else the installation's default user.
pub fn user_of(cx: &Cx, argument: Option<&str>) -> Result<String, Error> {
    if let Some(user) = argument.filter(|u| !u.trim().is_empty()) {
        check_user("username", user.trim())?;
        return Ok(user.trim().to_owned());
    }
    let settings = cx.settings();
    let user = cx
        .caller
        .user
        .clone()
        .or_else(|| settings.swf_home.as_deref().and_then(owner))
        .unwrap_or_else(|| settings.default_user.clone());
    check_user("username", &user)?;
    Ok(user)
}

/// `torre` of `/data/torre/github`.
fn owner(home: &Path) -> Option<String> {
    let mut parts = home.components().map(|c| c.as_os_str().to_string_lossy().into_owned());
    parts.find(|p| p == "data")?;
    let user = parts.next()?;
    (parts.next().as_deref() == Some("github")).then_some(user)
}

/// The file that holds a user's testbed configuration, and where its name came from.
fn file_of(cx: &Cx, user: &str) -> Option<(PathBuf, &'static str)> {
    let settings = cx.settings();
    let own = settings
        .swf_home
        .as_deref()
        .filter(|home| owner(home).is_some_and(|o| o != user))
        .map(|_| PathBuf::from(format!("/data/{user}/github/swf-testbed/workflows/testbed.toml")));
    match own {
        Some(path) if path.is_file() => Some((path, "default")),
        _ => settings.testbed_config.clone(),
    }
}

/// Reads a user's testbed configuration; everything is absent when there is no file.
pub async fn read(cx: &Cx, user: &str) -> Result<TestbedConfig, Error> {
    let Some((path, source)) = file_of(cx, user) else { return Ok(TestbedConfig::default()) };
    let text = match tokio::fs::read_to_string(&path).await {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(TestbedConfig::default()),
        Err(e) => {
            return Err(Error::Unavailable {
                what: format!("testbed configuration {} cannot be read: {e}", path.display()),
            });
        }
    };
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| Error::Unavailable {
        what: format!("testbed configuration {} is not valid TOML: {}", path.display(), e.message()),
    })?;
    let value = |section: &str, key: &str| table.get(section).and_then(|s| s.get(key)).cloned();
    let text = |section, key| value(section, key).and_then(|v| v.as_str().map(str::to_owned));
    let parameters =
        table.get("parameters").map(serde_json::to_value).transpose().map_err(Error::internal)?;
    Ok(TestbedConfig {
        file: path.file_name().map(|n| n.to_string_lossy().into_owned()),
        source: Some(source.to_owned()),
        namespace: text("testbed", "namespace"),
        workflow: text("workflow", "name"),
        config: text("workflow", "config"),
        realtime: value("workflow", "realtime").and_then(|v| v.as_bool()),
        parameters: match parameters {
            Some(Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        },
    })
}
