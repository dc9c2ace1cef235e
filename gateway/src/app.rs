//! The gateway as the engine's application: what clients do arrives here, in order for each of them.

use std::sync::Arc;

use turnpike_engine::{
    Admission, Application, ConnectRequest, DisconnectReason, Event, Handle, Kind, Refusal, SocketRef, Step,
};
use turnpike_guard::Verifier;
use turnpike_wire::Disconnect;

use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::Limits;
use crate::metrics::Meters;
use crate::outgoing::Outgoing;
use crate::session::{Session, Whereabouts};
use crate::sessions::Sessions;
use crate::{connect, events, refill};

/// The one namespace there is.
pub(crate) const NAMESPACE: &str = "/";

/// Everything that lives as long as the node. Shared by all shards; what is not read-only has locks of its own.
pub(crate) struct App {
    pub(crate) node: String,
    pub(crate) ping_interval_ms: u64,
    pub(crate) ping_timeout_ms: u64,
    pub(crate) recovery_window_ms: u64,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) tokens: Verifier,
    pub(crate) broker: Broker,
    pub(crate) sessions: Sessions,
    pub(crate) handle: Handle,
    pub(crate) outgoing: Outgoing,
    pub(crate) meters: Meters,
}

impl Application for App {
    type Socket = Arc<Session>;

    fn connect(&self, request: ConnectRequest) -> Step<Result<Admission<Arc<Session>>, Refusal>> {
        Step::Now(connect::admit(self, &request))
    }

    fn event(&self, session: &Arc<Session>, event: Event) -> Step<()> {
        events::handle(self, session, event);
        Step::Now(())
    }

    fn disconnect(&self, session: &Arc<Session>, socket: &SocketRef, reason: &DisconnectReason) {
        let mut state = session.state();
        if !state.is_connected_as(socket) {
            return;
        }
        if self.recovery_window_ms > 0 && session.kind == Kind::SocketIo && may_return(reason) {
            let until_ms = self.clock.steady_ms() + self.recovery_window_ms;
            state.at = Whereabouts::Away { until_ms };
            drop(state);
            self.sessions.wait_for(socket.id(), until_ms, &self.broker);
        } else {
            state.give_up(&self.broker);
            drop(state);
            self.sessions.remove(socket.id(), session);
        }
    }

    fn refill(&self, session: &Arc<Session>, socket: &SocketRef, offset: Option<&str>) {
        refill::refill(self, session, socket, offset);
    }
}

/// Who left by an accident may return; who said goodbye, broke the protocol or was sent away may not.
fn may_return(reason: &DisconnectReason) -> bool {
    match reason {
        DisconnectReason::TransportClosed
        | DisconnectReason::TransportError
        | DisconnectReason::PingTimeout
        | DisconnectReason::SlowReader
        | DisconnectReason::Shutdown => true,
        DisconnectReason::Server { code, .. } => {
            Disconnect::ALL.iter().any(|known| known.code() == *code && known.comes_back())
        }
        DisconnectReason::ClientLeft | DisconnectReason::ProtocolError(_) => false,
    }
}
