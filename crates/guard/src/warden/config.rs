//! What a warden can be told.

/// Thresholds, times and bounds.
#[derive(Debug, Clone, Default)]
pub struct WardenConfig {}
