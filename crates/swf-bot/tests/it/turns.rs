//! Questions and answers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use swf_bot::{Bot, Question, Role};
use swf_db::testing::on_sqlite;
use swf_tools::tables::SCHEMA;

use crate::model::{FakeModel, answer, refused, results, said, stamp};
use crate::rig::Rig;

/// A monitor, a scripted model and a bot.
async fn with_bot(test: impl AsyncFn(&Rig, &Bot, &FakeModel)) {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let bot = rig.bot().await;
        test(&rig, &bot, &rig.model).await;
        assert!(rig.model.is_done(), "the whole script was played");
    })
    .await;
}

fn tools(request: &Value) -> BTreeSet<String> {
    request["tools"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_cited_answer_is_verified_recorded_and_cleaned() {
    with_bot(async |rig, bot, model| {
        let seen = Arc::new(Mutex::new(String::new()));
        let kept = seen.clone();
        model.calls(&[("panda_get_activity", json!({"days": 7}))]).then(move |request| {
            let result = results(request).remove(0);
            let id = stamp(&result).unwrap();
            let body: Value = serde_json::from_str(result.split_once('\n').unwrap().1).unwrap();
            kept.lock().unwrap().clone_from(&id);
            said(&format!("{} jobs in 7 days.\n\nDPID: {id}", body["jobs"]["total"]), "end_turn")
        });
        let answer = bot.ask("How many jobs ran in the last 7 days?").await;
        assert!(answer.body.ends_with("jobs in 7 days."), "{}", answer.body);
        assert!(!answer.notes.contains(":warning:"), "{}", answer.notes);
        assert!(answer.notes.ends_with("*(tools used: panda_get_activity)*"), "{}", answer.notes);
        let id = seen.lock().unwrap().clone();
        let found = rig.json(&format!("/api/dpid/verify/?dpid={id}")).await;
        assert_eq!(
            (&found["tool_name"], &found["tool_args"]),
            (&json!("panda_get_activity"), &json!({"days": 7}))
        );
    })
    .await;
}

#[tokio::test]
async fn made_up_figures_and_missing_citations_are_named() {
    with_bot(async |_, bot, model| {
        model.calls(&[("panda_get_activity", json!({"days": 7}))]).cites("Job 99887766 failed, as 87.3% do.");
        let answer = bot.ask("Which jobs failed?").await;
        assert!(answer.notes.contains("99887766, 87.3%"), "{}", answer.notes);
        model.calls(&[("panda_get_activity", json!({}))]).says("All fine.\nDPID: DEADBEEF");
        let answer = bot.ask("Which jobs failed?").await;
        assert_eq!(answer.body, "All fine.");
        assert!(answer.notes.contains("was not cited"), "{}", answer.notes);
        model.says("There are 4711 jobs.");
        assert!(bot.ask("How many jobs?").await.notes.contains("not based on a live data query"));
        model.says("Hello!");
        assert_eq!(bot.ask("Hi, thanks!").await.text(), "Hello!", "a greeting needs no warning");
    })
    .await;
}

#[tokio::test]
async fn every_tool_is_in_the_catalog_the_fitting_ones_are_loaded_and_others_on_demand() {
    with_bot(async |_, bot, model| {
        model.calls(&[("select_tools", json!({"names": ["pcs_search_tags", "nonsense"]}))]).then(|request| {
            let result = results(request).remove(0);
            let loaded: Value = serde_json::from_str(&result).unwrap();
            assert_eq!(loaded["loaded"], json!(["pcs_search_tags"]));
            assert_eq!(loaded["unknown"], json!(["nonsense"]));
            assert_eq!(stamp(&result), None, "loading is no data");
            assert!(tools(request).contains("pcs_search_tags"), "it can be called now");
            said("Ready.", "end_turn")
        });
        bot.ask("Why do jobs fail? Give the error summary.").await;
        let first = &model.heard()[0];
        let system = first["system"][0]["text"].as_str().unwrap();
        assert!(
            system.contains("\n- pcs_search_tags: ") && system.contains("\n- panda_study_job: "),
            "{system}"
        );
        assert!(!system.contains("- swf_start_workflow"), "only the tools that are meant for it");
        let loaded = tools(first);
        assert!(loaded.contains("panda_error_summary") && !loaded.contains("pcs_search_tags"), "{loaded:?}");
        assert!(loaded.len() <= 2 + 8, "{loaded:?}");
        assert_eq!(first["system"][0]["cache_control"]["type"], "ephemeral");
        let asked = first["messages"][0]["content"][0]["text"].as_str().unwrap();
        assert!(asked.starts_with("Current date and time: 20"), "{asked}");
    })
    .await;
}

#[tokio::test]
async fn a_thread_keeps_its_tools_for_follow_ups_even_over_a_restart() {
    with_bot(async |rig, bot, model| {
        let thread = Some(("root1".to_owned(), "channel1".to_owned()));
        model.calls(&[("select_tools", json!({"names": ["pcs_list_tags"]}))]);
        model.calls(&[("pcs_list_tags", json!({"tag_type": "p"}))]).cites("Tags.");
        let first = Question {
            words: "tags?".into(),
            told: "tags?".into(),
            thread: thread.clone(),
            ..Question::default()
        };
        bot.answer(first).await;
        let again = Bot::start(rig.config()).unwrap();
        again.settled().await;
        model.says("More.");
        let follow = Question {
            words: "and the others?".into(),
            told: "and the others?".into(),
            thread,
            ..Question::default()
        };
        again.answer(follow).await;
        let last = model.heard().pop().unwrap();
        assert!(tools(&last).contains("pcs_list_tags"), "{:?}", tools(&last));
    })
    .await;
}

#[tokio::test]
async fn calls_of_one_round_all_get_their_results_in_order_and_errors_are_told() {
    with_bot(async |_, bot, model| {
        let calls = [
            ("panda_list_queues", json!({})),
            ("panda_list_jobs", json!({"status": "impossible"})),
            ("no_such_tool", json!({})),
        ];
        model.calls(&calls).then(|request| {
            let newest = request["messages"].as_array().unwrap().last().unwrap();
            let blocks = newest["content"].as_array().unwrap();
            let ids: Vec<&str> = blocks.iter().map(|b| b["tool_use_id"].as_str().unwrap()).collect();
            assert_eq!(ids, ["tu_0", "tu_1", "tu_2"]);
            assert!(stamp(blocks[0]["content"].as_str().unwrap()).is_some());
            assert_eq!(blocks[0].get("is_error"), None);
            for failed in &blocks[1..] {
                assert_eq!(failed["is_error"], true);
                assert_eq!(stamp(failed["content"].as_str().unwrap()), None, "an error is no data");
            }
            let id = stamp(blocks[0]["content"].as_str().unwrap()).unwrap();
            said(&format!("Done.\nDPID: {id}"), "end_turn")
        });
        let answer = bot.ask("queues and jobs").await;
        assert_eq!(answer.used, ["panda_list_queues", "panda_list_jobs"]);
    })
    .await;
}

#[tokio::test]
async fn every_ending_is_told() {
    with_bot(async |_, bot, model| {
        model.then(|_| said("The sites are", "max_tokens"));
        let cut = bot.ask("hello").await;
        assert_eq!(cut.body, "The sites are");
        assert!(cut.notes.contains("reached the limit of 1000 tokens"), "{}", cut.notes);
        model.then(|_| answer(&[], "end_turn"));
        assert!(bot.ask("hello").await.body.starts_with("Sorry, the model gave no answer"));
        model.then(|_| answer(&[], "refusal"));
        assert!(bot.ask("hello").await.body.contains("declined"));
        model.then(|_| answer(&[], "model_context_window_exceeded"));
        assert!(bot.ask("hello").await.body.contains("too long for the model"));
        for _ in 0..10 {
            model.calls(&[("panda_list_queues", json!({}))]);
        }
        let rounds = bot.ask("queues").await;
        assert!(rounds.body.starts_with("I hit the maximum number of tool calls."), "{}", rounds.body);
        model.then(|_| refused(400, "invalid_request_error", "prompt is too long", None));
        let refused = bot.ask("hello").await;
        assert!(refused.body.contains("answered 400: prompt is too long"), "{}", refused.body);
        assert_eq!(refused.notes, "", "an apology needs no warning");
    })
    .await;
}

#[tokio::test]
async fn an_overloaded_endpoint_is_tried_again_and_one_that_says_wait_an_hour_is_not() {
    with_bot(async |_, bot, model| {
        model
            .then(|_| refused(429, "rate_limit_error", "slow down", Some("0")))
            .then(|_| refused(529, "overloaded_error", "overloaded", None))
            .says("Here I am.");
        assert_eq!(bot.ask("hello").await.body, "Here I am.");
        model.then(|_| refused(429, "rate_limit_error", "no quota", Some("3600")));
        let answer = bot.ask("hello").await;
        assert!(answer.body.contains("no quota and asks to come back in 3600 s"), "{}", answer.body);
        for _ in 0..5 {
            model.then(|_| refused(500, "api_error", "broken", None));
        }
        let answer = bot.ask("hello").await;
        assert!(answer.body.contains("answered 500: broken, 5 times in a row"), "{}", answer.body);
    })
    .await;
}

#[tokio::test]
async fn the_prompt_file_is_read_anew_for_each_question() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let file = rig.folder.path().join("prompt.txt");
        std::fs::write(&file, "Be brief.").unwrap();
        let bot = Bot::start(swf_bot::Config { system_prompt: Some(file.clone()), ..rig.config() }).unwrap();
        rig.model.says("a").says("b").says("c");
        bot.ask("hello").await;
        std::fs::write(&file, "Be long {with braces}.").unwrap();
        bot.ask("hello").await;
        std::fs::remove_file(&file).unwrap();
        bot.ask("hello").await;
        let heard = rig.model.heard();
        let began = |n: usize, with: &str| heard[n]["system"][0]["text"].as_str().unwrap().starts_with(with);
        assert!(began(0, "Be brief.\n") && began(1, "Be long {with braces}.\n") && began(2, "You are "));
    })
    .await;
}

#[tokio::test]
async fn dialogue_is_remembered_by_the_monitor() {
    with_bot(async |_, bot, _| {
        bot.memorise("what is new?", "nothing", "post1", "root1").await;
        let expected = vec![(Role::User, "what is new?".to_owned()), (Role::Assistant, "nothing".to_owned())];
        assert_eq!(bot.recall().await, expected);
    })
    .await;
}
