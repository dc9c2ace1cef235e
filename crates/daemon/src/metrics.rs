//! The metrics registry, and the metrics of the process itself. What the process does adds its own to the same registry,
//! which is handed in everywhere and global nowhere.

mod process;

use prometheus::{Encoder as _, Registry, TextEncoder};

pub use process::Process;

/// The media type of [`render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The registry as Prometheus text.
pub fn render(registry: &Registry) -> Result<Vec<u8>, prometheus::Error> {
    let mut text = Vec::with_capacity(16 * 1024);
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(text)
}
