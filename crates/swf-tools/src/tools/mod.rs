//! The tools, one file each, in groups; [`GROUPS`] is the only list of them.

pub mod agents;
pub mod discovery;
pub mod logs;
pub mod memory;
pub mod messages;
pub mod namespaces;
pub mod panda;
pub mod pcs;
pub mod runs;
pub mod stf_files;
pub mod system;
pub mod testbed;
pub mod tf_slices;
pub mod workflows;

use crate::{Bus, Cx, Error, ToolDef};

/// All groups, in the order of the documents.
pub const GROUPS: &[&[ToolDef]] = &[
    discovery::TOOLS,
    system::TOOLS,
    agents::TOOLS,
    namespaces::TOOLS,
    workflows::TOOLS,
    messages::TOOLS,
    runs::TOOLS,
    stf_files::TOOLS,
    tf_slices::TOOLS,
    logs::TOOLS,
    testbed::TOOLS,
    memory::TOOLS,
    panda::TOOLS,
    pcs::TOOLS,
];

/// The broker, or the error that says it is not configured.
fn bus(cx: &Cx) -> Result<&Bus, Error> {
    cx.service().bus.as_ref().ok_or_else(|| Error::Unavailable {
        what: "no message broker is configured, so nothing can be commanded; set ACTIVEMQ_HOST and \
               ACTIVEMQ_PORT (reads still work)"
            .into(),
    })
}
