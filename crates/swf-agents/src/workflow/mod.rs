//! Workflows as data: a definition file becomes a program of timed steps (`docs/WORKFLOWS.md` has the format).
//!
//! *Invariant:* nothing here waits, sends or reads a clock for its decisions; the [`Engine`] is pure and is driven
//! by the runner, so that real time and discrete time run the same steps.

mod definition;
mod engine;
mod steps;
mod template;
#[cfg(test)]
mod tests;

pub(crate) use definition::DEFAULT_DESTINATION;
pub use definition::{Definition, Kind, Parameter};
pub use engine::{Action, Engine, EngineError, Identity};
