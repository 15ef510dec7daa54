//! The bot in a chat.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use swf_bot::{Chat, ChatConfig};
use swf_db::testing::on_sqlite;
use swf_tools::tables::SCHEMA;
use tokio_util::sync::CancellationToken;

use crate::chat::{FakeChat, TOKEN};
use crate::model::{FakeModel, said};
use crate::rig::{PATIENCE, Rig};

struct Place {
    rig: Rig,
    chat: FakeChat,
    model: FakeModel,
}

impl Place {
    /// Waits for so many replies, and returns them.
    async fn replies(&self, number: usize) -> Vec<Value> {
        self.rig.until(&format!("{number} replies"), async || self.chat.replies().len() >= number).await;
        self.chat.replies()
    }

    /// Everything said so far has been looked at, once this mark has an answer.
    async fn mark(&self, number: usize) -> Vec<Value> {
        self.model.says("Mark.");
        self.chat.say(&format!("mark{number}"), "alice", "home", "", "hello mark");
        let replies = self.replies(number).await;
        assert_eq!((replies.len(), said_by(&replies[number - 1])), (number, "Mark."), "{replies:#?}");
        replies
    }
}

/// A reply without its notes.
fn said_by(reply: &Value) -> &str {
    reply["message"].as_str().unwrap().split("\n\n:warning:").next().unwrap()
}

async fn in_chat(test: impl AsyncFn(&Place)) {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let chat = FakeChat::start().await;
        let config = ChatConfig {
            url: chat.url.clone(),
            token: TOKEN.into(),
            team: "main".into(),
            channel: "home".into(),
            concurrent: 2,
            post_limit: 16383,
        };
        let entered = Chat::enter(Arc::new(rig.bot().await), config).await.unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(entered.run(stop.clone()));
        let place = Place { model: rig.model.clone(), rig, chat };
        place.rig.until("the bot listens", async || place.chat.connections() == 1).await;
        test(&place).await;
        assert!(place.model.is_done(), "the whole script was played");
        stop.cancel();
        tokio::time::timeout(PATIENCE, running).await.expect("the bot ends").unwrap();
    })
    .await;
}

fn asked(request: &Value) -> String {
    let newest = request["messages"].as_array().unwrap().last().unwrap();
    newest["content"][0]["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_question_at_home_gets_a_checked_reply_in_its_thread_and_follow_ups_know_the_thread() {
    in_chat(async |place| {
        place.model.calls(&[("panda_list_queues", json!({}))]).cites("There are queues.");
        place.chat.say("p1", "alice", "home", "", "list the queues");
        let reply = place.replies(1).await.remove(0);
        assert_eq!((&reply["root_id"], &reply["channel_id"]), (&json!("p1"), &json!("home")));
        let text = reply["message"].as_str().unwrap();
        assert!(text.starts_with("There are queues.\n\n*(tools suggested: "), "{text}");
        assert!(text.ends_with("*(tools used: panda_list_queues)*"), "{text}");
        let first = asked(&place.model.heard()[0]);
        assert!(first.ends_with("\n\n[alice-name in #home] list the queues"), "{first}");

        place.model.says("Only those.");
        place.chat.say("p2", "carol", "home", "p1", "hello, others?");
        let replies = place.replies(2).await;
        assert_eq!(replies[1]["root_id"], "p1");
        let told = asked(place.model.heard().last().unwrap());
        let thread = "[Thread conversation so far:\nalice-name: list the queues\nBot: There are queues.\n]\nNew reply: [carol-name in #home] hello, others?";
        assert!(told.ends_with(thread), "{told}");
    })
    .await;
}

#[tokio::test]
async fn itself_bots_system_posts_and_strangers_are_not_answered() {
    in_chat(async |place| {
        place.chat.say("a", "bot", "home", "", "my own words");
        place.chat.say("b", "robot7", "home", "", "I am a bot account");
        place.chat.say_with(
            "c",
            "dave",
            "home",
            "",
            "from a hook",
            json!({"props": {"from_webhook": "true"}}),
        );
        place.chat.say_with("d", "dave", "home", "", "dave joined", json!({"type": "system_join_channel"}));
        place.chat.say("e", "dave", "elsewhere", "", "nobody asked the bot");
        place.chat.say("f", "dave", "home", "", "   ");
        let replies = place.chat.replies().len();
        assert_eq!(replies, 1, "only the post that stands for the bot's own");
        place.mark(2).await;
        place.model.says("Here.");
        place.chat.say("g", "dave", "elsewhere", "", "@pandabot hello");
        assert_eq!(place.replies(3).await[2]["root_id"], "g");
        place.model.says("Still here.");
        place.chat.say("h", "erin", "elsewhere", "g", "hello, without a mention, in an active thread");
        assert_eq!(place.replies(4).await[3]["root_id"], "g");
        // The same event again.
        place.chat.say("h", "erin", "elsewhere", "g", "hello, without a mention, in an active thread");
        place.mark(5).await;
    })
    .await;
}

#[tokio::test]
async fn private_words_are_answered_but_never_remembered_for_all() {
    in_chat(async |place| {
        place.model.says("A secret answer.").says("An open answer.");
        place.chat.say("p1", "alice", "dm1", "", "hello, my secret");
        place.replies(1).await;
        place.chat.say("p2", "alice", "home", "", "hello, my open word");
        place.replies(2).await;
        let path = "/api/ai-memory/?username=pandabot&turns=30";
        place.rig.until("two remarks", async || place.rig.json(path).await["count"] == 2).await;
        let items = place.rig.json(path).await["items"].clone();
        assert_eq!(items[0]["content"], "[alice-name in #home] hello, my open word");
        assert_eq!(items[1]["content"], "An open answer.");
        assert!(!items.to_string().contains("secret"), "{items}");
        assert!(asked(&place.model.heard()[0]).contains("[alice-name in DM] hello, my secret"));
        // The next question, anywhere, knows the open words.
        place.model.says("Yes.");
        place.chat.say("p3", "bert", "home", "", "hello again");
        place.replies(3).await;
        let request = place.model.heard().pop().unwrap();
        assert_eq!(request["messages"][1]["content"][0]["text"], "An open answer.");
        assert!(!request.to_string().contains("secret"));
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_not_meant_for_it_is_left_alone_unless_it_was_addressed() {
    in_chat(async |place| {
        place.model.says("[No response]");
        place.chat.say("p1", "alice", "home", "", "Bert, hello, lunch?");
        place.rig.until("it was read", async || place.model.heard().len() == 1).await;
        place.mark(1).await;
        place.model.says("[I stay silent here]");
        place.chat.say("p2", "alice", "dm1", "", "hello");
        assert_eq!(said_by(&place.replies(2).await[1]), "[I stay silent here]");
    })
    .await;
}

#[tokio::test]
async fn a_lost_connection_loses_no_question_whether_mattermost_remembers_it_or_not() {
    in_chat(async |place| {
        place.mark(1).await;
        place.chat.cut(false);
        place.model.says("Heard it late.");
        place.chat.say("p1", "alice", "home", "", "hello, said into the gap");
        assert_eq!(place.replies(2).await[1]["root_id"], "p1");
        place.rig.until("it came back", async || place.chat.connections() == 2).await;
        place.chat.cut(true);
        place.model.says("Read it up.");
        place.chat.say("p2", "alice", "home", "", "hello, said into a forgotten gap");
        assert_eq!(place.replies(3).await[2]["root_id"], "p2");
        place.rig.until("it came back again", async || place.chat.connections() >= 3).await;
        place.mark(4).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_keeps_its_order_while_others_go_on() {
    in_chat(async |place| {
        let (open, gate) = std::sync::mpsc::channel::<()>();
        // The first answer waits until the other thread has its own.
        place.model.then(move |_| {
            tokio::task::block_in_place(|| gate.recv_timeout(PATIENCE)).unwrap();
            said("First.", "end_turn")
        });
        place.chat.say("p1", "alice", "home", "", "hello, slow");
        place.rig.until("the slow one is asked", async || place.model.heard().len() == 1).await;
        place.chat.say("p2", "alice", "home", "p1", "hello, second of the thread");
        place.model.says("Other.");
        place.chat.say("p3", "bert", "home", "", "hello, other thread");
        assert_eq!(place.replies(1).await[0]["root_id"], "p3");
        place.model.says("Second.");
        open.send(()).unwrap();
        let replies = place.replies(3).await;
        let texts: Vec<&str> = replies.iter().map(said_by).collect();
        assert_eq!(texts, ["Other.", "First.", "Second."]);
    })
    .await;
}

#[tokio::test]
async fn a_long_answer_comes_in_several_posts_and_a_busy_mattermost_is_waited_for() {
    in_chat(async |place| {
        let long = vec!["words of a long answer"; 1000].join("\n");
        place.model.says(&long);
        place.chat.busy(2);
        place.chat.say("p1", "alice", "home", "", "hello, tell me a lot");
        let replies = place.replies(2).await;
        assert!(replies.iter().all(|r| r["root_id"] == "p1"));
        let all: Vec<&str> = replies.iter().map(said_by).collect();
        assert_eq!(all.join("\n"), long);
        assert_eq!(place.chat.challenges(), 1);
    })
    .await;
}

#[tokio::test]
async fn wrong_settings_end_the_start_with_a_reason() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let chat = FakeChat::start().await;
        let config = |token: &str, channel: &str| ChatConfig {
            url: chat.url.clone(),
            token: token.into(),
            team: "main".into(),
            channel: channel.into(),
            concurrent: 1,
            post_limit: 16383,
        };
        let bot = Arc::new(rig.bot().await);
        for (token, channel, expected) in [
            ("", "home", "bot.mattermost_token: is not set; give the token in MATTERMOST_TOKEN"),
            ("wrong", "home", "401 Invalid or expired session"),
            (TOKEN, "nowhere", "404 Channel does not exist."),
        ] {
            let entered = tokio::time::timeout(
                Duration::from_secs(20),
                Chat::enter(bot.clone(), config(token, channel)),
            );
            let error = entered.await.unwrap().err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    })
    .await;
}
