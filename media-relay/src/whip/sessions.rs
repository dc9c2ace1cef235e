//! The sessions that were begun here, and what is told of each.
//!
//! There are no more of them than the relay has peers.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dashmap::DashMap;
use tokio::sync::mpsc;
use tokio::time::sleep;
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
    /// It is written down that it has ended.
    is_written: AtomicBool,
}

#[derive(Default)]
pub(super) struct Sessions {
    all: DashMap<MediaSession, Arc<Session>>,
    /// [`look_after`] is at work.
    are_looked_after: AtomicBool,
}

impl Sessions {
    pub(super) fn get(&self, name: MediaSession) -> Option<Arc<Session>> {
        self.all.get(&name).map(|session| Arc::clone(&session))
    }

    pub(super) fn begin(app: &Arc<App>, session: Session, notices: mpsc::Receiver<Notice>) {
        let session = Arc::new(session);
        app.sessions.all.insert(session.name, Arc::clone(&session));
        tokio::spawn(hear(Arc::clone(app), session, notices));
        if !app.sessions.are_looked_after.swap(true, Ordering::AcqRel) {
            tokio::spawn(look_after(Arc::clone(app)));
        }
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
        Self { name, side, stream, user, from, state, feeds, holder, is_written: AtomicBool::new(false) }
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

/// Sessions that are looked at without a pause: about a tenth of a millisecond.
const LOOKED_AT_ONCE: usize = 256;

/// Looks whether sessions may go on, for as long as there are any. One task for all of them: a timer for each would wake
/// this thread thousands of times a second, beside the one that forwards their media.
async fn look_after(app: Arc<App>) {
    loop {
        let all: Vec<Arc<Session>> = app.sessions.all.iter().map(|session| Arc::clone(&session)).collect();
        if all.is_empty() {
            app.sessions.are_looked_after.store(false, Ordering::Release);
            // One may have begun just now, and have relied on this.
            if app.sessions.all.is_empty() || app.sessions.are_looked_after.swap(true, Ordering::AcqRel) {
                return;
            }
        }
        let pause = LOOK_EVERY / all.len().div_ceil(LOOKED_AT_ONCE).max(1) as u32;
        for some in all.chunks(LOOKED_AT_ONCE) {
            sleep(pause).await;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            for session in some {
                if let Some(why) = session.is_over(&app.tokens, &app.watch, now) {
                    end(&app, session, why);
                    // Its token counts no more.
                    let _ = app.relay.ask(Ask::Stop { session: session.name }).await;
                }
            }
        }
    }
}

/// Until the session is over.
async fn hear(app: Arc<App>, session: Arc<Session>, mut notices: mpsc::Receiver<Notice>) {
    let mut over = None;
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::State(state) => session.feeds.tell(state),
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
    end(&app, &session, over.map_or("lost", Ended::slug));
    if over.is_none() {
        // We were not told any more, so we could not say that it ends: then it ends. Boxed, as it is seldom needed and longer
        // than all else that is kept here for the time of the session.
        let _ = Box::pin(app.relay.ask(Ask::Stop { session: session.name })).await;
    }
}

/// It is not found any more, and that is written down, once.
fn end(app: &App, session: &Session, why: &'static str) {
    app.sessions.end(session.name);
    if !session.is_written.swap(true, Ordering::AcqRel) {
        audited::session_ended(
            &app.audit,
            &session.user,
            session.side == Side::Publish,
            &session.stream,
            why,
        );
    }
}
