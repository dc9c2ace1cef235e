//! The relay of live video: one publisher in, any number of viewers out.
//!
//! It is asked through [`Ask`], whoever asks. It knows no connection of the gateway and no chat.

mod ask;
mod metrics;
mod relay;
mod sfu;
mod shard;

pub use ask::{Ask, Ended, Most, Notice, Opened, StreamInfo, Told};
pub use relay::{Relay, RelayConfig, StartError};
pub use sfu::Limits;
