//! The secured path to one peer: ICE, DTLS and SRTP, without any I/O.
//!
//! A [`Transport`] is a value: datagrams and `now` go in, datagrams, media and events come out. It owns the
//! checks that find and keep the path (RFC 8445, 7675), the handshake that authenticates the peer by the
//! fingerprint of its certificate (RFC 5763, 5764), and the keys of its media (RFC 3711, 7714).
//!
//! It must not know sockets, clocks, threads or SDP, nor what the media is. Randomness comes with the
//! credentials; only the handshake's library draws its own.
//!
//! The way of a datagram:
//! ```text
//! demux::classify -> stun: Agent  (answers, checks, consent, which path)
//!                 -> dtls: Guard -> library (until connected: then close_notify only)
//!                 -> rtp, rtcp: Opener (in place) -> the caller
//! the caller -> Sealer (in place) -> the caller's batch
//! ```

mod certificate;
mod config;
mod credentials;
pub mod demux;
mod dtls;
mod fingerprint;
mod ice;
mod output;
pub mod srtp;
pub mod stun;
mod transport;

pub use certificate::{Certificate, CertificateError};
pub use config::{ConfigError, DTLS_MTU_BYTES_DEFAULT, IceMode, Limits, Timeouts, TransportConfig};
pub use credentials::{Credentials, CredentialsError, RANDOM_BYTES};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use transport::{CloseReason, Dropped, DtlsRole, Event, Input, Path, Remote, Setup, Transmit, Transport};
