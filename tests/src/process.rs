//! How a reference server meets the harness that started it.

use std::io::{Read, Write};
use std::net::SocketAddr;

/// One line of JSON on standard output: the harness waits for it.
pub fn announce(address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, r#"{{"listening":"http://{address}"}}"#)?;
    out.flush()
}

/// The harness holds our standard input open. When that ends, however the harness ended, so does this process:
/// no server outlives its test.
pub fn end_with_standard_input() {
    std::thread::spawn(|| {
        let mut rest = [0; 64];
        while matches!(std::io::stdin().read(&mut rest), Ok(1..)) {}
        std::process::exit(0);
    });
}
