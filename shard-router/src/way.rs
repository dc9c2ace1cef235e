//! A request's way through the router: counted for its node, and known by its client's connection, for as long as this lives.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::lines::Open;
use crate::load::{Held, Load};

pub(crate) struct Way {
    line: Arc<Open>,
    _held: Held,
}

impl Way {
    pub(crate) fn through(line: &Arc<Open>, node: SocketAddr, load: &Load) -> Self {
        line.through(node);
        Self { line: Arc::clone(line), _held: load.hold(node) }
    }

    pub(crate) fn line(&self) -> &Open {
        &self.line
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.line.idle();
    }
}
