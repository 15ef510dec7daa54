//! Commands in from the broker, answers out to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use swf_stomp::{AckMode, Delivery, Message, Subscribe};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::Manager;
use super::command::Request;

/// Commands that may wait here; the broker keeps the others.
const PREFETCH: u32 = 16;
/// Answers kept for commands that are delivered again.
const KEPT_ANSWERS: usize = 64;
/// Pause after the broker refused the subscription.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// A command to work on; acknowledged when its answer is out.
#[derive(Debug)]
pub(super) struct Job {
    request: Request,
    delivery: Delivery,
}

/// Answers to the last commands. One that is delivered again, because the connection broke before
/// its acknowledgement, gets the same answer and is not done twice.
#[derive(Debug, Default)]
pub(super) struct Answered(VecDeque<(String, Value)>);

impl Answered {
    fn find(&self, id: &str) -> Option<Value> {
        self.0.iter().find(|(known, _)| known == id).map(|(_, answer)| answer.clone())
    }

    fn keep(&mut self, id: String, answer: Value) {
        if id.is_empty() {
            // A broker that names no messages cannot tell a repetition.
            return;
        }
        if self.0.len() == KEPT_ANSWERS {
            self.0.pop_front();
        }
        self.0.push_back((id, answer));
    }
}

impl Manager {
    /// Takes commands until the manager ends.
    pub(super) async fn receive(self: Arc<Self>, jobs: mpsc::UnboundedSender<Job>) {
        let subscribe = Subscribe {
            ack: AckMode::ClientIndividual,
            prefetch: Some(PREFETCH),
            ..Subscribe::to(self.queue())
        };
        let mut questions = tokio::task::JoinSet::new();
        self.unless_ending(async {
            loop {
                match self.bus.subscribe(subscribe.clone()).await {
                    Ok(mut commands) => {
                        while let Some(delivery) = commands.next().await {
                            self.take(delivery, &jobs, &mut questions).await;
                        }
                        return;
                    }
                    Err(error) => {
                        tracing::error!("cannot listen for commands, trying again: {error}");
                        sleep(REFUSED_PAUSE).await;
                    }
                }
            }
        })
        .await;
        questions.shutdown().await;
    }

    async fn take(
        self: &Arc<Self>,
        delivery: Delivery,
        jobs: &mpsc::UnboundedSender<Job>,
        questions: &mut tokio::task::JoinSet<()>,
    ) {
        // Finished ones are let go of, so the set stays small.
        while questions.try_join_next().is_some() {}
        match Request::parse(&delivery.headers, &delivery.body) {
            Err(why) => {
                tracing::warn!(
                    message_id = delivery.message_id(),
                    "a message to {} is ignored: {why}",
                    self.queue()
                );
                acknowledge(&delivery).await;
            }
            Ok(request) if let Err(reason) = self.config.trust.check(&delivery) => {
                tracing::warn!(
                    destination = delivery.destination(),
                    "command {} is {reason}",
                    request.command
                );
                let answer = self.reply(&request, Err(format!("the command is {reason}"))).await;
                self.send(&request, &answer).await;
                acknowledge(&delivery).await;
            }
            Ok(request) if request.is_question() => {
                let manager = Arc::clone(self);
                questions.spawn(async move {
                    let answer = manager.answer(&request).await;
                    manager.send(&request, &answer).await;
                    acknowledge(&delivery).await;
                });
            }
            Ok(request) => {
                // The worker ends only with the manager; then the broker keeps the command.
                drop(jobs.send(Job { request, delivery }));
            }
        }
    }

    /// Does one command, answers and acknowledges it.
    pub(super) async fn serve(&self, job: Job, answered: &mut Answered) {
        let Job { request, delivery } = job;
        let answer = match answered.find(&request.id) {
            Some(answer) => answer,
            None => {
                let answer = self.answer(&request).await;
                answered.keep(request.id.clone(), answer.clone());
                answer
            }
        };
        self.send(&request, &answer).await;
        acknowledge(&delivery).await;
    }

    async fn send(&self, request: &Request, answer: &Value) {
        let Some(reply_to) = &request.reply_to else { return };
        let mut message = Message::new(reply_to.clone(), answer.to_string())
            .with("content-type", "application/json")
            .with("msg_type", "agent_manager_reply")
            .with("message-uid", uuid::Uuid::new_v4().to_string())
            .with("namespace", self.namespace().clone());
        if let Some(id) = &request.correlation_id {
            message = message.with("correlation-id", id.clone());
        }
        if let Err(error) = self.bus.send(message).await {
            tracing::warn!(command = %request.command, "the answer to {} was not sent: {error}", request.command);
        }
    }
}

async fn acknowledge(delivery: &Delivery) {
    if let Err(error) = delivery.ack().await {
        tracing::warn!("a command was not acknowledged and will come again: {error}");
    }
}
