//! Closing messages that met a broker that was away: kept in files until they are sent, also by the next process
//! of this runner.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::agent::{Config, Link, Outgoing, is_transient};

/// What waits is looked for this often, besides whenever the broker is there again.
const RETRY: Duration = Duration::from_secs(5);

#[derive(Serialize, Deserialize)]
struct Kept {
    destination: String,
    uid: String,
    body: Map<String, Value>,
}

fn folder(config: &Config) -> PathBuf {
    let number = config.instance.map(|n| format!("-{n}")).unwrap_or_default();
    config.data_dir.join("agents").join(format!("{}-runner{number}.outbox", config.namespace))
}

/// Keeps a message; one of the same uid is the same message.
pub(super) fn keep(config: &Config, outgoing: &Outgoing) -> anyhow::Result<()> {
    let folder = folder(config);
    std::fs::create_dir_all(&folder).with_context(|| format!("make folder {}", folder.display()))?;
    let file = folder.join(format!("{}.json", outgoing.uid));
    let kept = Kept {
        destination: outgoing.destination.clone(),
        uid: outgoing.uid.clone(),
        body: outgoing.body.clone(),
    };
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, serde_json::to_vec(&kept)?)
        .with_context(|| format!("write {}", fresh.display()))?;
    std::fs::rename(&fresh, &file).with_context(|| format!("write {}", file.display()))
}

/// Sends what is kept, for as long as the runner lives.
pub(super) async fn deliver(link: Link) {
    let mut status = link.broker.status();
    loop {
        if status.borrow_and_update().connected {
            for file in files(&folder(&link.config)) {
                send(&link, &file).await;
            }
        }
        tokio::select! {
            () = link.shutdown.cancelled() => return,
            changed = status.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// The oldest first.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .map(|entry| (entry.metadata().and_then(|m| m.modified()).ok(), entry.path()))
        .filter(|(_, path)| path.extension().is_some_and(|e| e == "json"))
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// Sends one and removes it, unless it is to be tried again.
async fn send(link: &Link, file: &Path) {
    let read = std::fs::read(file).map_err(anyhow::Error::from);
    let kept = match read.and_then(|bytes| Ok(serde_json::from_slice::<Kept>(&bytes)?)) {
        Ok(kept) => kept,
        Err(error) => {
            return tracing::error!("{} cannot be read and is left alone: {error:#}", file.display());
        }
    };
    let what = kept.body.get("execution_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    match link.send(Outgoing::new(kept.destination, kept.uid, Value::Object(kept.body))).await {
        Ok(()) => tracing::info!("the closing message of execution {what} was sent belatedly"),
        Err(error) => {
            let error = anyhow::Error::from(error);
            if is_transient(&error) {
                return;
            }
            tracing::error!("the broker refuses the closing message of execution {what}: {error:#}");
        }
    }
    if let Err(error) = std::fs::remove_file(file) {
        tracing::warn!("{} cannot be removed: {error}", file.display());
    }
}
