//! Dialogue of AI assistants, kept per user.

pub mod get;
pub mod record;

use crate::{Cx, Error, Scope, ToolDef};

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[ToolDef::of::<record::RecordAiMemory>(), ToolDef::of::<get::GetAiMemory>()];

/// A known caller has one memory: their own. Someone else's needs the admin scope. A caller without account
/// names any, as clients of the original do, where the installation lets such callers write at all.
fn own(cx: &Cx, username: &str) -> Result<(), Error> {
    if username.trim().is_empty() {
        return Err(Error::invalid("username", "is empty"));
    }
    match cx.caller.user.as_deref() {
        Some(caller) if caller != username && !cx.caller.may(Scope::Admin) => {
            Err(Error::Forbidden(Scope::Admin))
        }
        None if !cx.caller.may(Scope::Write) => Err(Error::Forbidden(Scope::Write)),
        _ => Ok(()),
    }
}
