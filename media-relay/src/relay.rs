//! The relay as a whole: its shards, and which of them has a stream or a session.
//!
//! It knows neither how media is forwarded nor who asks.

mod bind;
mod placing;
mod spread;

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use dashmap::DashMap;
use prometheus::Registry;
use tokio::sync::mpsc;
use turnpike_congestion::estimator;
use turnpike_transport::{Certificate, DTLS_MTU_BYTES_DEFAULT, IceMode, TransportConfig};
use turnpike_wire::media::MediaSession;
use turnpike_wire::media::relay::Role;
use turnpike_wire::{Code, Failure, RoomId};

use self::spread::{Loads, Seat, Spread};
use crate::carry::{Blocked, Delivered, Downward, FeedNews, PipeId, Upward};
use crate::metrics::Metrics;
use crate::record::{Begun, RecordConfig, Recordings};
use crate::sfu::{Counters, Limits, Sfu, SfuConfig};
use crate::shard::{self, Handle, Notices, Shard};
use crate::{Ask, Ended, Notice, StreamInfo, Told};

const NOWHERE: usize = usize::MAX;
/// Notices that wait for whoever listens to a session. One who does not hear them is not told any more.
const LISTENER_NOTICES_MAX: usize = 64;
/// News of feeds that wait for whoever hears them. While it is full they wait in the shards.
const NEWS_MAX: usize = 1_024;

#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Where media comes in.
    pub address: IpAddr,
    /// Of the first shard; the others have those behind it. 0: the system chooses.
    pub port: u16,
    /// Where peers are told to send to instead, as behind a NAT that maps one to one.
    pub announced: Vec<IpAddr>,
    pub shards: usize,
    /// Whether those who cannot send datagrams come in by TCP, at the same ports.
    pub takes_tcp: bool,
    /// Whether the relay checks paths itself, or, reachable by everyone, only answers.
    pub is_lite: bool,
    /// What a viewer's path is thought to carry before anything is known of it, and at most.
    pub start_bits_per_second: u64,
    pub bits_per_second_max: u64,
    pub limits: Limits,
    /// None: nothing is recorded.
    pub recordings: Option<RecordConfig>,
}

/// For this machine alone, with a shard.
impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            address: IpAddr::from([127, 0, 0, 1]),
            port: 0,
            announced: Vec::new(),
            shards: 1,
            takes_tcp: true,
            is_lite: false,
            start_bits_per_second: 3_000_000,
            bits_per_second_max: 20_000_000,
            limits: Limits::default(),
            recordings: None,
        }
    }
}

/// By which the relay is asked. Cheap to clone; the relay ends with the last.
#[derive(Clone)]
pub struct Relay {
    inner: Arc<Inner>,
}

struct Inner {
    handles: Vec<Handle>,
    /// For the end.
    shards: Mutex<Vec<Shard>>,
    sessions: DashMap<MediaSession, Entry>,
    hash: RandomState,
    recordings: Option<Recordings>,
    pipes: AtomicU64,
    loads: Loads,
    spread: Spread,
    /// For what is to be known of pipes between shards.
    told: mpsc::Sender<(RoomId, FeedNews)>,
    /// What is to be known of others.
    news: Mutex<Option<mpsc::Receiver<(RoomId, FeedNews)>>>,
}

struct Entry {
    /// [`NOWHERE`]: somebody listens already, and it has not begun.
    shard: usize,
    /// Its place there.
    seat: Option<Seat>,
    /// What it watches.
    stream: Option<RoomId>,
    role: Role,
    listener: Option<mpsc::Sender<Notice>>,
}

impl Entry {
    fn new() -> Self {
        Self { shard: NOWHERE, seat: None, stream: None, role: Role::Viewer, listener: None }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("media cannot come in at {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        error: io::Error,
    },
    #[error("a certificate cannot be made: {0}")]
    Certificate(String),
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
    #[error("a metric is registered already")]
    Metrics(#[source] prometheus::Error),
}

impl Relay {
    /// Binds the ports and starts the threads. To be called within a tokio runtime.
    pub fn start(config: &RelayConfig, registry: &Registry) -> Result<Self, StartError> {
        let certificate =
            Certificate::generate("turnpike").map_err(|error| StartError::Certificate(error.to_string()))?;
        let ice = if config.is_lite { IceMode::Lite } else { IceMode::Full };
        let transport = TransportConfig::new(ice, certificate, DTLS_MTU_BYTES_DEFAULT)
            .map_err(|error| StartError::Certificate(error.to_string()))?;
        let transport = Arc::new(transport);
        let (mut shards, mut handles, mut all_notices, mut counters) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (told, heard) = mpsc::channel(NEWS_MAX);
        let (outwards, news) = mpsc::channel(NEWS_MAX);
        for index in 0..config.shards.max(1) {
            let sockets = bind::bind(config, index)?;
            let listener = sockets.tcp.as_ref().and_then(|listener| listener.local_addr().ok());
            let tcp_candidates = listener.map(|local| bind::candidates(config, local)).unwrap_or_default();
            let candidates = bind::candidates(config, sockets.udp.local_addr());
            let sfu_config = SfuConfig {
                transport: Arc::clone(&transport),
                candidates,
                tcp_candidates,
                estimator: estimator::Config {
                    start_bps: config.start_bits_per_second,
                    max_bps: config.bits_per_second_max,
                    ..estimator::Config::default()
                },
                limits: config.limits,
            };
            let own = Arc::new(Counters::default());
            let core = Sfu::new(sfu_config, Arc::clone(&own), Instant::now());
            let shard_config = shard::Config { index, ..shard::Config::default() };
            let (shard, notices) =
                Shard::start(shard_config, sockets, core, told.clone()).map_err(StartError::Thread)?;
            handles.push(shard.handle().clone());
            counters.push(own);
            shards.push(shard);
            all_notices.push(notices);
        }
        let recordings = config.recordings.clone().map(Recordings::new);
        let recorded = recordings.as_ref().map(Recordings::counters).unwrap_or_default();
        Metrics::register(registry, counters, handles.clone(), recorded).map_err(StartError::Metrics)?;
        let inner = Arc::new(Inner {
            loads: Loads::new(handles.len()),
            spread: Spread::default(),
            told,
            handles,
            shards: Mutex::new(shards),
            sessions: DashMap::new(),
            hash: RandomState::new(),
            recordings,
            pipes: AtomicU64::new(0),
            news: Mutex::new(Some(news)),
        });
        for notices in all_notices {
            tokio::spawn(spread(Arc::downgrade(&inner), notices));
        }
        tokio::spawn(placing::hear(Arc::downgrade(&inner), heard, outwards));
        Ok(Self { inner })
    }

    /// Where media comes in, shard by shard.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.inner.handles.iter().map(Handle::local_addr).collect()
    }

    /// Whether all shards work as they should.
    pub fn is_well(&self) -> bool {
        self.inner.handles.iter().all(Handle::is_well)
    }

    /// A name for a session that is about to begin at this relay.
    pub fn name_session(&self, relay: u64) -> Result<MediaSession, Failure> {
        let mut key = [0; 16];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| Failure::from(Code::Internal))?;
        Ok(MediaSession { relay, key: u128::from_be_bytes(key) })
    }

    /// What is told about a session from now on. To be called before it is opened, so that nothing is missed; another
    /// call takes the place of an earlier one. It ends when the session does, or when nobody hears for long.
    pub fn listen(&self, session: MediaSession) -> mpsc::Receiver<Notice> {
        let (listener, notices) = mpsc::channel(LISTENER_NOTICES_MAX);
        // Before it is opened nobody knows where it will be.
        self.inner.sessions.entry(session).or_insert_with(Entry::new).listener = Some(listener);
        notices
    }

    pub async fn ask(&self, ask: Ask) -> Result<Told, Failure> {
        let inner = &self.inner;
        match &ask {
            Ask::Publish { session, stream, .. } => {
                let (session, shard) = (*session, inner.shard_of(stream));
                inner.enter(session, shard, Role::Publisher, None)?;
                inner.open(session, shard, ask).await
            }
            Ask::Watch { session, stream, .. } => {
                let session = *session;
                let shard = inner.place(session, stream).await?;
                inner.open(session, shard, ask).await
            }
            Ask::Answer { session, .. }
            | Ask::Offer { session, .. }
            | Ask::Trickle { session, .. }
            | Ask::Restart { session, .. }
            | Ask::Layer { session, .. }
            | Ask::Mute { session, .. }
            | Ask::Stop { session } => {
                let shard = inner.sessions.get(session).map(|entry| entry.shard);
                let handle = shard.and_then(|shard| inner.handles.get(shard)).ok_or(Code::NoSuchStream)?;
                handle.ask(ask).await
            }
            Ask::End { stream } | Ask::Look { stream } => inner.shard(stream).ask(ask).await,
            Ask::Record { stream, wanted } => inner.record(stream, *wanted).await,
            Ask::Tap { .. } | Ask::Branch { .. } | Ask::Feed { .. } | Ask::Unpipe { .. } => {
                Err(Code::BadRequest.into())
            }
            Ask::Streams => {
                let mut all: Vec<StreamInfo> = Vec::new();
                for (shard, handle) in inner.handles.iter().enumerate() {
                    if let Told::Streams(streams) = handle.ask(Ask::Streams).await? {
                        // Its own shard knows of all who watch it.
                        all.extend(streams.into_iter().filter(|info| inner.shard_of(&info.stream) == shard));
                    }
                }
                Ok(Told::Streams(all))
            }
        }
    }

    /// The sessions of those who publish, or of those who watch.
    pub fn sessions(&self, role: Role) -> Vec<MediaSession> {
        let sessions =
            self.inner.sessions.iter().filter(|entry| entry.shard != NOWHERE && entry.role == role);
        sessions.map(|entry| *entry.key()).collect()
    }

    /// Says something to whoever listens to the session.
    pub fn tell(&self, session: MediaSession, notice: Notice) {
        self.inner.tell(session, notice);
    }

    /// Ends a session because the relay leaves.
    pub async fn dismiss(&self, session: MediaSession) {
        let shard = self.inner.sessions.get(&session).map(|entry| entry.shard);
        self.inner.tell(session, Notice::Ended(Ended::Drained));
        if let Some(handle) = shard.and_then(|shard| self.inner.handles.get(shard)) {
            // It may have ended meanwhile.
            let _ = handle.ask(Ask::Stop { session }).await;
        }
    }

    /// A name that no other pipe of this relay has or had.
    pub(crate) fn next_pipe(&self) -> PipeId {
        PipeId(self.inner.pipes.fetch_add(1, Ordering::Relaxed))
    }

    /// Gives a stream that is here through a pipe as well. Refused with 120 if it is not here, and with 123 if it is given
    /// to as many as it may already.
    pub(crate) async fn branch(&self, stream: &RoomId, pipe: Downward) -> Result<(), Failure> {
        let ask = Ask::Branch { stream: stream.clone(), pipe };
        self.inner.shard(stream).ask(ask).await.map(|_| ())
    }

    /// Takes a stream from a pipe, in place of the one that it came from before.
    pub(crate) async fn feed(&self, stream: &RoomId, pipe: Upward) -> Result<(), Failure> {
        let ask = Ask::Feed { stream: stream.clone(), pipe };
        self.inner.shard(stream).ask(ask).await.map(|_| ())
    }

    /// Forgets a pipe, whichever end of it is here.
    pub(crate) async fn unpipe(&self, stream: &RoomId, pipe: PipeId) {
        // A shard that is full or gone finds out by itself when the other end takes nothing more.
        let _ = self.inner.shard(stream).ask(Ask::Unpipe { pipe }).await;
    }

    /// Gives what has come through a pipe to whatever is at its end here.
    pub(crate) fn deliver(&self, stream: &RoomId, pipe: PipeId, word: Delivered) -> Result<(), Blocked> {
        self.inner.shard(stream).deliver(pipe, word)
    }

    /// What becomes of feeds; to be taken once.
    pub(crate) fn feed_news(&self) -> Option<mpsc::Receiver<(RoomId, FeedNews)>> {
        self.inner.news.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends the threads. Whoever asks afterwards is refused.
    pub fn stop(&self) {
        let shards = std::mem::take(&mut *self.inner.shards.lock().unwrap_or_else(PoisonError::into_inner));
        for shard in shards {
            shard.stop();
        }
        if let Some(recordings) = &self.inner.recordings {
            recordings.finish();
        }
    }
}

impl Inner {
    /// Where a stream is; others are given it from there.
    fn shard_of(&self, stream: &RoomId) -> usize {
        (self.hash.hash_one(stream) % self.handles.len() as u64) as usize
    }

    fn shard(&self, stream: &RoomId) -> &Handle {
        &self.handles[self.shard_of(stream)]
    }

    fn tell(&self, session: MediaSession, notice: Notice) {
        let is_last = matches!(notice, Notice::Ended(_));
        let listener = if is_last {
            self.sessions.remove(&session).and_then(|(_, entry)| entry.listener)
        } else {
            self.sessions.get(&session).and_then(|entry| entry.listener.clone())
        };
        let is_lost = listener.is_some_and(|listener| listener.try_send(notice).is_err());
        if is_lost
            && !is_last
            && let Some(mut entry) = self.sessions.get_mut(&session)
        {
            entry.listener = None;
        }
    }

    /// Begins a recording, or ends it. To begin what has begun changes nothing.
    async fn record(&self, stream: &RoomId, wanted: bool) -> Result<Told, Failure> {
        let not_set = || Failure::new(Code::Forbidden, "nothing is recorded at this relay".to_owned());
        let recordings = self.recordings.as_ref().ok_or_else(not_set)?;
        let shard = &self.handles[self.shard_of(stream)];
        let running = recordings.name(stream);
        if wanted {
            if let Some(name) = running {
                return Ok(Told::Recording { name });
            }
            let Begun { name, tap } = recordings.begin(stream)?;
            shard.ask(Ask::Tap { stream: stream.clone(), tap: Some(tap) }).await?;
            return Ok(Told::Recording { name });
        }
        let name = running
            .ok_or_else(|| Failure::new(Code::NoSuchStream, "the stream is not recorded".to_owned()))?;
        recordings.leave(stream);
        shard.ask(Ask::Tap { stream: stream.clone(), tap: None }).await?;
        Ok(Told::Recording { name })
    }
}

/// Gives notices to those who listen to their sessions.
async fn spread(inner: std::sync::Weak<Inner>, mut notices: Notices) {
    while let Some((session, notice)) = notices.recv().await {
        let Some(inner) = inner.upgrade() else { return };
        inner.tell(session, notice);
    }
}
