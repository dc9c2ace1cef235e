//! The sessions that were begun here, and what is told of each.
//!
//! There are no more of them than the relay has peers.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dashmap::DashMap;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use turnpike_guard::{Identity, MediaRight, Standing, Verifier, Watch};
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
    /// Where it was begun from.
    from: Option<IpAddr>,
    pub(super) state: tokio::sync::Mutex<State>,
    pub(super) feeds: Feeds,
    /// The token that lasts longest of those that were shown for it: with its end the session ends.
    holder: Mutex<Identity>,
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
    pub(super) fn new(
        name: MediaSession,
        side: Side,
        stream: RoomId,
        identity: &Identity,
        from: Option<IpAddr>,
        state: State,
    ) -> Self {
        let (user, holder) = (identity.user.clone(), Mutex::new(identity.clone()));
        let (state, feeds) = (tokio::sync::Mutex::new(state), Feeds::default());
        Self { name, side, stream, user, from, state, feeds, holder }
    }

    /// A later token of the same user, for the same right, lets the session go on for as long.
    pub(super) fn show(&self, identity: &Identity) {
        let right = match self.side {
            Side::Publish => MediaRight::Publish,
            Side::Watch => MediaRight::Subscribe,
        };
        let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        if identity.user == self.user
            && identity.expires_at > holder.expires_at
            && identity.can_media(right, &self.stream)
        {
            *holder = identity.clone();
        }
    }

    /// Why it may not go on, if so.
    fn is_over(&self, tokens: &Verifier, watch: &Watch, now: u64) -> Option<&'static str> {
        let is_shut_out = |from| watch.is_banned(from);
        if matches!(watch.user_stands(&self.user), Standing::Banned { .. })
            || self.from.is_some_and(is_shut_out)
        {
            return Some("banned");
        }
        let holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        if holder.expires_at <= now {
            return Some("token_expired");
        }
        tokens.revocations().has(&holder).then_some("revoked")
    }

    /// The viewer is to come back: to another relay if that is known, and else to wherever this address leads by then.
    fn reconnect(&self, places: &dyn Places) {
        let base = places.another(&self.stream).unwrap_or_default();
        let (base, side, stream) = (base.trim_end_matches('/'), self.side.path(), &self.stream);
        self.feeds.reconnect(&format!("{base}/{side}/{stream}"));
    }
}

/// Media stops within a second of its token's end, and of the moment at which this node learns that it was revoked or that
/// its user or address is banned.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Until the session is over.
async fn hear(app: Arc<App>, session: Arc<Session>, mut notices: mpsc::Receiver<Notice>) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut over, mut barred) = (None, None);
    loop {
        let notice = tokio::select! {
            notice = notices.recv() => notice,
            _ = look.tick() => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
                barred = session.is_over(&app.tokens, &app.watch, now);
                if barred.is_some() {
                    break;
                }
                continue;
            }
        };
        let Some(notice) = notice else { break };
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
    let why = barred.unwrap_or_else(|| over.map_or("lost", Ended::slug));
    audited::session_ended(&app.audit, &session.user, session.side == Side::Publish, &session.stream, why);
    if over.is_none() {
        // Its token counts no more; or we were not told any more, so we could not say that it ends: then it ends.
        let _ = app.relay.ask(Ask::Stop { session: session.name }).await;
    }
}
