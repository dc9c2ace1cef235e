//! The other end of a TCP connection: let in or not, and for whom it was made. All of this before a request is read.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderMap;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::heard::Talk;
use crate::application::Application;
use crate::arrival::{Arrival, INTRODUCTION_BYTES_MAX, Introduces, Introduction, Noticed, TurnedAway, Visit};
use crate::shard::Shard;

/// Who made a connection, or had it made, for as long as it is open.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) peer: SocketAddr,
    pub(super) visit: Arc<Visit>,
    pub(super) talk: Talk,
}

impl Caller {
    /// Asks for somebody who has not said anything yet. None: away with it.
    pub(super) fn knocks<A: Application>(shard: &Rc<Shard<A>>, peer: SocketAddr) -> Option<Self> {
        if shard.guarded(|| shard.app.knock(peer.ip())) == Some(true) {
            let visit = Arc::new(Visit::begun(&shard.app, peer.ip()));
            return Some(Self { peer, visit, talk: Talk::default() });
        }
        shard.counters.connections_turned_away.add(1);
        None
    }

    /// Hears for whom the connection was made, if its peer is one that has to say so. What stands behind the introduction is
    /// not read.
    pub(super) async fn introduced<A: Application>(
        self,
        shard: &Rc<Shard<A>>,
        stream: &mut TcpStream,
    ) -> Option<Self> {
        let peer = self.peer.ip();
        let introduces = shard.guarded(|| shard.app.introduces(peer)).unwrap_or(Introduces::Always);
        if introduces == Introduces::Never {
            return Some(self);
        }
        let heard = async {
            if introduces == Introduces::Perhaps && !begins_one(shard, stream).await {
                return Some(None);
            }
            introduction(shard, stream).await
        };
        match tokio::time::timeout(shard.config.http_header_timeout, heard).await {
            // In place of the proxy, which speaks for many.
            Ok(Some(Some(client))) => Self::knocks(shard, client),
            Ok(Some(None)) => Some(self),
            Ok(None) | Err(_) => {
                shard.counters.introductions_refused.add(1);
                shard.notice(peer, Noticed::NotIntroduced);
                None
            }
        }
    }
}

/// By its first byte, which stays unread.
async fn begins_one<A: Application>(shard: &Rc<Shard<A>>, stream: &TcpStream) -> bool {
    let mut first = [0];
    let seen = stream.peek(&mut first).await.unwrap_or(0);
    seen > 0
        && matches!(
            shard.guarded(|| shard.app.introduction(&first)),
            Some(Introduction::Incomplete { .. } | Introduction::Complete { .. })
        )
}

/// None: there is none that is sound.
async fn introduction<A: Application>(
    shard: &Rc<Shard<A>>,
    stream: &mut TcpStream,
) -> Option<Option<SocketAddr>> {
    let (mut bytes, mut read) = (Vec::new(), 0);
    loop {
        match shard.guarded(|| shard.app.introduction(&bytes[..read]))? {
            Introduction::Complete { client } => return Some(client),
            Introduction::Incomplete { bytes: whole } if whole > read && whole <= INTRODUCTION_BYTES_MAX => {
                bytes.resize(whole, 0);
            }
            Introduction::Incomplete { .. } | Introduction::Refused => return None,
        }
        match stream.read(&mut bytes[read..]).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => read += count,
        }
    }
}

impl<A: Application> Shard<A> {
    /// Whose a request is.
    pub(super) fn client_of(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        self.guarded(|| self.app.client_of(peer, headers)).unwrap_or(peer)
    }

    /// Whether a request of this client is read any further.
    pub(super) fn may_ask(&self, client: IpAddr) -> Result<(), TurnedAway> {
        let asked = self.guarded(|| self.app.may_ask(client)).unwrap_or(Err(TurnedAway::PANICKED));
        asked.inspect_err(|_| self.counters.requests_turned_away.add(1))
    }

    /// A session begins, as far as the client's address can say whether it may.
    pub(super) fn arrives(&self, client: IpAddr) -> Result<Arrival, TurnedAway> {
        let asked = self.guarded(|| self.app.arrive(client)).unwrap_or(Err(TurnedAway::PANICKED));
        match asked {
            Ok(()) => Ok(Arrival::begun(&self.app, client)),
            Err(turned) => {
                self.counters.sessions_turned_away.add(1);
                Err(turned)
            }
        }
    }
}
