//! The life of an agent: lease, broker, monitor, subscriptions, registration, work, orderly exit.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use swf_client::NewSubscriber;
use swf_stomp::{AckMode, Subscribe, Subscription};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::heartbeat;
use super::identity::{Lease, durable_name, instance_name};
use super::{Config, Kind, Link, Operational, Pulse};
use crate::kinds;

/// Handlers leave it to the work loop to try again, so a single call need not be patient for long.
const CALL_PATIENCE: Duration = Duration::from_secs(20);
/// Messages the broker may send ahead to agents that are quick with each.
pub const PREFETCH: u32 = 256;
/// Longest pause between two attempts to reach the monitor at start.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// An agent that is known to broker and monitor.
pub struct Started {
    pub link: Link,
    pub subscriptions: Vec<Subscription>,
    /// Held until the end of the process' work.
    _lease: Lease,
}

/// A token that is cancelled by SIGTERM, SIGINT or SIGQUIT.
///
/// # Errors
/// The system refuses signal handlers.
pub fn shutdown_on_signals() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()] {
        let (mut stream, token) = (signal(kind)?, token.clone());
        tokio::spawn(async move {
            stream.recv().await;
            token.cancel();
        });
    }
    Ok(token)
}

/// Run an agent until `shutdown` is cancelled. Returns after the exit heartbeat; fails only for causes that waiting
/// does not cure (configuration, refused login or token, a second process of the same identity).
///
/// # Errors
/// One line that says what to change.
pub async fn run_agent(kind: Kind, mut config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    config.testbed.set_namespace(&config.namespace);
    match kind {
        Kind::Runner => kinds::runner::run(config, shutdown).await,
        Kind::Data => kinds::data::run(config, shutdown).await,
        Kind::Processing => kinds::processing::run(config, shutdown).await,
        Kind::Fastmon => kinds::fastmon::run(config, shutdown).await,
        Kind::FastProcessing => kinds::fast_processing::run(config, shutdown).await,
        Kind::Worker => kinds::worker::run(config, shutdown).await,
    }
}

/// A durable subscription for topics, a plain one for queues; both with acknowledgement of each message.
fn subscribe(destination: &str, durable: &str, index: usize, prefetch: u32) -> Subscribe {
    let name = if index == 0 { durable.to_owned() } else { format!("{durable}-{index}") };
    Subscribe {
        ack: AckMode::ClientIndividual,
        durable: destination.starts_with("/topic/").then_some(name),
        prefetch: Some(prefetch),
        ..Subscribe::to(destination)
    }
}

/// Bring an agent up. None when shutdown came first.
pub async fn start(
    kind: Kind,
    config: Config,
    destinations: &[String],
    prefetch: u32,
    shutdown: CancellationToken,
) -> anyhow::Result<Option<Started>> {
    for destination in destinations {
        if !destination.starts_with("/queue/") && !destination.starts_with("/topic/") {
            anyhow::bail!(
                "destination {destination:?} must start with /queue/ or /topic/; correct the configuration"
            );
        }
    }
    let mut lease = Lease::take(&config, kind)?;
    let durable = durable_name(&config, kind);
    let monitor = swf_client::Client::new(&config.monitor)?.patient(CALL_PATIENCE);
    let broker_config = swf_stomp::ClientConfig { client_id: Some(durable.clone()), ..config.broker.clone() };
    let broker = swf_stomp::Client::start(broker_config);
    let pulse = Pulse::new();
    let mut link = Link {
        kind,
        name: String::new(),
        config: Arc::new(config),
        monitor,
        broker,
        pulse,
        shutdown: shutdown.clone(),
    };
    let Some(subscriptions) =
        until(&shutdown, listen(&link, destinations, &durable, prefetch)).await.transpose()?
    else {
        return Ok(None);
    };
    let Some(id) = until(&shutdown, agent_id(&link, &lease)).await.transpose()? else { return Ok(None) };
    lease.keep(id, &link.config)?;
    link.name = instance_name(kind, &link.config.user, id);
    link.log_context(None, None);
    if let Some(logs) = &link.config.logs {
        logs.ship(link.monitor.clone(), "base_agent", &link.name, shutdown.clone());
    }
    let Some(()) = until(&shutdown, register(&link, destinations)).await.transpose()? else {
        return Ok(None);
    };
    tracing::info!(agent.name = link.name, namespace = link.config.namespace, "agent {} is up", link.name);
    Ok(Some(Started { link, subscriptions, _lease: lease }))
}

async fn until<T>(shutdown: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        done = work => Some(done),
    }
}

async fn listen(
    link: &Link,
    destinations: &[String],
    durable: &str,
    prefetch: u32,
) -> anyhow::Result<Vec<Subscription>> {
    let mut status = link.broker.status();
    let mut told = String::new();
    loop {
        let now = status.borrow_and_update().clone();
        if now.connected {
            break;
        }
        if let Some(cause) = now.last_error.filter(|cause| *cause != told) {
            tracing::warn!("waiting for the message broker: {cause}");
            told = cause;
        }
        status.changed().await.context("watch the broker connection")?;
    }
    let mut subscriptions = Vec::new();
    for (index, destination) in destinations.iter().enumerate() {
        subscriptions.push(link.broker.subscribe(subscribe(destination, durable, index, prefetch)).await?);
    }
    Ok(subscriptions)
}

/// The id of an earlier life, else a new one. Either way the monitor has answered once when this returns.
async fn agent_id(link: &Link, lease: &Lease) -> anyhow::Result<i64> {
    let (namespace, user) = (&link.config.namespace, &link.config.user);
    wait_for_monitor(|| async {
        link.monitor.patient(Duration::ZERO).ensure_namespace(namespace, user).await
    })
    .await?;
    match lease.id() {
        Some(id) => Ok(id),
        None => {
            wait_for_monitor(|| async { link.monitor.patient(Duration::ZERO).next_agent_id().await }).await
        }
    }
}

async fn register(link: &Link, destinations: &[String]) -> anyhow::Result<()> {
    for destination in destinations {
        let subscriber = NewSubscriber {
            subscriber_name: format!("{}-{destination}", link.name),
            description: format!("{} agent subscribing to {destination}", link.kind.agent_type()),
            is_active: true,
            fraction: 1.0,
        };
        wait_for_monitor(|| async {
            link.monitor.patient(Duration::ZERO).register_subscriber(&subscriber).await
        })
        .await?;
    }
    wait_for_monitor(|| heartbeat::beat(link, Duration::ZERO)).await
}

/// Call the monitor until it answers; one log line for each new cause. A 4xx ends it: asking again does not help.
pub async fn wait_for_monitor<T, F: Future<Output = Result<T, swf_client::Error>>>(
    call: impl Fn() -> F,
) -> anyhow::Result<T> {
    let mut pause = Duration::from_millis(250);
    let mut told = String::new();
    loop {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_transient() => {
                let cause = error.to_string();
                if cause != told {
                    tracing::warn!("waiting for the monitor: {cause}");
                    told = cause;
                }
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Started {
    /// Run the agent's work beside its heartbeats; at the end say good-bye to monitor and broker.
    pub async fn live<F: Future<Output = anyhow::Result<()>>>(
        self,
        work: impl FnOnce(Link, Vec<Subscription>) -> F,
    ) -> anyhow::Result<()> {
        let Self { link, subscriptions, _lease } = self;
        link.pulse.set(Operational::Ready, "");
        let outcome = tokio::select! {
            outcome = work(link.clone(), subscriptions) => outcome,
            () = heartbeat::run(&link) => Ok(()),
        };
        if let Err(error) = &outcome {
            tracing::error!("agent {} ends: {error:#}", link.name);
        }
        heartbeat::last_beat(&link).await;
        if let Some(logs) = &link.config.logs {
            logs.flush().await;
        }
        link.broker.shutdown().await;
        outcome
    }
}
