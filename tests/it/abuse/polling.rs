//! Long-polling: two requests where one may be, bodies beyond all limits, and sessions that are somebody else's.

use super::Attack;

fn poll(sid: &str) -> String {
    format!(
        "GET /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "polling with two GETs",
        swarm: 24,
        life: |target, number| {
            Box::pin(async move {
                let Some(sid) = target.session(number).await else { return };
                let request = poll(&sid);
                tokio::join!(
                    target.answer(number, &request),
                    target.answer(number, &request),
                    target.answer(number, &request)
                );
            })
        },
        told_by: &["turnpike_signals_total{signal=\"malformed\""],
        audited_by: &["detection.signal malformed"],
    },
    Attack {
        name: "oversized POST",
        swarm: 16,
        life: |target, number| {
            Box::pin(async move {
                let Some(sid) = target.session(number).await else { return };
                // Announced as what it is, or not announced at all.
                let length = if number.is_multiple_of(2) {
                    "Content-Length: 100000000\r\n\r\n"
                } else {
                    "Transfer-Encoding: chunked\r\n\r\n"
                };
                let head = format!(
                    "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: a\r\n{length}"
                );
                let Some(mut peer) = target.asks(number, &head).await else { return };
                let chunk = format!("10000\r\n{}\r\n", "4".repeat(0x10000));
                while peer.say(chunk.as_bytes()).await && peer.drain() {}
            })
        },
        told_by: &["turnpike_signals_total{signal=\"flood\""],
        audited_by: &["detection.signal flood"],
    },
    Attack {
        name: "session id guessing",
        swarm: 16,
        life: |target, number| {
            Box::pin(async move {
                let Some(mut guess) = target.session(number).await else { return };
                // Near its own one, and of the same form.
                let last = guess.pop().unwrap_or('a');
                for other in ('a'..='z').filter(|other| *other != last) {
                    let answer = target.answer(number, &poll(&format!("{guess}{other}"))).await;
                    assert!(!answer.unwrap_or_default().starts_with("HTTP/1.1 200"), "a guess that opens");
                }
            })
        },
        told_by: &["turnpike_signals_total{signal=\"session_guess\""],
        audited_by: &["detection.signal session_guess"],
    },
];
