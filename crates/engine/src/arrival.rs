//! Who comes: what the application is asked about it before there is a socket, and what it is told of how it behaves.
//!
//! A TCP connection is a visit, a session an arrival. Each is a value that tells the application of its end when it is
//! dropped, wherever that happens.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::application::Application;

/// Whether connections of a peer begin with an introduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduces {
    Never,
    /// If their first byte looks like one.
    Perhaps,
    /// Those that do not are closed.
    Always,
}

/// The beginning of a connection that a proxy makes for somebody, as far as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// It has so many bytes in sum, as far as can be told. No more than that are read.
    Incomplete {
        bytes: usize,
    },
    /// Whom the connection is made for. None: for the proxy itself.
    Complete {
        client: Option<SocketAddr>,
    },
    Refused,
}

/// However much somebody announces.
pub(crate) const INTRODUCTION_BYTES_MAX: usize = 8 * 1024;

/// Why somebody may not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnedAway {
    /// The HTTP status: 403, 429 or 503.
    pub status: u16,
    /// One word for the client, of letters, digits and `_`.
    pub slug: &'static str,
    pub retry_after: Option<Duration>,
}

impl TurnedAway {
    /// The application did, over the question.
    pub(crate) const PANICKED: Self = Self { status: 503, slug: "unavailable", retry_after: None };
}

/// What the engine sees and does not judge.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Noticed {
    /// Frames, packets or requests that the protocol does not allow.
    Malformed,
    /// A message or body beyond the limits.
    TooLarge,
    /// A client that does not take what is written to it.
    SlowReader,
    /// A message or body that was begun and not ended in time.
    SlowSender,
    /// A session that entered no namespace in time.
    Idle,
    /// A page that may not talk to us.
    OriginRefused,
    /// A session that is not there, or no more.
    SessionUnknown,
    /// A connection that had to begin with an introduction and did not.
    NotIntroduced,
}

impl Noticed {
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::TooLarge,
        Self::SlowReader,
        Self::SlowSender,
        Self::Idle,
        Self::OriginRefused,
        Self::SessionUnknown,
        Self::NotIntroduced,
    ];
}

/// The application, as far as ends are told to it.
trait Ends: Send + Sync {
    fn visit_ended(&self, peer: IpAddr);
    fn session_ended(&self, client: IpAddr);
}

impl<A: Application> Ends for A {
    fn visit_ended(&self, peer: IpAddr) {
        self.hung_up(peer);
    }

    fn session_ended(&self, client: IpAddr) {
        self.depart(client);
    }
}

/// A TCP connection that was let in.
pub(crate) struct Visit {
    app: Arc<dyn Ends>,
    peer: IpAddr,
}

impl Visit {
    /// After [`Application::knock`].
    pub(crate) fn begun<A: Application>(app: &Arc<A>, peer: IpAddr) -> Self {
        Self { app: Arc::clone(app) as Arc<dyn Ends>, peer }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // It may be dropped while something else unwinds.
        let _ = catch_unwind(AssertUnwindSafe(|| self.app.visit_ended(self.peer)));
    }
}

/// A session that was let in.
pub(crate) struct Arrival {
    app: Arc<dyn Ends>,
    client: IpAddr,
}

impl Arrival {
    /// After [`Application::arrive`].
    pub(crate) fn begun<A: Application>(app: &Arc<A>, client: IpAddr) -> Self {
        Self { app: Arc::clone(app) as Arc<dyn Ends>, client }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.app.session_ended(self.client)));
    }
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Visit({})", self.peer)
    }
}
