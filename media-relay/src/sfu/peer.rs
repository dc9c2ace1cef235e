//! A peer: its transport, and whether it publishes or watches.

use std::net::SocketAddr;

use turnpike_sdp::{Kind, Local, Mid};
use turnpike_transport::{CloseReason, Transport};
use turnpike_wire::UserId;
use turnpike_wire::media::MediaSession;

use super::chance::Chance;
use super::publisher::Publisher;
use super::viewer::Viewer;
use crate::{Ended, Most};

pub(crate) struct Peer {
    pub(crate) session: MediaSession,
    pub(crate) stream: usize,
    pub(crate) user: UserId,
    pub(crate) transport: Transport,
    pub(crate) role: Role,
    /// Our side of its description.
    pub(crate) local: Local,
    pub(crate) chance: Chance,
    pub(crate) most: Most,
    /// The sections of its description that carry something.
    pub(crate) sections: Vec<(Kind, Mid)>,
    /// The peer's name of the ICE session, if it was restarted.
    pub(crate) theirs: Option<Box<str>>,
    /// Names the ICE session.
    pub(crate) etag: u64,
    /// By which the first datagrams are known.
    pub(crate) ufrags: Vec<Box<str>>,
    /// From which it was heard; the transport bounds them.
    pub(crate) addresses: Vec<SocketAddr>,
}

pub(crate) enum Role {
    Publisher(Box<Publisher>),
    Viewer(Box<Viewer>),
}

impl Peer {
    pub(crate) fn publisher(&mut self) -> Option<&mut Publisher> {
        match &mut self.role {
            Role::Publisher(publisher) => Some(publisher),
            Role::Viewer(_) => None,
        }
    }

    pub(crate) fn viewer(&mut self) -> Option<&mut Viewer> {
        match &mut self.role {
            Role::Viewer(viewer) => Some(viewer),
            Role::Publisher(_) => None,
        }
    }

    pub(crate) fn is_publisher(&self) -> bool {
        matches!(self.role, Role::Publisher(_))
    }
}

impl From<&CloseReason> for Ended {
    fn from(reason: &CloseReason) -> Self {
        match reason {
            CloseReason::Local => Self::Stopped,
            CloseReason::CloseNotify | CloseReason::Alert => Self::PeerClosed,
            CloseReason::ConsentLost => Self::Lost,
            CloseReason::HandshakeFailed(_) | CloseReason::FingerprintMismatch => Self::Refused,
            CloseReason::HandshakeTimeout | CloseReason::ConnectTimeout => Self::TooLate,
        }
    }
}
