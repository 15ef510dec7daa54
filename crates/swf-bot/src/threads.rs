//! What the bot knows of its threads: which are active, and which tools were used in them. Kept in a file.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Threads that are kept; older ones are forgotten.
const MOST: usize = 200;
/// Tools of one thread that are kept.
const TOOLS: usize = 12;

/// One thread.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Thread {
    /// Id of its first post.
    pub root: String,
    /// Its channel.
    pub channel: String,
    /// Tools used, loaded or suggested in it, newest last.
    pub tools: Vec<String>,
    /// Servers of the tools used.
    pub servers: BTreeSet<String>,
}

/// All threads, the one spoken in last at the end.
pub struct Threads {
    threads: Mutex<Vec<Thread>>,
    file: Option<PathBuf>,
}

impl Threads {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn open(file: Option<PathBuf>) -> Result<Threads, Error> {
        let mut threads = Vec::new();
        if let Some(path) = file.as_ref().filter(|p| p.exists()) {
            let fault = |why: String| Error::File { path: path.display().to_string(), why };
            let text = std::fs::read_to_string(path).map_err(|e| fault(e.to_string()))?;
            threads = serde_json::from_str(&text)
                .map_err(|e| fault(format!("{e}; remove the file, then only threads are forgotten")))?;
        }
        Ok(Threads { threads: Mutex::new(threads), file })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Vec<Thread>) -> T) -> T {
        // A panic while the list was held leaves a list that is still a list.
        let mut threads = self.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        look(&mut threads)
    }

    /// Whether the bot speaks in this thread.
    pub fn is_active(&self, root: &str) -> bool {
        self.with(|threads| threads.iter().any(|t| t.root == root))
    }

    /// Channels of all threads.
    pub fn channels(&self) -> BTreeSet<String> {
        self.with(|threads| threads.iter().map(|t| t.channel.clone()).collect())
    }

    /// What is known of a thread.
    pub fn get(&self, root: &str) -> Thread {
        self.with(|threads| threads.iter().find(|t| t.root == root).cloned()).unwrap_or_default()
    }

    /// Notes that the bot speaks in a thread, with these tools and servers.
    pub fn note(&self, root: &str, channel: &str, tools: &[String], servers: &BTreeSet<String>) {
        let text = self.with(|threads| {
            let known = threads.iter().position(|t| t.root == root).map(|at| threads.remove(at));
            let mut thread = known.unwrap_or_default();
            thread.root = root.to_owned();
            if !channel.is_empty() {
                thread.channel = channel.to_owned();
            }
            thread.tools.retain(|t| !tools.contains(t));
            thread.tools.extend(tools.iter().cloned());
            let surplus = thread.tools.len().saturating_sub(TOOLS);
            thread.tools.drain(..surplus);
            thread.servers.extend(servers.iter().cloned());
            threads.push(thread);
            let surplus = threads.len().saturating_sub(MOST);
            threads.drain(..surplus);
            serde_json::to_string(threads)
        });
        let (Some(path), Ok(text)) = (&self.file, text) else { return };
        let beside = path.with_extension("new");
        let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
        if let Err(e) = written {
            tracing::warn!("{}: {e}; after a restart the threads of this run are forgotten", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_survive_a_restart_and_the_oldest_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("threads.json");
        let threads = Threads::open(Some(file.clone())).unwrap();
        for n in 0..=MOST {
            threads.note(&format!("r{n}"), "c", &["a".into()], &BTreeSet::new());
        }
        let servers = BTreeSet::from(["swf".to_owned()]);
        threads.note("r5", "c", &["b".into(), "a".into()], &servers);
        let again = Threads::open(Some(file)).unwrap();
        assert!(!again.is_active("r0") && again.is_active("r1"));
        let thread = again.get("r5");
        assert_eq!((thread.tools, thread.servers), (vec!["b".to_owned(), "a".to_owned()], servers));
    }
}
