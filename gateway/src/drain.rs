//! Leaving: nobody is taken in any more, and everybody is told and closed, evenly over a window.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use turnpike_wire::Disconnect;
use turnpike_wire::event::server::Disconnecting;

use crate::app::App;
use crate::connect::close;

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

/// Gives the number of connections that were closed.
pub(crate) async fn drain(app: &App, window: Duration) -> usize {
    let farewell = app.outgoing.disconnecting(&Disconnecting::from(Disconnect::Drain));
    for socket in app.sessions.connected() {
        // A full inbox spares some clients the announcement; they are closed all the same.
        let _ = app.handle.emit(&socket, Arc::clone(&farewell));
    }
    app.handle.drain(window, &close(Disconnect::Drain)).await
}
