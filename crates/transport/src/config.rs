//! What all transports of a process share: certificate, ICE mode, timeouts and limits. One value in an `Arc`.

use std::time::Duration;

use crate::certificate::Certificate;
use crate::dtls::Handshakes;

/// How we take part in ICE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceMode {
    /// We check the paths that the peer checks, and its consent is its answer to us. For whoever may be behind a NAT
    /// or cares that a peer cannot point media at somebody else by a forged source address.
    Full,
    /// We only answer; consent is the peer's checks. For publicly reachable hosts. The peer must be full.
    Lite,
}

/// Shared by the transports of a process.
#[derive(Debug)]
pub struct TransportConfig {
    pub ice: IceMode,
    pub timeouts: Timeouts,
    pub limits: Limits,
    certificate: Certificate,
    pub(crate) handshakes: Handshakes,
}

/// After how long what is given up.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From [`Transport::new`](crate::Transport::new) to connected.
    pub connect: Duration,
    /// From the first DTLS datagram to the end of the handshake.
    pub handshake: Duration,
    /// Without consent on the selected path (RFC 7675 5.1).
    pub consent: Duration,
    /// Between our consent checks, plus or minus a fifth (full only).
    pub consent_check: Duration,
}

/// How much one peer may make us keep and do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Address pairs that are remembered; the one unheard for longest makes place.
    pub pairs_max: usize,
    /// Candidates of the peer that are remembered; further ones are ignored.
    pub candidates_max: usize,
    /// STUN answers and checks a second, and how many may come at once.
    pub stun_per_second_max: u32,
    /// SSRCs that the peer may send; packets of further ones are dropped.
    pub ssrcs_in_max: usize,
    /// SSRCs that we may send.
    pub ssrcs_out_max: usize,
    /// Datagrams that wait for [`Transport::poll_transmit`](crate::Transport::poll_transmit); further ones are not
    /// made: the peer repeats what it needs.
    pub transmits_max: usize,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            consent: Duration::from_secs(30),
            consent_check: Duration::from_secs(5),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pairs_max: 16,
            candidates_max: 64,
            // A browser checks every 50 ms a pair while it has none, and has up to a dozen pairs at first.
            stun_per_second_max: 200,
            ssrcs_in_max: 64,
            ssrcs_out_max: 128,
            transmits_max: 64,
        }
    }
}

/// The library refused the configuration.
#[derive(Debug, thiserror::Error)]
#[error("DTLS cannot be configured: {0}")]
pub struct ConfigError(pub(crate) String);

/// Handshake messages are cut so that a datagram stays below this: what every path carries.
pub const DTLS_MTU_BYTES_DEFAULT: usize = 1_200;

impl TransportConfig {
    /// With default timeouts and limits, which are public fields.
    pub fn new(ice: IceMode, certificate: Certificate, dtls_mtu_bytes: usize) -> Result<Self, ConfigError> {
        let handshakes = Handshakes::new(&certificate, dtls_mtu_bytes)?;
        Ok(Self { ice, timeouts: Timeouts::default(), limits: Limits::default(), certificate, handshakes })
    }

    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}
