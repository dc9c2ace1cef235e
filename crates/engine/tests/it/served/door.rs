//! What the application under test says of those who come, as a test tells it to, and what it is told of them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::body::Bytes;
use axum::routing::{get, post};
use axum::{Extension, Router};
use turnpike_engine::{Introduces, Introduction, Noticed, PeerAddress, TurnedAway};

/// Names the client of a request, for the tests' application.
pub(super) const CLIENT_HEADER: &str = "x-client";
/// And the one that it is made for, at the beginning of a connection: this and four bytes of an address.
pub(super) const INTRODUCTION: &[u8] = b"\x01INTRO";

#[derive(Default)]
pub(super) struct Door {
    pub(super) shut: Mutex<Vec<IpAddr>>,
    pub(super) turned_away: Mutex<HashMap<IpAddr, TurnedAway>>,
    /// The same, but sessions only.
    pub(super) no_sessions: Mutex<HashMap<IpAddr, TurnedAway>>,
    pub(super) introduces: Mutex<Option<Introduces>>,
    pub(super) noticed: Mutex<Vec<(IpAddr, Noticed)>>,
    /// Knocks without their hanging up, and arrivals without their departures.
    pub(super) visits: AtomicI64,
    pub(super) sessions: AtomicI64,
    pub(super) knocked: Mutex<Vec<IpAddr>>,
    pub(super) arrived: Mutex<Vec<IpAddr>>,
}

impl Door {
    pub(super) fn knock(&self, peer: IpAddr) -> bool {
        if self.shut.lock().expect("no panics").contains(&peer) {
            return false;
        }
        self.knocked.lock().expect("no panics").push(peer);
        self.visits.fetch_add(1, Ordering::Relaxed);
        true
    }

    pub(super) fn introduces(&self) -> Introduces {
        self.introduces.lock().expect("no panics").unwrap_or(Introduces::Never)
    }

    pub(super) fn introduction(bytes: &[u8]) -> Introduction {
        let seen = bytes.len().min(INTRODUCTION.len());
        if bytes[..seen] != INTRODUCTION[..seen] {
            return Introduction::Refused;
        }
        match bytes.get(INTRODUCTION.len()..INTRODUCTION.len() + 4) {
            None => Introduction::Incomplete { bytes: INTRODUCTION.len() + 4 },
            Some([0, 0, 0, 0]) => Introduction::Complete { client: None },
            Some(address) => {
                let address: [u8; 4] = address.try_into().expect("there are four");
                Introduction::Complete { client: Some(SocketAddr::new(address.into(), 77)) }
            }
        }
    }

    pub(super) fn may_ask(&self, client: IpAddr) -> Result<(), TurnedAway> {
        match self.turned_away.lock().expect("no panics").get(&client) {
            Some(turned) => Err(turned.clone()),
            None => Ok(()),
        }
    }

    pub(super) fn arrive(&self, client: IpAddr) -> Result<(), TurnedAway> {
        if let Some(turned) = self.no_sessions.lock().expect("no panics").get(&client) {
            return Err(turned.clone());
        }
        self.arrived.lock().expect("no panics").push(client);
        self.sessions.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn noticed(&self, client: IpAddr, what: Noticed) {
        self.noticed.lock().expect("no panics").push((client, what));
    }
}

/// What is served beside the engine: whose a request is, and how long its body.
pub(super) fn router() -> Router {
    Router::new()
        .route("/peer", get(|Extension(peer): Extension<PeerAddress>| async move { peer.0.to_string() }))
        // Its shard does nothing else meanwhile.
        .route("/stand-still", get(|| async { std::thread::sleep(std::time::Duration::from_millis(100)) }))
        .route("/body", post(|body: Bytes| async move { body.len().to_string() }))
}
