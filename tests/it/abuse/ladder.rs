//! From the first forged token to the closed door: who is kept out, how soon, and who is not.

use std::time::{Duration, Instant};

use super::arena::Arena;

/// By then the score of somebody who does nothing else is over the first threshold.
const KNOCKS_MAX: usize = 20;
/// From the signal that was one too many to the refusal.
const AT_ONCE: Duration = Duration::from_millis(100);

#[test]
fn who_guesses_tokens_is_kept_out_at_once() {
    let arena = Arena::open(None, 1);
    let target = arena.target(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        const OPEN: &str =
            "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let mut knocks = 0;
        let took = loop {
            let answered = Instant::now();
            let opened = target.answer(0, OPEN).await.unwrap_or_default();
            if !opened.starts_with("HTTP/1.1 200") {
                break answered.elapsed();
            }
            assert!(knocks < KNOCKS_MAX, "still let in");
            let mut peer = target.websocket(0, "").await.expect("let in");
            peer.text(r#"40{"token":"forged"}"#).await;
            assert!(peer.until("44").await, "refused, and told so");
            knocks += 1;
        };
        println!("kept out after {knocks} forged tokens, {took:?} after the last one");
        assert!(knocks > 5, "nobody is kept out for a few");
        assert!(took <= AT_ONCE, "{took:?}");
        assert!(target.entered(1, target.token(0)).await.is_some(), "who is next door is not meant");
        assert!(target.entered(0, target.token(0)).await.is_none(), "nor does a good token help there");
    });
    assert!(arena.metrics().sum("turnpike_detections_total") > 0.0);
    let begun = Instant::now();
    while arena.audited().sum("detection.found") == 0.0 {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it is not in the audit log: {}",
            arena.audited().all()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
