//! What of that which happens on this node is reported.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use turnpike_cluster::{QuotaLimit, Receipt, Turn};
use turnpike_engine::{DisconnectReason, SocketId};
use turnpike_wire::media::relay::Note;
use turnpike_wire::{Disconnect, RoomId, UserId};

use super::event::{Message, RoomTurn, WebhookEvent, What};
use super::offline::WINDOW_MS;
use crate::app::App;
use crate::occupancy::Herald;
use crate::session::Whereabouts;

/// Users that are looked for on other nodes at once. Beyond it a message is not looked into, which is counted: the store
/// does not answer, or is slower than messages come.
const LOOKUPS_MAX: usize = 1_024;

/// Of all nodes together, a conversation.
const ONCE_IN_THE_WINDOW: QuotaLimit = QuotaLimit { burst: 1, per_second: 1_000.0 / WINDOW_MS as f64 };

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
            hooks.report(user, What::Closed { connection: id.to_string(), reason: slug(reason).to_owned() });
        }
    }

    /// A stream has begun or is over, by what its relay says.
    pub(crate) fn report_stream(&self, note: &Note) {
        if let Some(hooks) = &self.webhooks {
            hooks.report_stream(note);
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
        if hooks.lookups.fetch_add(1, Ordering::Relaxed) >= LOOKUPS_MAX {
            hooks.lookups.fetch_sub(1, Ordering::Relaxed);
            return hooks.passed_over();
        }
        let message =
            Message { id: receipt.id.to_string(), epoch: receipt.epoch, seq: receipt.seq, ts: receipt.ts };
        let (app, from) = (Arc::clone(self), from.clone());
        self.spawn(async move {
            let is_news = app.is_news(&user, &from).await;
            let Some(hooks) = &app.webhooks else { return };
            hooks.lookups.fetch_sub(1, Ordering::Relaxed);
            if is_news {
                hooks.report(&user, What::Offline { from, message });
            }
        });
    }

    /// Whether the user is nowhere, and no node has lately said so of this conversation.
    async fn is_news(&self, user: &UserId, from: &UserId) -> bool {
        // If nobody knows: one notification too many is less than one that is missing.
        if self.presences.is_connected(user).wait().await.unwrap_or(false) {
            return false;
        }
        let key = format!("offline:{user}:{from}");
        let granted = self.cluster.quota.take(&key, 1, &ONCE_IN_THE_WINDOW).wait().await;
        if granted == Ok(0) {
            return false;
        }
        let Some(hooks) = &self.webhooks else { return false };
        let is_first_here = hooks.reported().is_first(user, from, self.clock.steady_ms());
        granted.is_ok() || is_first_here
    }

    fn is_connected_here(&self, user: &UserId) -> bool {
        let is_here = |at: Whereabouts| matches!(at, Whereabouts::Connected(_));
        self.sessions.of_user(user).iter().any(|(_, session)| is_here(session.state().at))
    }
}

impl Herald for App {
    fn report(&self, room: &RoomId, turn: Turn) {
        let (Some(hooks), Some(occupancy)) = (&self.webhooks, &self.occupancy) else { return };
        let (occupancy, name) = (Arc::clone(occupancy), room.clone());
        let what = RoomTurn { room: room.clone(), turn: turn.number, occupied: turn.occupied };
        hooks.report_room(what, move || occupancy.told(&name, turn));
    }
}

/// A name that receivers can compare: what this node decided is said more closely.
pub(crate) fn slug(reason: &DisconnectReason) -> &'static str {
    let known = match reason {
        DisconnectReason::Server { code, .. } => Disconnect::ALL.iter().find(|known| known.code() == *code),
        _ => None,
    };
    known.map_or(reason.slug(), |known| known.slug())
}
