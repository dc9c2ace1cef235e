//! The gateway node: tokens, rooms, ordered and acknowledged messages, recovery, over the engine.
//!
//! What clients say arrives in `app`, one file an event in `events`. `broker` gives messages their order, `offset` and
//! `replay` say what somebody missed, `session` who may come back for it. The crate knows no other process.

mod app;
mod broker;
mod clock;
mod config;
mod connect;
mod ending;
mod events;
mod gateway;
mod http;
mod metrics;
mod offset;
mod outgoing;
mod placeholder;
mod refill;
mod replay;
mod session;
mod sessions;

pub use broker::HistoryLimits;
pub use config::{Development, GatewayConfig, Limits};
pub use gateway::{Bound, Gateway};
