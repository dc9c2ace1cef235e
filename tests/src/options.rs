//! The options that every reference server takes, Node's one included, under the same names.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Parser {
    Default,
    Msgpack,
}

#[derive(Clone, Debug, clap::Parser)]
pub struct Options {
    #[arg(long, value_enum, default_value = "default")]
    pub parser: Parser,
    #[arg(long)]
    pub deflate: bool,
    /// 0 leaves Connection State Recovery off.
    #[arg(long, default_value_t = 0)]
    pub recovery_window_ms: u64,
    #[arg(long, default_value_t = 25_000)]
    pub ping_interval_ms: u64,
    #[arg(long, default_value_t = 20_000)]
    pub ping_timeout_ms: u64,
    #[arg(long, default_value_t = 45_000)]
    pub connect_timeout_ms: u64,
    #[arg(long, default_value_t = 1_000_000)]
    pub payload_bytes_max: u64,
    #[arg(long, default_value_t = 10_000)]
    pub upgrade_timeout_ms: u64,
    // From here on: our engine alone heeds them.
    #[arg(long)]
    pub queue_soft_bytes: Option<usize>,
    #[arg(long)]
    pub queue_hard_bytes: Option<usize>,
    #[arg(long)]
    pub write_deadline_ms: Option<u64>,
}

impl Options {
    pub fn ping_interval(&self) -> Duration {
        Duration::from_millis(self.ping_interval_ms)
    }

    pub fn ping_timeout(&self) -> Duration {
        Duration::from_millis(self.ping_timeout_ms)
    }

    pub fn upgrade_timeout(&self) -> Duration {
        Duration::from_millis(self.upgrade_timeout_ms)
    }

    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}
