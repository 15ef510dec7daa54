//! Log files of supervised programs.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Error;

/// A log larger than this moves to `<name>.log.1` when its program is started.
const ROTATE_BYTES: u64 = 10 * 1024 * 1024;
/// At most this much of a log's end is looked at for its last lines.
const TAIL_BYTES: u64 = 4096;

/// The log file of one program: `<folder>/<name>.log`.
#[derive(Debug, Clone)]
pub struct LogFile {
    path: PathBuf,
    rotate_bytes: u64,
}

impl LogFile {
    /// The log of program `name` in `folder`; nothing is touched yet.
    pub fn new(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(format!("{name}.log")), rotate_bytes: ROTATE_BYTES }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for appending, after moving a large one aside. Returns the file and its length.
    pub fn open(&self) -> Result<(File, u64), Error> {
        let failed = |source| Error::Log { path: self.path.clone(), source };
        let large = std::fs::metadata(&self.path).is_ok_and(|meta| meta.len() > self.rotate_bytes);
        if large {
            std::fs::rename(&self.path, self.path.with_extension("log.1")).map_err(failed)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok((file, length))
    }

    /// The last `count` non-empty lines written after byte `from`; empty when unreadable.
    pub fn tail(&self, from: u64, count: usize) -> Vec<String> {
        let Ok(text) = self.read_end(from) else { return Vec::new() };
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        lines.iter().skip(lines.len().saturating_sub(count)).map(|line| (*line).to_owned()).collect()
    }

    fn read_end(&self, from: u64) -> std::io::Result<String> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES)).min(length)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_has_the_last_lines_of_this_start_only() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::new(folder.path(), "a");
        std::fs::write(log.path(), "old\n").unwrap();
        let (_, from) = log.open().unwrap();
        std::fs::write(log.path(), "old\none\n\ntwo\nthree\n").unwrap();
        assert_eq!(log.tail(from, 2), ["two", "three"]);
        assert_eq!(log.tail(from, 9), ["one", "two", "three"]);
    }

    #[test]
    fn a_large_log_is_moved_aside_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile { rotate_bytes: 10, ..LogFile::new(folder.path(), "a") };
        std::fs::write(log.path(), "more than ten bytes").unwrap();
        assert_eq!(log.open().unwrap().1, 0);
        let moved = std::fs::read_to_string(folder.path().join("a.log.1")).unwrap();
        assert_eq!(moved, "more than ten bytes");
    }

    #[test]
    fn an_unwritable_folder_is_named() {
        let log = LogFile::new(Path::new("/proc/none"), "a");
        assert!(log.open().unwrap_err().to_string().contains("/proc/none/a.log"));
    }
}
