//! A service on the sample data, with a broker on which the sample's agents and managers answer.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use serde_json::{Value, json};
use swf_db::testing::TestDb;
use swf_stomp::{AckMode, Broker, BrokerConfig, Client, ClientConfig, Message, Subscribe};
use swf_tools::panda::{self, seed};
use swf_tools::{Bus, Caller, Clock, Error, Gate, Scope, Service, Settings, Surface, ToolDef, registry};

/// The sample's "now": late, because the broker drops commands that have expired by its own clock.
pub fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2099, 11, 22, 12, 0, 0).unwrap()
}

/// A service, and what must live as long as it.
pub struct World {
    pub service: Arc<Service>,
    _broker: Option<Broker>,
    _folder: tempfile::TempDir,
}

impl World {
    /// On filled tables, without a broker.
    pub async fn quiet(db: &TestDb) -> World {
        World::make(db, None, Settings::default()).await
    }

    /// On filled tables, with a broker where everybody answers.
    pub async fn busy(db: &TestDb) -> World {
        let broker = Broker::start(BrokerConfig::new(([127, 0, 0, 1], 0).into())).await.unwrap();
        World::make(db, Some(broker), Settings::default()).await
    }

    pub async fn make(db: &TestDb, broker: Option<Broker>, settings: Settings) -> World {
        swf_tools::sample::fill(db, now()).await.unwrap();
        World::on(db, broker, settings).await
    }

    /// On tables as they are.
    pub async fn on(db: &TestDb, broker: Option<Broker>, settings: Settings) -> World {
        let folder = tempfile::tempdir().unwrap();
        let testbed = folder.path().join("testbed.toml");
        std::fs::write(
            &testbed,
            "[testbed]\nnamespace = \"torre1\"\n[workflow]\nname = \"stf_datataking\"\n",
        )
        .unwrap();
        let bus = match &broker {
            Some(broker) => Some(bus(broker).await),
            None => None,
        };
        let service = Service {
            db: db.db.clone(),
            panda: Some(production(folder.path()).await),
            bus,
            clock: Clock::fixed(now()),
            settings: Settings { testbed_config: Some((testbed, "SWF_TESTBED_CONFIG")), ..settings },
            sources: Default::default(),
        };
        World { service: Arc::new(service), _broker: broker, _folder: folder }
    }

    pub fn as_caller(&self, caller: Caller) -> Gate {
        Gate { service: self.service.clone(), caller, surface: Surface::Internal }
    }

    /// Calls as an operator.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Value, Error> {
        self.as_caller(Caller::user("torre", Scope::Admin)).call(tool, arguments).await
    }

    /// Calls what must work.
    pub async fn get(&self, tool: &str, arguments: Value) -> Value {
        let shown = arguments.to_string();
        self.call(tool, arguments).await.unwrap_or_else(|e| panic!("{tool} {shown}: {e} {e:?}"))
    }

    /// Calls what must fail; the text that the caller reads.
    pub async fn refusal(&self, tool: &str, arguments: Value) -> String {
        let shown = arguments.to_string();
        match self.call(tool, arguments).await {
            Ok(answer) => panic!("{tool} {shown} should fail but answers {answer}"),
            Err(error @ Error::Internal(_)) => panic!("{tool} {shown}: {error:?}"),
            Err(error) => error.to_string(),
        }
    }
}

/// A synthetic production that ends at the sample's now; engines and answers of PanDA have tests of their own.
async fn production(folder: &std::path::Path) -> panda::Panda {
    let url = format!("sqlite:{}", folder.join("panda.sqlite3").display());
    let db = seed::open(&url).await.unwrap();
    let plan = seed::Plan { jobs: 300, days: 10, ..seed::Plan::demo(now().naive_utc()) };
    seed::seed(&db, &plan).await.unwrap();
    db.close().await;
    panda::open(&url, panda::Settings::default()).await.unwrap()
}

/// Every tool.
pub fn tools() -> Vec<&'static ToolDef> {
    registry::all().collect()
}

/// Arguments that a tool's schema names.
pub fn properties(tool: &ToolDef) -> serde_json::Map<String, Value> {
    tool.input_schema()["properties"].as_object().cloned().unwrap_or_default()
}

/// Arguments of the tool's example.
pub fn example(tool: &ToolDef) -> Value {
    serde_json::from_str(tool.example).unwrap_or_else(|e| panic!("example of {}: {e}", tool.name))
}

/// The rows of a list answer, whatever the list is called.
pub fn rows(answer: &Value) -> &Vec<Value> {
    ["items", "tags"]
        .iter()
        .find_map(|key| answer[*key].as_array())
        .unwrap_or_else(|| panic!("no list in {answer}"))
}

async fn bus(broker: &Broker) -> Bus {
    let client = || Client::start(ClientConfig::new("127.0.0.1", broker.addr().port()));
    for queue in [
        "/queue/workflow_control.torre1",
        "/queue/workflow_control.epic-daq",
        "/queue/agent_control.torre",
        "/queue/agent_control.wenauseic",
        "/queue/agent_control.idle",
    ] {
        tokio::spawn(answer(client(), queue));
    }
    let client = client();
    client.connected(Duration::from_secs(10)).await.unwrap();
    Bus::new(client)
}

/// What the sample's runners and managers say to every command: yes.
async fn answer(client: Client, queue: &'static str) {
    let subscribe = Subscribe { ack: AckMode::Auto, ..Subscribe::to(queue) };
    let mut commands = client.subscribe(subscribe).await.unwrap();
    while let Some(command) = commands.next().await {
        let asked: Value = serde_json::from_slice(&command.body).unwrap();
        let reply = json!({
            "correlation_id": asked["correlation_id"], "accepted": true, "success": true,
            "execution_id": "stf_datataking-torre-0015", "message": "done", "agents": [],
        });
        let Some(to) = asked["reply_to"].as_str() else { continue };
        client.send(Message::new(to, reply.to_string())).await.unwrap();
    }
}
