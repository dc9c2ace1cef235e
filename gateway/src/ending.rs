//! Ending connections on our part: one, or all of them because the node leaves. The client is told why first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use turnpike_engine::{Close, SocketRef};
use turnpike_wire::Disconnect;

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
    app.handle.close(socket, close(app, why));
}

pub(crate) fn close(app: &App, why: Disconnect) -> Close {
    Close::new(why.code(), why.slug(), why.comes_back()).farewell(app.outgoing.closing(&why.into()))
}

/// Takes nobody in any more, and closes everybody evenly over the window. Gives their number.
pub(crate) async fn drain(app: &App, window: Duration, why: Disconnect) -> usize {
    app.handle.drain(window, &close(app, why)).await
}
