//! The time, which tests can set.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// Where "now" comes from. Always microseconds, because that is what both databases keep.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A time that only moves when told to.
    Fixed(Arc<Mutex<DateTime<Utc>>>),
}

impl Clock {
    /// A clock that stands still at `time`.
    pub fn fixed(time: DateTime<Utc>) -> Clock {
        Clock::Fixed(Arc::new(Mutex::new(time)))
    }

    /// The time, UTC.
    pub fn now(&self) -> DateTime<Utc> {
        let now = match self {
            Clock::System => Utc::now(),
            Clock::Fixed(time) => *time.lock().unwrap_or_else(PoisonError::into_inner),
        };
        now.trunc_subsecs(6)
    }

    /// Moves a fixed clock; no effect on the system's.
    pub fn advance(&self, by: TimeDelta) {
        if let Clock::Fixed(time) = self {
            *time.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }
}
