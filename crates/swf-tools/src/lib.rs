//! Everything the service can do: tools, records, and the registry from which the surfaces are derived.
//!
//! *Invariant:* nothing here knows HTTP or MCP; a tool runs only with a [`Cx`], and only [`Gate::call`] makes one.

pub mod accounts;
pub mod args;
pub mod bus;
pub mod caller;
pub mod ceiling;
pub mod clock;
pub mod counters;
pub mod detail;
pub mod error;
pub mod gate;
pub mod lease;
pub mod links;
pub mod list;
pub mod liveness;
pub mod panda;
pub mod records;
pub mod registry;
pub mod retention;
pub mod sample;
pub mod settings;
pub mod sources;
pub mod tables;
pub mod testbed_config;
pub mod time;
pub mod tool;
pub mod tools;

pub use bus::Bus;
pub use caller::{Caller, Scope};
pub use clock::Clock;
pub use error::Error;
pub use gate::{Cx, Gate, Service, Surface};
pub use settings::Settings;
pub use tool::{Hints, Tool, ToolDef, Toolset};
