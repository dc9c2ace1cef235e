//! Connection State Recovery with the stock client. socketioxide has none.

use crate::harness::{Kind, Run, Suite, matrix};

/// Long enough to come back within it on a busy machine, short enough to wait for its end.
const WINDOW_MS: u64 = 5_000;

fn run(server: Kind, mode: &'static str, parser: &'static str, deflate: bool) {
    let mut suite = Suite::new("recovery");
    suite.options = suite.options.value("recovery-window-ms", &WINDOW_MS);
    suite.environment.push(("SUITE_RECOVERY_WINDOW_MS", WINDOW_MS.to_string()));
    Run { server, mode, parser, deflate }.go(suite);
}

matrix! {
    engine: Kind::Engine => {
        polling: "polling", "default", false;
        polling_msgpack: "polling", "msgpack", false;
        websocket: "websocket", "default", false;
        websocket_msgpack_deflate: "websocket", "msgpack", true;
        upgrade_deflate: "upgrade", "default", true;
        upgrade_msgpack: "upgrade", "msgpack", false;
    }
    node: Kind::Node => {
        polling: "polling", "default", false;
        websocket: "websocket", "default", false;
        upgrade_msgpack: "upgrade", "msgpack", false;
    }
}
