//! Load for relays: publishers and many viewers with real ICE, DTLS and SRTP, over WHIP and WHEP or what else a relay
//! speaks, in a process of its own that is driven over a line of JSON each way, like the load of the gateway. Every packet
//! is opened, so a viewer that got something else than was sent is found out.

pub(crate) mod command;
mod description;
mod driver;
mod freezes;
mod http;
mod janus;
mod missing;
mod path;
mod peer;
mod picture;
mod publisher;
mod stretch;
mod studio;
mod tally;
mod viewer;
mod whip;
mod worker;

pub(crate) use driver::Driver;
pub(crate) use worker::serve;
