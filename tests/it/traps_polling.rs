//! Long-polling over plain HTTP: what a stock client would not ask.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::http::{Polling, ask, get};
use crate::harness::websocket::server_is_well;
use crate::harness::{ServerOptions, trap};

trap! {
    two_polls_at_once_close_the_session(server) {
        let session = Polling::connected(&server).await;
        let first = session.park().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let second = session.get().await;
        // Whichever of them the server has read last is refused; the other is let go, with a close packet or without.
        let first = first.answer().await;
        assert!([first.status, second.status].contains(&400), "{first:?} {second:?}");
        session.is_gone().await;
        server_is_well(&server).await;
    }

    two_posts_at_once_are_not_mixed(server) {
        let session = Polling::connected(&server).await;
        let mut first = TcpStream::connect(server.address).await.unwrap();
        let whole = r#"42["echo:back",1]"#;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{}",
            session.path(),
            whole.len(),
            &whole[..5],
        );
        first.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let second = session.post(r#"42777["echo","round trip"]"#).await;
        // Closing the session is right, and so is handling each once it is whole.
        if second.status == 400 {
            session.is_gone().await;
            return;
        }
        assert_eq!((second.status, second.text()), (200, "ok"));
        assert_eq!(session.packets().await, [r#"43777["round trip"]"#]);
        first.write_all(&whole.as_bytes()[5..]).await.unwrap();
        assert_eq!(session.packets().await, [r#"42["echoed",1]"#]);
    }

    a_post_after_the_close_is_refused(server) {
        let session = Polling::connected(&server).await;
        session.must_post("1").await;
        let late = session.post(r#"42["echo:back",1]"#).await;
        assert_eq!(late.status, 400, "{late:?}");
        session.is_gone().await;
    }

    a_close_lets_the_parked_poll_go(server) {
        let session = Polling::connected(&server).await;
        let parked = session.park().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        session.must_post("1").await;
        let answer = parked.answer().await;
        assert!(answer.status == 400 || ["6", "1", ""].contains(&answer.text()), "{answer:?}");
        session.is_gone().await;
    }

    several_packets_in_one_post_are_handled_in_order(server) {
        let session = Polling::connected(&server).await;
        let packets: Vec<String> = (0..50).map(|n| format!("42{n}[\"position\",{n}]")).collect();
        session.must_post(&packets.join("\x1e")).await;
        let mut answers = Vec::new();
        while answers.len() < 50 {
            answers.extend(session.packets().await);
        }
        assert_eq!(answers, (0..50).map(|n| format!("43{n}[{n},{n}]")).collect::<Vec<_>>());
    }

    a_trailing_separator_ends_the_session(server) {
        let session = Polling::connected(&server).await;
        session.post("42[\"position:silent\"]\x1e").await;
        session.is_gone().await;
    }

    an_empty_packet_ends_the_session(server) {
        for body in ["3\x1e\x1e3", "\x1e3", "\x1e", ""] {
            let session = Polling::connected(&server).await;
            session.post(body).await;
            session.is_gone().await;
        }
    }

    a_packet_of_no_known_type_ends_the_session(server) {
        for body in ["abc", "7", "9", "4\x1ex"] {
            let session = Polling::connected(&server).await;
            session.post(body).await;
            session.is_gone().await;
        }
    }

    binary_goes_both_ways_as_base64(server) {
        let session = Polling::connected(&server).await;
        session.must_post("451-0[\"echo\",{\"_placeholder\":true,\"num\":0}]\x1ebAQIDBA==").await;
        let mut packets = Vec::new();
        while packets.len() < 2 {
            packets.extend(session.packets().await);
        }
        assert_eq!(packets, [r#"461-0[{"_placeholder":true,"num":0}]"#, "bAQIDBA=="]);
    }

    binary_in_a_post_of_its_own_belongs_to_the_event_before(server) {
        let session = Polling::connected(&server).await;
        session.must_post("452-0[\"echo\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]").await;
        session.must_post("bAQ==").await;
        session.must_post("bAg==").await;
        let mut packets = Vec::new();
        while packets.len() < 3 {
            packets.extend(session.packets().await);
        }
        assert_eq!(&packets[1..], ["bAQ==", "bAg=="]);
    }

    base64_that_is_none_ends_the_session(server) {
        let session = Polling::connected(&server).await;
        session.post("451-0[\"echo\",{\"_placeholder\":true,\"num\":0}]\x1eb!!!not base64!!!").await;
        session.is_gone().await;
    }

    a_session_that_nobody_has_is_refused(server) {
        let mut session = Polling::session(&server).await;
        session.sid = session.sid.chars().rev().collect();
        for answer in [session.get().await, session.post("40").await] {
            assert_eq!(answer.status, 400, "{answer:?}");
            assert!(answer.text().contains("Session ID unknown"), "{answer:?}");
        }
    }

    requests_that_are_no_handshake_are_refused(server) {
        for query in ["", "EIO=4", "EIO=4&transport=carrier-pigeon", "transport=polling", "EIO=abc&transport=polling", "EIO=5&transport=polling"] {
            let answer = get(&server, &format!("/socket.io/?{query}")).await;
            assert_eq!(answer.status, 400, "{query}: {answer:?}");
        }
        let posted = ask(server.address, "POST", "/socket.io/?EIO=4&transport=polling", &[], b"40").await.answer().await;
        assert_eq!(posted.status, 400, "{posted:?}");
    }

    a_body_above_the_limit_is_refused(server, ServerOptions::default().value("payload-bytes-max", &10_000)) {
        let session = Polling::connected(&server).await;
        let body = format!("42[\"echo:back\",\"{}\"]", "x".repeat(20_000));
        let answer = session.post(body).await;
        assert_eq!(answer.status, 413, "{answer:?}");
        server_is_well(&server).await;
    }

    a_body_announced_above_the_limit_is_refused_before_it_is_sent(server, ServerOptions::default().value("payload-bytes-max", &10_000)) {
        let session = Polling::connected(&server).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 100000000000\r\n\r\n",
            session.path()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut answer)).await;
        // A close without a word is an answer too.
        if read.expect("an answer in time").is_ok() {
            assert_eq!(&answer, b"HTTP/1.1 413");
        }
        server_is_well(&server).await;
    }

    a_chunked_body_is_bounded_as_well(server, ServerOptions::default().value("payload-bytes-max", &10_000)) {
        let session = Polling::connected(&server).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
            session.path()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
        // Forty megabytes, far more than the limit.
        let send = async {
            for _ in 0..40_000 {
                if stream.write_all(chunk.as_bytes()).await.is_err() {
                    return;
                }
            }
        };
        let before = server.resident_bytes();
        // Closing, not reading any more, reading and forgetting: all are right, keeping it is not.
        let _ = tokio::time::timeout(Duration::from_secs(5), send).await;
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < 25_000_000, "{grown} bytes kept");
        server_is_well(&server).await;
    }

    a_chunked_body_is_read(server) {
        let session = Polling::connected(&server).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\n42777\r\n15\r\n[\"echo\",\"round trip\"]\r\n0\r\n\r\n",
            session.path()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(session.packets().await, [r#"43777["round trip"]"#]);
    }

    a_poll_that_is_given_up_loses_nothing_silently(server) {
        let session = Polling::connected(&server).await;
        drop(session.park().await);
        tokio::time::sleep(Duration::from_millis(150)).await;
        // Closing the session and going on are both right; going on has to be whole.
        let posted = session.post(r#"42777["echo","round trip"]"#).await;
        if posted.status == 200 {
            assert_eq!(session.packets().await, [r#"43777["round trip"]"#]);
        } else {
            assert_eq!(posted.status, 400, "{posted:?}");
        }
        server_is_well(&server).await;
    }

    a_parked_poll_waits_for_an_event(server) {
        let session = Polling::connected(&server).await;
        let parked = session.park().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        session.must_post(r#"42777["echo","round trip"]"#).await;
        let answer = parked.answer().await;
        assert_eq!((answer.status, answer.text()), (200, r#"43777["round trip"]"#));
    }

    a_large_poll_is_compressed_for_who_can_read_it(server, ServerOptions::default().flag("deflate", true)) {
        let session = Polling::connected(&server).await;
        session.must_post(&format!("42777[\"echo\",\"{}\"]", "x".repeat(50_000))).await;
        let answer = ask(server.address, "GET", &session.path(), &[("Accept-Encoding", "gzip")], b"").await.answer().await;
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(answer.body.as_slice()), &mut text).unwrap();
        assert_eq!(text, format!("43777[\"{}\"]", "x".repeat(50_000)));
    }

    a_large_poll_stays_as_it_is_for_who_cannot_read_gzip(server, ServerOptions::default().flag("deflate", true)) {
        let session = Polling::connected(&server).await;
        session.must_post(&format!("42777[\"echo\",\"{}\"]", "x".repeat(50_000))).await;
        let answer = session.get().await;
        assert_eq!(answer.header("content-encoding"), None);
        assert_eq!(answer.body.len(), 50_000 + "43777[\"\"]".len());
    }

    a_session_that_never_connects_over_polling_is_closed(server, ServerOptions::default().value("connect-timeout-ms", &400)) {
        let session = Polling::session(&server).await;
        tokio::time::sleep(Duration::from_millis(900)).await;
        session.is_gone().await;
    }

    a_client_that_stops_polling_is_let_go(server, ServerOptions::default().value("ping-interval-ms", &800).value("ping-timeout-ms", &1_500)) {
        let session = Polling::connected(&server).await;
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        session.is_gone().await;
    }

    headers_of_any_size_are_not_read(server) {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n").await.unwrap();
        let line = format!("X-Long: {}\r\n", "x".repeat(4000));
        let mut refused = false;
        for _ in 0..2_500 {
            if stream.write_all(line.as_bytes()).await.is_err() {
                refused = true;
                break;
            }
        }
        assert!(refused, "ten megabytes of headers were read");
        server_is_well(&server).await;
    }
}
