//! The words that all processes of Turnpike share: ids, positions, events, error codes, limits.
//!
//! Types here are parsed once, at the edge, and cannot be wrong afterwards. This crate knows no runtime, no clock, no
//! socket and no storage; whatever it says about a value can be said by looking at the value.

mod answer;
mod code;
mod disconnect;
pub mod event;
mod ice;
mod id;
pub mod limits;
pub mod media;
mod position;
pub mod presence;

pub use answer::{Answer, Failure};
pub use code::Code;
pub use disconnect::Disconnect;
pub use ice::{IceCredential, IceServer};
pub use id::{DeviceId, IdError, MessageId, RoomId, UserId};
pub use position::{Position, PositionError};
