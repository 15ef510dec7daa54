//! Runs of the (simulated) data taking.

pub mod get;
pub mod list;

use chrono::{DateTime, Utc};

use crate::ToolDef;

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[ToolDef::of::<list::ListRuns>(), ToolDef::of::<get::GetRun>()];

/// Length of a run in seconds; none while it is open.
fn duration(start: DateTime<Utc>, end: Option<DateTime<Utc>>) -> Option<f64> {
    end.map(|end| super::workflows::monitor::seconds(end - start))
}
