//! Listeners that a supervisor has opened and hands over (`LISTEN_FDS`, sd_listen_fds(3)). It keeps them open while one process
//! follows another, so that nobody who comes in between is refused.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

/// Names that the supervisor gives to them (`FileDescriptorName=` of systemd), in their order.
const NAMES: &str = "LISTEN_FDNAMES";
/// What systemd calls one without a name of its own, beside the name of its unit.
const UNNAMED: &str = "unknown";

/// What was handed over. Each is taken once.
#[derive(Debug, Default)]
pub struct Listeners(Vec<(String, TcpListener)>);

/// What was handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListenersError {
    #[error("number {0} of LISTEN_FDS is nothing that listens on TCP")]
    NoListener(usize),
    #[error("`{name}` of LISTEN_FDS listens on {found}, and {wanted} is configured")]
    Elsewhere { name: String, found: SocketAddr, wanted: SocketAddr },
    #[error("nothing of this process listens on `{0}` of LISTEN_FDNAMES: expected {1}")]
    Unknown(String, String),
}

impl Listeners {
    /// To be called once, at the start: later nobody can tell what the numbers stand for. `known` are the names of what the
    /// process listens on; where the supervisor gives none, that is the order.
    pub fn of_process(known: &[&str]) -> Result<Self, ListenersError> {
        let names = std::env::var(NAMES).unwrap_or_default();
        let names: Vec<&str> = names.split(':').collect();
        let mut handed = ListenFd::from_env();
        let mut listeners = Vec::new();
        for index in 0..handed.len() {
            let listener = handed.take_tcp_listener(index).ok().flatten();
            let listener = listener.ok_or(ListenersError::NoListener(index))?;
            let given = names.get(index).copied().unwrap_or_default();
            // Without `FileDescriptorName=`, systemd says the name of the unit.
            let is_unnamed = given.is_empty() || given == UNNAMED || given.contains('.');
            let name = if is_unnamed { known.get(index).copied().unwrap_or_default() } else { given };
            if !known.contains(&name) {
                return Err(ListenersError::Unknown(given.to_owned(), known.join(", ")));
            }
            listeners.push((name.to_owned(), listener));
        }
        Ok(Self(listeners))
    }

    /// What is configured must be what was handed over: other checks are made against that. Port 0 is any.
    pub fn take(&mut self, name: &str, wanted: SocketAddr) -> Result<Option<TcpListener>, ListenersError> {
        let Some(index) = self.0.iter().position(|(known, _)| known == name) else { return Ok(None) };
        let listener = self.0.swap_remove(index).1;
        let found = listener.local_addr().map_err(|_| ListenersError::NoListener(index))?;
        if found.ip() == wanted.ip() && (wanted.port() == 0 || found.port() == wanted.port()) {
            Ok(Some(listener))
        } else {
            Err(ListenersError::Elsewhere { name: name.to_owned(), found, wanted })
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
