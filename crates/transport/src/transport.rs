//! One peer's transport: demultiplexing, and the order in which path, handshake and media come about.

mod dropped;
mod words;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::TransportConfig;
use crate::credentials::Credentials;
use crate::demux::{self, Kind};
use crate::dtls::{Association, Failure, Progress};
use crate::fingerprint::Fingerprint;
use crate::ice::Agent;
use crate::output::Output;
use crate::srtp::{OpenError, Opener, Profile, SealError, Sealer};

pub use dropped::Dropped;
pub use words::{CloseReason, DtlsRole, Event, Input, Path, Remote, Setup, Transmit};

/// From the end of the handshake to giving back what it needed, if nothing came that only a peer with our last flight can
/// send. One that lacks it asks for it again and again within this time.
const SLIM_AFTER: Duration = Duration::from_secs(10);

/// The secured path to one peer.
///
/// The caller hands it every datagram of the peer ([`Transport::handle`]), and after each call that takes `now` fetches
/// what is to be sent ([`Transport::poll_transmit`]) and what has happened ([`Transport::poll_event`]) until there is
/// nothing more, and sees to it that [`Transport::tick`] is called at [`Transport::due`].
///
/// A shard finds the transport of a datagram by its source address, which it learns from [`Event::Bound`] and forgets
/// at [`Event::Unbound`]; the first datagram of an address is a STUN request, whose transport it finds by
/// [`stun::local_ufrag`](crate::stun::local_ufrag).
pub struct Transport {
    config: Arc<TransportConfig>,
    agent: Agent,
    fingerprints: Vec<Fingerprint>,
    role: DtlsRole,
    association: Option<Box<Association>>,
    /// Where the last datagram of the handshake came from; our flights go there until a path is selected.
    handshake_path: Option<Path>,
    handshake_until: Option<Instant>,
    connect_until: Option<Instant>,
    /// When what only the handshake needs is given back: by then the peer has our last flight, or never will.
    slim_at: Option<Instant>,
    /// Keys are there once the handshake is complete.
    sealer: Option<Box<Sealer>>,
    opener: Option<Box<Opener>>,
    profile: Option<Profile>,
    /// Told so, with this path.
    connected: Option<Path>,
    closed: Option<CloseReason>,
    out: Output,
}

impl Transport {
    pub fn new(config: &Arc<TransportConfig>, setup: Setup, now: Instant) -> Self {
        let (remote, fingerprints) = match setup.remote {
            Some(remote) => (Some(remote.credentials), remote.fingerprints),
            None => (None, Vec::new()),
        };
        Self {
            agent: Agent::new(config, setup.local, remote, setup.controlling, now),
            fingerprints,
            role: setup.dtls,
            association: None,
            handshake_path: None,
            handshake_until: None,
            connect_until: Some(now + config.timeouts.connect),
            slim_at: None,
            sealer: None,
            opener: None,
            profile: None,
            connected: None,
            closed: None,
            out: Output::new(config.limits.transmits_max),
            config: Arc::clone(config),
        }
    }

    /// The peer's answer to our offer. Until it is here checks are answered and handshakes wait; the time to connect
    /// begins anew. Once a handshake has begun its role and fingerprints stay: after a restart only the credentials
    /// are taken.
    pub fn set_remote(&mut self, remote: Remote, dtls: DtlsRole, now: Instant) {
        if self.association.is_none() {
            self.role = dtls;
            self.fingerprints = remote.fingerprints;
        }
        if let Some(until) = &mut self.connect_until {
            *until = now + self.config.timeouts.connect;
        }
        self.agent.set_remote(remote.credentials, now, &mut self.out);
        self.advance(now);
    }

    /// A candidate of the peer. It is checked when it has checked us; until then it only tells a priority.
    pub fn add_remote_candidate(&mut self, address: SocketAddr, priority: u32) {
        self.agent.add_candidate(address, priority);
    }

    /// ICE restart: new credentials on both sides, or ours alone if the offer is ours (then [`Transport::set_remote`]
    /// brings the peer's). Handshake, keys and the path in use stay until the peer comes with the new ones; a restart
    /// that the peer never takes up changes nothing.
    pub fn restart(&mut self, local: Credentials, remote: Option<Credentials>) {
        self.agent.restart(local, remote, &mut self.out);
    }

    /// Takes a datagram that came from `path.remote` to `path.local`. Media is opened in place. What was not for us, or
    /// not genuine, is dropped with its reason, for a counter; nothing of it is kept.
    pub fn handle<'d>(&mut self, now: Instant, path: Path, datagram: &'d mut [u8]) -> Input<'d> {
        if self.closed.is_some() {
            return Input::Dropped(Dropped::Closed);
        }
        match demux::classify(datagram) {
            Kind::Rtp => self
                .media(now, path, |opener| opener.open_rtp(datagram))
                .map_or_else(Input::Dropped, Input::Rtp),
            Kind::Rtcp => self
                .media(now, path, |opener| opener.open_rtcp(datagram))
                .map_or_else(Input::Dropped, Input::Rtcp),
            Kind::Stun => {
                let outcome = self.agent.handle(now, path, datagram, &mut self.out);
                self.advance(now);
                outcome.map_or_else(Input::Dropped, |()| Input::Consumed)
            }
            Kind::Dtls => self.dtls(now, path, datagram).map_or_else(Input::Dropped, |()| Input::Consumed),
            Kind::Unknown => Input::Dropped(Dropped::Unknown),
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.transmits.pop_front()
    }

    /// What has happened since.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// Whether [`Transport::poll_transmit`] or [`Transport::poll_event`] has something.
    pub fn has_output(&self) -> bool {
        !self.out.transmits.is_empty() || !self.out.events.is_empty()
    }

    /// When [`Transport::tick`] is to be called at the latest. `None`: never, it is closed.
    pub fn due(&self) -> Option<Instant> {
        if self.closed.is_some() {
            return None;
        }
        let association = self.association.as_ref().and_then(|association| association.due());
        let own = [self.handshake_until, self.connect_until, self.slim_at];
        [self.agent.due(), self.agent.consent_until(), association].into_iter().chain(own).flatten().min()
    }

    /// Does what is due: repetitions, consent checks, giving up. Harmless at any other time.
    pub fn tick(&mut self, now: Instant) {
        if self.closed.is_some() {
            return;
        }
        self.agent.tick(now, &mut self.out);
        if self.agent.consent_until().is_some_and(|until| now >= until) {
            return self.finish(CloseReason::ConsentLost);
        }
        if self.handshake_until.is_some_and(|until| now >= until) {
            return self.finish(CloseReason::HandshakeTimeout);
        }
        if self.connect_until.is_some_and(|until| now >= until) {
            return self.finish(CloseReason::ConnectTimeout);
        }
        if self.slim_at.is_some_and(|at| now >= at) {
            self.slim();
        }
        let outcome = self.association.as_mut().map_or(Ok(()), |association| association.tick(now));
        match outcome {
            Ok(()) => self.advance(now),
            Err(failure) => self.fail(failure),
        }
    }

    /// Ends the transport: a close_notify goes out and consent ends at once (RFC 7675 5.2); whatever comes now is
    /// dropped. No [`Event::Closed`] follows, since the caller knows.
    pub fn close(&mut self, now: Instant) {
        if self.closed.is_some() {
            return;
        }
        if let Some(association) = &mut self.association {
            association.close(&self.config.handshakes, now);
        }
        self.flush();
        self.forget(CloseReason::Local);
    }

    /// Where media goes. `None` while there is no path or there are no keys.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.connected.map(|path| path.remote)
    }

    /// Where media goes, and from which of our addresses.
    pub fn path(&self) -> Option<Path> {
        self.connected
    }

    /// What protects the media, once connected.
    pub fn profile(&self) -> Option<Profile> {
        self.profile
    }

    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Datagrams that were not made because nobody had fetched those before.
    pub fn overflowed(&self) -> u64 {
        self.out.overflowed
    }

    /// Seals the RTP packet in the first `len` bytes of `packet` in place, and gives the length to send. Behind it is
    /// room for [`srtp::OVERHEAD_BYTES_MAX`](crate::srtp::OVERHEAD_BYTES_MAX). What the caller keeps to, so that a key
    /// never protects two contents with one number, stands at [`Sealer`].
    #[inline]
    pub fn seal_rtp(&mut self, packet: &mut [u8], len: usize) -> Result<usize, SealError> {
        self.sealer.as_mut().ok_or(SealError::NotConnected)?.seal_rtp(packet, len)
    }

    /// The same for an RTCP compound.
    #[inline]
    pub fn seal_rtcp(&mut self, packet: &mut [u8], len: usize) -> Result<usize, SealError> {
        self.sealer.as_mut().ok_or(SealError::NotConnected)?.seal_rtcp(packet, len)
    }

    #[inline]
    fn media<'d>(
        &mut self,
        now: Instant,
        path: Path,
        open: impl FnOnce(&mut Opener) -> Result<&'d mut [u8], OpenError>,
    ) -> Result<&'d mut [u8], Dropped> {
        if !self.agent.knows(path) {
            return Err(Dropped::UnknownPath);
        }
        let opener = self.opener.as_mut().ok_or(Dropped::NotConnected)?;
        let opened = open(opener)?;
        if self.slim_at.is_some() {
            // Whoever has keys for media has had our last flight.
            self.slim();
        }
        if self.connected != Some(path) {
            self.agent.media(path, now, &mut self.out);
            self.advance(now);
        }
        Ok(opened)
    }

    fn dtls(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Result<(), Dropped> {
        if !self.agent.knows(path) {
            return Err(Dropped::UnknownPath);
        }
        if self.fingerprints.is_empty() {
            return Err(Dropped::NoFingerprint);
        }
        if self.association.is_none() {
            if self.role == DtlsRole::Client {
                return Err(Dropped::DtlsUseless);
            }
            self.association = Some(Box::new(Association::accept()));
            self.handshake_until = Some(now + self.config.timeouts.handshake);
        }
        self.handshake_path = Some(path);
        let limits = (self.config.limits.ssrcs_out_max, self.config.limits.ssrcs_in_max);
        let Some(association) = &mut self.association else { return Err(Dropped::DtlsUseless) };
        let handshakes = &self.config.handshakes;
        let outcome = association.handle(handshakes, &self.fingerprints, limits, now, datagram);
        // Also an alert that says why it failed.
        self.flush();
        match outcome {
            Ok(Progress::Taken) => Ok(()),
            Ok(Progress::Ignored) => Err(Dropped::DtlsUseless),
            Ok(Progress::Connected { profile, sealer, opener }) => {
                self.profile = Some(profile);
                self.sealer = Some(sealer);
                self.opener = Some(opener);
                self.handshake_until = None;
                // As a client we have the peer's last flight, so it needs nothing of ours.
                self.slim_at = Some(if self.role == DtlsRole::Client { now } else { now + SLIM_AFTER });
                self.agent.settle();
                self.advance(now);
                Ok(())
            }
            Err(failure) => {
                self.fail(failure);
                Ok(())
            }
        }
    }

    /// Gives back what only the handshake needed.
    #[cold]
    fn slim(&mut self) {
        self.slim_at = None;
        self.flush();
        if let Some(association) = &mut self.association {
            association.sleep();
        }
        self.out.shrink();
    }

    /// What follows from what has happened: begins the handshake, tells of a connection or of a new path, and sends.
    fn advance(&mut self, now: Instant) {
        let path = self.agent.path();
        if self.association.is_none()
            && self.role == DtlsRole::Client
            && path.is_some()
            && !self.fingerprints.is_empty()
        {
            match Association::connect(&self.config.handshakes, now) {
                Ok(association) => {
                    self.association = Some(Box::new(association));
                    self.handshake_until = Some(now + self.config.timeouts.handshake);
                }
                Err(failure) => return self.fail(failure),
            }
        }
        self.flush();
        let (Some(path), Some(profile)) = (path, self.profile) else { return };
        match self.connected.replace(path) {
            None => {
                self.connect_until = None;
                self.out.event(Event::Connected { profile, path });
            }
            Some(before) if before != path => self.out.event(Event::PathChanged(path)),
            Some(_) => {}
        }
    }

    /// Moves the handshake's datagrams into the output.
    fn flush(&mut self) {
        let Some(association) = &mut self.association else { return };
        let selected = self.agent.path();
        let path = if association.is_connected() { selected } else { self.handshake_path.or(selected) };
        let Some(path) = path.or(self.handshake_path) else { return };
        while let Some(data) = association.poll_transmit() {
            self.out.transmit(Transmit { local: path.local, to: path.remote, data: data.into() });
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.flush();
        self.finish(match failure {
            Failure::Handshake(why) => CloseReason::HandshakeFailed(why),
            Failure::Fingerprint => CloseReason::FingerprintMismatch,
            Failure::CloseNotify => CloseReason::CloseNotify,
            Failure::Alert => CloseReason::Alert,
        });
    }

    fn finish(&mut self, reason: CloseReason) {
        self.forget(reason.clone());
        self.out.event(Event::Closed(reason));
    }

    /// Keys and paths are of no use any more.
    fn forget(&mut self, reason: CloseReason) {
        self.closed = Some(reason);
        self.association = None;
        self.sealer = None;
        self.opener = None;
        self.connected = None;
        self.agent.retain_none(&mut self.out);
    }
}

/// Neither credentials nor keys are printed.
impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("path", &self.connected)
            .field("profile", &self.profile)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
