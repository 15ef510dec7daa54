//! Environment variables: `SWF__SECTION__KEY` for every key, and the names that the Python original and its
//! agents use.

use std::collections::BTreeMap;

use anyhow::bail;
use toml::Value;

/// Names in use at existing installations, and the keys they set. Text is read as what the key needs.
pub const NAMES: &[(&str, &str)] = &[
    ("ACTIVEMQ_HOST", "broker.host"),
    ("ACTIVEMQ_PORT", "broker.port"),
    ("ACTIVEMQ_USER", "broker.user"),
    ("ACTIVEMQ_PASSWORD", "broker.password"),
    ("ACTIVEMQ_USE_SSL", "broker.tls"),
    ("ACTIVEMQ_SSL_CA_CERTS", "broker.ca_file"),
    ("ANTHROPIC_API_KEY", "bot.anthropic_api_key"),
    ("AUTH0_API_IDENTIFIER", "oauth.audience"),
    ("DISPLAY_TIMEZONE", "server.time_zone"),
    ("MATTERMOST_CHANNEL", "bot.channel"),
    ("MATTERMOST_SLASH_TOKEN", "bot.slash_token"),
    ("MATTERMOST_TEAM", "bot.team"),
    ("MATTERMOST_TOKEN", "bot.mattermost_token"),
    ("MATTERMOST_URL", "bot.mattermost_url"),
    ("MCP_BEARER_TOKEN", "bot.mcp_token"),
    ("MCP_URL", "bot.mcp_url"),
    ("PANDABOT_SYSTEM_PROMPT", "bot.system_prompt"),
    ("SWF_MONITOR_HTTP_URL", "server.public_url"),
    ("SWF_DEPLOYMENT_SUBPATH", "server.prefix"),
    ("SWF_TESTBED_CONFIG", "testbed.config"),
];

/// `section.key`, value and the variable it came from.
pub fn overrides(variables: &BTreeMap<String, String>) -> anyhow::Result<Vec<(String, Value, String)>> {
    let mut out = Vec::new();
    for (name, key) in NAMES {
        // An empty variable means "not set" to the original.
        if let Some(text) = variables.get(*name).filter(|t| !t.is_empty()) {
            out.push(((*key).to_owned(), typed(name, key, text)?, (*name).to_owned()));
        }
    }
    if let Some(topic) = variables.get("ACTIVEMQ_HEARTBEAT_TOPIC").filter(|t| !t.is_empty()) {
        // Production sets the bare address, which is the topic of that name there.
        let topic = if topic.starts_with('/') { topic.clone() } else { format!("/topic/{topic}") };
        out.push(("broker.topic".into(), Value::String(topic), "ACTIVEMQ_HEARTBEAT_TOPIC".into()));
    }
    if let Some(domain) = variables.get("AUTH0_DOMAIN").filter(|d| !d.is_empty()) {
        let issuer = format!("https://{}/", domain.trim_end_matches('/'));
        out.push(("oauth.issuer".into(), Value::String(issuer), "AUTH0_DOMAIN".into()));
    }
    for (section, prefix) in [("database", ""), ("panda", "PANDA_")] {
        if let Some(url) = postgres_url(variables, prefix) {
            out.push((format!("{section}.url"), Value::String(url), format!("{prefix}DB_*")));
        }
    }
    for (name, text) in variables {
        let Some(path) = name.strip_prefix("SWF__") else { continue };
        let Some((section, key)) = path.split_once("__") else {
            bail!("environment variable {name}: write it as SWF__SECTION__KEY, e.g. SWF__BROKER__HOST");
        };
        let key = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
        out.push((key.clone(), typed(name, &key, text)?, name.clone()));
    }
    Ok(out)
}

/// The original's five variables as one URL; `DB_HOST` or `DB_NAME` says that PostgreSQL is meant.
fn postgres_url(variables: &BTreeMap<String, String>, prefix: &str) -> Option<String> {
    let get = |name: &str| variables.get(&format!("{prefix}{name}")).filter(|v| !v.is_empty());
    if get("DB_HOST").is_none() && get("DB_NAME").is_none() {
        return None;
    }
    let (name, user) = if prefix.is_empty() { ("swfdb", "admin") } else { ("panda_db", "panda") };
    let or = |key: &str, default: &str| swf_tools::links::encode(get(key).map_or(default, String::as_str));
    Some(format!(
        "postgres://{}:{}@{}:{}/{}",
        or("DB_USER", user),
        or("DB_PASSWORD", "dummy"),
        or("DB_HOST", "localhost"),
        or("DB_PORT", "5432"),
        or("DB_NAME", name)
    ))
}

/// The text as the type that the key's default has.
fn typed(name: &str, key: &str, text: &str) -> anyhow::Result<Value> {
    let defaults = toml::Table::try_from(super::Config::default())?;
    let default = key.split_once('.').and_then(|(s, k)| defaults.get(s)?.get(k)).cloned();
    Ok(match default {
        Some(Value::Integer(_)) => match text.trim().parse() {
            Ok(number) => Value::Integer(number),
            Err(_) => bail!("environment variable {name}: {text:?} is not a whole number"),
        },
        Some(Value::Boolean(_)) => match text.trim().to_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Value::Boolean(true),
            "false" | "0" | "no" | "off" => Value::Boolean(false),
            _ => bail!("environment variable {name}: {text:?} is neither true nor false"),
        },
        Some(Value::Array(_)) => {
            let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
            Value::Array(parts.map(|p| Value::String(p.to_owned())).collect())
        }
        _ => Value::String(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> anyhow::Result<Vec<(String, Value, String)>> {
        overrides(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn the_originals_variables_are_understood() {
        let set = read(&[("ACTIVEMQ_PORT", "61612"), ("DB_HOST", "db"), ("DB_PASSWORD", "p@ss")]).unwrap();
        assert_eq!(set[0].1, Value::Integer(61612));
        assert_eq!(set[1].1, Value::String("postgres://admin:p%40ss@db:5432/swfdb".into()));
        let topic = read(&[("ACTIVEMQ_HEARTBEAT_TOPIC", "epictopic")]).unwrap();
        assert_eq!(topic[0].1, Value::String("/topic/epictopic".into()));
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named() {
        let text = read(&[("ACTIVEMQ_PORT", "many")]).unwrap_err().to_string();
        assert_eq!(text, "environment variable ACTIVEMQ_PORT: \"many\" is not a whole number");
    }
}
