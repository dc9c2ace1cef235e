//! HTTP that is passed on to another server: what of a request goes along, a body that can be given to a second server if the
//! first was never reached, and what follows an upgrade, byte by byte.
//!
//! Which server it is, and what becomes of those that are not there, is for others to say.

mod body;
mod headers;
mod tunnel;

pub use body::{Unread, Untouched};
pub use headers::{drop_hop_by_hop, keep_upgrade};
pub use tunnel::{End, tunnel};
