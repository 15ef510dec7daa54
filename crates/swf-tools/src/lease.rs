//! Leases: of several replicas, one does a piece of work at a time.

use chrono::{DateTime, TimeDelta, Utc};
use swf_db::{Db, Error, Sql};

/// Takes the lease `name`, or prolongs it, for so long; false while another holds it. Who dies with a lease
/// loses it when its time is over.
pub async fn take(
    db: &Db,
    now: DateTime<Utc>,
    name: &str,
    holder: &str,
    length: TimeDelta,
) -> Result<bool, Error> {
    let sql = Sql::new("INSERT INTO swfx_lease (name, holder, until) VALUES").with(
        "(?, ?, ?) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until \
         WHERE swfx_lease.until < ? OR swfx_lease.holder = excluded.holder",
        [name.into(), holder.into(), (now + length).into(), now.into()],
    );
    Ok(db.execute(&sql).await? > 0)
}

/// Gives a lease back, if it is still this holder's.
pub async fn give_back(db: &Db, name: &str, holder: &str) -> Result<(), Error> {
    let sql = Sql::new("DELETE FROM swfx_lease WHERE name =")
        .with("? AND holder = ?", [name.into(), holder.into()]);
    db.execute(&sql).await.map(|_| ())
}
