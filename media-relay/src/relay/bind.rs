//! Where peers come in: a shard's sockets, and what peers are told of them.

use std::net::SocketAddr;

use mio::net::TcpListener;
use turnpike_udp::{Options, Socket};

use super::{RelayConfig, StartError};
use crate::shard::Sockets;

/// For the kernel, when a shard is busy for a few milliseconds: a keyframe for hundreds of viewers.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Binds what the shard with that index has.
pub(super) fn bind(config: &RelayConfig, index: usize) -> Result<Sockets, StartError> {
    let port = if config.port == 0 { 0 } else { config.port.saturating_add(index as u16) };
    let address = SocketAddr::new(config.address, port);
    let options = Options {
        receive_buffer_bytes: Some(SOCKET_BUFFER_BYTES),
        send_buffer_bytes: Some(SOCKET_BUFFER_BYTES),
        // Publishers are told how long their packets were under way.
        note_time: true,
        ..Options::default()
    };
    let udp = Socket::bind(address, options).map_err(|error| StartError::Bind { address, error })?;
    let tcp = config.takes_tcp.then(|| listener(config, udp.local_addr())).transpose()?;
    Ok(Sockets { udp, tcp })
}

/// At the same port, so that a firewall has one to open.
fn listener(config: &RelayConfig, address: SocketAddr) -> Result<TcpListener, StartError> {
    match TcpListener::bind(address) {
        // The system chose the port for datagrams, and somebody else has it for connections.
        Err(_) if config.port == 0 => TcpListener::bind(SocketAddr::new(address.ip(), 0)),
        bound => bound,
    }
    .map_err(|error| StartError::Bind { address, error })
}

/// Where peers are told to send to.
pub(super) fn candidates(config: &RelayConfig, local: SocketAddr) -> Vec<SocketAddr> {
    if !config.announced.is_empty() {
        return config.announced.iter().map(|address| SocketAddr::new(*address, local.port())).collect();
    }
    vec![local]
}
