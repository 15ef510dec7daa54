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

/// Whether process `expected`, once the parent of this one, is its parent no more.
pub fn parent_is_gone(expected: u32) -> bool {
    getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs()) != expected
}
