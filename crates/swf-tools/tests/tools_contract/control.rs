//! Ending and killing, with real processes and a real broker.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use swf_db::Sql;
use swf_db::testing::{TestDb, on_each_db, on_sqlite};
use swf_tools::tables::SCHEMA;
use swf_tools::{Caller, Error, Scope};

use crate::support::{World, now};

#[tokio::test]
async fn ending_an_execution_closes_its_runs_once_and_a_second_time_is_refused() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let id = json!({"execution_id": "fast_processing-wenauseic-0002"});
        let ended = world.get("swf_end_execution", id.clone()).await;
        assert_eq!((&ended["old_status"], &ended["new_status"]), (&json!("running"), &json!("terminated")));
        assert_eq!(
            (&ended["end_time"], &ended["closed_runs"]),
            (&json!("2099-11-22T12:00:00+00:00"), &json!([100_009]))
        );
        assert_eq!(ended.get("note"), None, "its DAQ simulator is gone");
        let run = world.get("swf_get_run", json!({"run_number": 100_009})).await;
        assert_eq!(run["end_time"], "2099-11-22T12:00:00+00:00");
        let state: (String, String) = db
            .fetch_one(&Sql::new("SELECT phase, state FROM swf_run_state WHERE run_number = 100009"))
            .await
            .unwrap();
        assert_eq!(state, ("completed".into(), "ended".into()));
        let other: i64 =
            db.fetch_one(&Sql::new("SELECT count(*) FROM swf_runs WHERE end_time IS NULL")).await.unwrap();
        assert_eq!(other, 1, "the run of the other execution stays open");
        let refusal = world.refusal("swf_end_execution", id).await;
        assert_eq!(refusal, "Execution 'fast_processing-wenauseic-0002' is not running (status: terminated)");
        let living =
            world.get("swf_end_execution", json!({"execution_id": "stf_datataking-torre-0001"})).await;
        assert!(
            living["note"].as_str().unwrap().contains("daq_simulator-agent-torre-1 is alive"),
            "{living}"
        );
    })
    .await;
}

/// A process with the command line of a data agent.
struct Agent(Child);

impl Agent {
    fn start(name: &str) -> Agent {
        let child = Command::new("sleep").arg0(name).arg("600").stdin(Stdio::null()).spawn().unwrap();
        Agent(child)
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Makes an agent of the sample one of this host, with a process id.
async fn place(db: &TestDb, name: &str, pid: i64, host: &str, heard: chrono::DateTime<chrono::Utc>) {
    let sql = Sql::new("UPDATE swf_systemagent SET status = 'OK', operational_state = 'READY', pid =").with(
        "?, hostname = ?, last_heartbeat = ? WHERE instance_name = ?",
        [pid.into(), host.into(), heard.into(), name.into()],
    );
    assert_eq!(db.execute(&sql).await.unwrap(), 1);
}

const NAME: &str = "data-agent-torre-1";

async fn state(db: &TestDb, name: &str) -> (String, String) {
    let sql = Sql::new("SELECT status, operational_state FROM swf_systemagent WHERE instance_name =")
        .with("?", [name.into()]);
    db.fetch_one(&sql).await.unwrap()
}

#[tokio::test]
async fn an_agent_of_this_host_is_killed_and_the_answer_tells_the_truth() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let host = swf_tools::liveness::local_host();
        let kill = async || world.get("swf_kill_agent", json!({"name": NAME})).await;

        let mut agent = Agent::start("data-agent");
        place(&db, NAME, agent.0.id().into(), &host, now()).await;
        let killed = kill().await;
        assert_eq!((&killed["killed"], &killed["kill_error"]), (&json!(true), &Value::Null), "{killed}");
        assert_eq!((&killed["old_state"], &killed["new_state"]), (&json!("READY"), &json!("EXITED")));
        assert!(!agent.lives());
        assert_eq!(state(&db, NAME).await, ("EXITED".into(), "EXITED".into()));

        let gone = kill().await;
        assert_eq!(gone["killed"], false);
        assert!(gone["kill_error"].as_str().unwrap().contains("process"), "{gone}");
    })
    .await;
}

#[tokio::test]
async fn a_process_that_is_not_the_agent_s_is_left_alone() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let host = swf_tools::liveness::local_host();
        let kill = async || world.get("swf_kill_agent", json!({"name": NAME})).await;

        // The id was used again after the agent's last heartbeat.
        let mut later = Agent::start("data-agent");
        let heard = chrono::Utc::now() - chrono::TimeDelta::hours(1);
        place(&db, NAME, later.0.id().into(), &host, heard).await;
        let answer = kill().await;
        assert!(
            answer["kill_error"].as_str().unwrap().contains("after the agent's last heartbeat"),
            "{answer}"
        );
        assert!(later.lives());

        // Another program has the id.
        let mut other = Agent::start("postgres");
        place(&db, NAME, other.0.id().into(), &host, now()).await;
        let answer = kill().await;
        assert!(answer["kill_error"].as_str().unwrap().contains("it runs 'postgres 600'"), "{answer}");
        assert_eq!(answer["killed"], false);
        assert!(other.lives());

        // The agent runs elsewhere.
        place(&db, NAME, other.0.id().into(), "elsewhere.example.org", now()).await;
        let answer = kill().await;
        assert!(
            answer["kill_error"].as_str().unwrap().starts_with("Agent on 'elsewhere.example.org', not"),
            "{answer}"
        );
        assert!(other.lives());
        assert_eq!(state(&db, NAME).await.0, "EXITED");
    })
    .await;
}

#[tokio::test]
async fn nobody_and_everybody_and_this_server_are_refused_and_nothing_changes() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let host = swf_tools::liveness::local_host();
        for pid in [-1, 0, 1, i64::from(std::process::id())] {
            place(&db, NAME, pid, &host, now()).await;
            let refusal = world.refusal("swf_kill_agent", json!({"name": NAME})).await;
            assert!(refusal.starts_with(&format!("nothing was killed: process id {pid} ")), "{refusal}");
            assert_eq!(state(&db, NAME).await, ("OK".into(), "READY".into()));
        }
    })
    .await;
}

#[tokio::test]
async fn a_supervised_agent_is_killed_by_its_manager() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::busy(&db).await;
        let mut agent = Agent::start("data-agent");
        place(&db, NAME, agent.0.id().into(), &swf_tools::liveness::local_host(), now()).await;
        let killed = world.get("swf_kill_agent", json!({"name": NAME})).await;
        assert_eq!((&killed["killed"], &killed["note"]), (&json!(true), &json!("agent-manager-torre: done")));
        assert!(agent.lives(), "the manager does it, not this server");

        let rahmans = world.as_caller(Caller::user("rahmans", Scope::Control));
        let foreign = rahmans.call("swf_kill_agent", json!({"name": NAME})).await;
        assert!(matches!(foreign, Err(Error::Forbidden(Scope::Admin))), "{foreign:?}");
    })
    .await;
}

#[tokio::test]
async fn a_message_goes_out_in_the_caller_s_name_and_cannot_steer_agents() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::busy(&db).await;
        let sent =
            world.get("swf_send_message", json!({"message": "beam is back", "metadata": {"a": 1}})).await;
        assert_eq!((&sent["sender"], &sent["namespace"]), (&json!("torre-personal-agent"), &json!("torre1")));
        assert_eq!(
            (&sent["message_type"], &sent["content"]),
            (&json!("announcement"), &json!("beam is back"))
        );
        let test = world.get("swf_send_message", json!({"message": "x", "message_type": "test"})).await;
        assert_eq!(test["namespace"], Value::Null);
        for kind in ["end_run", "stf_gen", "run_workflow", "a b", ""] {
            let refusal =
                world.refusal("swf_send_message", json!({"message": "x", "message_type": kind})).await;
            assert!(refusal.starts_with(&format!("message_type: '{kind}'")), "{refusal}");
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_broker_commands_fail_and_say_that_nothing_was_sent() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        for (tool, arguments) in [
            ("swf_send_message", json!({"message": "x"})),
            ("swf_start_workflow", json!({"namespace": "epic-daq"})),
            ("swf_stop_workflow", json!({"execution_id": "stf_datataking-torre-0001"})),
            ("swf_stop_user_testbed", json!({"username": "torre"})),
        ] {
            let refusal = world.refusal(tool, arguments).await;
            assert!(refusal.contains("no message broker is configured"), "{tool}: {refusal}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_empty_namespace_is_refused_before_anybody_is_asked() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::busy(&db).await;
        let refusal = world.refusal("swf_start_workflow", json!({"namespace": " "})).await;
        assert!(refusal.starts_with("namespace: is empty"), "{refusal}");
    })
    .await;
}
