//! Clients that do not read, or not fast enough, or never finish what they say.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::frames::{CLOSE, FIN, Frames, PONG, TEXT, frame};
use crate::harness::websocket::{WebSocket, server_is_well};
use crate::harness::{Server, ServerOptions, trap};

fn bounded(write_deadline_ms: u64) -> ServerOptions {
    ServerOptions::default()
        .value("queue-soft-bytes", &1_000_000)
        .value("queue-hard-bytes", &2_000_000)
        .value("write-deadline-ms", &write_deadline_ms)
}

/// A client whose window is small and closes at once, because it reads nothing any more.
async fn deaf(server: &Server) -> Frames {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = socket.connect(server.address).await.unwrap();
    let mut frames = Frames::over(stream, server).await;
    frames.enter().await;
    frames
}

/// How long it is since then when the connection is closed, by a reset or an end, while nothing is read of what it holds.
async fn until_closed(frames: &Frames, start: Instant, within: Duration) -> Duration {
    loop {
        // A closed connection shows in its state, without reading: writing to it fails after the reset.
        let failed = frames
            .stream
            .try_write(&frame(FIN | PONG, b""))
            .is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock);
        if failed {
            return start.elapsed();
        }
        assert!(start.elapsed() < within, "still open after {within:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

trap! {
    a_client_that_never_reads_is_closed_at_its_write_deadline(server, bounded(700)) {
        let mut deaf = deaf(&server).await;
        let start = Instant::now();
        // More than the kernel takes on both ends, less than the hard limit.
        deaf.send(FIN | TEXT, br#"42["burst",100,10000]"#).await;
        let took = until_closed(&deaf, start, Duration::from_secs(10)).await;
        assert!(took >= Duration::from_millis(500), "closed after {took:?}, long before its deadline");
        server_is_well(&server).await;
    }

    a_client_that_never_reads_its_answers_is_closed_at_the_hard_limit(server, bounded(60_000)) {
        let mut deaf = deaf(&server).await;
        let before = server.resident_bytes();
        // Asks and asks. Either the answers fill its queue and it is closed, or it is not read from any more.
        let echo = frame(FIN | TEXT, format!("420[\"echo\",\"{}\"]", "x".repeat(10_000)).as_bytes());
        let ask = async { while deaf.stream.write_all(&echo).await.is_ok() {} };
        let _ = tokio::time::timeout(Duration::from_secs(5), ask).await;
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < 40_000_000, "{grown} bytes for one client");
        server_is_well(&server).await;
    }

    // Whoever waits for it waits longer than for anything that works.
    others_are_served_while_one_never_reads(server, bounded(60_000)) {
        let mut deaf = deaf(&server).await;
        let (mut other, _) = WebSocket::connected(&server).await;
        deaf.send(FIN | TEXT, br#"42["burst",150,10000]"#).await;
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            other.works().await;
        }
    }

    a_client_that_reads_slowly_gets_everything(server, ServerOptions::default().value("write-deadline-ms", &5_000)) {
        let mut slow = deaf(&server).await;
        slow.send(FIN | TEXT, br#"42["burst",100,10000]"#).await;
        for n in 0..100 {
            let frame = slow.frame().await.expect("an event");
            let start = format!("42[\"tick\",{n},");
            assert!(frame.payload.starts_with(start.as_bytes()), "{n}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        slow.works().await;
    }

    a_half_open_connection_is_closed_by_the_heartbeat(server, ServerOptions::default().value("ping-interval-ms", &800).value("ping-timeout-ms", &1_500)) {
        let start = Instant::now();
        // Alive below, silent above: a peer that lost power looks like this.
        let mut silent = Frames::connected(&server).await;
        silent.answers_pings = false;
        while let Some(frame) = silent.frame().await {
            assert!([FIN | TEXT, FIN | CLOSE].contains(&frame.first), "{frame:?}");
            if frame.first == FIN | CLOSE {
                break;
            }
        }
        assert!(start.elapsed() >= Duration::from_millis(1_400), "closed after {:?}", start.elapsed());
        server_is_well(&server).await;
    }

    a_thousand_connections_that_say_nothing_cost_nobody_else_anything(server) {
        let mut silent = Vec::new();
        for _ in 0..1_000 {
            silent.push(TcpStream::connect(server.address).await.unwrap());
        }
        let asked = Instant::now();
        server_is_well(&server).await;
        assert!(asked.elapsed() < Duration::from_secs(3));
    }

    #[ignore = "takes as long as the server's patience with headers, ten seconds and more"]
    a_request_that_comes_a_byte_at_a_time_is_given_up(server) {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let start = Instant::now();
        stream.write_all(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nX-Slow: ").await.unwrap();
        loop {
            if stream.write_all(b"a").await.is_err() {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "still read after {:?}", start.elapsed());
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}
