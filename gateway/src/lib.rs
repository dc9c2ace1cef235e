//! The gateway node: tokens, rooms, ordered and acknowledged messages, recovery, over the engine.
//!
//! What clients say arrives in `app`, one file an event in `events`. The cluster's broker gives messages their order and
//! brings them to `mirror`; `past`, `replay` and `offset` say what somebody missed, `session` who may come back for it,
//! `resume` brings them back. The crate knows no other process.

mod addresses;
mod agenda;
mod api_keys;
mod app;
pub mod audited;
mod background;
mod clock;
mod config;
mod connect;
mod ending;
mod events;
mod expiry;
mod gates;
mod gateway;
mod http;
pub mod inspect;
mod limits;
mod membership;
mod metrics;
mod mirror;
mod occupancy;
mod offset;
mod operator;
mod outgoing;
mod page;
pub mod pages {
    //! Files within the binary, for other listeners of the process.

    pub use crate::http::pages::{File, HTML, PICTURE, SCRIPT, STYLE, serve};
}
mod past;
mod placeholder;
mod policing;
mod presence;
mod publication;
mod receipts;
mod record;
mod records;
mod references;
mod refill;
mod replay;
mod resume;
mod revoking;
mod session;
mod sessions;
mod shards;
mod signaling;
mod spread;
mod step;
mod traced;
mod typing;
mod webhooks;

pub use addresses::Front;
pub use api_keys::ApiKeys;
pub use config::{Development, GatewayConfig, Limits};
pub use gates::{Gate, Gates, Unanswered};
pub use gateway::{Bound, Gateway};
pub use mirror::RingLimits;
pub use operator::{Connected, Device, Operator};
pub use signaling::MediaLimits;
pub use webhooks::{Resolver, WebhookEvent, Webhooks, is_forbidden, is_public};
