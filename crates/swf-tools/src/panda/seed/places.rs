//! Queues, users and storage of the synthetic production.

use chrono::{NaiveDateTime, TimeDelta};
use serde_json::json;
use swf_db::Value;

use super::Rows;
use super::rows::Dice;

/// A queue.
pub struct Place {
    /// Name of the queue.
    pub queue: &'static str,
    /// Virtual organisation.
    pub vo: &'static str,
    /// `online`, `brokeroff`, …
    pub status: &'static str,
    /// Cores of one slot.
    pub cores: i64,
    /// Memory of one slot in MB.
    pub maxrss: i64,
    /// Longest job in seconds.
    pub maxtime: i64,
    /// Kind of resource.
    pub resource: &'static str,
    /// Share of the jobs.
    pub weight: i64,
    /// Storage its outputs go to.
    pub storage: &'static str,
    /// Site and its computing element.
    pub site: &'static str,
}

/// The queues; those of another VO run nothing of ours.
pub const PLACES: &[Place] = &[
    Place {
        queue: "NERSC_Perlmutter_epic",
        vo: "eic",
        status: "online",
        cores: 8,
        maxrss: 16000,
        maxtime: 86400,
        resource: "hpc_special",
        weight: 30,
        storage: "BNL_PROD_DISK_1",
        site: "NERSC",
    },
    Place {
        queue: "NERSC_Perlmutter_epic_test",
        vo: "eic",
        status: "test",
        cores: 8,
        maxrss: 16000,
        maxtime: 43200,
        resource: "hpc_special",
        weight: 1,
        storage: "BNL_PROD_DISK_1",
        site: "NERSC",
    },
    Place {
        queue: "NERSC_Perlmutter_epic_gpu_test",
        vo: "eic",
        status: "test",
        cores: 16,
        maxrss: 64000,
        maxtime: 43200,
        resource: "gpu",
        weight: 1,
        storage: "BNL_PROD_DISK_1",
        site: "NERSC",
    },
    Place {
        queue: "BNL_OSG_PanDA_1",
        vo: "eic",
        status: "online",
        cores: 1,
        maxrss: 4000,
        maxtime: 172_800,
        resource: "GRID",
        weight: 25,
        storage: "BNL_PROD_DISK_1",
        site: "BNL-OSG",
    },
    Place {
        queue: "BNL_PanDA_1",
        vo: "eic",
        status: "online",
        cores: 8,
        maxrss: 24000,
        maxtime: 172_800,
        resource: "GRID",
        weight: 20,
        storage: "BNL_PROD_DISK_1",
        site: "BNL",
    },
    Place {
        queue: "E1_BNL",
        vo: "eic",
        status: "online",
        cores: 1,
        maxrss: 2000,
        maxtime: 86400,
        resource: "GRID",
        weight: 8,
        storage: "E1_BNL_DISK_1",
        site: "BNL",
    },
    Place {
        queue: "E1_JLAB",
        vo: "eic",
        status: "brokeroff",
        cores: 1,
        maxrss: 3000,
        maxtime: 86400,
        resource: "GRID",
        weight: 15,
        storage: "E1_JLAB_DISK_1",
        site: "JLAB",
    },
    Place {
        queue: "OTHER_VO_CLUSTER_1",
        vo: "atlas",
        status: "online",
        cores: 8,
        maxrss: 16000,
        maxtime: 345_600,
        resource: "GRID",
        weight: 0,
        storage: "OTHER_DISK",
        site: "OTHER",
    },
    Place {
        queue: "OTHER_VO_CLUSTER_2",
        vo: "lsst",
        status: "offline",
        cores: 1,
        maxrss: 4000,
        maxtime: 345_600,
        resource: "GRID",
        weight: 0,
        storage: "OTHER_DISK",
        site: "OTHER",
    },
];

/// Owners of jobs and tasks.
pub const USERS: &[(i64, &str)] = &[
    (50, "synthetic-epicprod"),
    (20, "synthetic-Ada Example"),
    (15, "synthetic-Ben Example"),
    (10, "synthetic-pilot"),
    (5, "synthetic-Cleo Example"),
];

/// A place by the dice, by share.
pub fn draw(dice: &mut Dice) -> Option<&'static Place> {
    let total: i64 = PLACES.iter().map(|p| p.weight).sum();
    let mut left = dice.range(0, total - 1);
    PLACES.iter().find(|p| {
        let here = left < p.weight;
        left -= p.weight;
        here
    })
}

/// Rows of `schedconfig_json`.
pub fn queues(now: NaiveDateTime, dice: &mut Dice) -> Rows {
    let mut out = Rows::new("schedconfig_json");
    for place in PLACES {
        let capability = match place.cores {
            1 => "score",
            8 => "mcore",
            _ => "ucore",
        };
        let data = json!({
            "status": place.status, "state": "ACTIVE", "vo_name": place.vo, "resource_type": place.resource,
            "type": "unified", "capability": capability, "corepower": 10.0 + f64::from(u8::try_from(place.cores).unwrap_or(1)) / 2.0,
            "corecount": place.cores, "site": place.site, "atlas_site": place.site, "panda_site": place.queue,
            "region": "US", "country": "United States", "tier": "T1", "cloud": "US",
            "container_type": "apptainer:pilot", "pilot_version": "3", "pilot_manager": "Harvester",
            "maxrss": place.maxrss, "minrss": 0, "maxtime": place.maxtime, "mintime": 0, "maxwdir": 20480,
            "is_cvmfs": true, "is_unified": true, "use_pcache": false, "workflow": null,
            "copytools": {"rucio": {"setup": ""}}, "astorages": {"pw": [place.storage], "pr": [place.storage]},
            "queues": [{"ce_endpoint": format!("ce.{}.invalid:9619", place.site.to_lowercase()), "ce_flavour": "HTCONDOR-CE", "ce_status": "ACTIVE"}],
            "catchall": "synthetic", "environ": "", "params": {"plugin": "base"},
        });
        out.add(vec![
            ("panda_queue", place.queue.into()),
            ("data", data.into()),
            ("last_update", (now - TimeDelta::seconds(dice.range(60, 1200))).into()),
        ]);
    }
    out
}

/// Rows of `harvester_worker_stats`: the snapshot of the last minutes.
pub fn worker_stats(now: NaiveDateTime, dice: &mut Dice) -> Rows {
    let mut out = Rows::new("harvester_worker_stats");
    let statuses: [(&str, i64); 6] = [
        ("running", 90),
        ("submitted", 40),
        ("ready", 15),
        ("finished", 120),
        ("failed", 12),
        ("cancelled", 8),
    ];
    for place in PLACES.iter().filter(|p| p.weight > 1 || p.vo != "eic") {
        // One site's Harvester has been silent for six hours.
        let age = if place.queue == "E1_JLAB" { 6 * 3600 } else { dice.range(60, 900) };
        for (status, about) in statuses {
            let workers: i64 = dice.range(about / 2, about * 2) * place.weight.max(3) / 20;
            let resource = if place.cores > 1 { "MCORE" } else { "SCORE" };
            let row: Vec<(&'static str, Value)> = vec![
                ("harvester_id", "EIC_harvester_synthetic".into()),
                ("computingsite", place.queue.into()),
                ("resourcetype", resource.into()),
                ("status", status.into()),
                ("jobtype", "managed".into()),
                ("n_workers", workers.into()),
                ("lastupdate", (now - TimeDelta::seconds(age)).into()),
            ];
            out.add(row);
        }
    }
    out
}
