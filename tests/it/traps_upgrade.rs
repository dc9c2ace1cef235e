//! From polling to websocket, step by step.

use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;

use crate::harness::http::Polling;
use crate::harness::websocket::{Came, WebSocket, server_is_well};
use crate::harness::{Server, ServerOptions, trap};

async fn websocket_of(server: &Server, session: &Polling) -> WebSocket {
    WebSocket::open(server, &format!("EIO=4&transport=websocket&sid={}", session.sid)).await.unwrap()
}

async fn probed(server: &Server, session: &Polling) -> WebSocket {
    let mut socket = websocket_of(server, session).await;
    socket.send("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    socket
}

/// Whatever it takes to see that a websocket is not (or no longer) part of a session.
async fn is_useless(server: &Server, session: &Polling) {
    let query = format!("EIO=4&transport=websocket&sid={}", session.sid);
    let Ok(mut socket) = WebSocket::open(server, &query).await else { return };
    socket.try_send(Message::text("2probe")).await;
    let came = socket.next_within(Duration::from_secs(1)).await;
    assert!(matches!(came, None | Some(Came::End(_))), "{came:?}");
}

trap! {
    a_probe_is_answered_while_a_poll_is_parked(server) {
        let session = Polling::connected(&server).await;
        let parked = session.park().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut socket = probed(&server, &session).await;
        // The parked poll is let go, so that the client can pause its polling.
        let answer = parked.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "6"));
        socket.send("5").await;
        socket.works().await;
    }

    a_poll_that_comes_after_the_probe_is_let_go_too(server) {
        let session = Polling::connected(&server).await;
        let mut socket = probed(&server, &session).await;
        assert_eq!(session.packets().await, ["6"]);
        socket.send("5").await;
        socket.works().await;
    }

    after_the_upgrade_polling_is_refused(server) {
        let session = Polling::connected(&server).await;
        let mut socket = probed(&server, &session).await;
        socket.send("5").await;
        socket.works().await;
        let polled = session.get().await;
        assert_eq!(polled.status, 400, "{polled:?}");
        let posted = session.post(r#"42["echo:back",1]"#).await;
        assert_eq!(posted.status, 400, "{posted:?}");
    }

    after_the_upgrade_a_second_websocket_is_refused(server) {
        let session = Polling::connected(&server).await;
        let mut socket = probed(&server, &session).await;
        socket.send("5").await;
        socket.works().await;
        is_useless(&server, &session).await;
        socket.works().await;
    }

    a_websocket_of_a_session_that_nobody_has_is_refused(server) {
        let mut session = Polling::connected(&server).await;
        session.sid = session.sid.chars().rev().collect();
        is_useless(&server, &session).await;
        server_is_well(&server).await;
    }

    a_second_websocket_during_the_upgrade_does_not_take_it_over(server) {
        let session = Polling::connected(&server).await;
        let mut first = probed(&server, &session).await;
        is_useless(&server, &session).await;
        first.send("5").await;
        first.works().await;
    }

    a_probe_that_is_none_closes_the_websocket_and_not_the_session(server) {
        for wrong in ["4hello", "2", "3probe", "2prob", "1"] {
            let session = Polling::connected(&server).await;
            let mut socket = websocket_of(&server, &session).await;
            socket.send(wrong).await;
            socket.expect_end().await;
            session.works().await;
        }
    }

    an_upgrade_without_a_probe_is_none(server) {
        let session = Polling::connected(&server).await;
        let mut socket = websocket_of(&server, &session).await;
        socket.send("5").await;
        socket.expect_end().await;
        session.works().await;
    }

    events_on_the_websocket_before_the_upgrade_are_not_handled(server) {
        let session = Polling::connected(&server).await;
        let mut socket = probed(&server, &session).await;
        socket.try_send(Message::text(r#"420["echo",1]"#)).await;
        socket.expect_end().await;
        server_is_well(&server).await;
    }

    an_upgrade_that_is_given_up_leaves_polling_as_it_was(server) {
        let session = Polling::connected(&server).await;
        drop(probed(&server, &session).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
        session.works().await;
        // And it can be tried again.
        let mut socket = probed(&server, &session).await;
        socket.send("5").await;
        socket.works().await;
    }

    an_upgrade_that_is_never_completed_ends_and_polling_goes_on(server, ServerOptions::default().value("upgrade-timeout-ms", &2_500)) {
        let session = Polling::connected(&server).await;
        let mut socket = probed(&server, &session).await;
        session.must_post(r#"421["echo",1]"#).await;
        let mut packets = Vec::new();
        while !packets.contains(&"431[1]".to_owned()) {
            packets.extend(session.packets().await);
        }
        socket.expect_end().await;
        session.works().await;
    }

    a_websocket_that_never_probes_ends_and_polling_goes_on(server, ServerOptions::default().value("upgrade-timeout-ms", &500)) {
        let session = Polling::connected(&server).await;
        let mut socket = websocket_of(&server, &session).await;
        socket.expect_end().await;
        session.works().await;
    }

    a_close_during_the_upgrade_ends_both(server) {
        let session = Polling::connected(&server).await;
        let mut socket = probed(&server, &session).await;
        session.must_post("1").await;
        socket.try_send(Message::text("5")).await;
        socket.expect_end().await;
        session.is_gone().await;
        server_is_well(&server).await;
    }

    what_was_sent_during_the_upgrade_arrives_once_and_in_order(server) {
        let session = Polling::connected(&server).await;
        session.must_post(r#"42["burst",50,10]"#).await;
        let mut numbers = ticks(&session.packets().await);
        let mut socket = probed(&server, &session).await;
        // Asked for over polling after the probe: the answers may come by a last poll or by the websocket.
        session.must_post(r#"42["burst",50,10]"#).await;
        let mut packets = session.packets().await;
        packets.retain(|packet| packet != "6");
        numbers.extend(ticks(&packets));
        socket.send("5").await;
        socket.send(r#"42["burst",50,10]"#).await;
        while numbers.len() < 150 {
            numbers.extend(ticks(&[socket.text().await]));
        }
        socket.works().await;
        let burst = 0..50;
        assert_eq!(numbers, [burst.clone(), burst.clone(), burst].into_iter().flatten().collect::<Vec<u64>>());
    }

    an_event_cut_by_the_upgrade_is_put_together(server) {
        let session = Polling::connected(&server).await;
        let mut socket = probed(&server, &session).await;
        session.must_post("451-0[\"echo\",{\"_placeholder\":true,\"num\":0}]").await;
        socket.send("5").await;
        socket.send_binary(b"attachment").await;
        assert_eq!(socket.text().await, r#"461-0[{"_placeholder":true,"num":0}]"#);
        assert_eq!(socket.next().await, Came::Binary(b"attachment".to_vec()));
    }
}

/// The numbers of `42["tick",<n>,<filler>]` packets.
fn ticks(packets: &[String]) -> Vec<u64> {
    packets
        .iter()
        .map(|packet| {
            let rest = packet.strip_prefix("42[\"tick\",").unwrap_or_else(|| panic!("{packet}"));
            rest.split_once(',').unwrap().0.parse().unwrap()
        })
        .collect()
}
