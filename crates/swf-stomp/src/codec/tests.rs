use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;

fn decoder(version: Version) -> Codec {
    let mut codec = Codec::new(Limits { header_count: 20, header_bytes: 4096, body_bytes: 1000 });
    codec.set_version(version);
    codec
}

fn decode_all(codec: &mut Codec, bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let mut buffer = BytesMut::from(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = codec.decode(&mut buffer)? {
        frames.push(frame);
    }
    Ok(frames)
}

fn text(version: Version, frame: &Frame) -> String {
    let mut buffer = BytesMut::new();
    encode(frame, version, &mut buffer);
    String::from_utf8(buffer.to_vec()).unwrap()
}

#[test]
fn headers_are_escaped_as_their_version_says() {
    let frame = Frame::new("SEND").with("a:b", "x\ny\\z:\r");
    assert_eq!(text(Version::V1_2, &frame), "SEND\na\\cb:x\\ny\\\\z\\c\\r\n\n\0");
    assert_eq!(text(Version::V1_1, &frame), "SEND\na\\cb:x\\ny\\\\z\\c \n\n\0");
    assert_eq!(text(Version::V1_0, &frame), "SEND\na b:x y\\z: \n\n\0");
}

#[test]
fn connection_frames_are_never_escaped() {
    let frame = Frame::new("CONNECT").with("passcode", "a:b\\c");
    assert_eq!(text(Version::V1_2, &frame), "CONNECT\npasscode:a:b\\c\n\n\0");
    let read = decode_all(&mut decoder(Version::V1_2), b"CONNECT\npasscode:a:b\\c\n\n\0").unwrap();
    assert_eq!(read, [frame]);
}

#[test]
fn line_ends_with_carriage_return_and_heart_beats_between_frames_are_taken() {
    let frames = decode_all(
        &mut decoder(Version::V1_2),
        b"\n\r\nSEND\r\ndestination:/queue/x\r\n\r\nhi\0\n\n\nACK\nid:1\n\n\0\n",
    )
    .unwrap();
    assert_eq!(
        frames,
        [
            Frame::new("SEND").with("destination", "/queue/x").with_body("hi"),
            Frame::new("ACK").with("id", "1")
        ]
    );
}

#[test]
fn a_body_with_nul_bytes_needs_and_gets_a_content_length() {
    let frame = Frame::new("SEND").with_body(&b"a\0b\0"[..]);
    assert_eq!(text(Version::V1_0, &frame), "SEND\ncontent-length:4\n\na\0b\0\0");
    let frames = decode_all(&mut decoder(Version::V1_0), text(Version::V1_0, &frame).as_bytes()).unwrap();
    assert_eq!(frames[0].body, frame.body);
}

#[test]
fn a_wrong_content_length_is_replaced_on_writing_and_refused_on_reading() {
    let frame = Frame::new("SEND").with("content-length", "77").with_body("abc");
    assert_eq!(text(Version::V1_2, &frame), "SEND\ncontent-length:3\n\nabc\0");
    let read = |bytes: &[u8]| decode_all(&mut decoder(Version::V1_2), bytes).unwrap_err();
    assert_eq!(read(b"SEND\ncontent-length:2\n\nabc\0"), FrameError::NotTerminated { length: 2 });
    assert!(read(b"SEND\ncontent-length:-1\n\n\0").to_string().contains("\"-1\""));
}

#[test]
fn every_limit_is_named_in_its_error() {
    let many = format!("SEND\n{}\n\0", "a:b\n".repeat(21));
    let read = |bytes: &[u8]| decode_all(&mut decoder(Version::V1_2), bytes).unwrap_err().to_string();
    assert!(read(many.as_bytes()).contains("20 header lines"));
    assert!(read(format!("SEND\na:{}", "x".repeat(4096)).as_bytes()).contains("4096 bytes of headers"));
    assert!(read(format!("SEND\na:{}\n\n\0", "x".repeat(4096)).as_bytes()).contains("4096 bytes of headers"));
    assert!(read(format!("SEND\n\n{}", "x".repeat(1001)).as_bytes()).contains("1000 bytes"));
    assert!(read(b"SEND\ncontent-length:1001\n\n").contains("1000 bytes"));
}

#[test]
fn broken_headers_are_refused_with_the_line() {
    let read = |bytes: &[u8]| decode_all(&mut decoder(Version::V1_1), bytes).unwrap_err().to_string();
    assert!(read(b"SEND\nnocolon\n\n\0").contains("nocolon"));
    assert!(read(b"SEND\na:b\\t\n\n\0").contains("backslash"));
    assert!(read(b"SEND\na:\xff\n\n\0").contains("UTF-8"));
    assert!(read(b"SEND\na:b\0SEND\n\n\0").contains("NUL"));
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let header = ("[^\0\r\n]{1,12}", "[^\0\r]{0,30}");
    (prop::collection::vec(header, 0..8), prop::collection::vec(any::<u8>(), 0..200)).prop_map(
        |(headers, body)| {
            let mut frame = Frame::new("MESSAGE");
            frame.headers = headers.into_iter().filter(|(key, _)| key != "content-length").collect();
            frame.body = Bytes::from(body);
            frame
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(frames in prop::collection::vec(any_frame(), 1..4), new in any::<bool>(), cut in 1usize..50) {
        let version = if new { Version::V1_2 } else { Version::V1_1 };
        let mut bytes = BytesMut::new();
        for frame in &frames {
            encode(frame, version, &mut bytes);
            bytes.put_u8(b'\n');
        }
        let mut codec = decoder(version);
        let mut buffer = BytesMut::new();
        let mut read = Vec::new();
        for piece in bytes.chunks(cut) {
            buffer.put_slice(piece);
            while let Some(mut frame) = codec.decode(&mut buffer).unwrap() {
                frame.headers.remove("content-length");
                read.push(frame);
            }
        }
        prop_assert_eq!(read, frames);
    }

    #[test]
    fn garbage_never_panics_and_never_loops(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b':'), Just(0u8), Just(b'\\')], 0..600), cut in 1usize..40) {
        let mut codec = decoder(Version::V1_2);
        let mut buffer = BytesMut::new();
        'pieces: for piece in bytes.chunks(cut) {
            buffer.put_slice(piece);
            loop {
                match codec.decode(&mut buffer) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'pieces,
                }
            }
        }
    }
}
