//! One association with one peer: the guard, the library's endpoint, and when what is sent again.
//!
//! Two habits of the library are worked around here. Its retransmission timer stops at any handshake record and is
//! not set again if that record completed nothing, so it never sees a repetition; and it runs at a fixed second, so it
//! is driven by ours, through the instant that it is told.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::state::State;
use rtc_shared::TransportProtocol;

use super::guard::Guard;
use super::record::{self, records};
use super::{Handshakes, profile};
use crate::fingerprint::Fingerprint;
use crate::srtp::{Keys, Opener, Profile, Sealer};

/// The library knows its peers by address. Ours may move, so it sees one that never does.
const PEER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 5_684));

/// A client repeats its flight after so long, and twice as long each further time up to two seconds.
const CLIENT_REPEAT: Duration = Duration::from_millis(250);
/// A server repeats its flight when the client repeats the one before, so its own timer is a last resort; it is
/// slower than a second, because peers with this library too stop theirs at what we repeat.
const SERVER_REPEAT: Duration = Duration::from_millis(1_200);
const REPEAT_MAX: Duration = Duration::from_secs(2);
/// A repetition of the peer is answered at most once in this time: a flight of several datagrams is one repetition.
const ANSWER_REPEAT: Duration = Duration::from_millis(30);
/// Repetitions of a flight, for whatever reason; the library fails at the eighth.
const REPEATS_MAX: u32 = 7;
/// Handshake records that are looked at once connected: the peer repeats its last flight if ours was lost.
const LATE_HANDSHAKE_RECORDS_MAX: u32 = 16;

/// So long what was woken stays awake. To wake it keys are derived anew, which whoever forges alerts makes it do this often.
const AWAKE_FOR: Duration = Duration::from_secs(10);

/// RFC 5764 4.2.
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";

/// A peer's certificates that are kept with what a connection would go on from. One with an elliptic key, as browsers have,
/// is half as long.
const CHAIN_KEPT_BYTES_MAX: usize = 1_024;

/// Why there is no association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The handshake went wrong; the text is for logs.
    Handshake(Box<str>),
    Fingerprint,
    CloseNotify,
    /// A fatal alert, once connected.
    Alert,
}

/// What a datagram brought.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nothing to tell.
    Taken,
    /// It was of no use at this time.
    Ignored,
    /// The handshake is complete and the peer is who it should be.
    Connected { profile: Profile, sealer: Box<Sealer>, opener: Box<Opener> },
}

pub(crate) struct Association {
    library: Library,
    stage: Stage,
    client: bool,
    /// When the current flight is repeated by our timer.
    repeat_at: Option<Instant>,
    sent_at: Option<Instant>,
    repeats: u32,
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Association").field("connected", &self.is_connected()).finish_non_exhaustive()
    }
}

/// The library's side of it.
enum Library {
    Awake(Endpoint),
    /// What it would go on from. A connection lasts for hours, in which there is one alert to take or to send.
    Asleep(Box<[u8]>),
}

enum Stage {
    /// Boxed: it is gone once connected.
    Handshake(Box<Guard>),
    Connected {
        late_handshake_records: u32,
        /// There when it was woken.
        sleep_at: Option<Instant>,
    },
}

impl Association {
    /// We begin: sends the first hello.
    pub(crate) fn connect(handshakes: &Handshakes, now: Instant) -> Result<Self, Failure> {
        let mut endpoint = endpoint();
        endpoint
            .connect(now, PEER, Arc::clone(&handshakes.client), None)
            .map_err(|error| Failure::Handshake(error.to_string().into()))?;
        let mut association = Self::new(true, endpoint);
        association.flight_sent(now);
        Ok(association)
    }

    /// The peer begins.
    pub(crate) fn accept() -> Self {
        Self::new(false, endpoint())
    }

    fn new(client: bool, endpoint: Endpoint) -> Self {
        Self {
            library: Library::Awake(endpoint),
            stage: Stage::Handshake(Box::new(Guard::new(!client))),
            client,
            repeat_at: None,
            sent_at: None,
            repeats: 0,
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.stage, Stage::Connected { .. })
    }

    /// Takes a datagram from the peer's validated path.
    pub(crate) fn handle(
        &mut self,
        handshakes: &Handshakes,
        fingerprints: &[Fingerprint],
        ssrcs_max: (usize, usize),
        now: Instant,
        datagram: &[u8],
    ) -> Result<Progress, Failure> {
        let is_asleep = matches!(self.library, Library::Asleep(_));
        let datagram = match &mut self.stage {
            Stage::Connected { late_handshake_records, .. } => {
                // What sleeps has forgotten its last flight, and cannot repeat it.
                if is_asleep {
                    *late_handshake_records = LATE_HANDSHAKE_RECORDS_MAX;
                }
                late(late_handshake_records, datagram)
            }
            Stage::Handshake(guard) => {
                let admitted =
                    guard.admit(datagram).map_err(|error| Failure::Handshake(error.to_string().into()))?;
                if let Some(offered) = admitted.offered {
                    let config = handshakes.for_client(offered).ok_or_else(|| {
                        Failure::Handshake("the client offers no SRTP profile that we have".into())
                    })?;
                    if let Library::Awake(endpoint) = &mut self.library {
                        endpoint.set_server_config(Some(Arc::clone(config)));
                    }
                }
                if admitted.repeated && self.sent_at.is_some_and(|sent| now >= sent + ANSWER_REPEAT) {
                    self.repeat(now)?;
                }
                admitted.datagram
            }
        };
        if datagram.is_empty() {
            // During the handshake it may have been a part of a message.
            return Ok(if self.is_connected() { Progress::Ignored } else { Progress::Taken });
        }
        let is_connected = self.is_connected();
        let Some(endpoint) = self.wake(handshakes, now) else { return Ok(Progress::Ignored) };
        let timer = endpoint.poll_timeout(&PEER);
        let events = match endpoint.read(now, PEER, None, BytesMut::from(&datagram[..])) {
            Ok(events) => events,
            // Once connected only genuine records get as far as an error.
            Err(_) if is_connected => return Err(Failure::Alert),
            Err(error) => return Err(Failure::Handshake(error.to_string().into())),
        };
        let after = endpoint.poll_timeout(&PEER);
        if after.is_some() && after != timer {
            self.repeats = 0;
            self.flight_sent(now);
        }
        let mut progress = Progress::Taken;
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => progress = self.complete(fingerprints, ssrcs_max)?,
                EndpointEvent::PeerClosed => return Err(Failure::CloseNotify),
                // There are no data channels.
                _ => {}
            }
        }
        Ok(progress)
    }

    /// Compares the fingerprint and makes the keys.
    fn complete(
        &mut self,
        fingerprints: &[Fingerprint],
        (ssrcs_out_max, ssrcs_in_max): (usize, usize),
    ) -> Result<Progress, Failure> {
        let failed = |text: &str| Failure::Handshake(text.into());
        let state = self.state().ok_or_else(|| failed("no state"))?;
        let leaf = state.peer_certificates.first().ok_or(Failure::Fingerprint)?;
        if !fingerprints.iter().any(|fingerprint| fingerprint.matches(leaf)) {
            return Err(Failure::Fingerprint);
        }
        let profile =
            profile(state.srtp_protection_profile()).ok_or_else(|| failed("no SRTP profile was agreed"))?;
        let exported = state
            .export_keying_material(EXPORTER_LABEL, &[], Keys::exported_len(profile))
            .map_err(|error| Failure::Handshake(error.to_string().into()))?;
        let no_keys = |_| failed("no SRTP keys");
        let (client, server) = Keys::split(profile, exported.as_ref()).map_err(no_keys)?;
        let (ours, theirs) = if self.client { (client, server) } else { (server, client) };
        let sealer = Box::new(Sealer::new(&ours, ssrcs_out_max).map_err(no_keys)?);
        let opener = Box::new(Opener::new(&theirs, ssrcs_in_max).map_err(no_keys)?);
        self.stage = Stage::Connected { late_handshake_records: 0, sleep_at: None };
        self.repeat_at = None;
        Ok(Progress::Connected { profile, sealer, opener })
    }

    /// The next datagram to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<BytesMut> {
        match &mut self.library {
            Library::Awake(endpoint) => Some(endpoint.poll_transmit()?.message),
            Library::Asleep(_) => None,
        }
    }

    /// When [`Association::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        let sleep_at = match self.stage {
            Stage::Handshake(_) => None,
            Stage::Connected { sleep_at, .. } => sleep_at,
        };
        [self.repeat_at, sleep_at].into_iter().flatten().min()
    }

    pub(crate) fn tick(&mut self, now: Instant) -> Result<(), Failure> {
        if let Stage::Connected { sleep_at, .. } = &mut self.stage
            && sleep_at.take_if(|at| now >= *at).is_some()
        {
            self.sleep();
        }
        if self.repeat_at.is_some_and(|at| now >= at) { self.repeat(now) } else { Ok(()) }
    }

    /// A flight goes out: either a new one or a repetition that was counted.
    fn flight_sent(&mut self, now: Instant) {
        let base = if self.client { CLIENT_REPEAT } else { SERVER_REPEAT };
        self.sent_at = Some(now);
        self.repeat_at = Some(now + (base * (1 << self.repeats.min(4))).min(REPEAT_MAX));
    }

    /// Has the library send its flight again, whatever its own timer says.
    fn repeat(&mut self, now: Instant) -> Result<(), Failure> {
        self.repeat_at = None;
        let Library::Awake(endpoint) = &mut self.library else { return Ok(()) };
        let Some(theirs) = endpoint.poll_timeout(&PEER) else { return Ok(()) };
        self.repeats += 1;
        if self.repeats > REPEATS_MAX {
            return Ok(());
        }
        endpoint
            .handle_timeout(PEER, theirs)
            .map_err(|error| Failure::Handshake(error.to_string().into()))?;
        self.flight_sent(now);
        Ok(())
    }

    /// Forgets all but the keys and the sequence number, as the library saves them: also the messages of the handshake, so
    /// our last flight cannot be repeated any more. If that fails, everything stays.
    pub(crate) fn sleep(&mut self) {
        let Some(state) = self.state().filter(|_| self.is_connected()) else { return };
        let Ok(saved) = state.marshal_binary() else { return };
        let chain_bytes: usize = state.peer_certificates.iter().map(Vec::len).sum();
        let saved =
            if chain_bytes > CHAIN_KEPT_BYTES_MAX { without_chain(&saved, self.client) } else { Some(saved) };
        if let Some(saved) = saved {
            self.library = Library::Asleep(saved.into());
        }
    }

    /// The library as it was left, for a while.
    fn wake(&mut self, handshakes: &Handshakes, now: Instant) -> Option<&mut Endpoint> {
        if let Library::Asleep(saved) = &self.library {
            let state = restored(saved, self.client)?;
            let mut endpoint = endpoint();
            // Whoever resumes counts as the client; the state knows better.
            endpoint.connect(now, PEER, Arc::clone(&handshakes.client), Some(state)).ok()?;
            self.library = Library::Awake(endpoint);
            if let Stage::Connected { sleep_at, .. } = &mut self.stage {
                *sleep_at = Some(now + AWAKE_FOR);
            }
        }
        match &mut self.library {
            Library::Awake(endpoint) => Some(endpoint),
            Library::Asleep(_) => None,
        }
    }

    fn state(&self) -> Option<&State> {
        match &self.library {
            Library::Awake(endpoint) => endpoint.get_connection_state(PEER),
            Library::Asleep(_) => None,
        }
    }

    /// Queues a close_notify, if there are keys to protect it.
    pub(crate) fn close(&mut self, handshakes: &Handshakes, now: Instant) {
        if self.is_connected()
            && let Some(endpoint) = self.wake(handshakes, now)
        {
            endpoint.stop(now, PEER);
        }
    }
}

fn endpoint() -> Endpoint {
    Endpoint::new(PEER, TransportProtocol::UDP, None)
}

fn restored(saved: &[u8], client: bool) -> Option<State> {
    let mut state = State::new(super::provider(), client);
    state.unmarshal_binary(saved).ok()?;
    Some(state)
}

/// What was saved, without the peer's certificates.
fn without_chain(saved: &[u8], client: bool) -> Option<Vec<u8>> {
    let mut state = restored(saved, client)?;
    state.peer_certificates = Vec::new();
    state.marshal_binary().ok()
}

/// Once connected only alerts and repeated Finished messages under the new keys matter; all else that looks like DTLS
/// comes from somebody without keys, or is a data channel that we do not have.
fn late(handshake_records: &mut u32, datagram: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    for record in records(datagram) {
        let wanted = match record.kind {
            record::ALERT => record.whole.len() <= record::HEADER_BYTES + 64,
            record::HANDSHAKE if record.whole.len() <= record::HEADER_BYTES + 128 => {
                *handshake_records += 1;
                *handshake_records <= LATE_HANDSHAKE_RECORDS_MAX
            }
            _ => false,
        };
        if record.epoch == 1 && wanted {
            kept.extend_from_slice(record.whole);
        }
    }
    kept
}
