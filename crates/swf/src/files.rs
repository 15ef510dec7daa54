//! What lies in the data folder, and which address a running server has.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The data folder.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
}

/// A server that `swf up` started from this data folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    /// Process that supervises it.
    pub pid: u32,
    /// Address with prefix.
    pub url: String,
    /// Broker host and port.
    pub broker: String,
}

impl Files {
    /// Makes the folder, readable by its owner only.
    pub fn open(root: &Path) -> anyhow::Result<Files> {
        let make = |path: &Path| -> std::io::Result<()> {
            std::fs::create_dir_all(path)?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
        };
        make(root).with_context(|| {
            format!(
                "data folder {} cannot be made or is not yours; choose another with --data-dir",
                root.display()
            )
        })?;
        let probe = root.join(".writable");
        std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)).with_context(|| {
            format!("data folder {} is not writable; choose another with --data-dir", root.display())
        })?;
        Ok(Files { root: root.to_owned() })
    }

    /// A file or folder by name.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The local user's API token, once the monitor has made the account.
    pub fn token(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.path("token")).ok()?;
        Some(text.trim().to_owned()).filter(|t| !t.is_empty())
    }

    /// Keeps the token where only its owner can read it.
    pub fn set_token(&self, token: &str) -> anyhow::Result<()> {
        let path = self.path("token");
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
        std::io::Write::write_all(&mut file, token.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The running server's address, if one runs.
    pub fn running(&self) -> Option<Running> {
        let text = std::fs::read_to_string(self.path("running.json")).ok()?;
        let running: Running = serde_json::from_str(&text).ok()?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(running.pid).ok()?)?;
        rustix::process::test_kill_process(pid).ok()?;
        Some(running)
    }

    /// Says that a server runs.
    pub fn set_running(&self, running: &Running) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(running)?;
        std::fs::write(self.path("running.json"), text).context("cannot note the running server")
    }

    /// Says that none runs any more.
    pub fn clear_running(&self) {
        drop(std::fs::remove_file(self.path("running.json")));
    }
}

/// The login user's name.
pub fn login_user() -> String {
    let variables = ["USER", "LOGNAME"];
    let named = variables.iter().find_map(|v| std::env::var(v).ok()).filter(|u| !u.is_empty());
    named.or_else(passwd_name).unwrap_or_else(|| "unknown".into())
}

/// The name that `/etc/passwd` has for this process' user.
fn passwd_name() -> Option<String> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}
