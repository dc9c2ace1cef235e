//! The keys of the media relay.

use std::net::IpAddr;
use std::path::PathBuf;

use turnpike_daemon::config::List;
use turnpike_daemon::{choice, section};

use super::webhooks::HttpUrl;

section! {
    /// The relay of live video in this process.
    pub(crate) struct Media in "media" {
        /// Whether there is one.
        enabled: bool = "true", "TURNPIKE_MEDIA";
        /// Address at which media comes in, over UDP.
        host: IpAddr = "127.0.0.1", "MEDIA_HOST";
        /// UDP port of the first shard; the others have those behind it. 0 lets the system choose.
        port: u16 = "0", "MEDIA_PORT", "0" to "65535";
        /// Whether peers that cannot send datagrams come in by TCP, at the same ports.
        tcp: bool = "true", "TURNPIKE_MEDIA_TCP";
        /// Addresses that peers are told to send media to, as behind a NAT that maps one to one. Not set: where media comes in.
        announce: List<IpAddr> = "", "TURNPIKE_MEDIA_ANNOUNCE";
        /// Where clients of WHIP and WHEP reach this relay, such as `https://media-2.example.org`: those who came to another one are sent here. Not set: they are not.
        url: Option<HttpUrl> = "", "TURNPIKE_MEDIA_URL";
        /// `lite`: only answers, for a relay that everyone can reach; `full`: checks paths itself as well.
        ice: Ice = "full", "TURNPIKE_MEDIA_ICE";
        /// Threads that forward media, each with a port. All of a stream is at one of them. Not set: one for each processor.
        shards: Option<u16> = "", "TURNPIKE_MEDIA_SHARDS", "1" to "64";
        /// Publishers and viewers at the same time, of each shard. Beyond it newcomers are told to come again.
        sessions_max: usize = "5000", "TURNPIKE_MEDIA_SESSIONS_MAX", "1" to "100000";
        /// Requests of WHIP and WHEP that begin something, in a minute from one address (of IPv6, from one /64). As many may come at once.
        posts_per_minute_max: u32 = "120", "TURNPIKE_MEDIA_POSTS_PER_MINUTE_MAX", "1" to "1000000";
        /// Requests of WHIP and WHEP that change or end something, counted in the same way.
        changes_per_minute_max: u32 = "600", "TURNPIKE_MEDIA_CHANGES_PER_MINUTE_MAX", "1" to "1000000";
        /// Publishers of one stream.
        publishers_per_stream_max: usize = "16", "TURNPIKE_MEDIA_PUBLISHERS_PER_STREAM_MAX", "1" to "256";
        /// Bits a second that a viewer's connection is thought to carry before it has shown what it does.
        start_bitrate: u64 = "3000000", "TURNPIKE_MEDIA_START_BITRATE", "100000" to "100000000";
        /// Bits a second that a viewer is sent at most.
        bitrate_max: u64 = "20000000", "TURNPIKE_MEDIA_BITRATE_MAX", "100000" to "1000000000";
        /// Directory into which streams are recorded when somebody asks for it. Not set: nothing is recorded.
        recordings: Option<PathBuf> = "", "TURNPIKE_MEDIA_RECORDINGS";
    }
}

choice! {
    pub(crate) enum Ice {
        Full = "full",
        Lite = "lite",
    }
    expects "`full` or `lite`"
}
