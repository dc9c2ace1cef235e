//! A client that read too slowly and has caught up with its queue: it is given what was not queued meanwhile.

use turnpike_engine::SocketRef;
use turnpike_wire::Disconnect;

use crate::app::App;
use crate::ending::dismiss;
use crate::offset::{self, Vector};
use crate::outgoing;
use crate::replay::{Membership, replay};
use crate::session::Session;

/// `offset` is that of the last event that was queued to the socket.
pub(crate) fn refill(app: &App, session: &Session, socket: &SocketRef, offset: Option<&str>) {
    let state = session.state();
    if !state.is_connected_as(socket) {
        return;
    }
    let from = offset.and_then(offset::read).map_or(Vector::default(), |(_, vector)| vector);
    let lanes = app.broker.lanes(state.rooms.iter().map(Membership::lane));
    let replay = replay(&lanes, &state.rooms, from);
    // While the lanes are held nothing is published, so the socket is level exactly where the replay ends.
    let sent = app.handle.refill(socket, outgoing::missed(app, &replay));
    drop(lanes);
    if sent.is_err() {
        tracing::warn!(%socket, "connection closed: no room in the shard's inbox to refill it");
        dismiss(app, socket, Disconnect::Overloaded);
    }
}
