//! The name of an agent. Its id comes from the monitor once and is kept in a file, so that a restarted agent keeps
//! its name and leaves no rows behind.
//!
//! *Invariant:* the file is locked for as long as the agent lives; two processes never share a name.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::{Config, Kind};

/// A held identity file.
#[derive(Debug)]
pub struct Lease {
    file: File,
    path: PathBuf,
    stored: Stored,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    /// Id given by the monitor.
    id: Option<i64>,
    /// Monitor that gave it; another monitor counts on its own.
    monitor: String,
    /// Process that holds the lease.
    pid: u32,
}

/// `swf-<namespace>-<kind>[-<n>]`: who the agent is for the broker.
pub fn durable_name(config: &Config, kind: Kind) -> String {
    format!("swf-{}", base(config, kind))
}

fn base(config: &Config, kind: Kind) -> String {
    let number = config.instance.map(|n| format!("-{n}")).unwrap_or_default();
    format!("{}-{kind}{number}", config.namespace)
}

impl Lease {
    /// Take the lease; fails at once when another process has it.
    pub fn take(config: &Config, kind: Kind) -> anyhow::Result<Self> {
        let folder = config.data_dir.join("agents");
        std::fs::create_dir_all(&folder).with_context(|| {
            format!("make folder {}; choose a writable folder with --data-dir", folder.display())
        })?;
        let path = folder.join(format!("{}.id", base(config, kind)));
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).with_context(
                || format!("open {}; choose a writable folder with --data-dir", path.display()),
            )?;
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(|| format!("read {}", path.display()))?;
        let stored: Stored = serde_json::from_str(&text).unwrap_or_default();
        if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "a {kind} agent of namespace {} runs already as process {}; end it, or start this one with another \
                 --instance",
                config.namespace,
                stored.pid
            );
        }
        let stored = if stored.monitor == config.monitor.base_url { stored } else { Stored::default() };
        Ok(Self { file, path, stored })
    }

    /// The id of an earlier life.
    pub fn id(&self) -> Option<i64> {
        self.stored.id
    }

    /// Keep the id for later lives.
    pub fn keep(&mut self, id: i64, config: &Config) -> anyhow::Result<()> {
        self.stored =
            Stored { id: Some(id), monitor: config.monitor.base_url.clone(), pid: std::process::id() };
        let text = serde_json::to_string(&self.stored)?;
        self.file
            .rewind()
            .and_then(|()| self.file.set_len(0))
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .and_then(|()| self.file.sync_data())
            .with_context(|| format!("write {}", self.path.display()))
    }
}

/// `<agent_type lower>-agent-<user>-<id>`.
pub fn instance_name(kind: Kind, user: &str, id: i64) -> String {
    format!("{}-agent-{user}-{id}", kind.agent_type().to_lowercase())
}
