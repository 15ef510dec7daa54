//! The writing half of a connection.

use std::{io, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{io::AsyncWriteExt, net::tcp::OwnedWriteHalf, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    message::Envelope,
    outbox::{Out, Outbox},
};
use crate::Version;

/// Time to get the last frames to a peer whose connection is to end.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// Frames taken from the outbox at once.
const BATCH: usize = 256;
/// Bytes written at once, roughly.
const CHUNK: usize = 64 << 10;

/// Writes what the outbox holds until it is closed or the connection breaks; then the session ends.
pub(super) async fn run(
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    mut socket: OwnedWriteHalf,
    ended: CancellationToken,
) {
    if let Err(error) = write(&shared, &outbox, &mut socket).await {
        tracing::debug!(%error, "connection of a client broke");
    }
    // Tells the peer that nothing follows; a broken connection needs no telling.
    let _ = socket.shutdown().await;
    ended.cancel();
}

async fn write(shared: &Shared, outbox: &Outbox, socket: &mut OwnedWriteHalf) -> io::Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut bytes = BytesMut::with_capacity(CHUNK);
    let mut settled = Vec::with_capacity(BATCH);
    loop {
        let next = match outbox.beat() {
            None => outbox.next(BATCH, &mut batch).await,
            // Somewhat early, so that it is there in time.
            Some(beat) => match timeout(beat.mul_f32(0.7), outbox.next(BATCH, &mut batch)).await {
                Ok(next) => next,
                Err(_) => {
                    put(outbox, socket, b"\n").await?;
                    continue;
                }
            },
        };
        let Some(version) = next else { return Ok(()) };
        let mut batch = batch.drain(..).peekable();
        while batch.peek().is_some() {
            while bytes.len() < CHUNK
                && let Some(out) = batch.next()
            {
                encode(out, version, &mut bytes, &mut settled);
            }
            put(outbox, socket, &bytes).await?;
            bytes.clear();
            if !settled.is_empty() {
                shared.core().written(&settled);
                settled.clear();
            }
        }
    }
}

fn encode(out: Out, version: Version, bytes: &mut BytesMut, settled: &mut Vec<(u64, u64)>) {
    match out {
        Out::Answer(answer) => bytes.extend_from_slice(&answer),
        Out::Delivery(delivery) => {
            let envelope = Envelope {
                subscription: &delivery.subscription,
                ack: delivery.acknowledged.then_some((delivery.consumer, delivery.number)),
                attempts: delivery.attempts,
            };
            delivery.message.encode(version, &envelope, bytes);
            if !delivery.acknowledged {
                settled.push((delivery.consumer, delivery.number));
            }
        }
    }
}

/// Writes everything; when the connection is to end, within the time that is left for it.
async fn put(outbox: &Outbox, socket: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<()> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "the peer does not read");
    if outbox.is_closing() {
        return timeout(LINGER, socket.write_all(bytes)).await.map_err(|_| late())?;
    }
    tokio::select! {
        written = socket.write_all(bytes) => written,
        () = async { outbox.ending.notified().await; tokio::time::sleep(LINGER).await } => Err(late()),
    }
}
