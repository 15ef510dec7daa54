//! The state of the whole.

pub mod diff;
mod errors;
pub mod get_state;
pub mod triage;

use swf_db::Sql;

use crate::{Cx, ToolDef};

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[
    ToolDef::of::<triage::Triage>(),
    ToolDef::of::<get_state::GetSystemState>(),
    ToolDef::of::<diff::Diff>(),
];

/// Limits log rows to a namespace. Agents of the original log none: their instance is known to belong to one.
fn logs_of(cx: &Cx, sql: &mut Sql, namespace: Option<&str>) {
    if let Some(namespace) = namespace {
        let said = cx.db.dialect().json_text("extra_data", "namespace");
        sql.and(
            &format!(
                "({said} = ? OR instance_name IN (SELECT instance_name FROM swf_systemagent WHERE namespace = ?))"
            ),
            [namespace.into(), namespace.into()],
        );
    }
}

/// Limits rows with a run number to the runs that messages of a namespace name.
fn runs_of(cx: &Cx, sql: &mut Sql, column: &str, namespace: Option<&str>) {
    let number = cx.db.dialect().text(column);
    let condition = format!("{number} IN (SELECT run_id FROM swf_workflow_messages WHERE namespace = ?)");
    sql.filter(&condition, namespace);
}
