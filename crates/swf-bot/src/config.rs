//! Settings of the bot. *Invariant:* this crate never reads the environment; `swf` hands everything in.

use std::path::PathBuf;
use std::time::Duration;

/// How a server of tools is reached.
#[derive(Clone)]
pub enum Way {
    /// MCP over HTTP.
    Http {
        /// Address of the endpoint.
        url: String,
        /// Sent as `Authorization: Bearer …`.
        token: Option<String>,
    },
    /// A program that speaks MCP on its standard input and output.
    Program {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its whole environment: nothing else is handed on.
        env: Vec<(String, String)>,
    },
}

/// A server of tools.
#[derive(Clone)]
pub struct ServerSpec {
    /// Name in logs and in the choice of tools.
    pub name: String,
    /// How it is reached.
    pub way: Way,
    /// Put in front of its tools' names.
    pub prefix: String,
    /// Its tools are loaded unasked only when one of these occurs in the question; empty: always.
    pub keywords: Vec<String>,
    /// Which of its tools are offered: names, or beginnings that end in `*`. Empty: those that say they only read.
    pub allow: Vec<String>,
}

/// The model endpoint.
#[derive(Clone)]
pub struct ModelConfig {
    /// Address without `/v1/messages`.
    pub url: String,
    /// API key.
    pub key: String,
    /// Name of the model.
    pub model: String,
    /// Tokens of one answer at most.
    pub max_tokens: u32,
    /// One request may take so long.
    pub timeout: Duration,
    /// First wait before a request is tried again; doubles, unless the endpoint says how long.
    pub first_wait: Duration,
}

/// Where the bot listens.
#[derive(Clone)]
pub struct ChatConfig {
    /// Address of Mattermost with scheme.
    pub url: String,
    /// Token of the bot's account.
    pub token: String,
    /// Team by name.
    pub team: String,
    /// Home channel by name.
    pub channel: String,
    /// Threads worked on at the same time.
    pub concurrent: usize,
    /// Characters of one post at most.
    pub post_limit: usize,
}

/// Everything that answering needs.
#[derive(Clone)]
pub struct Config {
    /// Servers of tools; the one named [`HOME`] is the monitor.
    pub servers: Vec<ServerSpec>,
    /// The model endpoint.
    pub model: ModelConfig,
    /// The monitor's REST interface, where provenance ids are recorded.
    pub monitor: swf_client::ClientConfig,
    /// File with the system prompt, read for each question; `None`: the one that is built in.
    pub system_prompt: Option<PathBuf>,
    /// One tool call may take so long.
    pub tool_timeout: Duration,
    /// One question may take so long.
    pub turn_timeout: Duration,
    /// Whose memory of dialogues is used.
    pub memory_user: String,
    /// Turns that are remembered; 0: none.
    pub memory_turns: u32,
    /// File in which active threads and their tools are kept.
    pub threads_file: Option<PathBuf>,
}

/// Name of the monitor among the servers.
pub const HOME: &str = "swf";
