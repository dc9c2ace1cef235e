//! The events that the gateway sends, ready for the engine.

use std::sync::Arc;

use serde::Serialize;
use turnpike_cluster::Message;
use turnpike_engine::SocketRef;
use turnpike_engine::packet::{Class, Encoded, EventBuilder};
use turnpike_guard::Identity;
use turnpike_wire::Failure;
use turnpike_wire::event::server::{
    CLOSING, Closing, ERROR, EXPIRING, Error, Expiring, MESSAGE, RESYNC, Resync, SESSION, Session,
};

use crate::app::{App, NAMESPACE};
use crate::clock::unix_ms;
use crate::inspect;
use crate::offset::{self, Reference, Vector};
use crate::replay::{Piece, Replay};

/// Makes events for this node's clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing {
    /// Payloads from this size on are compressed.
    pub(crate) compress_above: usize,
}

pub(crate) struct Greeting<'a> {
    pub(crate) app: &'a App,
    pub(crate) identity: &'a Identity,
    pub(crate) socket: &'a SocketRef,
    pub(crate) recovered: bool,
}

impl Outgoing {
    pub(crate) fn session(self, greeting: &Greeting<'_>, offset: &str) -> Arc<Encoded> {
        let Greeting { app, identity, socket, recovered } = *greeting;
        let now_ms = unix_ms();
        let session = Session {
            connection: &socket.id().to_string(),
            user: &identity.user,
            node: &app.node,
            recovered,
            server_time: now_ms,
            ping_interval_ms: app.ping_interval_ms,
            ping_timeout_ms: app.ping_timeout_ms,
            ice_servers: &app.ice_servers_of(identity, now_ms),
        };
        self.event(SESSION).arg(&session).offset(offset).build()
    }

    /// As somebody gets it who missed it.
    pub(crate) fn message(self, message: &Message, offset: &str) -> Arc<Encoded> {
        self.of_message(message, offset).build()
    }

    /// As those get it who are there: how long it was under way is measured.
    pub(crate) fn published(self, message: &Message, offset: &str) -> Arc<Encoded> {
        self.of_message(message, offset).published(message.ts).build()
    }

    fn of_message(self, message: &Message, offset: &str) -> EventBuilder {
        self.event(MESSAGE)
            .raw_arg(&message.data)
            .attachments(message.attachments.clone())
            .offset(offset)
            .mark(inspect::mark(&message.room, message.seq))
    }

    pub(crate) fn volatile_message(self, data: &str, attachments: Vec<bytes::Bytes>) -> Arc<Encoded> {
        self.event(MESSAGE).raw_arg(data).attachments(attachments).class(Class::Volatile).build()
    }

    /// `at`: Unix seconds.
    pub(crate) fn expiring(self, at: u64) -> Arc<Encoded> {
        self.unnumbered(EXPIRING, &Expiring { at: at * 1000 })
    }

    pub(crate) fn resync(self, resync: &Resync<'_>, offset: &str) -> Arc<Encoded> {
        self.event(RESYNC).arg(resync).offset(offset).build()
    }

    pub(crate) fn closing(self, closing: &Closing) -> Arc<Encoded> {
        self.unnumbered(CLOSING, closing)
    }

    pub(crate) fn error(self, event: &str, failure: &Failure) -> Arc<Encoded> {
        self.unnumbered(ERROR, &Error::new(event, failure))
    }

    /// For what takes the place of an earlier one that still waits.
    pub(crate) fn state(self, name: &str, data: &impl Serialize, class: Class) -> Arc<Encoded> {
        self.event(name).arg(data).class(class).build()
    }

    /// For what nobody needs to get twice. It ends in an object: a string there would be taken for an offset.
    fn unnumbered(self, name: &str, data: &impl Serialize) -> Arc<Encoded> {
        self.event(name).arg(data).class(Class::Volatile).build()
    }

    fn event(self, name: &str) -> EventBuilder {
        Encoded::event(NAMESPACE, name).compress_above(self.compress_above)
    }
}

/// Everything that was missed, as events for one socket.
pub(crate) fn missed(outgoing: Outgoing, replay: &Replay, reference: &Reference) -> Vec<Arc<Encoded>> {
    let event = |(piece, given): (Piece<'_>, &Vector)| {
        let offset = offset::write(reference, given);
        match piece {
            Piece::Lost(loss) => {
                let resync = Resync { room: &loss.room, epoch: loss.epoch, seq: loss.seq };
                outgoing.resync(&resync, offset.as_str())
            }
            Piece::Message(message) => outgoing.message(message, offset.as_str()),
        }
    };
    replay.pieces().map(event).collect()
}
