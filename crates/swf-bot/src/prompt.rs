//! What the model is told before the dialogue.

use std::path::Path;

use crate::catalog::Catalog;

/// The prompt that is used when no file is configured.
pub const DEFAULT: &str = include_str!("prompt.md");

const TIERS: &str = "Tools come in three tiers. The catalog below names every tool with one line. Those that fit the \
question, or were used in this thread, are loaded already and can be called. Any other tool of the catalog is loaded \
with select_tools and can be called in the next step.";

/// The whole system prompt. The file is read anew each time, so that a change needs no restart.
pub async fn system(file: Option<&Path>, catalog: &Catalog) -> String {
    let prompt = match file {
        None => DEFAULT.to_owned(),
        Some(path) => match tokio::fs::read_to_string(path).await {
            Ok(text) => text,
            Err(e) => {
                tracing::error!("system prompt {}: {e}; the built-in one is used", path.display());
                DEFAULT.to_owned()
            }
        },
    };
    let instructions = catalog.instructions.as_deref().unwrap_or_default();
    let down: Vec<&str> = catalog.servers.iter().filter(|s| !s.up).map(|s| s.name.as_str()).collect();
    let down = if down.is_empty() {
        String::new()
    } else {
        format!("\nServers that do not answer now, so that their tools are missing: {}\n", down.join(", "))
    };
    format!(
        "{}\n\n{instructions}\n\n{TIERS}\n{down}\nFull tool catalog:\n{}",
        prompt.trim_end(),
        catalog.lines()
    )
}
