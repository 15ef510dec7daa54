//! `[bot]`: the chat bot, its model and its servers of tools.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Keys that are never shown.
pub const SECRETS: &[&str] =
    &["bot.anthropic_api_key", "bot.mattermost_token", "bot.mcp_token", "bot.slash_token"];

/// `[bot]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bot {
    /// Mattermost; https unless the address says otherwise.
    pub mattermost_url: String,
    /// Token of the bot's account there.
    pub mattermost_token: String,
    /// Team, by name.
    pub team: String,
    /// Channel in which everything is answered, by name.
    pub channel: String,
    /// MCP endpoint of the monitor. Empty: the monitor that commands use.
    pub mcp_url: String,
    /// Token for it. Empty: the one that commands use.
    pub mcp_token: String,
    /// Which tools of the monitor are offered: names, or beginnings that end in `*`.
    pub tools: Vec<String>,
    /// Address of the model endpoint, without `/v1/messages`.
    pub anthropic_url: String,
    /// Its key.
    pub anthropic_api_key: String,
    /// Name of the model.
    pub model: String,
    /// Tokens of one answer at most.
    pub max_tokens: u32,
    /// File with the system prompt, read for each question. Empty: the built-in one.
    pub system_prompt: String,
    /// One tool call may take so long, seconds.
    pub tool_timeout_seconds: u64,
    /// One question may take so long, seconds.
    pub turn_timeout_seconds: u64,
    /// Threads worked on at the same time.
    pub concurrent_threads: usize,
    /// Account whose memory of dialogues the bot uses.
    pub memory_user: String,
    /// Turns remembered; 0: none.
    pub memory_turns: u32,
    /// Shared secret of the `/panda` command; empty: it is refused.
    pub slash_token: String,
    /// Further servers of tools, by name.
    pub servers: BTreeMap<String, BotServer>,
}

/// `[bot.servers.<name>]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BotServer {
    /// Program that speaks MCP on its standard input and output.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables that it gets besides PATH and HOME: `NAME` from the bot's environment, or `NAME=value`.
    pub env: Vec<String>,
    /// Put in front of its tools' names.
    pub prefix: String,
    /// Words in a question for which its tools are loaded; empty: always looked at.
    pub keywords: Vec<String>,
    /// Tools that are offered: names, or beginnings that end in `*`. Empty: those that say they only read.
    pub allow: Vec<String>,
}

impl Default for Bot {
    fn default() -> Bot {
        let tools = ["panda_*", "pcs_*", "epic_*", "epicprod_*", "ai_*", "swf_get_log_entry"];
        Bot {
            mattermost_url: "https://chat.epic-eic.org".into(),
            mattermost_token: String::new(),
            team: "main".into(),
            channel: "pandabot".into(),
            mcp_url: String::new(),
            mcp_token: String::new(),
            tools: tools.map(str::to_owned).to_vec(),
            anthropic_url: "https://api.anthropic.com".into(),
            anthropic_api_key: String::new(),
            model: "claude-haiku-4-5-20251001".into(),
            max_tokens: 4096,
            system_prompt: String::new(),
            tool_timeout_seconds: 60,
            turn_timeout_seconds: 600,
            concurrent_threads: 4,
            memory_user: "pandabot".into(),
            memory_turns: 30,
            slash_token: String::new(),
            servers: BTreeMap::new(),
        }
    }
}
