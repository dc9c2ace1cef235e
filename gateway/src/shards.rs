//! From the broker to the engine's shards: what the mirror hands over becomes events there.

use std::sync::{Arc, OnceLock, Weak};

use turnpike_cluster::{Control, Full, Lane, Message, Signal, Standing};
use turnpike_engine::Handle;
use turnpike_telemetry::Tracer;
use turnpike_wire::RoomId;
use turnpike_wire::event::server::Resync;

use crate::app::App;
use crate::mirror::Outlet;
use crate::outgoing::Outgoing;
use crate::traced;

pub(crate) struct Shards {
    handle: Handle,
    outgoing: Outgoing,
    tracer: Tracer,
    /// For what is no message. Not there yet while the node starts, and no more when it ends.
    app: OnceLock<Weak<App>>,
}

impl Shards {
    pub(crate) fn new(handle: Handle, outgoing: Outgoing, tracer: Tracer) -> Self {
        Self { handle, outgoing, tracer, app: OnceLock::new() }
    }

    /// From here on signals are heard.
    pub(crate) fn listen(&self, app: &Arc<App>) {
        // Called once, when the app has just been made.
        let _ = self.app.set(Arc::downgrade(app));
    }

    fn app(&self) -> Option<Arc<App>> {
        self.app.get().and_then(Weak::upgrade)
    }
}

impl Outlet for Shards {
    fn message(&self, message: &Message, offset: &str) -> Result<(), Full> {
        let mut traced = traced::delivery(&self.tracer, message);
        let event = self.outgoing.published(message, offset);
        self.handle.broadcast(&message.room, event, None).map_err(|_| {
            traced.fail("overloaded");
            Full
        })
    }

    fn resync(&self, room: &RoomId, standing: &Standing, offset: &str) {
        let resync = Resync { room, epoch: standing.epoch, seq: standing.seq };
        if self.handle.broadcast(room, self.outgoing.resync(&resync, offset), None).is_err() {
            tracing::error!(%room, "members could not be told that the room was lost: the shards' inboxes are full");
        }
    }

    fn delivered(&self, message: &Message) {
        if let Some(app) = self.app() {
            app.delivered(message);
        }
    }

    fn lane_changed(&self, lane: Lane) {
        if let Some(app) = self.app() {
            app.presences.doubt(lane);
        }
    }

    fn signal(&self, room: &RoomId, signal: &Signal) {
        if let Some(app) = self.app() {
            app.heard(room, signal);
        }
    }

    fn control(&self, control: Control) {
        if let Some(app) = self.app() {
            app.told(control);
        }
    }
}
