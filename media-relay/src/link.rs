//! Links: QUIC connections with other relays, and the pipes that go through them.
//!
//! There is one connection a pair of relays, whoever dialled. Each pipe has a stream of it for its words, and its packets are
//! datagrams: one copy of a packet crosses a link, however many watch behind it. Packets may be lost, and are then asked
//! for by the core; a word that is not taken in time ends its pipe, never another.
//!
//! All of it works in a thread of its own, so that neither a shard nor a gateway waits for it, nor it for them. It knows
//! neither where streams live nor what is done with them: [`Links::attach`] is told, and the core has both ends.

mod accept;
mod children;
mod congestion;
mod connection;
mod counters;
mod ends;
mod lower;
mod metrics;
mod packets;
mod peers;
mod sink;
#[cfg(test)]
mod tests;
mod transport;
mod trust;
mod upper;
mod words;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus::Registry;
use quinn::{ClientConfig, Endpoint, EndpointConfig, TokioRuntime};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use turnpike_audit::Audit;
use turnpike_wire::RoomId;

use self::children::Children;
use self::connection::LEAVING;
use self::counters::Counters;
use self::ends::Ends;
use self::metrics::Metrics;
use self::peers::{Peers, Watched};
use self::trust::Trust;
pub use self::trust::TrustError;
use crate::Relay;
use crate::carry::PipeId;

/// For the kernel: a keyframe of many streams at once.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Relays that died, for whoever hears it late. What is beyond is not told: by then there is nothing left to move.
const LOST_MAX: usize = 1_024;
/// How long others are told goodbye.
const GOODBYE_MAX: Duration = Duration::from_millis(500);

pub struct LinksConfig {
    /// Of this process: by it others know it.
    pub incarnation: u64,
    /// Where other relays reach this one. Port 0: the system chooses.
    pub address: SocketAddr,
    /// The same at all relays of the cluster, and known to nobody else.
    pub secret: [u8; 32],
    /// Where it is written down that relays were linked, or lost each other.
    pub audit: Audit,
}

/// Another relay, and where it is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkTarget {
    pub incarnation: u64,
    pub address: SocketAddr,
}

/// By which links are made. Cheap to clone; with the last they end.
#[derive(Clone)]
pub struct Links {
    inner: Arc<Inner>,
    end: Arc<End>,
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("other relays cannot come in at {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        error: io::Error,
    },
    #[error("links cannot be secured")]
    Trust(#[from] TrustError),
    #[error("QUIC lacks a cipher")]
    Cipher(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
    #[error("a metric is registered already")]
    Metrics(#[source] prometheus::Error),
}

/// Why a stream does not come from there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAttached {
    /// These have it from there.
    #[error("the relay gives it to as many as it may")]
    Elsewhere(Vec<u64>),
    #[error("the stream is not there")]
    NoSuchStream,
    #[error("the relay is not there, or did not answer")]
    Unreachable,
    #[error("the relay has it from here")]
    Loop,
}

struct Inner {
    own: u64,
    local: SocketAddr,
    audit: Audit,
    endpoint: Endpoint,
    client: ClientConfig,
    runtime: Handle,
    ends: Arc<dyn Ends>,
    counters: Arc<Counters>,
    peers: Mutex<Peers>,
    watched: Mutex<HashMap<u64, Watched>>,
    listeners: Mutex<Vec<mpsc::Sender<u64>>>,
    /// Which relays have which stream from here.
    children: Mutex<Children>,
    /// By which pipes that feed streams here are ended.
    lowers: Mutex<HashMap<PipeId, Arc<Notify>>>,
}

struct End {
    asked: Arc<Notify>,
    over: watch::Receiver<bool>,
}

impl Links {
    /// Binds the port and starts the thread.
    pub fn start(config: &LinksConfig, relay: Relay, registry: &Registry) -> Result<Self, LinkError> {
        Self::between(config, Arc::new(relay), registry)
    }

    fn between(config: &LinksConfig, ends: Arc<dyn Ends>, registry: &Registry) -> Result<Self, LinkError> {
        let trust = Trust::new(&config.secret, config.incarnation)?;
        let (server, client) = (transport::server(&trust)?, transport::client(&trust)?);
        let bind = |error| LinkError::Bind { address: config.address, error };
        let socket = socket(config.address).map_err(bind)?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(LinkError::Thread)?;
        let endpoint = {
            let _within = runtime.enter();
            Endpoint::new(EndpointConfig::default(), Some(server), socket, Arc::new(TokioRuntime))
        };
        let (endpoint, local) = match endpoint.and_then(|endpoint| Ok((endpoint.local_addr()?, endpoint))) {
            Ok((local, endpoint)) => (endpoint, local),
            Err(error) => {
                // Nothing of it has run, and its end must not wait here.
                runtime.shutdown_background();
                return Err(bind(error));
            }
        };
        let inner = Arc::new(Inner {
            own: config.incarnation,
            local,
            audit: config.audit.clone(),
            endpoint: endpoint.clone(),
            client,
            runtime: runtime.handle().clone(),
            ends,
            counters: Arc::default(),
            peers: Mutex::default(),
            watched: Mutex::default(),
            listeners: Mutex::default(),
            children: Mutex::default(),
            lowers: Mutex::default(),
        });
        if let Err(error) = Metrics::register(registry, &inner) {
            runtime.shutdown_background();
            return Err(LinkError::Metrics(error));
        }
        runtime.spawn(accept::run(Arc::clone(&inner), endpoint.clone()));
        let asked = Arc::new(Notify::new());
        let (told, over) = watch::channel(false);
        let until = Arc::clone(&asked);
        thread::Builder::new()
            .name("relay-links".into())
            .spawn(move || work(runtime, &endpoint, &until, &told))
            .map_err(LinkError::Thread)?;
        Ok(Self { inner, end: Arc::new(End { asked, over }) })
    }

    /// Where other relays come in.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local
    }

    /// Has a stream come from another relay. It is fed into the relay here before this returns; what becomes of it is told
    /// by the relay.
    pub async fn attach(&self, stream: &RoomId, to: LinkTarget) -> Result<PipeId, NotAttached> {
        let (answer, attached) = oneshot::channel();
        let (inner, stream) = (Arc::clone(&self.inner), stream.clone());
        self.inner.runtime.spawn(async move {
            let attached = lower::attach(&inner, stream.clone(), to).await;
            // Whoever asked has gone meanwhile, and nobody else knows of it.
            if let Err(Ok(pipe)) = answer.send(attached) {
                inner.detach(&stream, pipe).await;
            }
        });
        attached.await.unwrap_or(Err(NotAttached::Unreachable))
    }

    /// Ends that. To end what has ended changes nothing.
    pub async fn detach(&self, stream: &RoomId, pipe: PipeId) {
        self.inner.detach(stream, pipe).await;
    }

    /// From now on there is a connection to each of these, and to no others for this sake: so it is known when they die.
    pub fn watch(&self, peers: &[LinkTarget]) {
        self.inner.watch(peers);
    }

    /// Relays whose connection breaks from now on without a goodbye, by their incarnations. They may live nevertheless, and
    /// only the way to them be cut.
    pub fn lost(&self) -> mpsc::Receiver<u64> {
        let (listener, lost) = mpsc::channel(LOST_MAX);
        lock(&self.inner.listeners).push(listener);
        lost
    }

    /// Says goodbye to all others, and ends.
    pub async fn leave(&self) {
        self.end.asked.notify_one();
        let mut over = self.end.over.clone();
        // An error: the thread has ended by itself.
        let _ = over.wait_for(|is_over| *is_over).await;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.asked.notify_one();
    }
}

impl Inner {
    fn lowers(&self) -> MutexGuard<'_, HashMap<PipeId, Arc<Notify>>> {
        lock(&self.lowers)
    }

    async fn detach(&self, stream: &RoomId, pipe: PipeId) {
        if let Some(unwanted) = self.lowers().remove(&pipe) {
            unwanted.notify_one();
        }
        self.ends.unpipe(stream, pipe).await;
    }
}

/// None of these is taken for a packet, and none is held while something is waited for.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(runtime: Runtime, endpoint: &Endpoint, asked: &Notify, told: &watch::Sender<bool>) {
    runtime.block_on(async {
        asked.notified().await;
        endpoint.close(LEAVING, b"leaving");
        // Whoever has not heard it by then hears nothing more, which comes to the same a second later.
        let _ = tokio::time::timeout(GOODBYE_MAX, endpoint.wait_idle()).await;
    });
    drop(runtime);
    told.send_replace(true);
}

fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    // As much as the kernel lets us have.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&address.into())?;
    Ok(socket.into())
}
