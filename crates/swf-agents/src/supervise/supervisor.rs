//! The supervisor: all programs of one process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::board::Board;
use super::guard::Guard;
use super::log::LogFile;
use super::program::{Program, ProgramStatus, State};
use super::task::{Order, Reply, Task};
use super::{Error, Lock};

/// Keeps programs running. Drop ends everything (through the guard at the latest);
/// [`shutdown`](Self::shutdown) does it in order and waits.
#[derive(Debug)]
pub struct Supervisor {
    log_dir: PathBuf,
    board: Arc<Board>,
    entries: Mutex<Vec<Entry>>,
    guard: Guard,
    guard_end: JoinHandle<()>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// A supervisor whose programs log to `<log_dir>/<name>.log`. The folder is made.
    pub fn new(log_dir: &Path) -> Result<Self, Error> {
        Self::build(log_dir, None)
    }

    /// As [`new`](Self::new); `lock` stays taken after this process was killed until its
    /// programs are gone, so that a successor does not meet them.
    pub fn with_lock(log_dir: &Path, lock: &Lock) -> Result<Self, Error> {
        Self::build(log_dir, Some(lock))
    }

    fn build(log_dir: &Path, lock: Option<&Lock>) -> Result<Self, Error> {
        std::fs::create_dir_all(log_dir).map_err(|source| Error::Log { path: log_dir.into(), source })?;
        let (guard, guard_end) = Guard::new(lock)?;
        let board = Arc::new(Board::new());
        Ok(Self { log_dir: log_dir.into(), board, entries: Mutex::default(), guard, guard_end })
    }

    /// Adds a program, stopped.
    pub fn add(&self, program: Program) -> Result<(), Error> {
        let mut entries = self.entries();
        if entries.iter().any(|entry| entry.name == program.name) {
            return Err(Error::Duplicate(program.name));
        }
        let (sender, orders) = mpsc::unbounded_channel();
        let name = program.name.clone();
        let log = LogFile::new(&self.log_dir, &name);
        self.board.add(&name);
        let (guard, board) = (self.guard.clone(), Arc::clone(&self.board));
        let task = Task { program, log, guard, board, orders, quick_exits: 0, attempts: 0, restarts: 0 };
        entries.push(Entry { name, orders: sender, task: tokio::spawn(task.run()) });
        Ok(())
    }

    /// Stops a program and forgets it.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        self.stop(name).await?;
        let entry = {
            let mut entries = self.entries();
            let at = entries.iter().position(|entry| entry.name == name);
            at.map(|at| entries.remove(at))
        };
        if let Some(entry) = entry {
            drop(entry.orders);
            finished(entry.task).await;
        }
        self.board.remove(name);
        Ok(())
    }

    /// Starts one program; returns when its process exists (STARTING).
    pub async fn start(&self, name: &str) -> Result<(), Error> {
        self.order(name, Order::Start).await
    }

    /// Stops one program; returns when nothing of its process group is left.
    pub async fn stop(&self, name: &str) -> Result<(), Error> {
        self.order(name, Order::Stop).await
    }

    /// Stops one program, if it is up, and starts it.
    pub async fn restart(&self, name: &str) -> Result<(), Error> {
        self.stop(name).await?;
        self.start(name).await
    }

    /// Kills the process group of one program with `SIGKILL`; it is not restarted.
    pub async fn kill(&self, name: &str) -> Result<(), Error> {
        self.order(name, Order::Kill).await
    }

    /// Starts all programs that are not up, in the order they were added. The first failure ends it.
    pub async fn start_all(&self) -> Result<(), Error> {
        for status in self.states() {
            if !status.state.has_process() {
                self.start(&status.name).await?;
            }
        }
        Ok(())
    }

    /// Stops all programs at the same time.
    pub async fn stop_all(&self) {
        let names = self.names();
        for result in join_all(names.iter().map(|name| self.stop(name))).await {
            if let Err(error) = result {
                tracing::warn!("{error}");
            }
        }
    }

    /// Stops all programs one after another, the last added first.
    pub async fn stop_in_reverse(&self) {
        for name in self.names().iter().rev() {
            if let Err(error) = self.stop(name).await {
                tracing::warn!("{error}");
            }
        }
    }

    /// States of all programs in the order they were added.
    pub fn states(&self) -> Vec<ProgramStatus> {
        self.board.all()
    }

    /// State of one program.
    pub fn state(&self, name: &str) -> Result<ProgramStatus, Error> {
        self.board.get(name).ok_or_else(|| self.unknown(name))
    }

    /// Told at each change of any state.
    pub fn changes(&self) -> watch::Receiver<Vec<ProgramStatus>> {
        self.board.subscribe()
    }

    /// Waits until none of `names` is STARTING, BACKOFF or STOPPING: each is RUNNING, or has
    /// failed, or was stopped. Returns their states.
    pub async fn settled(&self, names: &[String]) -> Vec<ProgramStatus> {
        let mut changes = self.changes();
        let moving = |status: &ProgramStatus| {
            names.contains(&status.name)
                && matches!(status.state, State::Starting | State::Backoff | State::Stopping)
        };
        // The board is held by `self`, so the wait ends only by its condition.
        let result = changes.wait_for(|all| !all.iter().any(moving)).await;
        drop(result);
        self.states().into_iter().filter(|status| names.contains(&status.name)).collect()
    }

    /// Stops all programs at the same time, then the guard. Nothing is left afterwards.
    pub async fn shutdown(self) {
        self.stop_all().await;
        self.finish().await;
    }

    /// As [`shutdown`](Self::shutdown), one program after another, the last added first.
    pub async fn shutdown_in_reverse(self) {
        self.stop_in_reverse().await;
        self.finish().await;
    }

    async fn finish(self) {
        let entries = std::mem::take(&mut *self.entries());
        for entry in entries {
            drop(entry.orders);
            finished(entry.task).await;
        }
        drop(self.guard);
        finished(self.guard_end).await;
    }

    async fn order(&self, name: &str, order: impl FnOnce(Reply) -> Order) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        let sent = {
            let entries = self.entries();
            entries.iter().find(|entry| entry.name == name).map(|entry| entry.orders.send(order(reply)))
        };
        match sent {
            None => Err(self.unknown(name)),
            Some(Err(_)) => Err(Error::ShuttingDown),
            Some(Ok(())) => answer.await.map_err(|_| Error::ShuttingDown)?,
        }
    }

    fn unknown(&self, name: &str) -> Error {
        Error::Unknown { name: name.to_owned(), known: self.names() }
    }

    fn names(&self) -> Vec<String> {
        self.entries().iter().map(|entry| entry.name.clone()).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        // The list is whole at every moment, so a panic elsewhere does not spoil it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn finished(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a supervision task failed");
    }
}
