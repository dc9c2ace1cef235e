//! Our engine under the vocabulary of the suite (`tests/README.md`).
//!
//! The application keeps everything in memory behind one lock, which is no way to build a gateway, and the plainest
//! way to prove that the engine does its part: recovery is in `log`, the vocabulary in `vocabulary`.

mod log;
mod vocabulary;

use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use turnpike_engine::packet::Limits;
use turnpike_engine::{EngineConfig, Server};
use turnpike_tests::{Options, announce, end_with_standard_input};

/// Sealed and opened by this process alone.
const SECRET: &[u8] = b"a secret of the conformance suite, not of any product";

/// The suite sends more at once than a chat would: here only the tests of slow readers are to meet these bounds.
const QUEUE_SOFT_BYTES: usize = 16 << 20;
const QUEUE_HARD_BYTES: usize = 32 << 20;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let defaults = EngineConfig::default();
    let config = EngineConfig {
        // Two, so that what is asked of one shard and lies on another is part of every test.
        shards: 2,
        ping_interval: options.ping_interval(),
        ping_timeout: options.ping_timeout(),
        connect_timeout: options.connect_timeout(),
        payload_bytes_max: usize::try_from(options.payload_bytes_max)?,
        queue_soft_bytes: options.queue_soft_bytes.unwrap_or(QUEUE_SOFT_BYTES),
        queue_hard_bytes: options.queue_hard_bytes.unwrap_or(QUEUE_HARD_BYTES),
        write_deadline: options.write_deadline_ms.map_or(defaults.write_deadline, Duration::from_millis),
        upgrade_timeout: options.upgrade_timeout(),
        compression_threshold: options.deflate.then_some(1024),
        // As far as the references go. That the limit holds has tests of its own beside the packet layer.
        packet: Limits { json_keys_max: 100_000, ..defaults.packet },
        ticket_secrets: if options.recovery_window_ms > 0 { vec![SECRET.to_vec()] } else { Vec::new() },
        ..defaults
    };
    let bound = Server::bind(([127, 0, 0, 1], 0).into(), config)?;
    let window = (options.recovery_window_ms > 0).then(|| Duration::from_millis(options.recovery_window_ms));
    let app = Arc::new(vocabulary::Conformance::new(bound.handle(), window));
    let server = bound.serve(&app, &axum::Router::new())?;
    announce(server.local_addr())?;
    end_with_standard_input();
    loop {
        std::thread::park();
    }
}
