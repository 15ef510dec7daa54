//! The chat bot: questions in, tools called, checked answers out; over Mattermost or on a terminal.
//!
//! *Invariant:* figures are checked by code, not by asking the model to be honest.
//! *Invariant:* nothing that a model writes is ever run.

mod catalog;
mod chat;
mod config;
mod error;
mod mattermost;
mod memory;
mod model;
mod prompt;
mod provenance;
mod search;
mod servers;
mod threads;
mod turn;

use std::time::Duration;

use serde_json::{Value, json};

pub use chat::Chat;
pub use config::{ChatConfig, Config, HOME, ModelConfig, ServerSpec, Way};
pub use error::Error;
pub use model::Role;
pub use turn::{Answer, Question, RESULT};

use model::Model;
use servers::Servers;
use threads::Threads;

/// Recording an id may be tried again for so long.
const RECORD: Duration = Duration::from_secs(5);
/// A question waits so long for a monitor that is not there.
const PATIENCE: Duration = Duration::from_secs(5);

/// The bot without its mouth: servers, model, memory.
pub struct Bot {
    config: Config,
    servers: Servers,
    model: Model,
    monitor: swf_client::Client,
    threads: Threads,
    patience: Duration,
}

impl Bot {
    /// Builds it and starts to connect to its servers. A rustls crypto provider must be installed before.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub fn start(config: Config) -> Result<Bot, Error> {
        let model = Model::new(config.model.clone())?;
        let monitor = swf_client::Client::new(&config.monitor)?.patient(RECORD);
        let threads = Threads::open(config.threads_file.clone())?;
        let servers = Servers::start(config.servers.clone(), config.tool_timeout);
        Ok(Bot { servers, model, monitor, threads, config, patience: PATIENCE })
    }

    /// Waits until every server was reached or has failed once.
    pub async fn settled(&self) {
        self.servers.settled().await;
    }

    /// The servers and their state, as a table.
    pub fn servers(&self) -> String {
        catalog::Catalog::of(&self.servers).server_table()
    }

    /// One question from a terminal.
    pub async fn ask(&self, words: &str) -> Answer {
        self.settled().await;
        let question = Question { words: words.to_owned(), told: words.to_owned(), ..Question::default() };
        self.answer(question).await
    }

    async fn record_provenance(&self, id: &str, tool: &str, arguments: &Value) -> Result<(), Error> {
        let row = json!({"dpid": id, "tool_name": tool, "tool_args": arguments});
        let _: Value = self.monitor.post("api/dpid/", &row).await?;
        Ok(())
    }
}
