//! The sessions that were begun here, and what is told of each.
//!
//! There are no more of them than the relay has peers.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::mpsc;
use turnpike_wire::RoomId;
use turnpike_wire::UserId;
use turnpike_wire::media::MediaSession;

use super::Side;
use super::feed::Feeds;
use super::session::State;
use crate::{Ask, Ended, Notice, Relay};

pub(super) struct Session {
    pub(super) name: MediaSession,
    pub(super) side: Side,
    pub(super) stream: RoomId,
    pub(super) user: UserId,
    pub(super) state: tokio::sync::Mutex<State>,
    pub(super) feeds: Feeds,
}

#[derive(Default)]
pub(super) struct Sessions {
    all: DashMap<MediaSession, Arc<Session>>,
}

impl Sessions {
    pub(super) fn get(&self, name: MediaSession) -> Option<Arc<Session>> {
        self.all.get(&name).map(|session| Arc::clone(&session))
    }

    #[allow(clippy::too_many_arguments, reason = "all of a session")]
    pub(super) fn begin(
        self: &Arc<Self>,
        name: MediaSession,
        side: Side,
        stream: RoomId,
        user: UserId,
        state: State,
        notices: mpsc::Receiver<Notice>,
        relay: Relay,
    ) {
        let state = tokio::sync::Mutex::new(state);
        let session = Arc::new(Session { name, side, stream, user, state, feeds: Feeds::default() });
        self.all.insert(name, Arc::clone(&session));
        tokio::spawn(hear(Arc::clone(self), session, notices, relay));
    }

    /// It is not found any more, and its event streams end.
    pub(super) fn end(&self, name: MediaSession) {
        if let Some((_, session)) = self.all.remove(&name) {
            session.feeds.close();
        }
    }

    pub(super) fn reconnect(&self, url: Option<&str>) {
        self.all.iter().for_each(|session| session.feeds.reconnect(url));
    }
}

/// Until the session is over.
async fn hear(
    sessions: Arc<Sessions>,
    session: Arc<Session>,
    mut notices: mpsc::Receiver<Notice>,
    relay: Relay,
) {
    let mut is_over = false;
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::State(state) => session.feeds.tell(Arc::unwrap_or_clone(state)),
            Notice::Ended(ended) => {
                if ended == Ended::Drained {
                    session.feeds.reconnect(None);
                }
                is_over = true;
                break;
            }
            // There is no way to offer anything to a client that asks by HTTP: it keeps what it has.
            Notice::Connected | Notice::Offer(_) => {}
        }
    }
    sessions.end(session.name);
    if !is_over {
        // We were not told any more, so we could not say that it ends: then it ends.
        let _ = relay.ask(Ask::Stop { session: session.name }).await;
    }
}
