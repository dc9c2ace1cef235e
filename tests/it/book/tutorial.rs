//! The tutorial from its first line to its last, on ports that are free, and then two people in browsers who use what it made.

use std::net::{Ipv4Addr, SocketAddr};

use turnpike_book::Mark;

use super::commands::TUTORIAL;
use super::sandbox::Sandbox;
use super::way::Way;
use super::{all_blocks, root};
use crate::harness::ports;
use crate::harness::script::seen;

/// Where the tutorial's own server is.
const SERVER: &str = "localhost:8000";
const SERVER_PORT: &str = "listen(8000";

#[test]
fn the_tutorial_ends_with_a_chat_with_video() {
    let [gateway, admin, server] = ports::own().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut sandbox = Sandbox::bare(gateway, admin);
    sandbox.substitute(SERVER, &format!("localhost:{}", server.port()));
    sandbox.substitute(SERVER_PORT, &format!("listen({}", server.port()));
    let mut stay = Vec::new();
    let blocks = all_blocks().into_iter().filter(|block| block.page == std::path::Path::new(TUTORIAL));
    for block in blocks {
        let place = block.place();
        match Way::of(&block).unwrap() {
            Way::File(name) => {
                assert!(matches!(block.mark, Some(Mark::File(_))));
                let path = sandbox.folder(&block.page).join("target/tutorial").join(name);
                std::fs::write(path, sandbox.meant(&block.text))
                    .unwrap_or_else(|error| panic!("{place}: {error}"));
            }
            Way::Commands => {
                let output = sandbox.run(&block.page, &block.text);
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{place}: {said}");
            }
            Way::Stays(says) => stay.push(sandbox.stay(&block.page, &block.text, &says)),
            Way::NotRun => {}
            other => panic!("{place}: the tutorial has no place for {other:?}"),
        }
    }
    assert_eq!(stay.len(), 2, "the gateway and the page's own server");
    let mut options = vec![("url", format!("http://localhost:{}", server.port()))];
    if let Ok(folder) = std::env::var("TURNPIKE_PICTURES") {
        options.push(("pictures", folder));
    }
    let told = seen("book/tutorial.mjs", &options);
    assert!(told.iter().all(|line| line["fault"].is_null()), "{told:#?}");
    let steps: Vec<_> = told.iter().map(|line| line["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["chat", "cut", "live"], "{told:#?}");
    assert_eq!(told[1]["doubled"], 0, "{told:#?}");
    drop(stay);
    assert!(root().join(TUTORIAL).is_file());
}
