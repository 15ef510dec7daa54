//! The production configuration: tags that describe a sample, datasets made of them, tasks that produce them.
//!
//! *Invariant:* a locked tag never changes; only who made something may change, lock or delete it.

pub mod commands;
pub mod datasets;
pub mod parameters;
pub mod resources;
pub mod tags;
pub mod tasks;

use super::Resource;
use resources as r;

/// Every resource under `/pcs/api/`, in the order of the listing.
pub const RECORDS: &[&Resource] =
    &[&r::CATEGORIES, &r::PHYSICS, &r::EVGEN, &r::SIMU, &r::RECO, &r::DATASETS, &r::CONFIGS, &r::TASKS];
