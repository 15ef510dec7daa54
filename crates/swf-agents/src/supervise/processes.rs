//! What the system says about processes that are not our children.

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process, test_kill_process_group};

/// Kills what an ended group leader left. Does nothing while there is a process of that number: it
/// lives still, or the number belongs to somebody else by now.
pub(crate) fn clear_leftovers(leader: u32) {
    let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) else { return };
    if test_kill_process(group).is_ok() || group_is_gone(group) {
        return;
    }
    match kill_process_group(group, Signal::KILL) {
        Ok(()) => tracing::warn!(group = leader, "killed what process {leader} left behind"),
        Err(error) => tracing::warn!(%error, group = leader, "cannot kill what process {leader} left behind"),
    }
}

/// Whether nothing of the process group lives. Processes that have ended and only wait for init to
/// collect them do not live; some inits of containers do that late or never.
pub(crate) fn group_is_gone(group: Pid) -> bool {
    test_kill_process_group(group) == Err(rustix::io::Errno::SRCH) || only_zombies(group)
}

/// Whether a process lives: it exists, and is no zombie.
pub(super) fn is_alive(pid: Pid) -> bool {
    if test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    // Without /proc the kernel's word stands.
    !stat.ok().and_then(|stat| fields(&stat)).is_some_and(|(state, _)| is_dead(state))
}

/// False where there is no `/proc` to tell.
fn only_zombies(group: Pid) -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else { return false };
    let mut zombies = 0;
    for entry in entries.flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        match fields(&stat) {
            Some((state, own)) if own == group.as_raw_nonzero().get() => {
                if !is_dead(state) {
                    return false;
                }
                zombies += 1;
            }
            _ => {}
        }
    }
    zombies > 0
}

fn is_dead(state: char) -> bool {
    matches!(state, 'Z' | 'X')
}

/// The process group in a `/proc/<pid>/stat` line, unless the process has ended.
pub(crate) fn group_of(stat: &str) -> Option<i32> {
    fields(stat).filter(|(state, _)| !is_dead(*state)).map(|(_, group)| group)
}

/// State letter and process group in a `/proc/<pid>/stat` line. The command name before them may
/// hold blanks and parentheses.
fn fields(stat: &str) -> Option<(char, i32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_group_are_read_behind_any_command_name() {
        assert_eq!(fields("80 (a) b)) S 1 77 5 0"), Some(('S', 77)));
        assert_eq!(fields("80 (a"), None);
        assert_eq!(fields(""), None);
    }

    #[test]
    fn an_ended_child_that_was_not_collected_does_not_live() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let started = std::time::Instant::now();
        while is_alive(pid) && started.elapsed().as_secs() < 10 {
            std::thread::yield_now();
        }
        assert!(!is_alive(pid) && test_kill_process(pid).is_ok(), "it is a zombie");
        child.wait().unwrap();
        assert!(!is_alive(pid));
        assert!(is_alive(rustix::process::getpid()));
    }
}
