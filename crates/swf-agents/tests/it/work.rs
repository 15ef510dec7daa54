//! Single agents: repetition, bad messages, namespaces, outages, outbox.

use serde_json::{Value, json};
use swf_agents::Kind;

use crate::rig::{NAMESPACE, Rig, next, next_of};

const TOPIC: &str = "/topic/epictopic";

fn run_message(msg_type: &str) -> Value {
    json!({ "msg_type": msg_type, "namespace": NAMESPACE, "run_id": "100010", "execution_id": "e-1", "state": "beam" })
}

fn stf_gen(sequence: u32) -> Value {
    json!({
        "msg_type": "stf_gen", "namespace": NAMESPACE, "execution_id": "e-1", "run_id": "100010",
        "filename": format!("swf.100010.{sequence:06}.stf"), "sequence": sequence, "state": "run", "substate": "physics",
    })
}

fn tf_file(count: i64) -> Value {
    json!({
        "msg_type": "tf_file_registered", "namespace": NAMESPACE, "run_id": "100010", "execution_id": "e-1",
        "tf_filename": "swf.100010.000001_tf_001.tf", "tf_first": 10, "tf_last": 9 + count, "tf_count": count,
        "stf_filename": "swf.100010.000001.stf",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_message_makes_no_second_row_and_the_same_follow_up() {
    let rig = Rig::start().await;
    let _data = rig.agent(Kind::Data).await;
    let mut topic = rig.listen(TOPIC).await;
    rig.send(TOPIC, run_message("run_imminent")).await;
    rig.send(TOPIC, run_message("run_imminent")).await;
    rig.send_as(TOPIC, stf_gen(1), "uid-1").await;
    let (first, delivery) = next_of(&mut topic, "stf_ready").await;
    let uid = delivery.headers.get("message-uid").unwrap().to_owned();
    rig.send_as(TOPIC, stf_gen(1), "uid-1").await;
    let (second, delivery) = next_of(&mut topic, "stf_ready").await;
    assert_eq!(delivery.headers.get("message-uid"), Some(uid.as_str()));
    assert_eq!(first, second);
    assert_eq!(first["execution_id"], json!("e-1"));
    assert_eq!((rig.double.table("runs").len(), rig.double.table("stf-files").len()), (1, 1));
    rig.double
        .until("the file is processed and keeps its metadata", |rows| {
            rows.of("stf-files").iter().all(|row| {
                row["status"] == "processed"
                    && row["metadata"]["sequence"] == 1
                    && row["metadata"]["processed_by"].is_string()
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_and_foreign_messages_neither_stop_an_agent_nor_reach_its_rows() {
    let rig = Rig::start().await;
    let data = rig.agent(Kind::Data).await;
    let mut topic = rig.listen(TOPIC).await;
    let send_raw = async |body: &'static [u8]| {
        rig.client.send(swf_stomp::Message::new(TOPIC, body)).await.unwrap();
    };
    send_raw(b"not json").await;
    send_raw(b"[1, 2]").await;
    send_raw(b"\xff\xfe").await;
    rig.send(TOPIC, json!({ "msg_type": "run_imminent", "run_id": "test-run-001", "namespace": NAMESPACE }))
        .await;
    rig.send(TOPIC, json!({ "msg_type": "run_imminent", "run_id": "7", "namespace": "other" })).await;
    rig.send(TOPIC, stf_gen(1)).await;
    rig.send(TOPIC, json!({ "msg_type": "run_imminent", "run_id": 100_010 })).await;
    rig.send(TOPIC, stf_gen(2)).await;
    let (ready, _) = next_of(&mut topic, "stf_ready").await;
    assert_eq!(ready["sequence"], json!(2), "the first came before its run");
    assert_eq!(rig.double.table("runs").len(), 1);
    data.end().await;
    assert_eq!(rig.double.table("systemagents")[0]["metadata"]["messages_failed"], json!(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_waits_for_a_monitor_that_is_away_and_loses_nothing() {
    let rig = Rig::start().await;
    let _data = rig.agent(Kind::Data).await;
    let mut topic = rig.listen(TOPIC).await;
    rig.double.with(|rows| rows.unavailable = 4);
    rig.send(TOPIC, run_message("run_imminent")).await;
    rig.send(TOPIC, stf_gen(1)).await;
    next_of(&mut topic, "stf_ready").await;
    assert_eq!(rig.double.with(|rows| rows.unavailable), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_sent_while_an_agent_is_down_wait_for_it() {
    let rig = Rig::start().await;
    let mut topic = rig.listen(TOPIC).await;
    rig.agent(Kind::Data).await.end().await;
    rig.send(TOPIC, run_message("run_imminent")).await;
    rig.send(TOPIC, stf_gen(1)).await;
    let _again = rig.agent_with(Kind::Data, rig.config());
    next_of(&mut topic, "stf_ready").await;
    assert_eq!(rig.double.table("systemagents").len(), 1, "it kept its name");
    assert_eq!(rig.double.table("subscribers").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_of_one_identity_is_refused_and_another_instance_is_not() {
    let rig = Rig::start().await;
    let _first = rig.agent(Kind::Worker).await;
    let error = rig.agent_with(Kind::Worker, rig.config()).outcome().await.unwrap_err().to_string();
    assert!(error.contains("runs already as process") && error.contains("--instance"), "{error}");
    let mut config = rig.config();
    config.instance = Some(2);
    let _second = rig.agent_with(Kind::Worker, config);
    rig.double.until("two workers are up", |rows| rows.of("systemagents").len() == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_ends_the_agent_with_the_monitors_words() {
    let rig = Rig::start().await;
    let mut config = rig.config();
    config.monitor.token = Some("wrong".into());
    let error = rig.agent_with(Kind::Data, config).outcome().await.unwrap_err().to_string();
    assert!(error.contains("POST api/namespaces/ensure/") && error.contains("Invalid token."), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queued_slices_of_an_earlier_life_are_sent_again_at_start() {
    let rig = Rig::start().await;
    rig.double.with(|rows| {
        let execution = json!({
            "execution_id": "e-1", "namespace": NAMESPACE, "status": "running", "start_time": swf_agents::now(),
            "parameter_values": { "effective": { "slice_processing_time": 9.0 }, "run": { "realtime": true } },
        });
        let foreign = json!({ "execution_id": "e-2", "namespace": "other", "start_time": swf_agents::now() });
        let old = json!({ "execution_id": "e-3", "namespace": NAMESPACE, "start_time": "2020-01-01T00:00:00+00:00" });
        for row in [execution, foreign, old] {
            rows.of("workflow-executions").push(row.as_object().unwrap().clone());
        }
        for (slice, execution, status) in
            [(0, "e-1", "completed"), (1, "e-1", "queued"), (2, "e-2", "queued"), (3, "e-3", "queued")]
        {
            let slice = json!({
                "slice_id": slice, "tf_first": 0, "tf_last": 1, "tf_count": 2, "tf_filename": format!("s{slice}.tf"),
                "stf_filename": "s.stf", "run_number": 100_010, "status": status, "retries": 0,
                "metadata": { "execution_id": execution },
            });
            rows.of("tf-slices").push(slice.as_object().unwrap().clone());
        }
    });
    let mut slices = rig.listen(&format!("/queue/panda.transformer.slices.{NAMESPACE}")).await;
    let _agent = rig.agent_with(Kind::FastProcessing, rig.config());
    let (slice, delivery) = next(&mut slices).await;
    assert_eq!(slice["content"]["tf_filename"], json!("s1.tf"));
    assert_eq!(delivery.headers.get("slice-seconds"), Some("9"));
    let mut workers = rig.listen("/topic/panda.workers").await;
    rig.send(TOPIC, run_message("end_run")).await;
    next_of(&mut workers, "end_run").await;
    let more = tokio::time::timeout(std::time::Duration::from_millis(300), slices.next()).await;
    assert!(more.is_err(), "only the slice without result of our own recent execution is sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_tf_file_sends_only_slices_without_result_and_results_after_the_end_count() {
    let rig = Rig::start().await;
    let _agent = rig.agent(Kind::FastProcessing).await;
    let mut slices = rig.listen(&format!("/queue/panda.transformer.slices.{NAMESPACE}")).await;
    rig.send(TOPIC, tf_file(4)).await;
    let (first, delivery) = next(&mut slices).await;
    let uid = delivery.headers.get("message-uid").unwrap().to_owned();
    let (second, _) = next(&mut slices).await;
    let expires: i64 = delivery.headers.get("expires").unwrap().parse().unwrap();
    assert!(expires > chrono::Utc::now().timestamp_millis());
    assert_eq!(delivery.headers.get("vo"), Some("eic"));
    let keys: Vec<&String> = first["content"].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "run_id",
            "execution_id",
            "req_id",
            "filename",
            "tf_filename",
            "slice_id",
            "start",
            "end",
            "tf_count",
            "state",
            "substate"
        ]
    );
    rig.send(TOPIC, run_message("end_run")).await;
    let result = json!({
        "run_id": "100010",
        "content": { "state": "done", "hostname": "h", "result": { "result": {
            "slice_id": second["content"]["slice_id"], "tf_filename": second["content"]["tf_filename"], "processed": true,
        } } },
    });
    rig.send(&format!("/queue/panda.results.fastprocessing.{NAMESPACE}"), result).await;
    rig.double
        .until("the late result counts", |rows| {
            rows.of("tf-slices").iter().filter(|row| row["status"] == "completed").count() == 1
        })
        .await;
    rig.send(TOPIC, tf_file(4)).await;
    let (again, delivery) = next(&mut slices).await;
    assert_eq!(again["content"]["tf_filename"], first["content"]["tf_filename"]);
    assert_eq!(delivery.headers.get("message-uid"), Some(uid.as_str()));
    assert_eq!(rig.double.table("tf-slices").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_of_a_killed_worker_go_to_another() {
    let rig = Rig::start().await;
    let queue = format!("/queue/panda.transformer.slices.{NAMESPACE}");
    let mut results = rig.listen(&format!("/queue/panda.results.fastprocessing.{NAMESPACE}")).await;
    let worker = rig.agent(Kind::Worker).await;
    let slice = |seconds: &str| {
        let body = json!({
            "msg_type": "slice", "run_id": "100010", "content": { "slice_id": 0, "tf_filename": "a.tf" },
        });
        swf_stomp::Message::new(&queue, body.to_string().into_bytes()).with("slice-seconds", seconds)
    };
    rig.client.send(slice("3600")).await.unwrap();
    let (started, _) = next(&mut results).await;
    assert_eq!(started["content"]["state"], json!("processing"));
    worker.end().await;
    let mut config = rig.config();
    config.instance = Some(2);
    let _other = rig.agent_with(Kind::Worker, config);
    let (again, _) = next(&mut results).await;
    assert_eq!(again["content"]["result"]["result"]["tf_filename"], json!("a.tf"));
    rig.client.send(slice("0")).await.unwrap();
    let (done, _) = next(&mut results).await;
    assert_eq!(done["content"]["state"], json!("done"));
    assert_eq!(done["content"]["result"]["result"]["processed"], json!(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slice_sent_twice_is_answered_twice_and_done_once() {
    let rig = Rig::start().await;
    let mut results = rig.listen(&format!("/queue/panda.results.fastprocessing.{NAMESPACE}")).await;
    let _worker = rig.agent(Kind::Worker).await;
    let body =
        json!({ "msg_type": "slice", "run_id": "1", "content": { "slice_id": 0, "tf_filename": "a.tf" } });
    let slice = swf_stomp::Message::new(
        format!("/queue/panda.transformer.slices.{NAMESPACE}"),
        body.to_string().into_bytes(),
    );
    let slice = slice.with("slice-seconds", "0.2").with("message-uid", "uid-9");
    rig.client.send(slice.clone()).await.unwrap();
    let mut states = Vec::new();
    for _ in 0..2 {
        states.push(next(&mut results).await.0["content"]["state"].clone());
    }
    rig.client.send(slice).await.unwrap();
    states.push(next(&mut results).await.0["content"]["state"].clone());
    assert_eq!(states, [json!("processing"), json!("done"), json!("done")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_say_when_the_broker_is_lost_and_the_agent_works_on_when_it_is_back() {
    let mut rig = Rig::start().await;
    let _data = rig.agent(Kind::Data).await;
    rig.lose_broker().await;
    let double = rig.double.clone();
    double
        .until("the heartbeat warns", |rows| {
            rows.of("systemagents").iter().all(|row| {
                row["status"] == "WARNING"
                    && row["mq_connected"] == false
                    && row["description"].as_str().unwrap().contains("MQ: disconnected")
            })
        })
        .await;
    rig.bring_broker_back().await;
    double
        .until("the heartbeat is well", |rows| {
            rows.of("systemagents").iter().all(|row| row["status"] == "OK")
        })
        .await;
    rig.client.connected(std::time::Duration::from_secs(10)).await.unwrap();
    let mut topic = rig.listen(TOPIC).await;
    // The durable subscription of the agent is made anew; messages before that moment are not for it.
    for n in 1.. {
        rig.send(TOPIC, run_message("run_imminent")).await;
        rig.send(TOPIC, stf_gen(n)).await;
        let waited =
            tokio::time::timeout(std::time::Duration::from_millis(500), next_of(&mut topic, "stf_ready"));
        if waited.await.is_ok() {
            return;
        }
        assert!(n < 40, "the agent never took a message again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_processing_agent_takes_what_is_ready_from_the_topic_and_registers_no_stage() {
    let rig = Rig::start().await;
    let _processing = rig.agent(Kind::Processing).await;
    let mut done = rig.listen("/queue/monitoring_agent").await;
    let ready = json!({
        "msg_type": "stf_ready", "namespace": NAMESPACE, "run_id": "100010", "execution_id": "e-1",
        "filename": "swf.100010.000001.stf",
    });
    rig.send(TOPIC, ready).await;
    let (complete, _) = next_of(&mut done, "processing_complete").await;
    assert_eq!(complete["filename"], json!("swf.100010.000001.stf"));
    assert_eq!((&complete["run_id"], &complete["execution_id"]), (&json!("100010"), &json!("e-1")));
    let stages = rig.double.with(|rows| rows.calls.iter().filter(|call| call.contains("stages")).count());
    assert_eq!(stages, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_run_tells_the_announced_number_of_files_under_either_name() {
    let rig = Rig::start().await;
    let _data = rig.agent(Kind::Data).await;
    let mut topic = rig.listen(TOPIC).await;
    for (name, announced) in [("total_stf_files", 5), ("total_files", 3)] {
        rig.send(TOPIC, run_message("run_imminent")).await;
        rig.send(TOPIC, stf_gen(announced)).await;
        next_of(&mut topic, "stf_ready").await;
        let mut end = run_message("end_run");
        end[name] = json!(announced);
        rig.send(TOPIC, end).await;
        let told = format!("Run 100010 closed with 1 of {announced} STF files");
        rig.double
            .until(&told, |rows| {
                rows.of("systemagents").iter().any(|row| row["description"].as_str().unwrap().contains(&told))
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_execution_is_worked_on_with_its_own_parameters() {
    let rig = Rig::start().await;
    rig.double.with(|rows| {
        for (id, slices) in [("e-1", Some(3)), ("e-2", Some(5)), ("e-3", None)] {
            let mut effective = json!({ "stf_sampling_rate": 1.0 });
            if let Some(slices) = slices {
                effective["slices_per_sample"] = json!(slices);
            }
            let execution = json!({
                "execution_id": id, "namespace": NAMESPACE, "status": "running", "start_time": swf_agents::now(),
                "parameter_values": { "effective": effective, "run": { "realtime": false } },
            });
            rows.of("workflow-executions").push(execution.as_object().unwrap().clone());
        }
    });
    let _agent = rig.agent(Kind::FastProcessing).await;
    for (number, execution, slices) in [(1, "e-1", 3), (2, "e-2", 5), (3, "e-3", 30)] {
        let run = (100_000 + number).to_string();
        let mut file = tf_file(60);
        for (key, value) in [
            ("run_id", run.clone()),
            ("execution_id", execution.into()),
            ("tf_filename", format!("swf.{run}.000001_tf_001.tf")),
            ("stf_filename", format!("swf.{run}.000001.stf")),
        ] {
            file[key] = json!(value);
        }
        rig.send(TOPIC, file).await;
        rig.double
            .until(&format!("{slices} slices of {execution}"), |rows| {
                rows.of("tf-slices").iter().filter(|row| row["run_number"] == 100_000 + number).count()
                    == slices
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_id_is_taken_before_the_broker_works_and_registration_comes_last() {
    let mut rig = Rig::start().await;
    rig.lose_broker().await;
    let _data = rig.agent_with(Kind::Data, rig.config());
    let tried = tokio::net::TcpListener::bind(("127.0.0.1", rig.config().broker.port)).await.unwrap();
    // It knocks at the broker's door and is let in by nobody.
    for _ in 0..2 {
        let knock = tokio::time::timeout(std::time::Duration::from_secs(30), tried.accept()).await;
        drop(knock.expect("the agent looks for the broker").unwrap());
    }
    drop(tried);
    assert!(
        rig.double.with(|rows| rows.calls.is_empty()),
        "{:?}",
        rig.double.with(|rows| rows.calls.clone())
    );
    rig.bring_broker_back().await;
    rig.double.until("the agent is up", |rows| !rows.of("systemagents").is_empty()).await;
    let calls = rig.double.with(|rows| rows.calls.clone());
    let place = |call: &str| calls.iter().position(|c| c == call).expect(call);
    assert!(place("POST state/next-agent-id/") < place("POST subscribers/"), "{calls:?}");
    assert!(place("POST subscribers/") < place("POST systemagents/heartbeat/"), "{calls:?}");
}
