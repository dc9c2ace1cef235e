//! The relay of live video: one publisher in, any number of viewers out.
//!
//! It is asked through [`Ask`], whoever asks. It knows no connection of the gateway and no chat.

mod ask;
mod audited;
mod carry;
mod face;
mod homes;
mod link;
mod metrics;
mod record;
mod relay;
mod sfu;
mod shard;
pub mod signaling;
mod whip;

pub use ask::{Ask, Ended, Most, Notice, Opened, StreamInfo, Told};
pub use face::Face;
pub use homes::{Homes, HomesConfig, NotHere};
pub use link::{LinkError, LinkTarget, Links, LinksConfig, NotAttached, TrustError};
pub use record::RecordConfig;
pub use relay::{Relay, RelayConfig, StartError};
pub use sfu::Limits;
pub use whip::{Alone, ClientAddress, IceServer, IceServers, Place, Places, Whip, WhipConfig};
