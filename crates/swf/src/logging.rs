//! Log output: for people on a terminal, JSON on demand, always to standard error.

use swf_agents::logs::{LogQueue, log_shipping};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging; `ship` also queues records for the monitor.
pub fn start(format: LogFormat, level: &str, ship: bool) -> Option<LogQueue> {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let stderr = match format {
        LogFormat::Text => stderr.with_ansi(colour).boxed(),
        LogFormat::Json => stderr.json().with_target(true).boxed(),
    };
    let (layer, queue) = if ship {
        let (layer, queue) = log_shipping(tracing::Level::INFO);
        (Some(layer), Some(queue))
    } else {
        (None, None)
    };
    tracing_subscriber::registry().with(stderr.with_filter(filter)).with(layer).init();
    queue
}
