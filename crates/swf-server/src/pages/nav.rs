//! The links at the head of every page.

use serde::Serialize;

use super::body::Anchor;
use super::catalog;
use super::visit::Visit;

/// Links at the head: the two views of the service, and the pages of the one that is shown.
#[derive(Debug, Serialize)]
pub struct Nav {
    /// Production or testbed.
    pub modes: Vec<Anchor>,
    /// Pages of the view.
    pub pages: Vec<Anchor>,
}

const TESTBED: &[(&str, &str)] = &[
    ("Workflows", "/workflows/"),
    ("Definitions", "/workflow-definitions/"),
    ("Executions", "/workflow-executions/"),
    ("Namespaces", "/namespaces/"),
    ("Runs", "/runs/"),
    ("STF files", "/stf-files/"),
    ("STF samples", "/fastmon-files/"),
    ("TF slices", "/tf-slices/"),
    ("Agents", "/workflow/agents/"),
    ("Subscribers", "/subscribers/"),
    ("Messages", "/workflow/messages/"),
    ("Logs", "/logs/summary/"),
    ("State", "/persistent-state/"),
    ("PanDA", "/panda/"),
];

const PRODUCTION: &[(&str, &str)] = &[
    ("Activity", "/panda/activity/"),
    ("Jobs", "/panda/jobs/"),
    ("Tasks", "/panda/tasks/"),
    ("Errors", "/panda/errors/"),
    ("Diagnostics", "/panda/diagnostics/"),
    ("Queues", "/panda/epic-queues/"),
    ("PCS", "/pcs/"),
    ("Physics tags", "/pcs/tags/p/"),
    ("EvGen tags", "/pcs/tags/e/"),
    ("Simu tags", "/pcs/tags/s/"),
    ("Reco tags", "/pcs/tags/r/"),
];

/// The links for a visit; pages that this server cannot show are left out.
pub fn of(visit: &Visit) -> Nav {
    let first = visit.segments.first().map(String::as_str).unwrap_or_default();
    let production = matches!(first, "prod" | "panda" | "pcs");
    let here = format!("/{}/", visit.segments.join("/"));
    let anchor =
        |(text, path): &(&str, &str)| Anchor { on: here == *path, ..Anchor::new(*text, visit.link(path)) };
    let exists = |(_, path): &&(&str, &str)| catalog::at(path).is_none_or(catalog::Page::exists);
    let modes = [
        Anchor { on: production, ..Anchor::new("ePIC Production", visit.link("/prod/")) },
        Anchor { on: !production, ..Anchor::new("ePIC Testbed", visit.link("/testbed/")) },
    ];
    let pages = if production { PRODUCTION } else { TESTBED };
    Nav { modes: modes.into(), pages: pages.iter().filter(exists).map(anchor).collect() }
}
