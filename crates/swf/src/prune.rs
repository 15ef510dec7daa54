//! `swf db prune`: deletes old rows now, or says what would go.

use anyhow::bail;
use swf_tools::{Clock, Service, retention};

use crate::roles::Role;

/// Runs it.
pub async fn run(role: &Role, dry_run: bool) -> anyhow::Result<()> {
    let db = role.database().await?;
    let policy = role.loaded.config.retention.policy();
    let (due, kept) = retention::plan(&db, &policy, Clock::System.now()).await?;
    for kept in kept {
        println!("{kept}");
    }
    if dry_run {
        for due in due {
            println!("{}: {} row(s) from before {} would go", due.table, due.count(&db).await?, due.before);
        }
        return Ok(());
    }
    swf_db::migrate(&db, &swf_tools::tables::SCHEMA).await?;
    let service = Service {
        db,
        panda: None,
        bus: None,
        clock: Clock::System,
        settings: role.settings()?,
        sources: Default::default(),
    };
    let holder = format!("swf db prune, process {}", std::process::id());
    match swf_server::retention::round(&service, &policy, &holder).await? {
        None => bail!("a monitor is deleting old rows now; look again in a few minutes"),
        Some(deleted) if deleted.is_empty() => println!("nothing was old enough"),
        Some(deleted) => {
            for (table, rows) in deleted {
                println!("{table}: deleted {rows} row(s)");
            }
        }
    }
    Ok(())
}
