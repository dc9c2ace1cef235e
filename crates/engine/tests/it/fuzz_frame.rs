//! Fuzz targets of the frame layer: what must hold for any bytes whatsoever.
//!
//! Their corpus stands in `corpus/<target>/`; the form of an input is told at each target.

use std::{convert::Infallible, path::Path};

use turnpike_engine::frame::{
    Incoming, Limits, Reader, Role,
    deflate::{self, InflateError},
    handshake,
};

use turnpike_fuzz as fuzz;

fn run(name: &str, target: fn(&[u8])) {
    fuzz::run(name, &Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name), target);
}

#[test]
fn frame_reader_holds() {
    run("frame_reader", frame_reader);
}

#[test]
fn inflate_holds() {
    run("inflate", inflate);
}

#[test]
fn handshake_headers_hold() {
    run("handshake_headers", handshake_headers);
}

/// What a reader does with a stream that comes in pieces, written down as text so that two can be compared.
fn outcome(role: Role, deflate: bool, stream: &[u8], piece: usize, limits: &Limits) -> Vec<String> {
    let mut reader = Reader::new(role, deflate);
    let mut told = Vec::new();
    let mut ended = false;
    for chunk in stream.chunks(piece) {
        let read = reader.read(&mut chunk.to_vec(), limits, |incoming| {
            assert!(!ended, "something after the end");
            let (len, max) = match incoming {
                Incoming::Text(text) => (text.len(), limits.message_bytes_max),
                Incoming::Binary(bytes) => (bytes.len(), limits.message_bytes_max),
                Incoming::Ping(bytes) | Incoming::Pong(bytes) => (bytes.len(), 125),
                Incoming::Close(close) => {
                    ended = true;
                    (close.map_or(0, |(_, reason)| reason.len()), 123)
                }
            };
            assert!(len <= max, "{len} bytes, and {max} is the limit");
            told.push(format!("{incoming:?}"));
            Ok::<_, Infallible>(())
        });
        if let Err(error) = read {
            assert!(!ended, "told twice");
            ended = true;
            told.push(format!("{error:?}"));
        }
        assert_eq!(reader.has_partial(), reader.held_bytes() > 0);
        // A message, a control frame within it, and the bookkeeping.
        let most = limits.message_bytes_max + 125 + 200;
        assert!(reader.held_bytes() <= most, "holds {} bytes, {most} at most", reader.held_bytes());
    }
    told
}

/// `flags`, limit of a frame and of a message (in units of 8 bytes), then the stream. Bit 0 of the flags is the
/// role, bit 1 compression, and the rest the size of the pieces.
pub(crate) fn frame_reader(data: &[u8]) {
    let [flags, frame, message, stream @ ..] = data else { return };
    let role = if flags & 1 == 0 { Role::Server } else { Role::Client };
    let deflate = flags & 2 != 0;
    let limits = Limits {
        frame_bytes_max: usize::from(*frame) * 8,
        // Not rounded, so that a limit falls inside of things.
        message_bytes_max: usize::from(*message) * 8 + 3,
    };
    let whole = outcome(role, deflate, stream, stream.len().max(1), &limits);
    let pieces = outcome(role, deflate, stream, usize::from(flags >> 2) + 1, &limits);
    assert_eq!(whole, pieces, "the outcome depends on how the bytes arrive");
}

/// The limit as two bytes, then a compressed message.
pub(crate) fn inflate(data: &[u8]) {
    let [high, low, payload @ ..] = data else { return };
    let bytes_max = usize::from(u16::from_be_bytes([*high, *low]));
    let mut out = Vec::new();
    let result = deflate::inflate(payload, bytes_max, &mut out).map(<[u8]>::to_vec);
    assert!(out.capacity() <= bytes_max, "{} bytes for a limit of {bytes_max}", out.capacity());
    match result {
        Ok(message) => {
            assert!(message.len() <= bytes_max);
            // A limit that it just fits changes nothing, and one byte less refuses it.
            assert_eq!(deflate::inflate(payload, message.len(), &mut out), Ok(&message[..]));
            if let Some(max) = message.len().checked_sub(1) {
                assert_eq!(deflate::inflate(payload, max, &mut out), Err(InflateError::TooLong { max }));
            }
            let mut small = Vec::new();
            deflate::compress(&message, &mut small);
            assert_eq!(deflate::inflate(&small, bytes_max, &mut out), Ok(&message[..]));
        }
        Err(InflateError::TooLong { max }) => assert_eq!(max, bytes_max),
        Err(InflateError::Malformed) => {}
    }
}

/// The text of any of the three headers: each target takes it for its own.
pub(crate) fn handshake_headers(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(answer) = handshake::negotiate_deflate(&text) {
        // What was offered, with nothing but names of the RFC that the client knows.
        assert!(text.contains("permessage-deflate"));
        let window = answer.contains("server_max_window_bits");
        assert!(!window || text.contains("server_max_window_bits"), "{answer:?}");
        // An answer is itself an offer that we take.
        assert_eq!(handshake::negotiate_deflate(answer), Some(answer));
        // Offers in front that are unknown change nothing; nor do any behind the one that was taken.
        let more = format!("mystery; a=\"b\", {text}");
        assert_eq!(handshake::negotiate_deflate(&more), Some(answer));
    }
    if let Ok(accept) = handshake::accept(&text) {
        assert_eq!((text.len(), accept.len()), (24, 28));
        assert!(accept.ends_with('='));
    }
    assert_eq!(handshake::version(&text).is_ok(), text.trim_ascii() == "13");
}
