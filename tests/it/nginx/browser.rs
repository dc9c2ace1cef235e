//! A browser's own requests of WHIP and WHEP: preflights for a page of another origin, over TLS and HTTP/2, and what follows
//! the first answer. All the while nginx takes up its configuration anew.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::edge::{House, Kind, Processes};
use crate::harness::script;

/// Between two reloads.
const PAUSE: Duration = Duration::from_millis(700);

fn publishes_and_watches(kind: Kind) {
    const STEPS: [&str; 4] = ["whip_to_whep", "restart", "reload", "stop"];
    let house = House::with(kind, Processes::MasterAndWorker, &[], &[]);
    let token = |user: &str, rights: &str| {
        house.pair.nodes[0].token(&["--user", user, "--stream", &format!("live:*={rights}")]).unwrap()
    };
    let options = [
        ("url", house.edge.url("").trim_end_matches('/').to_owned()),
        ("publisher", token("publisher", "publish")),
        ("viewer", token("viewer", "subscribe")),
        ("steps", STEPS.join(",")),
    ];
    let lines = std::thread::scope(|scope| {
        // Ends with this closure, however that ends.
        let (_goes_on, ends) = sync_channel::<()>(1);
        let edge = &house.edge;
        scope.spawn(move || {
            while ends.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                edge.signal("HUP");
            }
        });
        script::seen("media.mjs", &options)
    });
    assert_eq!(lines.len(), STEPS.len(), "a line a step: {lines:?}");
    for (line, step) in lines.iter().zip(STEPS) {
        assert_eq!(
            (&line["step"], line["fault"].is_null()),
            (&step.into(), true),
            "{line}\n{}",
            house.edge.log()
        );
    }
    assert_eq!(lines[1]["etag_changed"], true);
    assert_eq!((&lines[3]["viewer"], &lines[3]["publisher"]), (&200.into(), &200.into()));
}

#[test]
fn through_routers() {
    publishes_and_watches(Kind::WithRouters);
}

#[test]
fn by_nginx_alone() {
    publishes_and_watches(Kind::Alone);
}
