//! RFC 6455 and RFC 7692 over plain TCP: frames that no websocket library would send.

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::harness::frames::{
    BINARY, CLOSE, CONTINUATION, FIN, Frames, HANDSHAKE, MASKED, PING, PONG, RSV1, TEXT, frame,
};
use crate::harness::websocket::server_is_well;
use crate::harness::{Server, ServerOptions, trap};

const PROTOCOL_ERROR: u16 = 1002;
const INVALID_TEXT: u16 = 1007;
const TOO_BIG: u16 = 1009;

const ECHO: &[u8] = br#"42777["echo","round trip"]"#;

/// What was sent ends the connection. A server that says why has to say this; some close without a word.
async fn ends_with(socket: &mut Frames, code: u16, what: &str) {
    // Behind what is wrong something that would be answered.
    socket.send(FIN | TEXT, ECHO).await;
    let said = socket.ends().await;
    assert!(said.is_none_or(|said| said == code), "{what}: closed with {said:?}, not {code}");
}

async fn refuses(server: &Server, code: u16, what: &str, bytes: &[u8]) {
    let mut socket = Frames::connected(server).await;
    socket.bytes(bytes).await;
    ends_with(&mut socket, code, what).await;
}

/// As permessage-deflate wants it: a sync flush, without its tail.
fn deflated(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.flush().unwrap();
    let mut bytes = encoder.get_ref().clone();
    assert!(bytes.ends_with(&[0, 0, 0xff, 0xff]));
    bytes.truncate(bytes.len() - 4);
    bytes
}

fn deflating() -> ServerOptions {
    ServerOptions::default().flag("deflate", true)
}

trap! {
    unmasked_frames_are_refused(server) {
        let mut unmasked = vec![FIN | TEXT, 6];
        unmasked.extend_from_slice(b"42[\"x\"");
        refuses(&server, PROTOCOL_ERROR, "unmasked", &unmasked).await;
        server_is_well(&server).await;
    }

    reserved_bits_are_refused(server) {
        for bit in [0x40, 0x20, 0x10] {
            refuses(&server, PROTOCOL_ERROR, &format!("bit {bit:x}"), &frame(FIN | bit | TEXT, b"40/admin,")).await;
        }
    }

    reserved_opcodes_are_refused(server) {
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            refuses(&server, PROTOCOL_ERROR, &format!("opcode {opcode}"), &frame(FIN | opcode, b"")).await;
        }
    }

    fragmented_control_frames_are_refused(server) {
        for opcode in [PING, PONG, CLOSE] {
            refuses(&server, PROTOCOL_ERROR, &format!("opcode {opcode}"), &frame(opcode, b"")).await;
        }
    }

    control_frames_above_125_bytes_are_refused(server) {
        for opcode in [PING, PONG, CLOSE] {
            refuses(&server, PROTOCOL_ERROR, &format!("opcode {opcode}"), &frame(FIN | opcode, &[b'x'; 126])).await;
        }
    }

    a_continuation_of_nothing_is_refused(server) {
        refuses(&server, PROTOCOL_ERROR, "a lone continuation", &frame(FIN | CONTINUATION, b"x")).await;
        let mut second = frame(FIN | TEXT, b"3");
        second.extend(frame(FIN | CONTINUATION, b"x"));
        refuses(&server, PROTOCOL_ERROR, "after a whole message", &second).await;
    }

    a_new_message_inside_an_unfinished_one_is_refused(server) {
        for opcode in [TEXT, BINARY] {
            let mut bytes = frame(TEXT, b"42");
            bytes.extend(frame(FIN | opcode, b"x"));
            refuses(&server, PROTOCOL_ERROR, &format!("opcode {opcode}"), &bytes).await;
        }
    }

    close_codes_that_are_not_allowed_are_refused(server) {
        for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
            refuses(&server, PROTOCOL_ERROR, &format!("code {code}"), &frame(FIN | CLOSE, &code.to_be_bytes())).await;
        }
    }

    a_close_of_one_byte_is_refused(server) {
        refuses(&server, PROTOCOL_ERROR, "one byte", &frame(FIN | CLOSE, b"\x03")).await;
    }

    a_close_with_a_reason_that_is_no_text_is_refused(server) {
        refuses(&server, INVALID_TEXT, "reason", &frame(FIN | CLOSE, b"\x03\xe8\xff\xfe")).await;
    }

    a_close_is_answered_with_a_close_and_the_end(server) {
        for (payload, what) in [(&b""[..], "no code"), (b"\x03\xe8", "1000"), (b"\x0b\xb8bye", "3000 and a reason")] {
            let mut socket = Frames::connected(&server).await;
            socket.send(FIN | CLOSE, payload).await;
            let answer = socket.frame().await.unwrap_or_else(|| panic!("{what}: no close in answer"));
            assert_eq!(answer.first, FIN | CLOSE, "{what}");
            assert_eq!(socket.frame().await, None, "{what}");
        }
    }

    nothing_is_handled_behind_a_close(server) {
        let mut socket = Frames::connected(&server).await;
        let mut bytes = frame(FIN | CLOSE, b"\x03\xe8");
        bytes.extend(frame(FIN | TEXT, ECHO));
        socket.bytes(&bytes).await;
        socket.ends().await;
    }

    text_that_is_no_utf8_is_refused(server) {
        for bytes in [&b"42[\"\xff\"]"[..], b"42[\"\xc0\xaf\"]", b"42[\"\xed\xa0\x80\"]", b"42[\"\xf4\x90\x80\x80\"]", b"42[\"\xe2\x82"] {
            refuses(&server, INVALID_TEXT, &format!("{bytes:x?}"), &frame(FIN | TEXT, bytes)).await;
        }
    }

    a_character_split_across_fragments_is_text(server) {
        let text = "42777[\"echo\",\"round trip\",\"€😀\"]".as_bytes();
        for cut in 1..text.len() {
            let mut socket = Frames::connected(&server).await;
            let mut bytes = frame(TEXT, &text[..cut]);
            bytes.extend(frame(FIN | CONTINUATION, &text[cut..]));
            socket.bytes(&bytes).await;
            let answer = socket.frame().await.unwrap_or_else(|| panic!("cut at {cut}"));
            assert_eq!(String::from_utf8_lossy(&answer.payload), "43777[\"round trip\",\"€😀\"]", "cut at {cut}");
        }
    }

    text_that_is_no_utf8_across_fragments_is_refused(server) {
        let mut bytes = frame(TEXT, b"42[\"\xe2");
        bytes.extend(frame(CONTINUATION, b"\x28"));
        bytes.extend(frame(FIN | CONTINUATION, b"\xa1\"]"));
        refuses(&server, INVALID_TEXT, "three fragments", &bytes).await;
        let mut bytes = frame(TEXT, b"42[\"");
        bytes.extend(frame(FIN | CONTINUATION, b"\xe2\x82"));
        refuses(&server, INVALID_TEXT, "an unfinished character", &bytes).await;
    }

    a_pong_that_nobody_asked_for_is_ignored(server) {
        let mut socket = Frames::connected(&server).await;
        socket.send(FIN | PONG, b"").await;
        socket.send(FIN | PONG, &[7; 125]).await;
        socket.works().await;
    }

    a_ping_is_answered_with_its_payload(server) {
        let mut socket = Frames::connected(&server).await;
        for payload in [&b""[..], b"hello", &[0xff; 125]] {
            socket.send(FIN | PING, payload).await;
            let pong = socket.frame().await.expect("a pong");
            assert_eq!((pong.first, &pong.payload[..]), (FIN | PONG, payload));
        }
    }

    a_ping_between_fragments_is_answered_before_the_message(server) {
        let mut socket = Frames::connected(&server).await;
        let mut bytes = frame(TEXT, &ECHO[..10]);
        bytes.extend(frame(FIN | PING, b"between"));
        bytes.extend(frame(FIN | CONTINUATION, &ECHO[10..]));
        socket.bytes(&bytes).await;
        let pong = socket.frame().await.expect("a pong");
        assert_eq!((pong.first, &pong.payload[..]), (FIN | PONG, &b"between"[..]));
        socket.answers().await;
    }

    a_message_in_fragments_of_a_byte_is_a_message(server) {
        let mut socket = Frames::connected(&server).await;
        let mut bytes = frame(TEXT, &ECHO[..1]);
        for byte in &ECHO[1..] {
            bytes.extend(frame(CONTINUATION, &[*byte]));
        }
        bytes.extend(frame(FIN | CONTINUATION, b""));
        socket.bytes(&bytes).await;
        socket.answers().await;
    }

    bytes_that_arrive_one_by_one_are_a_message(server) {
        let mut socket = Frames::connected(&server).await;
        for byte in frame(FIN | TEXT, ECHO) {
            socket.bytes(&[byte]).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        socket.answers().await;
    }

    many_messages_in_one_write_are_handled_in_order(server) {
        let mut socket = Frames::connected(&server).await;
        let mut bytes = Vec::new();
        for n in 0..500 {
            bytes.extend(frame(FIN | TEXT, format!("42{n}[\"position\",{n}]").as_bytes()));
        }
        socket.bytes(&bytes).await;
        for n in 0..500 {
            let answer = socket.frame().await.expect("an answer");
            assert_eq!(String::from_utf8_lossy(&answer.payload), format!("43{n}[{n},{n}]"));
        }
    }

    a_frame_behind_the_handshake_in_the_same_write_is_not_lost(server) {
        // Nothing has been answered yet, so the client could not know that it may: the bytes are there all the same.
        let mut request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\n{HANDSHAKE}\r\n",
            server.address
        )
        .into_bytes();
        request.extend(frame(FIN | TEXT, b"40"));
        let mut socket = Frames::raw(&server, &request).await;
        let head = socket.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        for start in [&b"0{"[..], b"40{", b"42[\"welcome\""] {
            let frame = socket.frame().await.expect("a frame");
            assert!(frame.payload.starts_with(start), "{frame:?}");
        }
        socket.works().await;
    }

    a_frame_announced_above_the_limit_is_refused_before_it_is_sent(server, ServerOptions::default().value("payload-bytes-max", &100_000)) {
        for length in [100_001_u64, 1 << 31, 1 << 40, (1 << 63) - 1] {
            let mut socket = Frames::connected(&server).await;
            let mut head = vec![FIN | TEXT, MASKED | 0x7f];
            head.extend_from_slice(&length.to_be_bytes());
            head.extend_from_slice(&[0; 4]);
            socket.bytes(&head).await;
            let asked = Instant::now();
            let said = socket.ends().await;
            assert!(said.is_none_or(|said| said == TOO_BIG), "{length}: {said:?}");
            assert!(asked.elapsed() < Duration::from_secs(5));
        }
        server_is_well(&server).await;
    }

    a_length_with_its_highest_bit_set_is_refused(server) {
        let mut head = vec![FIN | TEXT, MASKED | 0x7f];
        head.extend_from_slice(&u64::MAX.to_be_bytes());
        head.extend_from_slice(&[0; 4]);
        let mut socket = Frames::connected(&server).await;
        socket.bytes(&head).await;
        let said = socket.ends().await;
        assert!(said.is_none_or(|said| said == TOO_BIG || said == PROTOCOL_ERROR), "{said:?}");
    }

    fragments_above_the_limit_in_sum_are_refused(server, ServerOptions::default().value("payload-bytes-max", &100_000)) {
        let mut socket = Frames::connected(&server).await;
        socket.send(TEXT, b"42[\"echo\",\"").await;
        for _ in 0..11 {
            socket.send(CONTINUATION, &[b'x'; 10_000]).await;
        }
        let said = socket.ends().await;
        assert!(said.is_none_or(|said| said == TOO_BIG), "{said:?}");
        server_is_well(&server).await;
    }

    endless_empty_fragments_end_nothing_but_their_own(server) {
        let mut socket = Frames::connected(&server).await;
        let mut bytes = frame(TEXT, &ECHO[..5]);
        for _ in 0..10_000 {
            bytes.extend(frame(CONTINUATION, b""));
        }
        bytes.extend(frame(FIN | CONTINUATION, &ECHO[5..]));
        socket.bytes(&bytes).await;
        socket.answers().await;
    }

    an_offer_that_forces_a_small_window_is_passed_over_for_the_next(server, deflating()) {
        for (offers, taken) in [
            ("permessage-deflate; server_max_window_bits=10", false),
            ("permessage-deflate; server_max_window_bits=10, permessage-deflate", true),
            ("permessage-deflate; no_such_parameter, permessage-deflate; client_max_window_bits", true),
            ("x-webkit-deflate-frame", false),
            ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", false),
        ] {
            let (_, head) = Frames::try_open(&server, &format!("{HANDSHAKE}Sec-WebSocket-Extensions: {offers}\r\n")).await;
            assert!(head.starts_with("HTTP/1.1 101 "), "{offers}: {head}");
            let head = head.to_ascii_lowercase();
            assert_eq!(head.contains("sec-websocket-extensions: permessage-deflate"), taken, "{offers}: {head}");
            // One compressed frame for all: nobody's window may depend on what came before.
            assert_eq!(head.contains("server_no_context_takeover"), taken, "{offers}: {head}");
        }
    }

    a_compressed_message_is_read(server, deflating()) {
        let mut socket = Frames::open_with_deflate(&server).await;
        socket.enter().await;
        socket.send(FIN | RSV1 | TEXT, &deflated(ECHO)).await;
        socket.answers().await;
        // In fragments: only the first bears the bit.
        let bytes = deflated(ECHO);
        socket.send(RSV1 | TEXT, &bytes[..7]).await;
        socket.send(FIN | CONTINUATION, &bytes[7..]).await;
        socket.answers().await;
        socket.works().await;
    }

    a_compressed_bit_where_it_must_not_be_is_refused(server, deflating()) {
        let text = deflated(ECHO);
        let mut in_continuation = frame(RSV1 | TEXT, &text[..7]);
        in_continuation.extend(frame(FIN | RSV1 | CONTINUATION, &text[7..]));
        for (what, bytes) in [("continuation", in_continuation), ("ping", frame(FIN | RSV1 | PING, b""))] {
            let mut socket = Frames::open_with_deflate(&server).await;
            socket.enter().await;
            socket.bytes(&bytes).await;
            ends_with(&mut socket, PROTOCOL_ERROR, what).await;
        }
    }

    compressed_bytes_that_are_none_are_refused(server, deflating()) {
        for garbage in [&b"\xff\xff\xff\xff"[..], b"\x06\x00\x00", &[0x55; 64]] {
            let mut socket = Frames::open_with_deflate(&server).await;
            socket.enter().await;
            socket.send(FIN | RSV1 | TEXT, garbage).await;
            let said = socket.ends().await;
            assert!(said.is_none_or(|said| said == INVALID_TEXT || said == PROTOCOL_ERROR), "{garbage:x?}: {said:?}");
        }
        server_is_well(&server).await;
    }

    a_small_message_that_inflates_above_the_limit_is_refused(server, deflating()) {
        // 100 MB of zeros in 100 kB, under the limit for what is sent.
        let bomb = deflated(&vec![b'0'; 100_000_000]);
        assert!(bomb.len() < 200_000);
        let before = server.resident_bytes();
        let mut socket = Frames::open_with_deflate(&server).await;
        socket.enter().await;
        socket.send(FIN | RSV1 | TEXT, &bomb).await;
        let said = socket.ends().await;
        assert!(said.is_none_or(|said| said == TOO_BIG), "{said:?}");
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < 30_000_000, "it took {grown} bytes to say no");
        server_is_well(&server).await;
    }

    the_handshake_needs_its_version_and_key(server) {
        for (what, headers) in [
            ("no version", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
            ("version 7", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 7\r\n"),
            ("no key", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"),
            ("short key", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: abc\r\nSec-WebSocket-Version: 13\r\n"),
        ] {
            let (_, head) = Frames::try_open(&server, headers).await;
            assert!(head.starts_with("HTTP/1.1 4"), "{what}: {head}");
        }
    }

    the_accept_key_is_that_of_the_rfc(server) {
        let (_, head) = Frames::try_open(&server, HANDSHAKE).await;
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    }

    header_values_in_any_case_and_in_lists_are_understood(server) {
        let mut socket = Frames::open_with(&server, "upgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n").await;
        socket.enter().await;
        socket.works().await;
    }
}
