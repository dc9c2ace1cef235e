//! Heartbeats short enough to watch, and a patience that is longer than a busy machine keeps a client from its turn.

use crate::harness::{Kind, Run, Suite};

const INTERVAL_MS: u64 = 300;
const TIMEOUT_MS: u64 = 3_000;

fn run(server: Kind, mode: &'static str) {
    let mut suite = Suite::new("heartbeat");
    suite.options =
        suite.options.value("ping-interval-ms", &INTERVAL_MS).value("ping-timeout-ms", &TIMEOUT_MS);
    suite.environment.push(("SUITE_PING_INTERVAL_MS", INTERVAL_MS.to_string()));
    suite.environment.push(("SUITE_PING_TIMEOUT_MS", TIMEOUT_MS.to_string()));
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
