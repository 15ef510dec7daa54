//! The event stream as its clients see it, over real sockets, broker and database.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, future};
use serde_json::{Value, json};
use swf_db::testing::{on_each_db, on_sqlite};
use swf_db::{Json, Sql};
use swf_server::{auth, sse};
use swf_tools::tables::SCHEMA;

use crate::rig::{PATIENCE, Rig, Wishes};

/// One event as a client reads it.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: Option<String>,
    kind: String,
    data: Value,
}

/// A client of the stream.
struct Listener {
    body: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
    last_id: Option<String>,
}

impl Listener {
    async fn open(rig: &Rig, query: &str, after: Option<&str>) -> Listener {
        Listener::open_at(rig, &rig.url, query, after).await
    }

    async fn open_at(rig: &Rig, url: &str, query: &str, after: Option<&str>) -> Listener {
        let mut request = rig
            .http
            .get(format!("{url}/api/messages/stream/{query}"))
            .header("authorization", format!("Token {}", rig.token));
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        assert!(!response.headers().contains_key("access-control-allow-origin"));
        Listener { body: response.bytes_stream().boxed(), text: String::new(), last_id: None }
    }

    /// The next event; none when the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        let reading = async {
            loop {
                if let Some((event, rest)) = self.text.split_once("\n\n") {
                    let event = read(event);
                    self.text = rest.to_owned();
                    self.last_id = event.id.clone().or(self.last_id.take());
                    return Some(event);
                }
                let bytes = self.body.next().await?.ok()?;
                self.text.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("an event comes")
    }

    /// The next event that is not a heartbeat.
    async fn event(&mut self) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.kind != "heartbeat" {
                return event;
            }
        }
    }

    async fn connected(&mut self) -> String {
        let event = self.next().await.unwrap();
        assert_eq!((event.kind.as_str(), &event.data["status"]), ("connected", &json!("connected")));
        event.data["client_id"].as_str().unwrap().to_owned()
    }
}

fn read(text: &str) -> Event {
    let mut event = Event { id: None, kind: String::new(), data: Value::Null };
    for line in text.lines() {
        match line.split_once(": ").unwrap() {
            ("id", id) => event.id = Some(id.to_owned()),
            ("event", kind) => event.kind = kind.to_owned(),
            ("data", data) => event.data = serde_json::from_str(data).unwrap(),
            (other, _) => panic!("unexpected field {other}"),
        }
    }
    event
}

fn message(kind: &str, n: i64) -> Value {
    json!({"msg_type": kind, "namespace": "one", "sender": "daq", "run_id": n, "n": n})
}

#[tokio::test]
async fn every_message_arrives_once_with_its_id_and_the_facts_of_its_row() {
    on_each_db(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let mut listener = Listener::open(&rig, "", None).await;
        listener.connected().await;
        rig.publish(&message("stf_gen", 1)).await;
        rig.publish(&json!({"no": "type"})).await;
        rig.publish(&message("odd\nevent: x", 2)).await;
        let first = listener.event().await;
        assert_eq!((first.kind.as_str(), &first.data["n"]), ("stf_gen", &json!(1)));
        assert_eq!(first.data["sender_agent"], "daq");
        assert_eq!(first.data["queue_name"], "/topic/epictopic");
        let rows = rig.json("/api/workflow-messages/").await;
        let row = rows.as_array().unwrap().iter().find(|r| r["message_type"] == "stf_gen").unwrap();
        assert_eq!(row["message_id"].as_str(), first.id.as_deref());
        let second = listener.event().await;
        assert_eq!((second.kind.as_str(), &second.data["n"]), ("message", &json!(2)));
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn clients_of_every_replica_see_what_one_captures_once_and_in_order() {
    on_each_db(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        rig.publish(&message("before", 0)).await;
        rig.until("it is captured", async || {
            rig.json("/api/workflow-messages/").await.as_array().unwrap().len() == 1
        })
        .await;
        let (other, stop) = rig.replica().await;
        let mut here = Listener::open(&rig, "", None).await;
        here.connected().await;
        let mut there = Listener::open_at(&rig, &other, "?namespaces=one", None).await;
        there.connected().await;
        // The first one marks that the other replica follows.
        rig.publish(&message("mark", -1)).await;
        for listener in [&mut here, &mut there] {
            assert_eq!(listener.event().await.data["n"], -1);
        }
        for n in 0..300 {
            rig.publish(&message("stf_gen", n)).await;
        }
        let mut ids = HashSet::new();
        for n in 0..300 {
            let (a, b) = (here.event().await, there.event().await);
            assert_eq!((&a.data["n"], &b.data["n"]), (&json!(n), &json!(n)));
            assert_eq!((&a, a.data["queue_name"].as_str()), (&b, Some("/topic/epictopic")));
            assert!(ids.insert(a.id));
        }
        // The other one takes the capture over, and its client misses and repeats nothing.
        rig.end_server();
        for n in 300..320 {
            rig.publish(&message("stf_gen", n)).await;
            assert_eq!(there.event().await.data["n"], n);
        }
        stop.cancel();
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn clients_get_only_what_passes_all_their_filters() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let cases = [
            ("?run_ids=2,%203", vec![2, 3]),
            ("?msg_types=b", vec![3, 4]),
            ("?agents=daq&msg_types=a", vec![1, 2]),
            ("?namespaces=other", vec![4]),
            ("?agents=worker", vec![5]),
            ("?msg_types=", vec![1, 2, 3, 4, 5]),
        ];
        let mut listeners = Vec::new();
        for (query, _) in &cases {
            let mut listener = Listener::open(&rig, query, None).await;
            listener.connected().await;
            listeners.push(listener);
        }
        let status = rig.json("/api/messages/stream/status").await;
        assert_eq!(status["connected_clients"], cases.len());
        let filters: Vec<&Value> = status["client_filters"].as_object().unwrap().values().collect();
        assert!(filters.contains(&&json!({"msg_types": ["a"], "agents": ["daq"]})), "{status}");
        let mut fourth = message("b", 4);
        fourth["namespace"] = json!("other");
        let fifth = json!({"msg_type": "c", "processed_by": "worker", "run_id": "5", "n": 5});
        for body in [message("a", 1), message("a", 2), message("b", 3), fourth, fifth] {
            rig.publish(&body).await;
        }
        rig.publish(
            &json!({"msg_type": "b", "sender": "worker", "namespace": "other", "run_id": 3, "n": 99}),
        )
        .await;
        for ((query, expected), listener) in cases.iter().zip(&mut listeners) {
            for n in expected {
                assert_eq!(listener.event().await.data["n"], json!(n), "{query}");
            }
        }
        let refused = rig.get("/api/messages/stream/?msg_type=a").send().await.unwrap();
        assert_eq!(refused.status(), 400);
        assert!(refused.text().await.unwrap().contains("accepted: msg_types, agents"));
        let posted = rig.http.post(format!("{}/api/messages/stream/", rig.url)).send().await.unwrap();
        assert_eq!(posted.status(), 405);
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_keeps_breaking_off_misses_nothing_and_sees_nothing_twice() {
    const ALL: i64 = 1500;
    on_each_db(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let mut first = Listener::open(&rig, "?msg_types=m", None).await;
        first.connected().await;
        rig.publish(&message("m", 0)).await;
        let mut seen = vec![first.event().await];
        let mut after = first.last_id.clone();
        drop(first);
        let publishing = async {
            for n in 1..ALL {
                rig.publish(&message(if n % 3 == 2 { "other" } else { "m" }, n)).await;
            }
        };
        let wanted = (0..ALL).filter(|n| *n == 0 || n % 3 != 2).count();
        let listening = async {
            let mut breaks = 0;
            while seen.len() < wanted {
                breaks += 1;
                let mut listener = Listener::open(&rig, "?msg_types=m", after.as_deref()).await;
                listener.connected().await;
                let mut left = 30 * breaks;
                while left > 0 && seen.len() < wanted {
                    let event = listener.event().await;
                    match event.kind.as_str() {
                        "m" => seen.push(event),
                        "replay" => assert_eq!(event.data["complete"], true, "{event:?}"),
                        other => panic!("unexpected {other}"),
                    }
                    left -= 1;
                }
                after = listener.last_id.clone().or(after.take());
            }
            assert!(breaks > 3);
        };
        future::join(publishing, listening).await;
        let numbers: Vec<i64> = seen.iter().map(|e| e.data["n"].as_i64().unwrap()).collect();
        let expected: Vec<i64> = (0..ALL).filter(|n| *n == 0 || n % 3 != 2).collect();
        assert_eq!(numbers, expected);
        let ids: HashSet<&Option<String>> = seen.iter().map(|e| &e.id).collect();
        assert_eq!(ids.len(), wanted);
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_replay_that_is_cut_or_impossible_says_so() {
    on_each_db(Some(&SCHEMA), async |db| {
        let streams = sse::Config { replay: 3, ..sse::Config::default() };
        let rig = Rig::with(&db, Wishes { streams, ..Wishes::default() }).await;
        let mut live = Listener::open(&rig, "", None).await;
        live.connected().await;
        for n in 0..8 {
            rig.publish(&message("m", n)).await;
        }
        let first = live.event().await.id.unwrap();
        for _ in 1..8 {
            live.event().await;
        }
        let mut back = Listener::open(&rig, &format!("?last_event_id={first}"), None).await;
        back.connected().await;
        let dropped = back.event().await;
        assert_eq!((dropped.kind.as_str(), &dropped.data), ("dropped", &json!({"dropped": 4})));
        for n in 5..8 {
            assert_eq!(back.event().await.data["n"], n);
        }
        let report = back.event().await;
        let expected = json!({"after": first, "events": 3, "omitted": 4, "complete": false});
        assert_eq!((report.kind.as_str(), report.data), ("replay", expected));
        for unknown in ["67e55044-10b1-426f-9247-bb680e5fe0c8", "nonsense"] {
            let mut lost = Listener::open(&rig, "", Some(unknown)).await;
            lost.connected().await;
            let report = lost.event().await;
            assert_eq!((report.kind.as_str(), &report.data["complete"]), ("replay", &json!(false)));
            assert!(report.data["reason"].as_str().unwrap().contains("no captured message"), "{report:?}");
            rig.publish(&message("m", 100)).await;
            assert_eq!(lost.event().await.data["n"], 100);
        }
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_told_how_many_it_missed_and_holds_up_nobody() {
    const ALL: i64 = 150;
    on_sqlite(Some(&SCHEMA), async |db| {
        let streams = sse::Config { queue: 10, ..sse::Config::default() };
        let rig = Rig::with(&db, Wishes { streams, ..Wishes::default() }).await;
        let mut slow = Listener::open(&rig, "", None).await;
        slow.connected().await;
        let filler = "x".repeat(100_000);
        for n in 0..ALL {
            let mut quick = message("m", n);
            quick["filler"] = json!(filler);
            rig.publish(&quick).await;
        }
        rig.until("all are stored", async || {
            let sql = Sql::new("SELECT count(*) FROM swf_workflow_messages");
            rig.db.fetch_one::<i64>(&sql).await.unwrap() == ALL
        })
        .await;
        let (mut got, mut dropped, mut tellings) = (0, 0, 0);
        let mut last = -1;
        while last < ALL - 1 {
            let event = slow.event().await;
            if event.kind == "dropped" {
                dropped += event.data["dropped"].as_i64().unwrap();
                tellings += 1;
            } else {
                let n = event.data["n"].as_i64().unwrap();
                assert!(n > last);
                last = n;
                got += 1;
            }
        }
        assert_eq!(got + dropped, ALL);
        assert!(tellings > 0 && got >= 10, "{tellings} {got}");
        rig.until("the books show it", async || {
            let rows = rig.json("/api/subscribers/").await;
            rows[0]["messages_sent"] == got && rows[0]["messages_dropped"] == dropped
        })
        .await;
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn rows_follow_the_clients() {
    on_each_db(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let request =
            rig.get("/api/messages/stream/?msg_types=m").header("x-forwarded-for", "'; DROP TABLE x");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut listener =
            Listener { body: response.bytes_stream().boxed(), text: String::new(), last_id: None };
        let id = listener.connected().await;
        let rows = rig.json("/api/subscribers/").await;
        let row = &rows[0];
        assert_eq!(row["subscriber_name"], format!("sse_{}", &id[..8]));
        assert_eq!((&row["delivery_type"], &row["is_active"]), (&json!("sse"), &json!(true)));
        assert_eq!((&row["client_ip"], &row["client_location"]), (&json!("127.0.0.1"), &json!("Local")));
        assert_eq!(row["message_filters"], json!({"msg_types": ["m"]}));
        rig.publish(&message("m", 1)).await;
        rig.publish(&message("other", 1)).await;
        rig.publish(&message("m", 2)).await;
        listener.event().await;
        listener.event().await;
        drop(listener);
        rig.until("the row is closed and counted", async || {
            let row = rig.json("/api/subscribers/").await[0].clone();
            row["is_active"] == false && !row["disconnected_at"].is_null() && row["messages_sent"] == 2
        })
        .await;
        assert_eq!(rig.json("/api/messages/stream/status/").await["connected_clients"], 0);
        // The end of the server ends streams and closes their rows.
        let mut last = Listener::open(&rig, "", None).await;
        last.connected().await;
        let ending = rig.stop();
        let ended = async { while last.next().await.is_some() {} };
        let (db, ()) = future::join(ending, ended).await;
        let open =
            Sql::new("SELECT count(*) FROM swf_subscribers WHERE").with("is_active = ?", [true.into()]);
        assert_eq!(db.fetch_one::<i64>(&open).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn old_rows_are_forgotten_and_those_of_lost_processes_closed() {
    on_each_db(Some(&SCHEMA), async |db| {
        let ago = |days: i64| swf_tools::Clock::System.now() - chrono::TimeDelta::days(days);
        for (name, description, active, days) in [
            ("sse_old", "event stream of swf@gone:1", false, 30),
            ("sse_recent", "event stream of swf@gone:1", false, 1),
            ("sse_lost", "event stream of swf@gone:1", true, 1),
            ("sse_python", "made by another program", true, 1),
        ] {
            let (ended, at) = ((!active).then(|| ago(days)), ago(days));
            let sql = Sql::new("INSERT INTO swf_subscribers (subscriber_name, description, is_active, created_at, updated_at, client_location, delivery_type, message_filters, messages_received, messages_sent, messages_dropped, disconnected_at) VALUES")
                .with("(?, ?, ?, ?, ?, '', 'sse', ?, 0, 0, 0, ?)",
                    [name.into(), description.into(), active.into(), at.into(), at.into(), json!({}).into(), ended.into()]);
            db.execute(&sql).await.unwrap();
        }
        let rig = Rig::start(&db).await;
        rig.until("the rows are swept", async || {
            let rows = rig.json("/api/subscribers/").await;
            let state: Vec<(String, bool)> = rows.as_array().unwrap().iter()
                .map(|r| (r["subscriber_name"].as_str().unwrap().to_owned(), r["is_active"].as_bool().unwrap()))
                .collect();
            let expected = [("sse_recent", false), ("sse_lost", false), ("sse_python", true)];
            state == expected.map(|(n, a)| (n.to_owned(), a))
        })
        .await;
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn callers_are_told_apart_as_everywhere() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let auth = auth::Config { anonymous: None, ..auth::Config::default() };
        let rig = Rig::with(&db, Wishes { auth, ..Wishes::default() }).await;
        let ask = async |path: &str, token: Option<&str>| {
            let mut request = rig.http.get(format!("{}{path}", rig.url));
            if let Some(token) = token {
                request = request.header("authorization", format!("Token {token}"));
            }
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let challenged = response.headers().contains_key("www-authenticate");
            (status, challenged, response.json::<Value>().await.unwrap()["detail"].clone())
        };
        let nobody = json!("Authentication credentials were not provided.");
        let (stream, status) = ("/api/messages/stream/", "/api/messages/stream/status/");
        assert_eq!(ask(stream, None).await, (401, true, nobody.clone()));
        assert_eq!(ask(status, None).await, (403, false, nobody));
        assert_eq!(ask(stream, Some("wrong")).await, (401, true, json!("Invalid token.")));
        let close = Sql::new("UPDATE auth_user SET is_active =").with("?", [false.into()]);
        db.execute(&close).await.unwrap();
        assert_eq!(ask(stream, Some(&rig.token)).await, (401, true, json!("User inactive or deleted.")));
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_cannot_be_registered_is_no_client() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let rename = async |from: &str, to: &str| {
            db.script(format!("ALTER TABLE {from} RENAME TO {to}")).await.unwrap()
        };
        rename("swf_subscribers", "elsewhere").await;
        let refused = rig.get("/api/messages/stream/").send().await.unwrap();
        assert_eq!(refused.status(), 503);
        assert!(refused.headers().contains_key("retry-after"));
        assert_eq!(rig.json("/api/messages/stream/status/").await["connected_clients"], 0);
        rename("elsewhere", "swf_subscribers").await;
        Listener::open(&rig, "", None).await.connected().await;
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn heartbeats_come_with_the_time_also_under_traffic_and_too_many_clients_are_refused() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let streams =
            sse::Config { heartbeat: Duration::from_millis(150), most_clients: 1, ..sse::Config::default() };
        let rig = Rig::with(&db, Wishes { streams, ..Wishes::default() }).await;
        let mut listener = Listener::open(&rig, "", None).await;
        listener.connected().await;
        let refused = rig.get("/api/messages/stream/").send().await.unwrap();
        assert_eq!(refused.status(), 503);
        let mut beats = 0;
        for n in 0.. {
            rig.publish(&message("m", n)).await;
            let event = listener.next().await.unwrap();
            if event.kind == "heartbeat" {
                let age = chrono::Utc::now().timestamp() as f64 - event.data["timestamp"].as_f64().unwrap();
                assert!(age.abs() < 60.0 && event.id.is_none(), "{event:?}");
                beats += 1;
            }
            if beats == 3 {
                break;
            }
        }
        let filters = Sql::new("SELECT message_filters FROM swf_subscribers");
        assert_eq!(rig.db.fetch_one::<Json>(&filters).await.unwrap().0, json!({}));
        rig.stop().await;
    })
    .await;
}
