//! What of that which happens on this node is reported.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use turnpike_cluster::{Receipt, Soon, Unavailable};
use turnpike_engine::{DisconnectReason, SocketId};
use turnpike_wire::{Disconnect, RoomId, UserId};

use super::event::{Message, WebhookEvent, What};
use crate::app::App;
use crate::session::Whereabouts;

/// Users that are looked for on other nodes at once. Beyond it a message is not looked into, which is counted: the store
/// does not answer, or is slower than messages come.
const LOOKUPS_MAX: usize = 1_024;

impl App {
    pub(crate) fn report_opened(&self, id: SocketId, user: &UserId, recovered: bool) {
        if let Some(hooks) = &self.webhooks
            && hooks.wants(WebhookEvent::ConnectionOpened)
        {
            hooks.report(user, What::Opened { connection: id.to_string(), recovered });
        }
    }

    pub(crate) fn report_closed(&self, id: SocketId, user: &UserId, reason: &DisconnectReason) {
        if let Some(hooks) = &self.webhooks
            && hooks.wants(WebhookEvent::ConnectionClosed)
        {
            hooks.report(user, What::Closed { connection: id.to_string(), reason: slug(reason) });
        }
    }

    /// A message has its place. If it is for a user who is nowhere, that is reported.
    pub(crate) fn report_published(self: &Arc<Self>, room: &RoomId, from: &UserId, receipt: &Receipt) {
        let Some(hooks) = &self.webhooks else { return };
        if receipt.duplicate || !hooks.wants(WebhookEvent::MessageOffline) {
            return;
        }
        let Some(user) = room.personal_user().and_then(|user| UserId::parse(user).ok()) else { return };
        if hooks.reported().was(&user, from, self.clock.steady_ms()) || self.is_connected_here(&user) {
            return;
        }
        let message =
            Message { id: receipt.id.to_string(), epoch: receipt.epoch, seq: receipt.seq, ts: receipt.ts };
        match self.presences.is_connected(&user) {
            Soon::Now(answer) => self.report_offline(&user, from, message, answer),
            Soon::Later(answer) => {
                if hooks.lookups.fetch_add(1, Ordering::Relaxed) >= LOOKUPS_MAX {
                    hooks.lookups.fetch_sub(1, Ordering::Relaxed);
                    return hooks.meters.passed_over();
                }
                let (app, from) = (Arc::clone(self), from.clone());
                self.spawn(async move {
                    let answer = answer.await;
                    if let Some(hooks) = &app.webhooks {
                        hooks.lookups.fetch_sub(1, Ordering::Relaxed);
                    }
                    app.report_offline(&user, &from, message, answer);
                });
            }
        }
    }

    fn report_offline(
        &self,
        user: &UserId,
        from: &UserId,
        message: Message,
        is_connected: Result<bool, Unavailable>,
    ) {
        let Some(hooks) = &self.webhooks else { return };
        // If nobody knows: one notification too many is less than one that is missing.
        if !is_connected.unwrap_or(false) && hooks.reported().is_first(user, from, self.clock.steady_ms()) {
            hooks.report(user, What::Offline { from: from.clone(), message });
        }
    }

    fn is_connected_here(&self, user: &UserId) -> bool {
        let is_here = |at: Whereabouts| matches!(at, Whereabouts::Connected(_));
        self.sessions.of_user(user).iter().any(|(_, session)| is_here(session.state().at))
    }
}

/// A name that receivers can compare: what this node decided is said more closely.
fn slug(reason: &DisconnectReason) -> String {
    let known = match reason {
        DisconnectReason::Server { code, .. } => Disconnect::ALL.iter().find(|known| known.code() == *code),
        _ => None,
    };
    known.map_or(reason.slug(), |known| known.slug()).to_owned()
}
