//! A websocket that takes a polling session over.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::connection::State;
use super::{Conn, Shard};
use crate::application::{Application, DisconnectReason};
use crate::arrival::{Noticed, Visit};
use crate::frame::{self, Incoming, Opcode, ReadError, Reader, Role};
use crate::ids::SessionSecret;
use crate::packet::{Wire, parse_engine};
use crate::session::{Act, Via};

/// Reads of a probe until it goes over. `2probe` and `5` byte by byte are fewer, and a flood is many.
const READS_MAX: usize = 64;

impl<A: Application> Shard<A> {
    /// A websocket wants to take over the session.
    pub(crate) fn attach(
        self: &Rc<Self>,
        secret: SessionSecret,
        stream: TcpStream,
        unread: Bytes,
        deflate: bool,
        visit: Arc<Visit>,
    ) {
        let Some(conn) = self.session(secret) else { return };
        let (shard, timeout) = (Rc::clone(self), self.config.upgrade_timeout);
        tokio::task::spawn_local(async move {
            let mut probe = Probe {
                reader: Reader::new(Role::Server, deflate),
                stream: Some(stream),
                visit: Some(visit),
                deflate,
                answered: false,
            };
            let done = tokio::time::timeout(timeout, probe.run(&shard, &conn, unread.to_vec())).await;
            if done.unwrap_or(false) {
                shard.counters.upgrades.add(1);
            } else {
                shard.counters.upgrades_failed.add(1);
                if probe.answered {
                    conn.state.borrow_mut().session.probe_ended();
                }
            }
        });
    }
}

/// A websocket that has not yet taken its session over.
struct Probe {
    reader: Reader,
    stream: Option<TcpStream>,
    visit: Option<Arc<Visit>>,
    deflate: bool,
    /// This is the session's probe; others that come meanwhile end without a trace.
    answered: bool,
}

/// How a probe's step went.
#[derive(PartialEq)]
enum Probed {
    More,
    Switched,
    Failed,
}

impl Probe {
    /// Gives whether the session lives on the websocket now.
    async fn run<A: Application>(
        &mut self,
        shard: &Rc<Shard<A>>,
        conn: &Rc<Conn<A>>,
        mut bytes: Vec<u8>,
    ) -> bool {
        for _ in 0..READS_MAX {
            match shard.guarded(|| self.take(shard, conn, &mut bytes)) {
                Some(Probed::Switched) => return true,
                Some(Probed::More) => {}
                Some(Probed::Failed) => return false,
                None => {
                    shard.end(conn, &DisconnectReason::internal());
                    return true;
                }
            }
            let Some(stream) = &self.stream else { return false };
            bytes.resize(1_024, 0);
            if stream.readable().await.is_err() {
                return false;
            }
            match stream.try_read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => bytes.truncate(count),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => bytes.clear(),
                Err(_) => return false,
            }
        }
        false
    }

    fn take<A: Application>(&mut self, shard: &Rc<Shard<A>>, conn: &Rc<Conn<A>>, bytes: &mut [u8]) -> Probed {
        let mut state = conn.state.borrow_mut();
        if state.ended {
            return Probed::Failed;
        }
        // A probe says `2probe` and `5`. What stands behind the `5` in the same read belongs to the session, which
        // reads on with the same reader: nothing may be handed out before the switch is complete.
        let limits = frame::Limits {
            frame_bytes_max: shard.config.payload_bytes_max,
            message_bytes_max: shard.config.payload_bytes_max,
        };
        let mut after_switch: Vec<Owned> = Vec::new();
        let mut switched = false;
        let stream = &self.stream;
        let answered = &mut self.answered;
        let result = self.reader.read(bytes, &limits, |incoming| {
            if switched {
                after_switch.push(Owned::of(&incoming));
                return Ok(());
            }
            let packet = match incoming {
                Incoming::Text(text) => parse_engine(text).map_err(|_| ())?,
                Incoming::Ping(_) | Incoming::Pong(_) => return Ok(()),
                Incoming::Binary(_) | Incoming::Close(_) => return Err(()),
            };
            match state.session.packet(Via::Probe, &packet) {
                Act::AnswerProbe => {
                    *answered = true;
                    let mut answer = Vec::new();
                    frame::write_frame(&mut answer, Opcode::Text, b"3probe", false);
                    // The first bytes on a fresh socket: its buffer takes them whole.
                    let stream = stream.as_ref().ok_or(())?;
                    if stream.try_write(&answer).ok() != Some(answer.len()) {
                        return Err(());
                    }
                    shard.release_parked(conn, &mut state);
                    Ok(())
                }
                Act::Switch => {
                    switched = true;
                    Ok(())
                }
                _ => Err(()),
            }
        });
        let broken = match result {
            Ok(()) if switched => None,
            Err(ReadError::Protocol(error)) if switched => Some(error),
            Ok(()) => return Probed::More,
            Err(_) => {
                shard.notice(state.peer.ip(), Noticed::Malformed);
                return Probed::Failed;
            }
        };
        self.switch(shard, conn, &mut state);
        for incoming in after_switch {
            if let Err(reason) = shard.incoming_owned(conn, &mut state, &incoming) {
                shard.close_for(conn, &mut state, reason, 1008);
            }
        }
        if let Some(error) = broken {
            let code = error.close_code();
            shard.close_for(conn, &mut state, DisconnectReason::ProtocolError(error.to_string()), code);
        }
        shard.flush(conn, &mut state);
        conn.wake();
        Probed::Switched
    }

    fn switch<A: Application>(&mut self, shard: &Rc<Shard<A>>, conn: &Rc<Conn<A>>, state: &mut State<A>) {
        // Whatever is queued goes out on the websocket.
        shard.end_polling(state);
        state.reader = std::mem::replace(&mut self.reader, Reader::new(Role::Server, false));
        state.form.wire = if self.deflate { Wire::WebsocketDeflate } else { Wire::Websocket };
        state.outbox.switch_to_websocket();
        *conn.stream.borrow_mut() = self.stream.take();
        state.visit = self.visit.take();
        shard.counters.websockets_now.add(1);
    }
}

/// A message that outlives the buffer it was read from.
enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close,
}

impl Owned {
    fn of(incoming: &Incoming<'_>) -> Self {
        match incoming {
            Incoming::Text(text) => Self::Text((*text).to_owned()),
            Incoming::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Incoming::Ping(payload) => Self::Ping(payload.to_vec()),
            Incoming::Pong(_) => Self::Pong,
            Incoming::Close(_) => Self::Close,
        }
    }
}

impl<A: Application> Shard<A> {
    fn incoming_owned(
        self: &Rc<Self>,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        incoming: &Owned,
    ) -> Result<(), DisconnectReason> {
        let incoming = match incoming {
            Owned::Text(text) => Incoming::Text(text),
            Owned::Binary(bytes) => Incoming::Binary(bytes),
            Owned::Ping(payload) => Incoming::Ping(payload),
            Owned::Pong => Incoming::Pong(b""),
            Owned::Close => Incoming::Close(None),
        };
        self.incoming(conn, state, &incoming)
    }
}
