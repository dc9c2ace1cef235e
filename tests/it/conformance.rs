//! The vocabulary of `tests/README.md` with the stock client, over every way in.
//!
//! The references run half of the matrix: they are here to prove the tests, not themselves.

use crate::harness::{Kind, Run, Suite, matrix};

fn run(server: Kind, mode: &'static str, parser: &'static str, deflate: bool) {
    Run { server, mode, parser, deflate }.go(Suite::new("conformance"));
}

matrix! {
    engine: Kind::Engine => {
        polling: "polling", "default", false;
        polling_msgpack: "polling", "msgpack", false;
        websocket: "websocket", "default", false;
        websocket_deflate: "websocket", "default", true;
        websocket_msgpack: "websocket", "msgpack", false;
        websocket_msgpack_deflate: "websocket", "msgpack", true;
        upgrade: "upgrade", "default", false;
        upgrade_deflate: "upgrade", "default", true;
        upgrade_msgpack: "upgrade", "msgpack", false;
        upgrade_msgpack_deflate: "upgrade", "msgpack", true;
    }
    node: Kind::Node => {
        polling: "polling", "default", false;
        polling_msgpack: "polling", "msgpack", false;
        websocket_deflate: "websocket", "default", true;
        websocket_msgpack: "websocket", "msgpack", false;
        upgrade: "upgrade", "default", false;
        // Without deflate: its compressor takes four times as long as all the rest of the suite.
        upgrade_msgpack: "upgrade", "msgpack", false;
    }
    oxide: Kind::Oxide => {
        polling: "polling", "default", false;
        polling_msgpack: "polling", "msgpack", false;
        websocket: "websocket", "default", false;
        websocket_msgpack: "websocket", "msgpack", false;
        upgrade: "upgrade", "default", false;
        upgrade_msgpack: "upgrade", "msgpack", false;
    }
}
