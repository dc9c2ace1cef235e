//! Packets that no stock client would send, over a websocket.
//!
//! Where the protocol leaves the answer open (ignore it, or close), a trap asks only for what every right answer has
//! in common: nothing doubled, nothing invented, everybody else unharmed.

use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;

use crate::harness::websocket::{Came, WebSocket, server_is_well};
use crate::harness::{ServerOptions, trap};

/// Sends it on a connection of its own, which has to end without any answer to it.
async fn closes(server: &crate::harness::Server, what: &str, packets: &[Message]) {
    let (mut socket, _) = WebSocket::connected(server).await;
    for packet in packets {
        socket.try_send(packet.clone()).await;
    }
    // Behind it a packet that would be answered: an end without that answer is an end because of what was sent.
    socket.try_send(Message::text(r#"42777["echo","round trip"]"#)).await;
    loop {
        match socket.next_within(Duration::from_secs(5)).await {
            Some(Came::End(_)) => return,
            // Saying goodbye first is fine.
            Some(Came::Text(text)) if text == "1" || text.starts_with("41") => {}
            other => panic!("{what}: not closed, but {other:?}"),
        }
    }
}

fn text(text: impl Into<String>) -> Message {
    Message::text(text.into())
}

fn binary(bytes: &[u8]) -> Message {
    Message::binary(bytes.to_vec())
}

const ONE_ATTACHMENT: &str = r#"451-0["echo",{"_placeholder":true,"num":0}]"#;

trap! {
    duplicate_connect_gives_no_second_socket(server) {
        let (mut socket, _) = WebSocket::connected(&server).await;
        socket.send("40").await;
        socket.try_send(text(r#"42777["echo","round trip"]"#)).await;
        // Ignoring it and closing are both right.
        loop {
            match socket.next().await {
                Came::Text(text) if text == r#"43777["round trip"]"# => break,
                Came::End(_) => break,
                Came::Text(text) => {
                    assert!(!text.starts_with("40"), "a second socket: {text}");
                    assert!(!text.contains("welcome"), "a second connection event: {text}");
                }
                Came::Binary(_) => panic!("binary out of nothing"),
            }
        }
        server_is_well(&server).await;
    }

    connect_again_after_leaving_gives_a_new_socket(server) {
        let (mut socket, first) = WebSocket::connected(&server).await;
        socket.send("41").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let second = socket.enter("40").await;
        assert_ne!(first, second);
        socket.works().await;
    }

    connect_after_close_is_not_answered(server) {
        let (mut socket, _) = WebSocket::session(&server).await;
        socket.send("1").await;
        socket.try_send(text("40")).await;
        socket.expect_end().await;
    }

    event_before_connect_is_not_handled(server) {
        let (mut socket, _) = WebSocket::session(&server).await;
        socket.send(r#"420["echo",1]"#).await;
        socket.expect_end().await;
    }

    event_in_a_namespace_that_was_refused_is_not_handled(server) {
        let (mut socket, _) = WebSocket::connected(&server).await;
        socket.send(r#"40/admin,{"token":"wrong"}"#).await;
        let refused = socket.text().await;
        assert!(refused.starts_with(r#"44/admin,{"message":"unauthorized""#), "{refused}");
        socket.send(r#"42/admin,0["echo",1]"#).await;
        socket.expect_end().await;
    }

    unknown_namespace_is_refused_and_nothing_else(server) {
        let (mut socket, _) = WebSocket::connected(&server).await;
        socket.send("40/nowhere,").await;
        assert_eq!(socket.text().await, r#"44/nowhere,{"message":"Invalid namespace"}"#);
        socket.works().await;
    }

    leaving_a_namespace_that_was_never_entered_harms_nobody(server) {
        let (mut socket, _) = WebSocket::connected(&server).await;
        socket.send("41/admin,").await;
        socket.try_send(text(r#"42777["echo","round trip"]"#)).await;
        match socket.next().await {
            Came::Text(text) => assert!(text == r#"43777["round trip"]"# || text == "1", "{text}"),
            other => assert!(matches!(other, Came::End(_)), "{other:?}"),
        }
        server_is_well(&server).await;
    }

    ack_for_an_unknown_id_is_ignored(server) {
        let (mut socket, _) = WebSocket::connected(&server).await;
        socket.send(r#"4399999["nobody asked"]"#).await;
        socket.send("430[]").await;
        socket.works().await;
    }

    ack_twice_counts_once(server) {
        let (mut socket, _) = WebSocket::connected(&server).await;
        socket.send(r#"421["ask",5000,"q"]"#).await;
        let question = socket.text().await;
        let id = question.strip_prefix("42").unwrap().strip_suffix(r#"["question","q"]"#).unwrap().to_owned();
        socket.send(&format!(r#"43{id}["first"]"#)).await;
        socket.send(&format!(r#"43{id}["second"]"#)).await;
        assert_eq!(socket.text().await, r#"431[{"answer":"first"}]"#);
        socket.works().await;
    }

    ack_from_the_wrong_socket_is_not_an_answer(server) {
        let (mut asked, _) = WebSocket::connected(&server).await;
        let (mut other, _) = WebSocket::connected(&server).await;
        asked.send(r#"421["ask",700,"q"]"#).await;
        let question = asked.text().await;
        let id = question.strip_prefix("42").unwrap().strip_suffix(r#"["question","q"]"#).unwrap().to_owned();
        other.send(&format!(r#"43{id}["forged"]"#)).await;
        other.works().await;
        assert_eq!(asked.text().await, r#"431[{"timeout":true}]"#);
    }

    text_between_attachments_closes(server) {
        closes(&server, "text instead of the attachment", &[text(ONE_ATTACHMENT), text(r#"421["echo",1]"#)]).await;
        server_is_well(&server).await;
    }

    fewer_attachments_than_announced_hold_the_event_back(server) {
        let (mut socket, _) = WebSocket::connected(&server).await;
        socket.send(r#"452-0["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#).await;
        socket.send_binary(b"one").await;
        assert_eq!(socket.next_within(Duration::from_millis(300)).await, None);
        socket.send_binary(b"two").await;
        assert_eq!(
            socket.text().await,
            r#"462-0[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#
        );
        assert_eq!(socket.next().await, Came::Binary(b"one".to_vec()));
        assert_eq!(socket.next().await, Came::Binary(b"two".to_vec()));
    }

    more_attachments_than_announced_close(server) {
        let (mut socket, _) = WebSocket::connected(&server).await;
        socket.send(ONE_ATTACHMENT).await;
        socket.send_binary(b"announced").await;
        socket.try_send(binary(b"not announced")).await;
        socket.try_send(text(r#"42777["echo","round trip"]"#)).await;
        let before = socket.until_end().await;
        let announced = [
            Came::Text(r#"461-0[{"_placeholder":true,"num":0}]"#.to_owned()),
            Came::Binary(b"announced".to_vec()),
        ];
        // A close may overtake the answer to what was right.
        assert!(announced.starts_with(&before), "{before:?}");
    }

    an_attachment_that_nobody_announced_closes(server) {
        closes(&server, "binary alone", &[binary(b"hello")]).await;
        server_is_well(&server).await;
    }

    placeholders_out_of_range_close(server) {
        for number in ["1", "5", "-1", "4294967296", "\"0\"", "null"] {
            let event = format!(r#"451-["echo:back",{{"_placeholder":true,"num":{number}}}]"#);
            closes(&server, &event, &[text(event.clone()), binary(b"x")]).await;
        }
        server_is_well(&server).await;
    }

    a_placeholder_between_two_numbers_closes(server) {
        let event = r#"451-["echo:back",{"_placeholder":true,"num":0.5}]"#;
        closes(&server, event, &[text(event), binary(b"x")]).await;
    }

    far_too_many_attachments_close_before_they_are_sent(server) {
        closes(&server, "99999 attachments", &[text(r#"4599999-0["echo",{"_placeholder":true,"num":0}]"#)]).await;
        server_is_well(&server).await;
    }

    packets_that_are_none_close(server) {
        for packet in [
            "4", "49", "4abc", "42{", "42{}", "42\"echo\"", "42[", "42[]", "42[{}]", "42[null]", "42abc[\"echo\"]",
            "42/admin[\"echo\"]", "45[\"echo\"]", "45x-[\"echo\"]", "43{}", "7", "9", "x",
        ] {
            closes(&server, packet, &[text(packet)]).await;
        }
        server_is_well(&server).await;
    }

    an_empty_frame_closes(server) {
        closes(&server, "nothing", &[text("")]).await;
    }

    events_and_acks_without_a_payload_close(server) {
        for packet in ["42", "423", "43", "433"] {
            closes(&server, packet, &[text(packet)]).await;
        }
    }

    an_ack_id_of_too_many_digits_closes(server) {
        closes(&server, "25 digits", &[text(r#"429999999999999999999999999["echo",1]"#)]).await;
        server_is_well(&server).await;
    }

    reserved_event_names_reach_no_application(server) {
        for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
            closes(&server, name, &[text(format!(r#"42["{name}"]"#))]).await;
        }
    }

    connect_with_an_auth_that_is_no_object_closes(server) {
        for auth in ["\"text\"", "[1]", "true", "{", "{\"a\":}"] {
            let (mut socket, _) = WebSocket::session(&server).await;
            socket.send(&format!("40{auth}")).await;
            let before = socket.until_end().await;
            assert!(before.is_empty(), "{auth}: {before:?}");
        }
        server_is_well(&server).await;
    }

    an_open_packet_from_the_client_closes(server) {
        closes(&server, "open", &[text("0{}")]).await;
    }

    an_engine_ping_from_the_client_closes(server) {
        closes(&server, "ping", &[text("2")]).await;
    }

    an_engine_pong_that_nobody_asked_for_is_harmless(server) {
        let (mut socket, _) = WebSocket::connected(&server).await;
        socket.send("3").await;
        socket.send("3").await;
        socket.works().await;
    }

    a_noop_is_ignored(server) {
        let (mut socket, _) = WebSocket::connected(&server).await;
        socket.send("6").await;
        socket.works().await;
    }

    json_of_any_depth_leaves_the_server_standing(server) {
        for depth in [1_000, 100_000] {
            let (mut socket, _) = WebSocket::connected(&server).await;
            let event = format!("420[\"echo\",{}{}]", "[".repeat(depth), "]".repeat(depth));
            socket.try_send(text(event)).await;
            // An echo and a close are both right.
            let _ = socket.next().await;
        }
        server_is_well(&server).await;
    }

    a_session_that_never_connects_is_closed(server, ServerOptions::default().value("connect-timeout-ms", &400)) {
        let begun = std::time::Instant::now();
        let (mut socket, _) = WebSocket::session(&server).await;
        socket.expect_end().await;
        assert!(begun.elapsed() >= Duration::from_millis(400), "closed after {:?}", begun.elapsed());
    }

    a_session_that_connects_in_time_stays(server, ServerOptions::default().value("connect-timeout-ms", &2_500)) {
        let (mut socket, _) = WebSocket::connected(&server).await;
        assert_eq!(socket.next_within(Duration::from_secs(3)).await, None);
        socket.works().await;
    }

    msgpack_that_is_none_closes(server, ServerOptions::default().value("parser", "msgpack")) {
        for garbage in [&b"\xc1"[..], b"", b"\x80", b"\x93\x01\x02", b"\xdf\xff\xff\xff\xff", b"\x84\xa4type\x09"] {
            let (mut socket, _) = WebSocket::session(&server).await;
            socket.try_send(binary(garbage)).await;
            let before = socket.until_end().await;
            assert!(before.is_empty(), "{garbage:?}: {before:?}");
        }
    }
}
