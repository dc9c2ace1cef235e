//! Load for relays: one publisher and many viewers over WHIP and WHEP with real ICE, DTLS and SRTP, in a process of its
//! own that is driven over a line of JSON each way, like the load of the gateway. Every packet is opened, so a viewer
//! that got something else than was sent is found out.

pub(crate) mod command;
mod description;
mod driver;
mod http;
mod peer;
mod publisher;
mod studio;
mod tally;
mod viewer;
mod worker;

pub(crate) use driver::Driver;
pub(crate) use worker::serve;
