//! What was called back takes effect: whoever is connected by it is closed, and whoever is away does not come back by it.
//!
//! Tokens are refused by the verifier, which is told here. That every node hears of it, also one that was cut off, is the
//! bulletin's matter.

use std::sync::Arc;
use std::time::Duration;

use turnpike_cluster::{Notice, Notices, Topic};
use turnpike_engine::SocketId;
use turnpike_guard::{Identity, Revoked};
use turnpike_wire::Disconnect;

use crate::app::App;
use crate::ending::dismiss;
use crate::session::{Session, Whereabouts, leave_all};

/// Notices that are taken together: a revocation by token looks at every session, and a hundred of them need not look a
/// hundred times.
const NOTICES_AT_ONCE_MAX: usize = 4_096;

/// A connection that was let in while its token was being called back is closed once it is there.
const ONCE_THERE: Duration = Duration::from_millis(100);

/// Done when everything is known that was called back before; what comes later is heard until the node ends.
pub(crate) fn begin(app: &Arc<App>) {
    let mut notices = app.cluster.bulletin.listen(Topic::Revoked);
    loop {
        let at_hand = at_hand(&mut notices);
        if at_hand.is_empty() {
            break;
        }
        take(app, &at_hand);
    }
    let held = Arc::downgrade(app);
    app.spawn(async move {
        while let Some(first) = notices.next().await {
            let mut heard = vec![first];
            heard.extend(at_hand(&mut notices));
            let Some(app) = held.upgrade() else { return };
            take(&app, &heard);
        }
    });
}

fn at_hand(notices: &mut Notices) -> Vec<Notice> {
    std::iter::from_fn(|| notices.at_hand()).take(NOTICES_AT_ONCE_MAX).collect()
}

fn take(app: &Arc<App>, notices: &[Notice]) {
    let revocations = app.tokens.revocations();
    let mut is_by_token = false;
    let mut sessions: Vec<(SocketId, Arc<Session>)> = Vec::new();
    for notice in notices {
        let Some(what) = Revoked::read(&notice.key, &notice.value) else {
            tracing::warn!("a revocation that cannot be understood: some nodes are of another version");
            continue;
        };
        if notice.is_lifting() {
            revocations.lift(&what);
            continue;
        }
        revocations.set(&what, notice.until_ms);
        match &what {
            Revoked::Token(_) => is_by_token = true,
            Revoked::User(user, _) => sessions.extend(app.sessions.of_user(user)),
            Revoked::Connection(id) => {
                let id = SocketId::parse(id);
                sessions.extend(id.and_then(|id| Some((id, app.sessions.get(id)?))));
            }
        }
    }
    if is_by_token {
        let all = app.sessions.ids().into_iter();
        sessions = all.filter_map(|id| Some((id, app.sessions.get(id)?))).collect();
    }
    for (id, session) in sessions {
        if is_revoked(app, id, &session.identity()) {
            end(app, id, &session);
        }
    }
}

/// Whether nobody may be connected by this, nor take the session up.
pub(crate) fn is_revoked(app: &App, id: SocketId, identity: &Identity) -> bool {
    let revocations = app.tokens.revocations();
    !revocations.is_empty() && (revocations.has(identity) || revocations.has_connection(&id.to_string()))
}

/// Whoever has just been let in, or shown a new token: what was called back since the token was checked has not found them.
pub(crate) fn look_again(app: &Arc<App>, id: SocketId, session: &Arc<Session>) {
    if !is_revoked(app, id, &session.identity()) {
        return;
    }
    let (held, session) = (Arc::clone(app), Arc::clone(session));
    app.spawn(async move {
        tokio::time::sleep(ONCE_THERE).await;
        end(&held, id, &session);
    });
}

fn end(app: &App, id: SocketId, session: &Arc<Session>) {
    let at = session.state().at;
    match at {
        Whereabouts::Connected(socket) => {
            app.meters.revoked.with_label_values(&["connected"]).inc();
            dismiss(app, &socket, Disconnect::Revoked);
        }
        Whereabouts::Away { .. } => {
            app.meters.revoked.with_label_values(&["away"]).inc();
            if let Some((_, rooms)) = session.take() {
                leave_all(&app.mirror, rooms);
            }
            app.signaling.shut(id);
            app.sessions.remove(id, session);
            app.forget_record(id);
        }
        Whereabouts::Gone => {}
    }
}
