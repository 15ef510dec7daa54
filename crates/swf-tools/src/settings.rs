//! What an installation can set about the tools.

use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;

/// Settings of the tools; the binary fills them from file, environment and flags.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where people reach the web pages, without a slash at the end: every link starts with it.
    pub base_url: String,
    /// Zone in which a time without offset is read.
    pub time_zone: Tz,
    /// The user for whom this server acts when a caller names none.
    pub default_user: String,
    /// `SWF_HOME`: the folder that holds `swf-testbed`, when there is one.
    pub swf_home: Option<PathBuf>,
    /// The testbed configuration file, and where its name came from (`SWF_TESTBED_CONFIG` or `default`).
    pub testbed_config: Option<(PathBuf, &'static str)>,
    /// An agent without a heartbeat for this long is not alive (one limit for everything).
    pub stale_after: Duration,
    /// A running execution whose runner does not name itself in it (those of the Python testbed) and gave no
    /// sign of life for this long is closed; `None`: never.
    pub lost_after: Option<Duration>,
    /// No answer is longer than this many bytes; rows are cut whole and the answer says so.
    pub answer_ceiling: usize,
    /// Topic that the monitor captures.
    pub topic: String,
    /// How long a control tool waits for the answer of an agent or its manager.
    pub reply_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            base_url: "http://localhost:8000/swf-monitor".into(),
            time_zone: chrono_tz::America::New_York,
            default_user: "unknown".into(),
            swf_home: None,
            testbed_config: None,
            stale_after: Duration::from_secs(300),
            lost_after: Some(Duration::from_secs(1800)),
            answer_ceiling: 100_000,
            topic: "/topic/epictopic".into(),
            reply_timeout: Duration::from_secs(10),
        }
    }
}
