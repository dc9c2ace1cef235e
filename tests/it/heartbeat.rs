//! Heartbeats short enough to watch, and long enough for a client that is starved for a second.

use crate::harness::{Kind, Run, Suite};

const INTERVAL_MS: u64 = 400;
const TIMEOUT_MS: u64 = 1_500;

fn run(server: Kind, mode: &'static str) {
    let mut suite = Suite::new("heartbeat");
    suite.options =
        suite.options.value("ping-interval-ms", &INTERVAL_MS).value("ping-timeout-ms", &TIMEOUT_MS);
    suite.environment.push(("SUITE_PING_INTERVAL_MS", INTERVAL_MS.to_string()));
    Run { server, mode, parser: "default", deflate: false }.go(suite);
}

macro_rules! servers {
    ($($server:ident: $kind:expr;)*) => {
        $(mod $server {
            use super::*;
            #[test]
            fn polling() {
                run($kind, "polling");
            }
            #[test]
            fn websocket() {
                run($kind, "websocket");
            }
        })*
    };
}

servers! {
    engine: Kind::Engine;
    node: Kind::Node;
    oxide: Kind::Oxide;
}
