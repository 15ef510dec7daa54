//! A synthetic production behind a gate.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use swf_db::{Db, Options};
use swf_tools::panda::seed::{self, Plan};
use swf_tools::panda::{self, Panda, Settings};
use swf_tools::{Caller, Clock, Error, Gate, Scope, Service, Surface};

/// A production of one test.
pub struct Plant {
    pub gate: Gate,
    pub panda: Panda,
    /// Where the tables are, for tests that break them.
    pub url: String,
    _folder: Option<tempfile::TempDir>,
}

/// The moment at which every synthetic production of the tests ends.
pub fn now() -> DateTime<Utc> {
    "2026-07-15T12:00:00Z".parse().unwrap()
}

pub fn plan() -> Plan {
    Plan { jobs: 700, days: 20, now: now().naive_utc(), seed: 3, copies: 1, all_partitions: false }
}

/// Settings with short limits, so that tests of faults need not wait long.
pub fn settings() -> Settings {
    Settings { connections: 4, ..Settings::default() }
}

/// A gate in front of a PanDA, with an empty testbed beside it.
pub async fn gate(panda: Option<Panda>) -> Gate {
    let main = Db::open("sqlite::memory:", &Options::default()).await.unwrap();
    swf_db::migrate(&main, &swf_tools::tables::SCHEMA).await.unwrap();
    let service = Service {
        db: main,
        panda,
        bus: None,
        clock: Clock::fixed(now()),
        settings: swf_tools::Settings::default(),
        sources: Default::default(),
    };
    Gate {
        service: Arc::new(service),
        caller: Caller::user("tester", Scope::Read),
        surface: Surface::Internal,
    }
}

/// A production in a SQLite file.
pub async fn sqlite(plan: &Plan, settings: Settings) -> Plant {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("panda.sqlite").display());
    let db = seed::open(&url).await.unwrap();
    seed::seed(&db, plan).await.unwrap();
    db.close().await;
    Plant { _folder: Some(folder), ..plant(&url, settings).await }
}

/// A production in an empty PostgreSQL database.
pub async fn postgres(url: &str, plan: &Plan, settings: Settings) -> Plant {
    let db = seed::open(url).await.unwrap();
    seed::seed(&db, plan).await.unwrap();
    db.close().await;
    plant(url, settings).await
}

/// A gate in front of a production that exists.
pub async fn plant(url: &str, settings: Settings) -> Plant {
    let panda = panda::open(url, settings).await.unwrap();
    Plant { gate: gate(Some(panda.clone())).await, panda, url: url.to_owned(), _folder: None }
}

impl Plant {
    pub async fn try_call(&self, tool: &str, arguments: Value) -> Result<Value, Error> {
        self.gate.call(tool, arguments).await
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        let shown = arguments.to_string();
        self.try_call(tool, arguments).await.unwrap_or_else(|e| panic!("{tool} {shown}: {e}: {e:?}"))
    }

    /// Changes the tables by hand.
    pub async fn script(&self, text: &str) {
        let db = seed::open(&self.url).await.unwrap();
        db.script(text.to_owned()).await.unwrap();
        db.close().await;
    }

    pub async fn close(self) {
        self.panda.db().close().await;
    }
}

/// Every tool with a call that works on the synthetic production.
pub fn calls() -> Vec<(&'static str, Value)> {
    let tools = swf_tools::tools::panda::TOOLS;
    tools.iter().map(|t| (t.name, serde_json::from_str(t.example).unwrap_or(json!({})))).collect()
}
