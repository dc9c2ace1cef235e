//! The words that a transport speaks with its caller.

use std::fmt;
use std::net::SocketAddr;

use super::Dropped;
use crate::credentials::Credentials;
use crate::fingerprint::Fingerprint;
use crate::srtp::Profile;

/// Two addresses between which datagrams go. `local` is whatever tells the caller's sockets apart; it is handed back as
/// it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    pub local: SocketAddr,
    pub remote: SocketAddr,
}

/// Who begins the handshake (`a=setup`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtlsRole {
    /// We wait (`passive`): what we prefer, it is quicker by half a round trip.
    Server,
    /// We begin (`active`), if the peer is passive.
    Client,
}

/// What a transport starts with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Fresh credentials of ours, [`Credentials::from_random`].
    pub local: Credentials,
    /// `None` if the offer is ours and its answer is still to come.
    pub remote: Option<Remote>,
    pub dtls: DtlsRole,
    /// ICE: the offerer controls, unless it is lite (RFC 8445 6.1.1). A wrong guess is put right by the checks.
    pub controlling: bool,
}

/// What the peer's SDP says of it.
#[derive(Debug, Clone)]
pub struct Remote {
    pub credentials: Credentials,
    /// The peer's certificate must have one of these.
    pub fingerprints: Vec<Fingerprint>,
}

/// What a datagram was.
#[derive(Debug)]
pub enum Input<'d> {
    /// A genuine RTP packet, opened in place: without its tag.
    Rtp(&'d mut [u8]),
    /// A genuine RTCP compound, opened in place.
    Rtcp(&'d mut [u8]),
    /// It was for the transport itself.
    Consumed,
    Dropped(Dropped),
}

/// A datagram to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    pub local: SocketAddr,
    pub to: SocketAddr,
    pub data: Vec<u8>,
}

/// What the caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Datagrams from `remote` belong to this transport from now on.
    Bound(Path),
    /// And no more.
    Unbound(Path),
    /// Media may flow.
    Connected { profile: Profile, path: Path },
    /// Media goes another way from now on.
    PathChanged(Path),
    /// The transport is of no use any more; nothing follows.
    Closed(CloseReason),
}

/// Why a transport ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// [`Transport::close`](crate::Transport::close).
    Local,
    /// The peer said so.
    CloseNotify,
    /// A fatal alert after the handshake.
    Alert,
    /// The peer has not been heard, or has not answered, for too long.
    ConsentLost,
    /// The text is for logs.
    HandshakeFailed(Box<str>),
    /// The peer's certificate is not the one that its SDP named.
    FingerprintMismatch,
    HandshakeTimeout,
    /// No path, or no handshake on it, for too long.
    ConnectTimeout,
}

impl CloseReason {
    /// The reason as a metric's label.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::CloseNotify => "close_notify",
            Self::Alert => "alert",
            Self::ConsentLost => "consent_lost",
            Self::HandshakeFailed(_) => "handshake_failed",
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::ConnectTimeout => "connect_timeout",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandshakeFailed(why) => write!(f, "handshake_failed: {why}"),
            other => f.write_str(other.as_str()),
        }
    }
}
