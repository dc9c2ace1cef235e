//! What other threads, and the application, ask of a shard. One bounded inbox a shard: what went in first takes
//! effect first, whoever sent it.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::sync::{mpsc, oneshot};

use crate::ack::{AckError, Answer, Waiter};
use crate::application::DisconnectReason;
use crate::arrival::Visit;
use crate::ids::{Key, SessionSecret, Shown, SocketId, SocketRef};
use crate::look::Look;
use crate::packet::{Args, Encoded, EventBuilder};
use crate::polling::PollAnswer;

pub(crate) enum Command {
    Emit {
        to: SocketRef,
        event: Arc<Encoded>,
    },
    EmitWithAck {
        to: SocketRef,
        /// Boxed, here and below: commands are moved several times, and these are the fewest and would be the largest.
        event: Box<EventBuilder>,
        timeout: Duration,
        waiter: Waiter,
    },
    Broadcast {
        room: Arc<str>,
        event: Arc<Encoded>,
        /// Of this shard alone: the same key on another shard is somebody else.
        except: SmallVec<[Key; 1]>,
    },
    BroadcastWithAck {
        namespace: Arc<str>,
        room: Arc<str>,
        event: Box<EventBuilder>,
        timeout: Duration,
        answers: mpsc::UnboundedSender<(SocketId, Result<Args, AckError>)>,
    },
    Answer(Answer),
    Join {
        socket: SocketRef,
        namespace: Arc<str>,
        room: Arc<str>,
    },
    Leave {
        socket: SocketRef,
        room: Arc<str>,
    },
    Rooms {
        socket: SocketRef,
        reply: oneshot::Sender<Vec<String>>,
    },
    /// For the connection's flight recorder.
    Note {
        socket: SocketRef,
        kind: u8,
        number: u32,
        more: Option<u32>,
    },
    Look {
        socket: SocketRef,
        reply: oneshot::Sender<Look>,
    },
    Refill {
        socket: SocketRef,
        events: Vec<Arc<Encoded>>,
    },
    Close {
        socket: SocketRef,
        close: Close,
    },
    /// A polling request that another shard's listener took.
    Poll {
        shown: Shown,
        request: PollRequest,
        reply: oneshot::Sender<PollAnswer>,
    },
    /// A websocket that another shard's listener took, for a session of this one.
    Attach {
        secret: SessionSecret,
        stream: TcpStream,
        unread: Bytes,
        deflate: bool,
        visit: Arc<Visit>,
    },
    Drain {
        departure: Arc<Departure>,
        done: oneshot::Sender<usize>,
    },
    Stop,
}

pub(crate) enum PollRequest {
    Get {
        gzip: bool,
    },
    Post {
        body: Bytes,
    },
    /// Whether a websocket may try to take the session over.
    Upgrade,
}

/// How a server leaves its clients.
pub struct Departure {
    /// In which everybody is closed.
    pub window: Duration,
    /// Before the first is closed, so that those who look after newcomers know; of a short window a tenth.
    pub notice: Duration,
    /// What each is told, in turn.
    pub closes: Vec<Close>,
    /// How long nothing more is read from a client whose turn it is, until what it had asked before is answered.
    pub answers_max: Duration,
    /// Asked for how many of so many may be closed now. At the end of the window it is not asked any more. None: all.
    #[allow(clippy::type_complexity, reason = "a name would say no more")]
    pub pace: Option<Box<dyn Fn(usize) -> usize + Send + Sync>>,
}

impl Departure {
    /// Everybody is told the same, and nothing is waited for.
    pub fn new(window: Duration, close: Close) -> Self {
        Self { window, notice: Duration::ZERO, closes: vec![close], answers_max: Duration::ZERO, pace: None }
    }
}

/// How the server ends a connection.
#[derive(Clone, Debug)]
pub struct Close {
    /// The websocket close code of the raw protocol.
    pub code: u16,
    pub reason: String,
    /// Whether the client should come back by itself: the transport is then closed under the stock client, which
    /// reconnects; otherwise its namespace is, which it takes as final.
    pub reconnect: bool,
    /// The last event that the client gets, whatever else waits for it.
    pub farewell: Option<Arc<Encoded>>,
    /// Whether all namespaces of the connection end, also if the client is not to come back.
    pub everything: bool,
}

impl Close {
    pub fn new(code: u16, reason: impl Into<String>, reconnect: bool) -> Self {
        Self { code, reason: reason.into(), reconnect, farewell: None, everything: false }
    }

    pub fn farewell(self, event: Arc<Encoded>) -> Self {
        Self { farewell: Some(event), ..self }
    }

    /// Ends the whole connection, in whichever namespace the socket is.
    pub fn everything(self) -> Self {
        Self { everything: true, ..self }
    }

    pub(crate) fn as_reason(&self) -> DisconnectReason {
        DisconnectReason::Server { code: self.code, reason: self.reason.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is moved into its channel, out of it, and to where it is done.
    #[test]
    fn commands_are_small() {
        assert!(size_of::<Command>() <= 112, "{} bytes", size_of::<Command>());
    }
}
