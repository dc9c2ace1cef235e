//! A Socket.IO server: Engine.IO v4 and Socket.IO v5 over long-polling and websockets, and a plain JSON protocol over
//! websockets beside them.
//!
//! Each shard is one thread that owns its connections, rooms and timers. A program implements [`Application`], binds
//! a [`Server`], and talks to its sockets through the [`Handle`]. The engine knows nothing of what is said over it.
//!
//! The layers, the lower never knowing the upper: [`frame`], [`packet`], `session`, `shard` with its namespaces,
//! `server`.

mod ack;
mod admission;
mod application;
mod arrival;
mod command;
mod config;
mod counters;
pub mod flight;
pub mod frame;
mod handle;
mod ids;
mod inbox;
mod look;
mod outbox;
pub mod packet;
mod polling;
mod rooms;
mod server;
mod session;
mod shard;
mod spread;
pub mod ticket;
pub mod wheel;
mod whereabouts;

pub use ack::{AckError, AckReply, Answers};
pub use application::{
    Admission, Application, ConnectRequest, DisconnectReason, Event, Handshake, Kind, Refusal, Resume, Step,
    TicketClaims, Traffic,
};
pub use arrival::{Introduces, Introduction, Noticed, TurnedAway};
pub use command::{Close, Departure};
pub use config::{EngineConfig, Origins, SHARDS_MAX};
pub use counters::{Counters, Times};
pub use handle::{Handle, Overloaded};
pub use ids::{SocketId, SocketRef};
pub use look::Look;
pub use server::{Bound, KEPT_HEADERS, PeerAddress, Server};
pub use spread::Spread;
