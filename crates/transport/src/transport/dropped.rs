//! Why a datagram was dropped: one word a reason, for counters.

use crate::srtp::OpenError;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $slug:literal,)*) => {
        /// Why [`Transport::handle`](crate::Transport::handle) dropped a datagram.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Dropped { $($(#[$doc])* $name,)* }

        impl Dropped {
            /// Every reason, in the order of `self as usize`, for a table of counters.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason as a metric's label.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }
        }
    };
}

reasons! {
    /// None of the protocols that share the path.
    Unknown = "unknown",
    /// The transport is closed.
    Closed = "closed",
    /// No valid check came from there.
    UnknownPath = "unknown_path",
    /// Media before the handshake is complete.
    NotConnected = "not_connected",
    StunMalformed = "stun_malformed",
    /// For or from another ufrag.
    StunStranger = "stun_stranger",
    /// MESSAGE-INTEGRITY is missing or wrong.
    StunForged = "stun_forged",
    /// A request that was seen on another path.
    StunReplayed = "stun_replayed",
    /// More checks than a peer may send.
    StunRate = "stun_rate",
    /// An answer to nothing that we asked.
    StunUnexpected = "stun_unexpected",
    /// A handshake before the peer's fingerprint is known.
    NoFingerprint = "no_fingerprint",
    /// Nothing in it was of use at this time.
    DtlsUseless = "dtls_useless",
    MediaMalformed = "media_malformed",
    MediaReplayed = "media_replayed",
    MediaForged = "media_forged",
    /// More SSRCs than a peer may send.
    MediaStreams = "media_streams",
}

impl From<OpenError> for Dropped {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Malformed => Self::MediaMalformed,
            OpenError::Replayed => Self::MediaReplayed,
            OpenError::TooManyStreams => Self::MediaStreams,
            OpenError::Forged => Self::MediaForged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_counters_can_be_indexed() {
        for (at, reason) in Dropped::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
    }
}
