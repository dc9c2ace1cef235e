//! The vocabulary, as an application of the engine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{json, value::RawValue};
use turnpike_engine::packet::{Args, Class, Encoded, EventBuilder};
use turnpike_engine::{
    AckError, Admission, Application, Close, ConnectRequest, DisconnectReason, Event, Handle, Refusal,
    SocketRef, Step, TicketClaims, Traffic,
};

use crate::log::{Entry, Log};

pub(crate) struct Conformance {
    handle: Handle,
    /// Held while something is logged and handed to the engine, so that both have one order.
    log: Mutex<Log>,
    recovery_window: Option<Duration>,
}

/// What the application keeps with a socket.
pub(crate) struct Member {
    namespace: Arc<str>,
    auth: String,
    /// The position that a recovered socket goes on from.
    resumed_from: Option<u64>,
    events: AtomicU64,
}

/// Unix seconds at which a ticket ends; how long a socket may be away is the log's business.
const TICKET_EXPIRES: u64 = 1 << 40;

impl Conformance {
    pub(crate) fn new(handle: Handle, recovery_window: Option<Duration>) -> Self {
        Self { handle, log: Mutex::default(), recovery_window }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To one socket. Bears the position up to which the socket has been given everything, which needs the log held.
    fn emit(&self, log: &Log, to: &SocketRef, event: EventBuilder) {
        let event =
            if self.recovery_window.is_some() { event.offset(&log.head().to_string()) } else { event };
        self.sent(self.handle.emit(to, event.build()));
    }

    fn broadcast(
        &self,
        namespace: &str,
        room: &str,
        name: &'static str,
        argument: &str,
        attachments: &[Bytes],
        except: Option<&SocketRef>,
    ) {
        let mut log = self.log();
        let mut event = Encoded::event(namespace, name).raw_arg(argument).attachments(attachments.to_vec());
        // Nobody could tell later whom an event with an exception was kept from: it is not recoverable.
        if self.recovery_window.is_some() && except.is_none() {
            let position = log.append(namespace, room, name, argument, attachments);
            event = event.offset(&position.to_string());
        }
        self.sent(self.handle.broadcast(room, event.build(), except));
    }

    /// The suite must not lose events silently to a full inbox.
    #[expect(clippy::unused_self, reason = "it reads as what it is at the places of its calls")]
    fn sent(&self, result: Result<(), turnpike_engine::Overloaded>) {
        result.expect("no test fills an inbox");
    }

    fn admit(&self, request: &ConnectRequest) -> Result<Admission<Arc<Member>>, Refusal> {
        let refused =
            |message: &str, data: Option<String>| Refusal { message: message.to_owned(), data, close: None };
        let auth = request.auth.as_deref().unwrap_or("{}");
        match &*request.namespace {
            "/" => {}
            "/admin" => {
                let auth: serde_json::Value = serde_json::from_str(auth).unwrap_or_default();
                if auth["token"] != "open sesame" {
                    let data = json!({ "code": 104, "reason": "unauthorized", "retryable": false });
                    return Err(refused("unauthorized", Some(data.to_string())));
                }
            }
            _ => return Err(refused("Invalid namespace", None)),
        }
        let mut log = self.log();
        let resumed_from = request.resume.as_ref().and_then(|resume| {
            let from = resume.offset.as_ref()?.parse().ok()?;
            let window = self.recovery_window?;
            log.can_resume(&request.namespace, resume.socket_id, from, window).then_some(from)
        });
        if resumed_from.is_none() {
            log.open(&request.namespace, request.socket.id());
        }
        let socket = Arc::new(Member {
            namespace: request.namespace.clone(),
            auth: auth.to_owned(),
            resumed_from,
            events: AtomicU64::new(0),
        });
        let ticket =
            self.recovery_window.map(|_| TicketClaims { payload: Vec::new(), expires: TICKET_EXPIRES });
        Ok(Admission { socket, recovered: resumed_from.is_some(), ticket })
    }
}

impl Application for Conformance {
    type Socket = Arc<Member>;

    fn connect(&self, request: ConnectRequest) -> Step<Result<Admission<Arc<Member>>, Refusal>> {
        Step::Now(self.admit(&request))
    }

    fn connected(&self, member: &Arc<Member>, id: &SocketRef, recovered: bool) {
        let mut log = self.log();
        if let (true, Some(from)) = (recovered, member.resumed_from) {
            if let Some(session) = log.session(&member.namespace, id.id()) {
                session.lost = None;
                for room in session.rooms.keys() {
                    self.sent(self.handle.join(id, &member.namespace, room));
                }
            }
            for entry in log.missed(&member.namespace, id.id(), from) {
                self.sent(self.handle.emit(id, encoded(entry)));
            }
            return;
        }
        let auth: &RawValue = serde_json::from_str(&member.auth).expect("the engine hands out JSON");
        let welcome = json!({ "id": id.id().to_string(), "auth": auth, "recovered": recovered });
        self.emit(&log, id, Encoded::event(&member.namespace, "welcome").arg(&welcome));
    }

    fn event(&self, member: &Arc<Member>, event: Event) -> Step<()> {
        // Whatever a test sends that the vocabulary does not know is ignored, as Node's server would.
        self.handle_event(member, event).unwrap_or(Step::Now(()))
    }

    fn disconnect(&self, member: &Arc<Member>, id: &SocketRef, reason: &DisconnectReason, _: Traffic) {
        let mut log = self.log();
        match reason {
            DisconnectReason::ClientLeft
            | DisconnectReason::Server { .. }
            | DisconnectReason::ProtocolError(_) => {
                log.end(&member.namespace, id.id());
            }
            _ => {
                if let Some(session) = log.session(&member.namespace, id.id()) {
                    session.lost = Some(Instant::now());
                }
            }
        }
    }

    fn refill(&self, member: &Arc<Member>, id: &SocketRef, offset: Option<&str>) {
        let log = self.log();
        let from = offset.and_then(|offset| offset.parse().ok());
        let missed = from.map_or_else(Vec::new, |from| log.missed(&member.namespace, id.id(), from));
        self.sent(self.handle.refill(id, missed.into_iter().map(encoded).collect()));
    }
}

impl Conformance {
    /// None: the event is unknown, or its arguments are not what the vocabulary says.
    fn handle_event(&self, member: &Member, mut event: Event) -> Option<Step<()>> {
        let ack = event.ack.take();
        let (id, namespace, args) = (event.socket, &*member.namespace, &event.args);
        match (event.name(), ack) {
            ("echo", Some(ack)) => ack.send_raw(array(args), args.attachments().to_vec()),
            ("echo:back", _) => {
                let mut echoed = Encoded::event(namespace, "echoed").attachments(args.attachments().to_vec());
                for index in 0..args.len() {
                    echoed = echoed.raw_arg(args.raw(index)?);
                }
                self.emit(&self.log(), &id, echoed);
            }
            ("position", Some(ack)) => {
                let position = member.events.fetch_add(1, Ordering::Relaxed);
                ack.send_raw(format!("[{},{position}]", args.raw(0)?), Vec::new());
            }
            ("position:silent", _) => {
                member.events.fetch_add(1, Ordering::Relaxed);
            }
            ("burst", _) => {
                let (count, filler): (u64, _) = (args.get(0).ok()?, "x".repeat(args.get(1).ok()?));
                let log = self.log();
                for n in 0..count {
                    self.emit(&log, &id, Encoded::event(namespace, "tick").arg(&n).arg(&filler));
                }
            }
            ("volatile", Some(ack)) => {
                let (count, filler): (u64, _) = (args.get(0).ok()?, "x".repeat(args.get(1).ok()?));
                for n in 0..count {
                    let tick = Encoded::event(namespace, "volatile:event").arg(&n).arg(&filler);
                    self.sent(self.handle.emit(&id, tick.class(Class::Volatile).build()));
                }
                ack.send_raw("[]".to_owned(), Vec::new());
            }
            ("room:join", Some(ack)) => {
                let room: String = args.get(0).ok()?;
                let mut log = self.log();
                let head = log.head();
                if let Some(session) = log.session(namespace, id.id()) {
                    session.rooms.entry(room.clone()).or_insert(head);
                }
                self.sent(self.handle.join(&id, namespace, &room));
                ack.send_raw("[]".to_owned(), Vec::new());
            }
            ("room:leave", Some(ack)) => {
                let room: String = args.get(0).ok()?;
                if let Some(session) = self.log().session(namespace, id.id()) {
                    session.rooms.remove(&room);
                }
                self.sent(self.handle.leave(&id, &room));
                ack.send_raw("[]".to_owned(), Vec::new());
            }
            ("room:list", Some(ack)) => {
                let rooms = self.handle.rooms(&id);
                return Some(Step::later(async move {
                    let mut rooms = rooms.await;
                    rooms.sort();
                    ack.send(&rooms);
                }));
            }
            (name @ ("room:send" | "room:send:others"), Some(ack)) => {
                let (room, except): (String, _) =
                    (args.get(0).ok()?, (name == "room:send:others").then_some(&id));
                self.broadcast(namespace, &room, "room:event", args.raw(1)?, args.attachments(), except);
                ack.send_raw("[]".to_owned(), Vec::new());
            }
            ("room:feed", Some(ack)) => {
                let (room, from, count): (String, u64, u64) =
                    (args.get(0).ok()?, args.get(1).ok()?, args.get(2).ok()?);
                for n in from..from + count {
                    self.broadcast(namespace, &room, "room:item", &format!(r#"{{"n":{n}}}"#), &[], None);
                }
                ack.send_raw("[]".to_owned(), Vec::new());
            }
            ("room:ask", Some(ack)) => {
                let (room, ms): (String, u64) = (args.get(0).ok()?, args.get(1).ok()?);
                let question = Encoded::event(namespace, "question").raw_arg(args.raw(2)?);
                let answers =
                    self.handle.broadcast_with_ack(namespace, &room, &question, Duration::from_millis(ms));
                // Not `Later`: the asker may be a member itself, and its answer must not wait behind its question.
                spawn(async move {
                    let answers = answers.await.expect("no test fills an inbox");
                    let complete = answers.iter().all(|(_, answer)| answer.is_ok());
                    let texts: Vec<&str> =
                        answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()?.raw(0)).collect();
                    let answer = format!(r#"[{{"answers":[{}],"complete":{complete}}}]"#, texts.join(","));
                    ack.send_raw(answer, Vec::new());
                });
            }
            ("ask", Some(ack)) => {
                let ms: u64 = args.get(0).ok()?;
                let question = Encoded::event(namespace, "question")
                    .raw_arg(args.raw(1)?)
                    .attachments(args.attachments().to_vec());
                let answer = self.handle.emit_with_ack(&id, question, Duration::from_millis(ms));
                spawn(async move {
                    match answer.await {
                        Ok(answer) => {
                            let text = format!(r#"[{{"answer":{}}}]"#, answer.raw(0).unwrap_or("null"));
                            ack.send_raw(text, answer.attachments().to_vec());
                        }
                        Err(AckError::Timeout) => ack.send(&json!({ "timeout": true })),
                        Err(_) => {}
                    }
                });
            }
            ("leave:me", _) => {
                self.handle.close(&id, Close::new(3500, "as asked", false));
            }
            _ => return None,
        }
        Some(Step::Now(()))
    }
}

/// An entry of the log, once more.
fn encoded(entry: Entry) -> Arc<Encoded> {
    Encoded::event(&entry.namespace, entry.name)
        .raw_arg(&entry.argument)
        .attachments(entry.attachments)
        .offset(&entry.position.to_string())
        .build()
}

/// On the shard's own thread.
fn spawn(future: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(future);
}

/// The arguments as the text of a JSON array.
fn array(args: &Args) -> String {
    let texts: Vec<&str> = (0..args.len()).filter_map(|index| args.raw(index)).collect();
    format!("[{}]", texts.join(","))
}
