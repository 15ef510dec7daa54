//! Bytes to frames and back, for all three versions and within limits.
//!
//! *Invariant:* no input makes the decoder panic, and it never holds more than one frame's limit of bytes
//! beyond what its caller put into the buffer.

use bytes::{Buf, BufMut, BytesMut};

use crate::{Frame, Headers, Version};

/// How large a frame may be. Beyond a limit the peer gets an ERROR that names it and the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Header lines in one frame. Real clients send about ten.
    pub header_count: usize,
    /// Bytes of the command and all header lines of one frame.
    pub header_bytes: usize,
    /// Bytes of one body.
    pub body_bytes: usize,
}

impl Default for Limits {
    /// 256 header lines, 64 KiB of headers, a body of 16 MiB.
    fn default() -> Self {
        Self { header_count: 256, header_bytes: 64 << 10, body_bytes: 16 << 20 }
    }
}

/// Why bytes are not a frame we take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// More header lines than allowed.
    #[error("frame has more than {limit} header lines, the limit of this connection")]
    HeaderCount {
        /// The limit.
        limit: usize,
    },
    /// Longer headers than allowed.
    #[error("frame has more than {limit} bytes of headers, the limit of this connection")]
    HeaderBytes {
        /// The limit.
        limit: usize,
    },
    /// A longer body than allowed.
    #[error("frame has a body of more than {limit} bytes, the limit of this connection")]
    BodyBytes {
        /// The limit.
        limit: usize,
    },
    /// A header line without a colon, or headers that are not UTF-8.
    #[error("malformed header line {line:?}: {why}")]
    Header {
        /// The line, shortened.
        line: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A content-length that is no number.
    #[error("content-length: {value:?} is not a number of bytes")]
    ContentLength {
        /// The value.
        value: String,
    },
    /// The byte after the body is not NUL.
    #[error("body is not followed by a NUL byte; content-length said {length} bytes")]
    NotTerminated {
        /// The content-length.
        length: usize,
    },
}

/// Where the decoder stands between two calls.
#[derive(Debug)]
enum State {
    /// Looking for the blank line; this many bytes are known not to hold its end.
    Head { scanned: usize },
    /// Headers are read; the body's length if it was given, else how far no NUL was found.
    Body { frame: Frame, length: Option<usize>, scanned: usize },
}

/// An incremental decoder for one connection.
#[derive(Debug)]
pub struct Codec {
    limits: Limits,
    version: Version,
    state: State,
}

impl Codec {
    /// A decoder that unescapes as version 1.0 does until [`Codec::set_version`].
    pub fn new(limits: Limits) -> Self {
        Self { limits, version: Version::V1_0, state: State::Head { scanned: 0 } }
    }

    /// The version that the two sides agreed on.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Takes one frame from the front of the buffer; `None` when it needs more bytes. Line ends between
    /// frames (heart-beats) are taken silently. After an error the connection cannot be read further.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        loop {
            match std::mem::replace(&mut self.state, State::Head { scanned: 0 }) {
                State::Head { scanned } => {
                    if scanned == 0 {
                        skip_line_ends(buffer);
                    }
                    let Some(end) = head_end(buffer, scanned.saturating_sub(2)) else {
                        if buffer.len() > self.limits.header_bytes {
                            return Err(FrameError::HeaderBytes { limit: self.limits.header_bytes });
                        }
                        self.state = State::Head { scanned: buffer.len() };
                        return Ok(None);
                    };
                    if end > self.limits.header_bytes {
                        return Err(FrameError::HeaderBytes { limit: self.limits.header_bytes });
                    }
                    let head = buffer.split_to(end);
                    let (frame, length) = self.parse_head(&head)?;
                    self.state = State::Body { frame, length, scanned: 0 };
                }
                State::Body { frame, length, scanned } => {
                    return self.take_body(buffer, frame, length, scanned);
                }
            }
        }
    }

    fn take_body(
        &mut self,
        buffer: &mut BytesMut,
        mut frame: Frame,
        length: Option<usize>,
        scanned: usize,
    ) -> Result<Option<Frame>, FrameError> {
        let limit = self.limits.body_bytes;
        let end = match length {
            Some(length) if buffer.len() <= length => None,
            Some(length) if buffer.get(length) != Some(&0) => {
                return Err(FrameError::NotTerminated { length });
            }
            Some(length) => Some(length),
            None => buffer.iter().skip(scanned).position(|byte| *byte == 0).map(|at| at + scanned),
        };
        match end {
            Some(end) if end > limit => Err(FrameError::BodyBytes { limit }),
            Some(end) => {
                frame.body = buffer.split_to(end).freeze();
                buffer.advance(1);
                Ok(Some(frame))
            }
            None if length.is_none() && buffer.len() > limit => Err(FrameError::BodyBytes { limit }),
            None => {
                self.state = State::Body { frame, length, scanned: buffer.len() };
                Ok(None)
            }
        }
    }

    fn parse_head(&self, head: &[u8]) -> Result<(Frame, Option<usize>), FrameError> {
        let text = std::str::from_utf8(head).map_err(|_| FrameError::Header {
            line: shorten(&String::from_utf8_lossy(head)),
            why: "headers must be UTF-8",
        })?;
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let command = lines.next().unwrap_or_default();
        // Connection frames are never escaped, so that any version can read them.
        let escaped = self.version > Version::V1_0 && command != "CONNECT" && command != "CONNECTED";
        let mut headers = Vec::with_capacity(8);
        for line in lines.take_while(|line| !line.is_empty()) {
            if headers.len() >= self.limits.header_count {
                return Err(FrameError::HeaderCount { limit: self.limits.header_count });
            }
            let (key, value) = line.split_once(':').ok_or_else(|| FrameError::Header {
                line: shorten(line),
                why: "there is no colon between name and value",
            })?;
            headers.push(if escaped {
                (unescape(key, line)?, unescape(value, line)?)
            } else {
                (key.to_owned(), value.to_owned())
            });
        }
        if text.contains('\0') {
            return Err(FrameError::Header {
                line: shorten(text),
                why: "a NUL byte stands before the blank line",
            });
        }
        let headers = Headers::from(headers);
        let length = match headers.get("content-length") {
            None => None,
            Some(value) => {
                let length = value
                    .trim()
                    .parse::<usize>()
                    .map_err(|_| FrameError::ContentLength { value: shorten(value) })?;
                if length > self.limits.body_bytes {
                    return Err(FrameError::BodyBytes { limit: self.limits.body_bytes });
                }
                Some(length)
            }
        };
        Ok((Frame { command: command.to_owned(), headers, body: bytes::Bytes::new() }, length))
    }
}

fn skip_line_ends(buffer: &mut BytesMut) {
    let blank = buffer.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    buffer.advance(blank);
}

/// The index just after the blank line that ends the headers.
fn head_end(buffer: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let line_feed = at + buffer.get(at..)?.iter().position(|byte| *byte == b'\n')?;
        match (buffer.get(line_feed + 1), buffer.get(line_feed + 2)) {
            (Some(b'\n'), _) => return Some(line_feed + 2),
            (Some(b'\r'), Some(b'\n')) => return Some(line_feed + 3),
            _ => at = line_feed + 1,
        }
    }
}

fn unescape(text: &str, line: &str) -> Result<String, FrameError> {
    if !text.contains('\\') {
        return Ok(text.to_owned());
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            plain.push(char);
            continue;
        }
        plain.push(match chars.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('c') => ':',
            Some('\\') => '\\',
            _ => {
                return Err(FrameError::Header {
                    line: shorten(line),
                    why: "a backslash must be followed by one of n, r, c or a backslash",
                });
            }
        });
    }
    Ok(plain)
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Appends the frame to the buffer as the version writes it. `content-length` is written as the frame has
/// it, and added when the body holds a NUL byte, which could not be read back otherwise. What a version
/// cannot express in a header (line ends in 1.0, for example) becomes a space rather than a broken frame.
pub fn encode(frame: &Frame, version: Version, buffer: &mut BytesMut) {
    let plain = version == Version::V1_0 || matches!(frame.command.as_str(), "CONNECT" | "CONNECTED");
    buffer.reserve(64 + frame.body.len());
    buffer.put_slice(frame.command.as_bytes());
    buffer.put_u8(b'\n');
    for (key, value) in frame.headers.iter() {
        if key == "content-length" {
            continue;
        }
        put_header(key, value, if plain { Version::V1_0 } else { version }, buffer);
    }
    if frame.get("content-length").is_some() || frame.body.contains(&0) {
        // Never the sender's number: it must fit the body, or the peer loses its place.
        put_header("content-length", &frame.body.len().to_string(), Version::V1_0, buffer);
    }
    buffer.put_u8(b'\n');
    buffer.put_slice(&frame.body);
    buffer.put_u8(0);
}

/// Appends one header line.
pub(crate) fn put_header(key: &str, value: &str, version: Version, buffer: &mut BytesMut) {
    put_escaped(key, version, true, buffer);
    buffer.put_u8(b':');
    put_escaped(value, version, false, buffer);
    buffer.put_u8(b'\n');
}

fn put_escaped(text: &str, version: Version, is_key: bool, buffer: &mut BytesMut) {
    let special = |byte: &u8| matches!(byte, b'\n' | b'\r' | b':' | b'\\' | 0);
    if !text.as_bytes().iter().any(special) {
        buffer.put_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        match (byte, version) {
            (0, _) | (b'\n' | b'\r', Version::V1_0) | (b'\r', Version::V1_1) => buffer.put_u8(b' '),
            (b':', Version::V1_0) if is_key => buffer.put_u8(b' '),
            (b'\n', _) => buffer.put_slice(b"\\n"),
            (b'\r', _) => buffer.put_slice(b"\\r"),
            (b':', Version::V1_1 | Version::V1_2) => buffer.put_slice(b"\\c"),
            (b'\\', Version::V1_1 | Version::V1_2) => buffer.put_slice(b"\\\\"),
            (other, _) => buffer.put_u8(other),
        }
    }
}

#[cfg(test)]
mod tests;
