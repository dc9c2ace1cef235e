//! The sticky entry in front of gateways: a request of a session goes to the node that its id names, a new session to one that
//! a strategy chooses, WHIP and WHEP to the relay that has the stream.
//!
//! Which nodes there are, the cluster says. It keeps no state that another router would miss: run two.

mod admission;
mod answer;
mod choice;
mod forwarded;
mod front;
mod lines;
mod load;
mod lookup;
mod metrics;
mod pace;
mod passing;
mod roster;
mod route;
mod router;
mod sign_of_life;
mod spare;
mod suspicion;
mod way;

pub use admission::Handshakes;
pub use choice::Strategy;
pub use router::{Bound, Router, RouterConfig, Rules};
