//! The guard: a small process that outlives the supervisor and ends what it left.
//!
//! It reads the process groups to watch from a pipe. When the pipe closes, because the
//! supervisor ended or died, it ends every group still listed: `SIGTERM`, a short grace,
//! `SIGKILL`. It is a `/bin/sh` script and not a role of this binary because it must work for
//! every program that uses this library, and costs less than a megabyte.

use std::collections::BTreeSet;
use std::process::Stdio;

use rustix::process::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};

use super::{Error, Lock};

/// Grace between the signals is 15 × 0.1 s: all is gone 2 s after the supervisor's death.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
groups=
while read -r verb group; do
  rest=
  for g in $groups; do [ "$g" = "$group" ] || rest="$rest $g"; done
  groups=$rest
  if [ "$verb" = add ]; then groups="$groups $group"; fi
done
for g in $groups; do kill -s TERM -- "-$g" 2>/dev/null; done
n=0
while [ $n -lt 15 ]; do
  left=
  for g in $groups; do if kill -s 0 -- "-$g" 2>/dev/null; then left="$left $g"; fi; done
  groups=$left
  [ -n "$groups" ] || exit 0
  sleep 0.1
  n=$((n + 1))
done
for g in $groups; do kill -s KILL -- "-$g" 2>/dev/null; done
exit 0
"#;

enum Order {
    Watch(Pid, oneshot::Sender<Result<(), Error>>),
    Forget(Pid),
}

/// Handle on the guard; clones share one process. The guard ends when all are dropped.
#[derive(Debug, Clone)]
pub(super) struct Guard(mpsc::UnboundedSender<Order>);

impl Guard {
    /// A guard that is started with the first group, and that holds `lock` as long as it lives.
    /// The second value ends when the guard has ended.
    pub(super) fn new(lock: Option<&Lock>) -> Result<(Self, tokio::task::JoinHandle<()>), Error> {
        let lock = lock.map(Lock::share).transpose().map_err(|error| Error::Guard(error.to_string()))?;
        let (sender, orders) = mpsc::unbounded_channel();
        let keeper = Keeper { lock, groups: BTreeSet::new(), shell: None };
        Ok((Self(sender), tokio::spawn(keeper.run(orders))))
    }

    /// Returns once `group` would be ended after the supervisor's death.
    pub(super) async fn watch(&self, group: Pid) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Order::Watch(group, reply)).map_err(|_| Error::ShuttingDown)?;
        answer.await.map_err(|_| Error::ShuttingDown)?
    }

    /// `group` is gone; its number may be used again by others.
    pub(super) fn forget(&self, group: Pid) {
        // A guard that has ended watches nothing, so there is nothing to forget.
        drop(self.0.send(Order::Forget(group)));
    }
}

struct Keeper {
    lock: Option<std::fs::File>,
    groups: BTreeSet<i32>,
    shell: Option<(Child, ChildStdin)>,
}

impl Keeper {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    None => break,
                    Some(Order::Watch(group, reply)) => {
                        self.groups.insert(raw(group));
                        // The caller gave up when the answer cannot be delivered.
                        drop(reply.send(self.tell("add", raw(group)).await));
                    }
                    Some(Order::Forget(group)) => {
                        self.groups.remove(&raw(group));
                        if let Err(error) = self.tell("del", raw(group)).await {
                            tracing::error!("{error}");
                        }
                    }
                },
                () = ended(&mut self.shell) => {
                    tracing::warn!("the guard process ended unasked; starting another");
                    self.shell = None;
                    if let Err(error) = self.start().await {
                        tracing::error!("{error}");
                    }
                }
            }
        }
        if let Some((mut child, pipe)) = self.shell.take() {
            drop(pipe);
            if let Err(error) = child.wait().await {
                tracing::warn!(%error, "cannot wait for the guard process");
            }
        }
    }

    async fn tell(&mut self, verb: &str, group: i32) -> Result<(), Error> {
        let line = format!("{verb} {group}\n");
        if let Some((_, pipe)) = &mut self.shell
            && pipe.write_all(line.as_bytes()).await.is_ok()
        {
            return Ok(());
        }
        if self.groups.is_empty() { Ok(()) } else { self.start().await }
    }

    /// Starts the shell and tells it all groups.
    async fn start(&mut self) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::Guard(error.to_string());
        let held = match &self.lock {
            // The script writes nothing: its output is only a place to keep the lock open.
            Some(file) => Stdio::from(file.try_clone().map_err(failed)?),
            None => Stdio::null(),
        };
        let mut child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "swf-guard"])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(held)
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let mut pipe = child.stdin.take().ok_or_else(|| Error::Guard("it has no input".to_owned()))?;
        let known: String = self.groups.iter().map(|group| format!("add {group}\n")).collect();
        pipe.write_all(known.as_bytes()).await.map_err(failed)?;
        self.shell = Some((child, pipe));
        Ok(())
    }
}

async fn ended(shell: &mut Option<(Child, ChildStdin)>) {
    match shell {
        // Whatever the status is, this guard is of no more use.
        Some((child, _)) => drop(child.wait().await),
        None => std::future::pending().await,
    }
}

fn raw(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}
