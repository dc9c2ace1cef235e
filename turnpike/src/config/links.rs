//! The keys of the links between relays.

use std::net::IpAddr;

use turnpike_daemon::section;

use super::Advertised;

section! {
    /// Links over which relays give streams to each other. Only with Redis: alone, a relay has nobody to link to.
    pub(crate) struct Links in "links" {
        /// Address at which other relays reach this one, over UDP (QUIC). Not set: the gateway's, `HOST`.
        host: Option<IpAddr> = "", "TURNPIKE_LINK_HOST";
        /// UDP port of the links. 0 lets the system choose.
        port: u16 = "0", "TURNPIKE_LINK_PORT", "0" to "65535";
        /// Address and port that other relays are told. Not set: where links come in, or if that is everywhere, by the address that this machine has towards Redis.
        advertise: Option<Advertised> = "", "TURNPIKE_LINK_ADVERTISE";
        /// Relays and shards that one stream is given to directly; those that come later get it from one of them.
        branches_max: usize = "16", "TURNPIKE_LINK_BRANCHES_MAX", "1" to "256";
    }
}
