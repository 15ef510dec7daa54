//! The agents, one file each.

pub(crate) mod data;
pub(crate) mod fast_processing;
pub(crate) mod fastmon;
pub(crate) mod processing;
pub(crate) mod runner;
pub(crate) mod worker;

use crate::agent::Incoming;

/// Split a batch into runs of neighbouring messages of one type, in order.
fn by_type(batch: &[Incoming]) -> impl Iterator<Item = &[Incoming]> {
    batch.chunk_by(|a, b| a.msg_type == b.msg_type)
}
