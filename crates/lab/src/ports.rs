//! Ports that are free.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::TcpListener;
use std::ops::Range;

use anyhow::bail;

/// Below the range from which systems take the ports of outgoing connections, so that a server that restarts finds its own
/// port free.
const RANGE: Range<u16> = 12_000..32_000;

/// Free at this moment. Somebody else may take one before it is used, so whoever binds it must be ready to try others.
pub(crate) fn free(count: usize) -> anyhow::Result<Vec<u16>> {
    let width = u64::from(RANGE.end - RANGE.start);
    // Seeded anew for each call by the system: two processes begin at different places.
    let start = RandomState::new().build_hasher().finish() % width;
    let mut held = Vec::with_capacity(count);
    for step in 0..width {
        if held.len() == count {
            break;
        }
        let port = RANGE.start + u16::try_from((start + step) % width).expect("it is inside of the range");
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push((port, listener));
        }
    }
    if held.len() < count {
        bail!("there are no {count} free ports between {} and {}", RANGE.start, RANGE.end);
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}
