//! A message inside the broker, shared by everyone it goes to.

use std::{
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Codec, Frame, Headers, Limits, Version, codec::put_header, encode};

/// Headers of a SEND that are the broker's business or that it writes itself.
const OURS: [&str; 9] = [
    "destination",
    "message-id",
    "content-length",
    "receipt",
    "transaction",
    "subscription",
    "ack",
    "redelivered",
    "delivery-count",
];

/// One message. Its headers are written once per protocol version, however many subscribers it has.
#[derive(Debug)]
pub(super) struct Message {
    /// Unique for ever, and the same at every delivery.
    pub id: String,
    /// `/topic/x` or `/queue/x`.
    pub destination: String,
    pub headers: Headers,
    pub body: Bytes,
    /// End of its life in milliseconds of Unix time.
    pub expires: Option<u64>,
    /// Whether it is to survive the process.
    pub persistent: bool,
    written: [OnceLock<Bytes>; 3],
}

/// How one delivery of a message differs from another.
pub(super) struct Envelope<'a> {
    pub subscription: &'a str,
    /// Left out when nothing is to be acknowledged.
    pub ack: Option<(u64, u64)>,
    /// Deliveries before this one.
    pub attempts: u32,
}

/// Milliseconds of Unix time.
pub(super) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Message {
    /// The message of a SEND frame. An `expires` that is no number is refused, for it would be lost silently.
    pub fn from_send(id: String, frame: Frame) -> Result<Self, String> {
        let expires = match frame.get("expires").map(str::trim) {
            None | Some("" | "0") => None,
            Some(text) => Some(text.parse().map_err(|_| {
                format!(
                    "expires: {text:?} is not a time in milliseconds since 1970, such as {}",
                    now_ms() + 60_000
                )
            })?),
        };
        let persistent = frame.get("persistent") != Some("false");
        let destination = frame.get("destination").unwrap_or_default().to_owned();
        let mut headers: Headers = frame.headers.iter().filter(|(key, _)| !OURS.contains(key)).collect();
        if headers.get("timestamp").is_none() {
            headers.push("timestamp", now_ms().to_string());
        }
        Ok(Self::new(id, destination, headers, frame.body, expires, persistent))
    }

    fn new(
        id: String,
        destination: String,
        headers: Headers,
        body: Bytes,
        expires: Option<u64>,
        persistent: bool,
    ) -> Self {
        Self { id, destination, headers, body, expires, persistent, written: Default::default() }
    }

    /// The same message for the dead-letter queue, with the reason.
    pub fn dead(&self, destination: &str, reason: &str) -> Self {
        let mut headers = self.headers.clone();
        headers.set("original-destination", self.destination.as_str());
        headers.set("dead-letter-reason", reason);
        headers.remove("expires");
        Self::new(self.id.clone(), destination.to_owned(), headers, self.body.clone(), None, self.persistent)
    }

    pub fn expired(&self, now_ms: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now_ms)
    }

    /// Its rough memory, for the ceilings.
    pub fn size(&self) -> usize {
        self.headers.iter().map(|(key, value)| key.len() + value.len() + 64).sum::<usize>()
            + self.body.len()
            + 256
    }

    /// Appends the MESSAGE frame of one delivery.
    pub fn encode(&self, version: Version, envelope: &Envelope<'_>, buffer: &mut BytesMut) {
        let at = match version {
            Version::V1_0 => &self.written[0],
            Version::V1_1 => &self.written[1],
            Version::V1_2 => &self.written[2],
        };
        let common = at.get_or_init(|| {
            let mut common = BytesMut::with_capacity(256);
            put_header("message-id", &self.id, version, &mut common);
            put_header("destination", &self.destination, version, &mut common);
            for (key, value) in self.headers.iter() {
                put_header(key, value, version, &mut common);
            }
            put_header("content-length", &self.body.len().to_string(), version, &mut common);
            common.freeze()
        });
        buffer.reserve(common.len() + self.body.len() + 128);
        buffer.put_slice(b"MESSAGE\n");
        put_header("subscription", envelope.subscription, version, buffer);
        if let Some((consumer, delivery)) = envelope.ack {
            put_header("ack", &format!("{consumer}-{delivery}"), version, buffer);
        }
        if envelope.attempts > 0 {
            buffer.put_slice(b"redelivered:true\n");
            put_header("delivery-count", &(envelope.attempts + 1).to_string(), version, buffer);
        }
        buffer.put_slice(common);
        buffer.put_u8(b'\n');
        buffer.put_slice(&self.body);
        buffer.put_u8(0);
    }

    /// The bytes that the store keeps: the message as a frame of version 1.2.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut frame =
            Frame::new("MESSAGE").with("message-id", &self.id).with("destination", &self.destination);
        for (key, value) in self.headers.iter() {
            frame.headers.push(key, value);
        }
        frame.headers.push("content-length", "");
        frame.body = self.body.clone();
        let mut buffer = BytesMut::new();
        encode(&frame, Version::V1_2, &mut buffer);
        buffer.to_vec()
    }

    /// The message that the store kept, or what is wrong with its bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        // What was taken once is taken again, even if the limits were lowered since.
        let limits = Limits { header_count: usize::MAX, header_bytes: usize::MAX, body_bytes: usize::MAX };
        let mut codec = Codec::new(limits);
        codec.set_version(Version::V1_2);
        let frame = codec
            .decode(&mut BytesMut::from(bytes))
            .map_err(|error| error.to_string())?
            .ok_or("the frame is cut short")?;
        let id = frame.get("message-id").unwrap_or_default().to_owned();
        Self::from_send(id, frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        let frame = Frame::new("SEND")
            .with("destination", "/queue/x")
            .with("receipt", "1")
            .with("subscription", "forged")
            .with("note", "a:b\nc\\d\re")
            .with_body(&b"a\0b"[..]);
        Message::from_send("id-1".into(), frame).unwrap()
    }

    #[test]
    fn a_message_survives_the_store_unchanged() {
        let message = message();
        let read = Message::from_bytes(&message.to_bytes()).unwrap();
        assert_eq!(
            (read.id, read.destination, read.headers, read.body),
            (message.id, message.destination, message.headers, message.body)
        );
        assert!(Message::from_bytes(b"MESSAGE\n").unwrap_err().contains("cut short"));
    }

    #[test]
    fn a_sender_cannot_write_the_brokers_own_headers() {
        let mut buffer = BytesMut::new();
        let envelope = Envelope { subscription: "s", ack: Some((1, 2)), attempts: 2 };
        message().encode(Version::V1_2, &envelope, &mut buffer);
        let mut codec = Codec::new(Limits::default());
        codec.set_version(Version::V1_2);
        let frame = codec.decode(&mut buffer).unwrap().unwrap();
        assert_eq!(frame.get("subscription"), Some("s"));
        assert_eq!(frame.get("receipt"), None);
        assert_eq!(frame.get("ack"), Some("1-2"));
        assert_eq!((frame.get("redelivered"), frame.get("delivery-count")), (Some("true"), Some("3")));
        assert_eq!(frame.get("note"), Some("a:b\nc\\d\re"));
    }

    #[test]
    fn an_expiry_that_is_no_time_is_refused() {
        let frame = Frame::new("SEND").with("destination", "/queue/x").with("expires", "soon");
        assert!(Message::from_send("1".into(), frame).unwrap_err().contains("\"soon\""));
    }
}
