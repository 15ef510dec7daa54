//! A lock file that one process holds, and that says which.

use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;
use tokio::time::{Instant, sleep};

use super::Error;
use super::processes::is_alive;

/// How often a busy lock is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// An exclusive lock on a file holding the pid of its owner. Released and removed on drop; also
/// released by the kernel when the owner dies and the guard has cleared up after it.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock. One held by a live process is refused at once; one whose owner is gone is
    /// waited for at most `patience`: its guard is still ending the processes it left.
    pub async fn acquire(path: &Path, patience: Duration) -> Result<Self, Error> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(lock) =
                Self::attempt(path).map_err(|source| Error::Lock { path: path.into(), source })?
            {
                return Ok(lock);
            }
            let owner = owner(path);
            if owner.is_some_and(is_alive) || Instant::now() >= deadline {
                let holder = owner.map(|pid| format!("process {}", pid.as_raw_nonzero()));
                let holder = holder.unwrap_or_else(|| "another process".to_owned());
                return Err(Error::Locked { path: path.into(), holder });
            }
            sleep(RETRY).await;
        }
    }

    fn attempt(path: &Path) -> std::io::Result<Option<Self>> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // The former holder may have removed the file between open and lock.
        let same = std::fs::metadata(path)
            .is_ok_and(|meta| file.metadata().is_ok_and(|own| own.ino() == meta.ino()));
        if !same {
            return Ok(None);
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Some(Self { path: path.to_owned(), file }))
    }

    /// A second handle on the same lock: it is held until all handles are closed.
    pub(super) fn share(&self) -> std::io::Result<File> {
        self.file.try_clone()
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "cannot remove the lock file {}", self.path.display());
        }
    }
}

/// The process that took the lock last.
fn owner(path: &Path) -> Option<Pid> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_lock_is_refused_naming_the_holder_until_the_first_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/manager.pid");
        let first = Lock::acquire(&path, Duration::ZERO).await.unwrap();
        let refused = Lock::acquire(&path, Duration::from_secs(60)).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        assert!(!path.exists());
        Lock::acquire(&path, Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn a_lock_file_left_by_a_dead_process_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.pid");
        std::fs::write(&path, "4194999\nlonger text of old").unwrap();
        let lock = Lock::acquire(&path, Duration::ZERO).await.unwrap();
        assert_eq!(std::fs::read_to_string(lock.path()).unwrap(), format!("{}\n", std::process::id()));
    }
}
