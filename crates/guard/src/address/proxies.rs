//! Whose words about others count, and who their client is by them.

use std::net::{IpAddr, SocketAddr};

use super::canonical::{canonical, is_private};
use super::forwarded::{self, Hop};
use super::networks::Networks;

/// Hops that are looked at, from the right. Whoever is behind more proxies of our own is the one furthest seen.
pub const FORWARDED_HOPS_MAX: usize = 32;

/// Which header the trusted proxies write. A proxy passes on the other one as it came, which may be anybody's word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedBy {
    /// `X-Forwarded-For`, and only where there is none, `Forwarded`.
    #[default]
    Either,
    XForwardedFor,
    Forwarded,
}

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    trusted: Networks,
    by: ForwardedBy,
}

/// Whom a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Canonical. The port is zero where nobody said it.
    pub address: SocketAddr,
    /// Somebody who is not believed named a public address as the one to speak for. It was ignored. Worth little as a sign:
    /// clients behind the proxy of a provider bear such a header without knowing it.
    pub forged: bool,
}

impl Proxies {
    pub fn new(trusted: Networks, by: ForwardedBy) -> Self {
        Self { trusted, by }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.trusted.is_empty()
    }

    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.contains(peer)
    }

    /// The rightmost address that is not one of our own proxies, as they tell it. `x_forwarded_for` and `forwarded` are the
    /// values of all header lines of these names, in the order in which they came.
    ///
    /// Where a proxy names nothing that is an address, nobody further left is known by anything but hearsay: the client is then
    /// that proxy's own peer, the last one that is known.
    pub fn client<'h>(
        &self,
        peer: SocketAddr,
        x_forwarded_for: impl DoubleEndedIterator<Item = &'h [u8]>,
        forwarded: impl DoubleEndedIterator<Item = &'h [u8]>,
    ) -> Client {
        let peer = SocketAddr::new(canonical(peer.ip()), peer.port());
        let nonempty = |element: &&[u8]| !element.is_empty();
        // One more than hops: emptiness costs as well.
        let mut by_x = forwarded::from_the_right(x_forwarded_for, false)
            .take(2 * FORWARDED_HOPS_MAX)
            .filter(nonempty)
            .map(forwarded::x_forwarded_for)
            .peekable();
        let mut by_standard = forwarded::from_the_right(forwarded, true)
            .take(2 * FORWARDED_HOPS_MAX)
            .filter(nonempty)
            .map(forwarded::forwarded)
            .peekable();
        if !self.trusts(peer.ip()) {
            let claims = |hop: Option<Hop>| hop.flatten().is_some_and(|hop| is_a_claim(hop.ip()));
            let forged = claims(by_x.next()) || claims(by_standard.next());
            return Client { address: peer, forged };
        }
        let use_x = match self.by {
            ForwardedBy::XForwardedFor => true,
            ForwardedBy::Forwarded => false,
            ForwardedBy::Either => by_x.peek().is_some(),
        };
        let address = if use_x { self.walk(peer, by_x) } else { self.walk(peer, by_standard) };
        Client { address, forged: false }
    }

    fn walk(&self, peer: SocketAddr, hops: impl Iterator<Item = Hop>) -> SocketAddr {
        let mut known = peer;
        for hop in hops.take(FORWARDED_HOPS_MAX) {
            let Some(hop) = hop else { return known };
            known = hop;
            if !self.trusts(hop.ip()) {
                break;
            }
        }
        known
    }
}

/// The proxy of an office names a private address, in all innocence.
fn is_a_claim(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !is_private(v4),
        IpAddr::V6(v6) => !v6.is_unique_local() && !v6.is_unicast_link_local(),
    }
}
