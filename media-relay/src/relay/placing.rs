//! Where in a relay a session is: which shard takes a viewer, and what becomes of the pipes by which that shard has the
//! stream.

use std::sync::atomic::Ordering;
use std::sync::{PoisonError, Weak};

use tokio::sync::mpsc;
use turnpike_wire::media::MediaSession;
use turnpike_wire::media::relay::Role;
use turnpike_wire::{Code, Failure, RoomId};

use super::spread::Way;
use super::{Entry, Inner, NOWHERE};
use crate::carry::{FeedNews, PipeId};
use crate::{Ask, Told};

impl Inner {
    /// A session is to begin at that shard.
    pub(super) fn enter(
        &self,
        session: MediaSession,
        shard: usize,
        role: Role,
        stream: Option<RoomId>,
    ) -> Result<(), Failure> {
        let mut entry = self.sessions.entry(session).or_insert_with(Entry::new);
        if entry.shard != NOWHERE {
            return Err(Failure::new(Code::LimitReached, "the session has begun already"));
        }
        (entry.shard, entry.role, entry.stream) = (shard, role, stream);
        entry.seat = Some(self.loads.sit(shard));
        Ok(())
    }

    pub(super) async fn open(&self, session: MediaSession, shard: usize, ask: Ask) -> Result<Told, Failure> {
        let told = self.handles[shard].ask(ask).await;
        if told.is_err() {
            self.sessions.remove(&session);
        }
        told
    }

    /// Chooses where a viewer watches, and sees to it that the stream is there.
    pub(super) async fn place(&self, session: MediaSession, stream: &RoomId) -> Result<usize, Failure> {
        let own = self.shard_of(stream);
        let shard = self.loads.place(own);
        // It is noted before, so that nobody closes the pipe that it needs.
        self.enter(session, shard, Role::Viewer, Some(stream.clone()))?;
        if shard == own || self.reach(stream, shard).await.is_ok() {
            return Ok(shard);
        }
        // The stream is not here, or has as many branches as it may.
        if let Some(mut entry) = self.sessions.get_mut(&session) {
            (entry.shard, entry.seat) = (own, Some(self.loads.sit(own)));
        }
        Ok(own)
    }

    async fn reach(&self, stream: &RoomId, shard: usize) -> Result<(), Failure> {
        let (upper, lower) = (self.shard(stream), &self.handles[shard]);
        let way = Way { stream, upper, lower, shard, news: &self.told };
        self.spread.reach(&way, || PipeId(self.pipes.fetch_add(1, Ordering::Relaxed))).await
    }

    /// Whether somebody watches the stream at that shard, or is about to.
    fn is_watched_at(&self, stream: &RoomId, shard: usize) -> bool {
        self.sessions.iter().any(|entry| entry.shard == shard && entry.stream.as_ref() == Some(stream))
    }

    /// Somebody hears what becomes of pipes to other relays. Without, there are none but of those that are closed already.
    fn has_listener(&self) -> bool {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Something has become of a pipe between two shards.
    async fn mind(&self, stream: &RoomId, shard: usize, news: FeedNews) {
        let (upper, lower) = (self.shard(stream), &self.handles[shard]);
        match news {
            FeedNews::Unwatched(pipe) => {
                self.spread.close(pipe, upper, lower, || self.is_watched_at(stream, shard)).await;
            }
            FeedNews::Over(pipe) | FeedNews::Blocked(pipe) => {
                self.spread.close(pipe, upper, lower, || false).await;
                if self.is_watched_at(stream, shard) && self.reach(stream, shard).await.is_err() {
                    // It is over where it comes from, so it is over here. It may be already.
                    let _ = lower.ask(Ask::End { stream: stream.clone() }).await;
                }
            }
        }
    }
}

/// Minds the pipes between shards, and hands on what is said of others.
pub(super) async fn hear(
    inner: Weak<Inner>,
    mut heard: mpsc::Receiver<(RoomId, FeedNews)>,
    outwards: mpsc::Sender<(RoomId, FeedNews)>,
) {
    while let Some((stream, news)) = heard.recv().await {
        let Some(inner) = inner.upgrade() else { return };
        let (FeedNews::Over(pipe) | FeedNews::Unwatched(pipe) | FeedNews::Blocked(pipe)) = news;
        if let Some((stream, shard)) = inner.spread.lower_end(pipe).await {
            inner.mind(&stream, shard, news).await;
        } else if inner.has_listener() {
            // While whoever attaches streams is behind, this waits, and what is said waits in the shards.
            let _ = outwards.send((stream, news)).await;
        }
    }
}
