//! The tools through their one door: what holds for every tool, and what each promises.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail")]

mod answers;
mod control;
mod every;
mod overview;
mod prompts;
mod random;
mod recorded;
mod rows;
mod support;
