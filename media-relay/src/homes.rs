//! Which streams live here: claimed in the directory before somebody may publish, renewed as long as anybody is there,
//! given back after that. A stream that lives elsewhere and is watched here is fetched by a link. What begins and ends here
//! is noted for the backend, and all nodes are told how much room there is.

mod attachments;
mod drain;
mod neighbours;
mod notes;
mod places;
mod ring;
mod uplinks;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use tokio::sync::watch;
use turnpike_cluster::placement::Relays;
use turnpike_cluster::{Claim, Claimed, Cluster, Incarnation, Over, RelayOffer, Unavailable};
use turnpike_wire::media::StreamLook;
use turnpike_wire::media::relay::{Noted, StreamEntry, TO_RELAYS, ToRelay, stream_entry};
use turnpike_wire::{Code, Failure, RoomId, UserId};

use self::attachments::Attachments;
use self::notes::Notes;
pub(crate) use self::uplinks::Uplinks;
use crate::{Ask, Face, StreamInfo, Told};

/// How long a claim holds without being renewed: a relay that died is missed for that long at most.
const LEASE: Duration = Duration::from_secs(6);

/// How often claims are renewed, and with them what the directory says of the streams.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// A relay that lives has renewed its claims since. One that is known to be dead and has not is not waited for any longer.
const UNRENEWED: Duration = Duration::from_millis(2_500);

/// Claims that are renewed at once.
const RENEWALS_MAX: usize = 64;

/// Until then the shard may not have said of a stream that it is there.
const YOUNG: Duration = Duration::from_secs(2);

/// How often a relay that leaves is asked for a stream, and what it may take each time.
const YIELDS_ASKED_MAX: usize = 20;
const YIELD_PAUSE: Duration = Duration::from_millis(50);

/// Loads that differ by less are told as the same: nobody would act on it.
const LOAD_STEP_PERMILLE: u16 = 50;

/// From here on newcomers are sent elsewhere, before they have to be refused.
const FULL_PERMILLE: u16 = 950;

/// How much somebody in this process, or an operator, lets the relay do.
#[derive(Debug, Clone, Default)]
pub struct HomesConfig {
    /// Publishers and viewers at the same time, of all shards.
    pub sessions_max: usize,
    /// Where clients of WHIP and WHEP reach this relay, if they can.
    pub url: Option<Box<str>>,
    /// Where other relays do.
    pub link: Option<std::net::SocketAddr>,
    /// Users have their sessions elsewhere.
    pub alone: bool,
}

/// Why somebody cannot publish here.
#[derive(Debug)]
pub enum NotHere {
    /// The stream lives at that relay.
    Elsewhere(Incarnation),
    /// Nobody knows right now.
    Unknown(Failure),
}

pub struct Homes<F> {
    face: F,
    cluster: Cluster,
    config: HomesConfig,
    streams: Mutex<HashMap<RoomId, Home>>,
    notes: Notes,
    leaving: watch::Sender<bool>,
    /// As was last offered.
    has_room: AtomicBool,
    /// None: nothing is fetched from other relays.
    links: Option<Arc<dyn Uplinks>>,
    attachments: Attachments,
    placing: Mutex<Relays>,
}

struct Home {
    fence: u64,
    since: Instant,
    /// Milliseconds since 1970.
    since_ms: u64,
    /// When somebody last asked to publish.
    asked: Instant,
    /// Who published first, or last. None: nobody yet.
    user: Option<UserId>,
    /// It was noted that the stream has begun.
    is_live: bool,
    viewers_max: u64,
    /// Another relay has the name, or is about to: this one leaves.
    is_yielded: bool,
}

impl<F: Face> Homes<F> {
    /// Of a relay without links: a stream is watched where it is published.
    pub fn new(face: F, cluster: &Cluster, config: HomesConfig) -> Arc<Self> {
        Self::with(face, cluster, config, None)
    }

    fn with(face: F, cluster: &Cluster, config: HomesConfig, links: Option<Arc<dyn Uplinks>>) -> Arc<Self> {
        Arc::new(Self {
            face,
            notes: Notes::new(cluster),
            cluster: cluster.clone(),
            config,
            streams: Mutex::default(),
            leaving: watch::Sender::new(false),
            has_room: AtomicBool::new(true),
            links,
            attachments: Attachments::default(),
            placing: Mutex::default(),
        })
    }

    /// Sees to it that the stream lives here. To be called before somebody begins to publish it.
    pub async fn claim(&self, stream: &RoomId) -> Result<(), NotHere> {
        let entry = StreamEntry { since: unix_ms(), publishers: 0, viewers: 0 };
        match self.claimed(stream, &entry).await {
            Ok(claimed) if claimed.owner == self.cluster.membership.own() => {
                let now = Instant::now();
                let mut streams = self.streams();
                let home = streams.entry(stream.clone()).or_insert_with(|| Home {
                    fence: claimed.fence,
                    since: now,
                    since_ms: entry.since,
                    asked: now,
                    user: None,
                    is_live: false,
                    viewers_max: 0,
                    is_yielded: false,
                });
                (home.fence, home.asked) = (claimed.fence, now);
                Ok(())
            }
            Ok(claimed) => Err(NotHere::Elsewhere(claimed.owner)),
            // Of a stream that lives here the directory need not be asked.
            Err(_) if self.streams().contains_key(stream) => Ok(()),
            Err(error) => {
                Err(NotHere::Unknown(Failure::from(Code::Unavailable).retry_after_ms(error.retry_after_ms)))
            }
        }
    }

    /// The claim, also of a name that a relay has which leaves, or is dead: the one is asked for it, the other is not waited for.
    async fn claimed(&self, stream: &RoomId, entry: &StreamEntry) -> Result<Claimed, Unavailable> {
        let mut tries = 0;
        loop {
            let mut claim = claim_of(stream, entry);
            let mut claimed = self.cluster.directory.claim(&claim).wait().await?;
            if self.cluster.membership.has_lapsed(claimed.owner) {
                claim.over = Some(Over { owner: claimed.owner, unrenewed_ms: UNRENEWED.as_millis() as u64 });
                claimed = self.cluster.directory.claim(&claim).wait().await?;
            }
            if tries == YIELDS_ASKED_MAX || !self.leaves(claimed.owner) {
                return Ok(claimed);
            }
            tries += 1;
            let words = serde_json::to_vec(&[ToRelay::Yield { stream: stream.clone() }]);
            let words = words.expect("words are made of what JSON has");
            // It is said again.
            let _ = self.cluster.post.send(claimed.owner, TO_RELAYS, words.into());
            tokio::time::sleep(YIELD_PAUSE).await;
        }
    }

    /// Whether another relay is about to go.
    fn leaves(&self, relay: Incarnation) -> bool {
        let nodes = self.cluster.membership.nodes();
        relay != self.cluster.membership.own()
            && nodes.borrow().iter().any(|node| node.incarnation == relay && node.draining)
    }

    /// Somebody has begun to publish it.
    pub fn published(&self, stream: &RoomId, user: &UserId) {
        if let Some(home) = self.streams().get_mut(stream) {
            home.user = Some(user.clone());
            self.begin(stream, home);
        }
    }

    /// A gateway has a note.
    pub(crate) fn noted(&self, id: u64) {
        self.notes.arrived(id);
    }

    /// Keeps what is here until that is over, and then gives all of it back.
    pub async fn keep(self: Arc<Self>, over: impl Future<Output = ()>) {
        let mut over = std::pin::pin!(over);
        let mut offered = None;
        let mut leaving = self.leaving.subscribe();
        let mut lease = self.cluster.membership.lease();
        loop {
            self.offer(&mut offered).await;
            self.notes.send();
            tokio::select! {
                () = &mut over => break,
                Ok(()) = leaving.changed() => {}
                // While it could not be renewed, others may have been given what is here.
                Ok(()) = lease.changed() => {}
                () = tokio::time::sleep(RENEW_EVERY) => {}
            }
        }
        // Lost words here are made up for by leases that end.
        let _ = self.cluster.membership.offer(None).wait().await;
        let streams = std::mem::take(&mut *self.streams());
        for (stream, mut home) in streams {
            self.finish(&stream, &mut home);
            if home.is_yielded {
                continue;
            }
            let _ = self.cluster.directory.release(&stream_entry(&stream), home.fence).wait().await;
        }
        self.notes.send();
    }

    /// Looks at the streams once, and tells the other nodes if that changed what they would do.
    async fn offer(&self, offered: &mut Option<RelayOffer>) {
        let Ok(Told::Streams(found)) = self.face.ask(Ask::Streams).await else { return };
        self.renew(&found).await;
        let sessions = self.sessions() as u64;
        let sessions_max = self.config.sessions_max.max(1) as u64;
        let permille = (sessions.saturating_mul(1_000) / sessions_max).min(1_000) as u16;
        let offer = RelayOffer {
            url: self.config.url.clone(),
            link: self.config.link,
            load_permille: permille / LOAD_STEP_PERMILLE * LOAD_STEP_PERMILLE,
            sessions: rounded(u32::try_from(sessions).unwrap_or(u32::MAX)),
            sessions_max: u32::try_from(sessions_max).unwrap_or(u32::MAX),
            has_room: permille < FULL_PERMILLE && !self.is_leaving(),
            alone: self.config.alone,
        };
        self.has_room.store(offer.has_room, Ordering::Relaxed);
        if offered.as_ref() != Some(&offer)
            && self.cluster.membership.offer(Some(offer.clone())).wait().await.is_ok()
        {
            *offered = Some(offer);
        }
    }

    async fn renew(&self, found: &[StreamInfo]) {
        // Published by somebody who did not ask for the name.
        for StreamInfo { stream, publishers, .. } in found {
            if !publishers.is_empty()
                && !self.streams().contains_key(stream)
                && !self.is_leaving()
                && let Err(NotHere::Elsewhere(home)) = self.claim(stream).await
            {
                self.lose(stream, home).await;
            }
        }
        let found: HashMap<&RoomId, &StreamInfo> = found.iter().map(|info| (&info.stream, info)).collect();
        let (mut claims, mut gone) = (Vec::new(), Vec::new());
        {
            let mut streams = self.streams();
            streams.retain(|stream, home| {
                let info = found.get(stream).copied();
                let publishers = info.map_or(&[][..], |info| &info.publishers);
                let viewers = info.map_or(0, |info| info.viewers);
                let is_young = home.asked.elapsed() < YOUNG;
                home.viewers_max = home.viewers_max.max(viewers);
                if let Some(last) = publishers.last() {
                    home.user = Some(last.clone());
                    self.begin(stream, home);
                } else if !is_young {
                    self.finish(stream, home);
                }
                // As long as somebody waits, the publisher is expected back here.
                if publishers.is_empty() && viewers == 0 && !is_young {
                    if !home.is_yielded {
                        gone.push((stream.clone(), home.fence));
                    }
                    return false;
                }
                if home.is_yielded {
                    return true;
                }
                let publishers = publishers.len() as u32;
                claims.push((stream.clone(), StreamEntry { since: home.since_ms, publishers, viewers }));
                true
            });
        }
        for (stream, fence) in gone {
            let _ = self.cluster.directory.release(&stream_entry(&stream), fence).wait().await;
        }
        let renewals = claims.into_iter().map(|(stream, entry)| async move {
            let claimed = self.cluster.directory.claim(&claim_of(&stream, &entry)).wait().await;
            (stream, claimed)
        });
        let mut renewals = futures_util::stream::iter(renewals).buffer_unordered(RENEWALS_MAX);
        while let Some((stream, claimed)) = renewals.next().await {
            match claimed {
                Ok(claimed) if claimed.owner == self.cluster.membership.own() => {
                    if let Some(home) = self.streams().get_mut(&stream) {
                        home.fence = claimed.fence;
                    }
                }
                Ok(claimed) => self.lose(&stream, claimed.owner).await,
                // Media needs no directory. It is tried again.
                Err(_) => {}
            }
        }
    }

    /// How a stream is at this relay, for an operator. None: it has nothing to do with it.
    pub async fn look(&self, stream: &RoomId) -> Option<StreamLook> {
        let Ok(Told::Look(look)) = self.face.ask(Ask::Look { stream: stream.clone() }).await else {
            return None;
        };
        let from = self.attachments.source(stream).filter(|_| look.is_fed);
        Some(StreamLook { from: from.map(|from| from.0), ..look })
    }

    /// Somebody publishes it there: two homes would show two streams.
    async fn lose(&self, stream: &RoomId, home: Incarnation) {
        tracing::warn!(%stream, %home, "the stream lives elsewhere by now, and ends here");
        let lost = self.streams().remove(stream);
        if let Some(mut lost) = lost {
            self.finish(stream, &mut lost);
        }
        let _ = self.face.ask(Ask::End { stream: stream.clone() }).await;
    }

    fn begin(&self, stream: &RoomId, home: &mut Home) {
        if !home.is_live
            && let Some(user) = &home.user
        {
            home.is_live = true;
            (home.since, home.since_ms, home.viewers_max) = (Instant::now(), unix_ms(), 0);
            self.notes.put(home.fence, stream, user, Noted::Started);
        }
    }

    fn finish(&self, stream: &RoomId, home: &mut Home) {
        if home.is_live
            && let Some(user) = &home.user
        {
            home.is_live = false;
            let duration_ms = home.since.elapsed().as_millis() as u64;
            let what = Noted::Ended { duration_ms, viewers_max: home.viewers_max };
            self.notes.put(home.fence, stream, user, what);
        }
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<RoomId, Home>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn claim_of(stream: &RoomId, entry: &StreamEntry) -> Claim {
    let lease_ms = LEASE.as_millis() as u64;
    Claim { name: stream_entry(stream), lease_ms, value: entry.write(), over: None }
}

/// To a sixteenth, so that not every one who comes or goes is news.
fn rounded(sessions: u32) -> u32 {
    let step = sessions.checked_ilog2().unwrap_or_default().saturating_sub(4);
    sessions >> step << step
}

/// For others to read; nothing is decided by it.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests;
