//! The sessions that were begun here, and what is told of each.
//!
//! There are no more of them than the relay has peers.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::mpsc;
use turnpike_wire::RoomId;
use turnpike_wire::UserId;
use turnpike_wire::media::MediaSession;

use super::feed::Feeds;
use super::session::State;
use super::{App, Places, Side};
use crate::{Ask, Ended, Notice, audited};

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

    pub(super) fn begin(app: &Arc<App>, session: Session, notices: mpsc::Receiver<Notice>) {
        let session = Arc::new(session);
        app.sessions.all.insert(session.name, Arc::clone(&session));
        tokio::spawn(hear(Arc::clone(app), session, notices));
    }

    /// It is not found any more, and its event streams end.
    pub(super) fn end(&self, name: MediaSession) {
        if let Some((_, session)) = self.all.remove(&name) {
            session.feeds.close();
        }
    }
}

impl Session {
    pub(super) fn new(name: MediaSession, side: Side, stream: RoomId, user: UserId, state: State) -> Self {
        Self { name, side, stream, user, state: tokio::sync::Mutex::new(state), feeds: Feeds::default() }
    }

    /// The viewer is to come back: to another relay if that is known, and else to wherever this address leads by then.
    fn reconnect(&self, places: &dyn Places) {
        let base = places.another().unwrap_or_default();
        let (base, side, stream) = (base.trim_end_matches('/'), self.side.path(), &self.stream);
        self.feeds.reconnect(&format!("{base}/{side}/{stream}"));
    }
}

/// Until the session is over.
async fn hear(app: Arc<App>, session: Arc<Session>, mut notices: mpsc::Receiver<Notice>) {
    let mut over = None;
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::State(state) => session.feeds.tell(Arc::unwrap_or_clone(state)),
            Notice::Moving { .. } => session.reconnect(&*app.places),
            Notice::Ended(ended) => {
                if ended == Ended::Drained {
                    session.reconnect(&*app.places);
                }
                over = Some(ended);
                break;
            }
            // There is no way to offer anything to a client that asks by HTTP: it keeps what it has.
            Notice::Connected | Notice::Offer(_) => {}
        }
    }
    app.sessions.end(session.name);
    let why = over.map_or("lost", Ended::slug);
    audited::session_ended(&app.audit, &session.user, session.side == Side::Publish, &session.stream, why);
    if over.is_none() {
        // We were not told any more, so we could not say that it ends: then it ends.
        let _ = app.relay.ask(Ask::Stop { session: session.name }).await;
    }
}
