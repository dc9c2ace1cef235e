//! Live video: publishers and viewers with a real path each (ICE, DTLS, SRTP), over WHIP and WHEP.
//!
//! What is published is not to be looked at: each packet says of which frame it is and when that was due. Pure are
//! [`picture`] and [`screen`]; the rest drives the `webrtc` crate and is a goose user.

mod peer;
mod picture;
mod publisher;
mod screen;
mod signal;
mod viewer;

pub use publisher::publish;
pub use viewer::watch;
