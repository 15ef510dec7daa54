//! Agents whose supervisord was killed: they live on without anybody who watches them, and would work beside the
//! next ones.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpgrp, kill_process_group};
use tokio::time::{Instant, sleep};

use crate::supervise::{group_is_gone, group_of};

/// Time to end in order, before they are killed.
const GRACE: Duration = Duration::from_secs(5);
/// How often is looked whether they have ended.
const POLL: Duration = Duration::from_millis(50);

/// Ends the process groups that a supervisord of this socket started; the number of groups. Only to be called
/// while no such supervisord lives.
pub(super) async fn end(socket: &Path) -> usize {
    let groups = find(socket);
    if groups.is_empty() {
        return 0;
    }
    tracing::warn!("ending {} agent(s) of a supervisord that was killed: groups {groups:?}", groups.len());
    let pids: Vec<Pid> = groups.iter().filter_map(|group| Pid::from_raw(*group)).collect();
    signal(&pids, Signal::TERM);
    let deadline = Instant::now() + GRACE;
    while pids.iter().any(|group| !group_is_gone(*group)) {
        if Instant::now() >= deadline {
            let left: Vec<Pid> = pids.iter().copied().filter(|group| !group_is_gone(*group)).collect();
            signal(&left, Signal::KILL);
            break;
        }
        sleep(POLL).await;
    }
    groups.len()
}

fn signal(groups: &[Pid], signal: Signal) {
    for group in groups {
        if let Err(error) = kill_process_group(*group, signal)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(%error, "cannot signal process group {}", group.as_raw_nonzero());
        }
    }
}

/// supervisord names its socket to every program; what else is in such an environment came from there too.
/// Empty where there is no `/proc`.
fn find(socket: &Path) -> BTreeSet<i32> {
    let mark = format!("SUPERVISOR_SERVER_URL=unix://{}", socket.display());
    let own = getpgrp().as_raw_nonzero().get();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            // Those of other users cannot be read, and are not ours.
            let variables = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let mut variables = variables.split(|byte| *byte == 0);
            variables.any(|variable| variable == mark.as_bytes())
        })
        .filter_map(|entry| group_of(&std::fs::read_to_string(entry.path().join("stat")).ok()?))
        .filter(|group| *group != own)
        .collect()
}
