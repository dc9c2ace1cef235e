//! How links are set up within QUIC: limits, times, and how much may be on its way.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, IdleTimeout, ServerConfig, TransportConfig, ValidationTokenConfig, VarInt};

use super::congestion::SteadyFactory;
use super::trust::Trust;

/// Somebody who was killed sends nothing, not even that he is gone. A sign of life four times a second and a second
/// without one are what lets whoever watches behind the link go on elsewhere within two seconds, and three signs in a row
/// have to be lost until a link ends that had nothing to say.
const KEEP_ALIVE: Duration = Duration::from_millis(250);
const SILENT_MS_MAX: u32 = 1_000;
/// Relays are near each other. With the usual guess of a third of a second, the first lost packet of a handshake would
/// be sent again when its time is over.
const ROUND_TRIP_AT_FIRST: Duration = Duration::from_millis(100);

/// Pipes that the other side may have open.
pub(super) const PIPES_PER_PEER_MAX: u32 = 4_096;
/// Packets that do not fit into a datagram and are on their way.
pub(super) const LARGE_MAX: u32 = 64;

/// More than the longest word, which is read as a whole.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// Of all pipes of a connection that are read late.
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
const SEND_WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// Packets that QUIC has, and has not sent: two batches. What waits longer does so where it can still be left out.
const UNSENT_BYTES_MAX: usize = 128 * 1024;
/// Packets that have come and wait to be read: what several keyframes at once need. When it is full the oldest go, uncounted;
/// but whoever reads is in the same thread, and does nothing that takes long.
const UNREAD_BYTES_MAX: usize = 1024 * 1024;

/// Handshakes of addresses that have not shown that they are theirs.
const UNVALIDATED_MAX: usize = 256;
const EARLY_BYTES_MAX: u64 = 16 * 1024;
const EARLY_BYTES_IN_ALL_MAX: u64 = 1024 * 1024;

pub(super) fn server(trust: &Trust) -> Result<ServerConfig, NoInitialCipherSuite> {
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(trust.server.clone())?));
    let mut tokens = ValidationTokenConfig::default();
    // Who comes back shows its address again: that is needed only while many come at once.
    tokens.sent(0);
    config
        .transport_config(Arc::new(transport()))
        .validation_token_config(tokens)
        .max_incoming(UNVALIDATED_MAX)
        .incoming_buffer_size(EARLY_BYTES_MAX)
        .incoming_buffer_size_total(EARLY_BYTES_IN_ALL_MAX)
        // A relay does not move.
        .migration(false);
    Ok(config)
}

pub(super) fn client(trust: &Trust) -> Result<ClientConfig, NoInitialCipherSuite> {
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(trust.client.clone())?));
    config.transport_config(Arc::new(transport()));
    Ok(config)
}

pub(super) fn transport() -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(SILENT_MS_MAX))))
        .initial_rtt(ROUND_TRIP_AT_FIRST)
        .max_concurrent_bidi_streams(VarInt::from_u32(PIPES_PER_PEER_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(LARGE_MAX))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_send_buffer_size(UNSENT_BYTES_MAX)
        .datagram_receive_buffer_size(Some(UNREAD_BYTES_MAX))
        .allow_spin(false)
        .congestion_controller_factory(Arc::new(SteadyFactory));
    config
}
