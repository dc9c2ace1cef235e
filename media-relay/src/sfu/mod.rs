//! The core of the relay: datagrams, commands and the time go in, datagrams and events come out. No socket, clock, thread or
//! runtime; a shard drives it.

mod keyframe;
mod receiver;
mod send_cache;
