//! Native process supervision: keeps programs running, stops them whole, leaves no orphan.
//!
//! The agent manager uses it for agents, `swf up` for broker, monitor and agent manager. Three
//! things make it hold:
//!
//! * every program leads its own process group, and a stop, a kill or a crash clears the group;
//! * a guard process outlives the supervisor and ends all groups when the supervisor
//!   dies, however it dies, so programs need not cooperate and may be of any kind;
//! * a program runs only after the guard knows its group: a supervisor killed between the fork
//!   and that moment leaves a child that ends by itself.
//!
//! Must be used inside a tokio runtime with time and io enabled; a current-thread one will do.

mod board;
mod child;
mod guard;
mod lock;
mod log;
mod parent;
mod processes;
mod program;
mod supervisor;
mod task;

pub use lock::Lock;
pub use log::LogFile;
pub use parent::{PARENT_VARIABLE, die_with_parent, parent_is_gone};
pub(crate) use processes::{clear_leftovers, group_is_gone, group_of};
pub use program::{Program, ProgramStatus, State};
pub use rustix::process::Signal;
pub use supervisor::Supervisor;

use std::path::PathBuf;

/// What can go wrong while supervising. Texts name the value and the way out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No program of that name was added.
    #[error("no program is named {name:?}; known: {}", list(.known))]
    Unknown {
        /// The name asked for.
        name: String,
        /// All names added.
        known: Vec<String>,
    },
    /// A program of that name exists already.
    #[error("a program named {0:?} is supervised already; remove it first")]
    Duplicate(String),
    /// The program is up, so it cannot be started.
    #[error("{name} is {state} already (pid {pid}); stop it first")]
    AlreadyRunning {
        /// Program name.
        name: String,
        /// The state it is in.
        state: State,
        /// Its process.
        pid: u32,
    },
    /// The program could not be executed.
    #[error("cannot start {name} ({}): {why}", .command.display())]
    Start {
        /// Program name.
        name: String,
        /// The command given.
        command: PathBuf,
        /// The cause in words.
        why: String,
    },
    /// The log folder or file could not be written.
    #[error("cannot write the log {}: {source}; make the folder writable or choose another", .path.display())]
    Log {
        /// File or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Another process holds the lock.
    #[error("{} is locked by {holder}; stop that process first", .path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// `process <pid>`, as the holder wrote it.
        holder: String,
    },
    /// The lock file could not be used.
    #[error("cannot lock {}: {source}; make its folder writable or choose another", .path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The process that started this one is gone already.
    #[error("the parent process {expected} is gone (parent is now {actual})")]
    ParentGone {
        /// The parent that was expected.
        expected: u32,
        /// The parent there is.
        actual: u32,
    },
    /// The guard process could not be run.
    #[error("cannot run the guard of the supervised processes with /bin/sh: {0}")]
    Guard(String),
    /// The supervisor is shutting down.
    #[error("the supervisor is shutting down")]
    ShuttingDown,
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
