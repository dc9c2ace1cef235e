//! Ending connections on our part: one, or all of them because the node leaves. The client is told why first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use turnpike_engine::{Close, SocketRef};
use turnpike_wire::Disconnect;
use turnpike_wire::event::server::Disconnecting;

use crate::app::App;

/// Whether the drain has begun.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draining(Arc<AtomicBool>);

impl Draining {
    pub(crate) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Tells one client why, and closes its connection.
pub(crate) fn dismiss(app: &App, socket: &SocketRef, why: Disconnect) {
    // A full inbox spares the client the announcement; it is closed all the same.
    let _ = app.handle.emit(socket, app.outgoing.disconnecting(&why.into()));
    app.handle.close(socket, close(why));
}

fn close(why: Disconnect) -> Close {
    Close { code: why.code(), reason: why.slug().to_owned(), reconnect: why.comes_back() }
}

/// Takes nobody in any more, and closes everybody evenly over the window. Gives their number.
pub(crate) async fn drain(app: &App, window: Duration) -> usize {
    let farewell = app.outgoing.disconnecting(&Disconnecting::from(Disconnect::Drain));
    for socket in app.sessions.connected() {
        let _ = app.handle.emit(&socket, Arc::clone(&farewell));
    }
    app.handle.drain(window, &close(Disconnect::Drain)).await
}
