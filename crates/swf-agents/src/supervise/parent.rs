//! Ending with the parent process.

use rustix::process::getppid;

use super::Error;

/// Variable in which a supervised program finds the process id of its supervisor.
pub const PARENT_VARIABLE: &str = "SWF_PARENT_PID";

/// Has this process sent `SIGTERM` when process `expected`, which must be its parent, dies.
///
/// Supervised programs end with their supervisor anyway, through its guard; this is the second
/// line, for a guard that is killed together with the supervisor. On Linux the signal comes when
/// the *thread* that made this process ends, so a supervisor must run on threads that last (those
/// of a tokio runtime do, unless `block_in_place` is used), and it is kept for the calling thread,
/// which should be the main one. Elsewhere only the parent is checked.
pub fn die_with_parent(expected: u32) -> Result<(), Error> {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
    {
        tracing::warn!(%error, "the kernel refuses a parent death signal; the guard alone ends this process");
    }
    // Checked after the request, or a parent that died in between would go unnoticed.
    let actual = getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
    if actual == expected { Ok(()) } else { Err(Error::ParentGone { expected, actual }) }
}

/// Whether process `expected`, once the parent of this one, is its parent no more, or is dying: a process that
/// was killed closes its files, by which its guard is told, a moment before its children get another parent.
pub fn parent_is_gone(expected: u32) -> bool {
    let actual = getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
    actual != expected || is_dying(expected)
}

/// False where there is no `/proc` to tell.
fn is_dying(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| says_dying(&stat))
}

/// The state letter and the flags of a `/proc/<pid>/stat` line.
fn says_dying(stat: &str) -> bool {
    /// The kernel's mark of a process that is about to end.
    const EXITING: u64 = 0x4;
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_whitespace();
    let state = fields.next().unwrap_or_default();
    let flags = fields.nth(5).and_then(|flags| flags.parse::<u64>().ok()).unwrap_or(0);
    matches!(state, "Z" | "X") || flags & EXITING != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dying_process_is_told_by_its_state_or_its_flags() {
        assert!(!says_dying("7 (a) b)) S 1 7 7 0 -1 4194304 5"));
        assert!(says_dying("7 (a) b)) R 1 7 7 0 -1 4194308 5"));
        assert!(says_dying("7 (a) Z 1 7 7 0 -1 4194304 5"));
        assert!(!says_dying(""));
        assert!(!is_dying(std::process::id()));
    }
}
