//! The connections of one load process and the loop that serves them: entering (upgrade, CONNECT with a token, join),
//! heartbeats, and the account of deliveries. What is sent and when is the business of a `Job`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jsonwebtoken::EncodingKey;
use mio::{Events, Interest, Poll, Token};

use super::{
    command::{Account, Command, Sent},
    connection::{Connection, Stage},
    entering,
};
use crate::{
    frames::{self, Frame},
    packets::{self, Packet},
};

pub(crate) const WAKE: Token = Token(usize::MAX);
/// One in so many connections inflates all it gets where that is a choice.
const INFLATED_SHARE: usize = 50;
const READ_BYTES: usize = 256 * 1024;
const FAILURES_TOLD_MAX: usize = 5;

/// What a job hears of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    /// Entered, and joined to its room.
    Ready,
    Message {
        number: Option<u64>,
    },
    Ack {
        id: u64,
        number: Option<u64>,
    },
    /// An answer that is not `ok`, for a job that goes on after one.
    Refused,
    /// The end that was asked for.
    Closed,
}

/// What the loop does until the job is asked again.
pub(crate) enum Turn {
    Wait(Instant),
    Block,
    /// Only look, never sleep: no wake-up of this process is then charged to the server.
    Spin,
    Over,
}

pub(crate) trait Job {
    fn seen(&mut self, fleet: &mut Fleet, index: usize, seen: Seen);
    fn turn(&mut self, fleet: &mut Fleet, now: Instant) -> Turn;

    /// A connection was not let in, and told for how long to stay away; or closed by the server before it had entered.
    fn turned_away(&mut self, fleet: &mut Fleet, index: usize, _before: Connection, _wait: Option<Duration>) {
        fleet.fail(index, "turned away, or closed before it had entered");
    }
}

pub(crate) struct Fleet {
    poll: Poll,
    pub(crate) target: SocketAddr,
    secret: EncodingKey,
    /// Of this load process: its users, numbers and source addresses differ from those of others.
    process: u8,
    started: u32,
    pub(crate) commands: Receiver<Command>,
    pub(crate) connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
    payload: Vec<u8>,
    frame: Vec<u8>,
    pub(crate) delivered: u64,
    pub(crate) heartbeats: u64,
    pub(crate) sent: Sent,
    numbers: u64,
    /// Whether sessions are to be taken up again.
    pub(crate) remembers: bool,
    /// Whether a refusal is the job's business; else it is a failure.
    pub(crate) takes_refusals: bool,
    pub(crate) failures: u64,
    pub(crate) failed: Vec<String>,
}

impl Fleet {
    /// How many connections are in each room.
    pub(crate) fn members_by_room(&self) -> Vec<u64> {
        let mut members_by_room: Vec<u64> = Vec::new();
        for connection in self.connections.iter().flatten() {
            let room = connection.room as usize;
            if members_by_room.len() <= room {
                members_by_room.resize(room + 1, 0);
            }
            members_by_room[room] += 1;
        }
        members_by_room
    }

    pub(crate) fn new(
        poll: Poll,
        target: SocketAddr,
        secret: &str,
        process: u8,
        commands: Receiver<Command>,
    ) -> Self {
        Self {
            poll,
            target,
            secret: EncodingKey::from_secret(secret.as_bytes()),
            process,
            started: 0,
            commands,
            connections: Vec::new(),
            buffer: vec![0; READ_BYTES],
            payload: Vec::new(),
            frame: Vec::new(),
            delivered: 0,
            heartbeats: 0,
            sent: Sent::new(),
            numbers: u64::from(process) * 100_000_000,
            remembers: false,
            takes_refusals: false,
            failures: 0,
            failed: Vec::new(),
        }
    }

    /// Serves the connections until the job is over.
    pub(crate) fn drive(&mut self, job: &mut impl Job) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1_024);
        loop {
            let now = Instant::now();
            let timeout = match job.turn(self, now) {
                Turn::Over => return Ok(()),
                Turn::Spin => Some(Duration::ZERO),
                Turn::Block => None,
                Turn::Wait(until) => Some(until.saturating_duration_since(now)),
            };
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for event in events.iter().filter(|event| event.token() != WAKE) {
                let index = event.token().0;
                if event.is_writable()
                    && let Err(error) = self.writable(index)
                {
                    self.fail(index, &format!("{error:#}"));
                }
                if event.is_readable()
                    && let Err(error) = self.readable(index, event.is_read_closed(), job)
                {
                    self.fail(index, &format!("{error:#}"));
                }
            }
        }
    }

    /// Starts a connection in this place.
    pub(crate) fn start(&mut self, index: usize, room: u32, deflate: bool) -> anyhow::Result<()> {
        let user = u32::from(self.process) * 10_000_000 + self.started;
        // 28,000 ports an address, and what ended a minute ago still holds its own.
        let source = Ipv4Addr::new(127, 0, 10 + self.process, 1 + (self.started % 16) as u8);
        self.started += 1;
        let mut connection = Connection::start(self.target, source, user, room).context("connect")?;
        connection.deflate = deflate;
        connection.ticket = self.remembers.then(Box::default);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut connection.stream, Token(index), interest)?;
        if self.connections.len() <= index {
            self.connections.resize_with(index + 1, || None);
        }
        self.connections[index] = Some(connection);
        Ok(())
    }

    /// A new connection in the place of another, for the same user, with what that one has got.
    pub(crate) fn restart(&mut self, index: usize, before: Connection) -> anyhow::Result<()> {
        self.start(index, before.room, false)?;
        let after = self.connections[index].as_mut().context("it was just started")?;
        (after.user, after.received, after.order) = (before.user, before.received, before.order);
        after.ticket = before.ticket;
        Ok(())
    }

    pub(crate) fn fail(&mut self, index: usize, why: &str) {
        self.failures += 1;
        let connection = self.connections.get_mut(index).and_then(Option::take);
        if self.failed.len() < FAILURES_TOLD_MAX {
            let stage = connection.map(|connection| connection.stage);
            self.failed.push(format!("connection {index} ({stage:?}): {why}"));
        }
    }

    /// Something that no single connection is to blame for.
    pub(crate) fn fault(&mut self, what: String) {
        self.failures += 1;
        self.failed.push(what);
    }

    /// Sends a body with the next number from this member to its room, with an ack. Returns the ack id and the number.
    pub(crate) fn send_message(&mut self, index: usize, body: &mut [u8]) -> (u64, u64) {
        let number = self.numbers;
        self.numbers += 1;
        packets::stamp(body, number);
        let Some(connection) = &mut self.connections[index] else { return (0, number) };
        let ack = connection.next_ack();
        let room = connection.room;
        packets::send(&mut self.payload, ack, room, body);
        self.sent.entry(room).or_default().add(number);
        self.write_payload(index);
        (ack, number)
    }

    /// The same with an id of the sender's choice, by which a server may know it again. `again` is the number of a message
    /// that was refused. Returns the number.
    pub(crate) fn send_identified(&mut self, index: usize, body: &mut [u8], again: Option<u64>) -> u64 {
        let number = again.unwrap_or(self.numbers);
        packets::stamp(body, number);
        let Some(connection) = &mut self.connections[index] else { return number };
        packets::send_identified(&mut self.payload, connection.next_ack(), connection.room, number, body);
        if again.is_none() {
            self.numbers += 1;
            self.sent.entry(connection.room).or_default().add(number);
        }
        self.write_payload(index);
        number
    }

    pub(crate) fn send_ping(&mut self, index: usize, number: u64) {
        let Some(connection) = &mut self.connections[index] else { return };
        packets::ping(&mut self.payload, connection.next_ack(), number);
        self.write_payload(index);
    }

    pub(crate) fn send_leave(&mut self, index: usize) -> u64 {
        let Some(connection) = &mut self.connections[index] else { return 0 };
        let ack = connection.next_ack();
        packets::leave(&mut self.payload, ack, connection.room);
        self.write_payload(index);
        ack
    }

    pub(crate) fn send_close(&mut self, index: usize) {
        if let Some(connection) = &mut self.connections[index]
            && let Err(error) = connection.close_frame()
        {
            self.fail(index, &format!("closing: {error}"));
        }
    }

    fn write_payload(&mut self, index: usize) {
        self.frame.clear();
        frames::write_masked(&mut self.frame, frames::TEXT, &self.payload);
        let Some(connection) = &mut self.connections[index] else { return };
        if let Err(error) = connection.write(&self.frame) {
            self.fail(index, &format!("write: {error}"));
        }
    }

    fn writable(&mut self, index: usize) -> anyhow::Result<()> {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return Ok(());
        };
        if connection.stage != Stage::Connecting {
            return Ok(connection.flush()?);
        }
        if let Some(error) = connection.stream.take_error()? {
            return Err(error).context("connect");
        }
        if connection.stream.peer_addr().is_err() {
            // An event of the connection that had this place before.
            return Ok(());
        }
        connection.stage = Stage::Upgrading;
        let request = entering::request(self.target, connection.deflate);
        Ok(connection.write(request.as_bytes())?)
    }

    fn readable(&mut self, index: usize, ends: bool, job: &mut impl Job) -> anyhow::Result<()> {
        // Out of the way while a job may touch the fleet.
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.read_all(index, ends, &mut buffer, job);
        self.buffer = buffer;
        result
    }

    fn read_all(
        &mut self,
        index: usize,
        ends: bool,
        buffer: &mut [u8],
        job: &mut impl Job,
    ) -> anyhow::Result<()> {
        loop {
            let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
                return Ok(());
            };
            let read = match connection.read(buffer) {
                Ok(0) if connection.stage == Stage::Leaving => {
                    self.connections[index] = None;
                    job.seen(self, index, Seen::Closed);
                    return Ok(());
                }
                // The stock client comes again, as after a close that says why.
                Ok(0) if matches!(connection.stage, Stage::Upgrading | Stage::Opening | Stage::Entering) => {
                    if let Some(before) = self.connections[index].take() {
                        job.turned_away(self, index, before, None);
                    }
                    return Ok(());
                }
                Ok(0) => anyhow::bail!("closed by the server"),
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error).context("read"),
            };
            let upgrade_rest;
            let input = if connection.stage == Stage::Upgrading {
                connection.response.extend_from_slice(&buffer[..read]);
                if let Some(wait) = entering::turned_away(&connection.response) {
                    if let Some(before) = self.connections[index].take() {
                        job.turned_away(self, index, before, Some(wait));
                    }
                    return Ok(());
                }
                match entering::upgraded(connection)? {
                    Some(rest) => upgrade_rest = rest,
                    None => continue,
                }
                &upgrade_rest[..]
            } else {
                &buffer[..read]
            };
            let head_bytes_max = connection.head_bytes_max();
            let mut inbox = std::mem::take(&mut connection.inbox);
            let mut outcome = Ok(());
            inbox.read(input, head_bytes_max, |frame| {
                if outcome.is_ok() {
                    outcome = self.frame(index, &frame, job);
                }
            })?;
            outcome?;
            if let Some(connection) = &mut self.connections[index] {
                connection.inbox = inbox;
            }
            if read < buffer.len() && !ends {
                // A short read: nothing is left, and what comes later raises a new event. Only the end of the stream
                // may have come with this one.
                return Ok(());
            }
        }
    }

    fn frame(&mut self, index: usize, frame: &Frame<'_>, job: &mut impl Job) -> anyhow::Result<()> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        match frame.opcode {
            frames::TEXT => {}
            frames::CLOSE if connection.stage == Stage::Leaving => return Ok(()),
            frames::CLOSE if matches!(connection.stage, Stage::Opening | Stage::Entering) => {
                if let Some(before) = self.connections[index].take() {
                    job.turned_away(self, index, before, None);
                }
                return Ok(());
            }
            frames::CLOSE => anyhow::bail!("close frame: {}", String::from_utf8_lossy(frame.head)),
            frames::PING => {
                self.frame.clear();
                frames::write_masked(&mut self.frame, frames::PONG, frame.head);
                return Ok(connection.write(&self.frame)?);
            }
            _ => anyhow::bail!("a frame of opcode {}", frame.opcode),
        }
        if connection.stage == Stage::Leaving {
            return Ok(());
        }
        let packet = if frame.compressed {
            match &mut connection.inflater {
                Some(inflater) => packets::classify(inflater.inflate(frame.head)?),
                // Only messages are long enough to be deflated.
                None => Packet::Message { number: None },
            }
        } else {
            packets::classify(frame.head)
        };
        if let (Some(ticket), Packet::Message { .. } | Packet::Other) = (&mut connection.ticket, packet) {
            ticket.keep_offset(frame.head);
        }
        match packet {
            Packet::Message { number } => {
                self.delivered += 1;
                if let Some(number) = number {
                    connection.received.add(number);
                    connection.order = connection.order.rotate_left(7).wrapping_add(number);
                } else {
                    anyhow::ensure!(frame.compressed, "a message without its number");
                    connection.received.messages += 1;
                    connection.opaque = true;
                }
                job.seen(self, index, Seen::Message { number });
            }
            Packet::Ack { id, ok, number } => {
                if !ok && self.takes_refusals && connection.stage == Stage::Ready {
                    job.seen(self, index, Seen::Refused);
                    return Ok(());
                }
                anyhow::ensure!(ok, "refused: {}", text(frame.head));
                if connection.stage == Stage::Joining {
                    connection.stage = Stage::Ready;
                    if !index.is_multiple_of(INFLATED_SHARE) {
                        connection.inflater.take_if(|inflater| !inflater.keeps_context);
                    }
                    job.seen(self, index, Seen::Ready);
                } else {
                    job.seen(self, index, Seen::Ack { id, number });
                }
            }
            Packet::Ping => {
                self.heartbeats += 1;
                self.frame.clear();
                frames::write_masked(&mut self.frame, frames::TEXT, b"3");
                connection.write(&self.frame)?;
            }
            Packet::Open if connection.stage == Stage::Opening => {
                connection.stage = Stage::Entering;
                let token = entering::token(&self.secret, connection.user)?;
                match &connection.ticket {
                    Some(ticket) if !ticket.pid.is_empty() => {
                        packets::reconnect(&mut self.payload, &token, &ticket.pid, &ticket.offset);
                    }
                    _ => packets::connect(&mut self.payload, &token),
                }
                self.write_payload(index);
            }
            Packet::Connected if connection.stage == Stage::Entering && connection.ticket.is_some() => {
                let admission: Admission = serde_json::from_slice(&frame.head[2..])?;
                let ticket = connection.ticket.as_deref_mut().context("it was just there")?;
                if ticket.pid.is_empty() {
                    ticket.pid = admission.pid;
                    connection.stage = Stage::Joining;
                    packets::join(&mut self.payload, connection.next_ack(), connection.room);
                    self.write_payload(index);
                } else {
                    // The stock client's rule: the same private id means that the session goes on.
                    anyhow::ensure!(ticket.pid == admission.pid, "a fresh session instead of its own");
                    connection.stage = Stage::Ready;
                    job.seen(self, index, Seen::Ready);
                }
            }
            Packet::Connected if connection.stage == Stage::Entering => {
                connection.stage = Stage::Joining;
                packets::join(&mut self.payload, connection.next_ack(), connection.room);
                self.write_payload(index);
            }
            Packet::Other => {}
            _ => anyhow::bail!("unexpected: {}", text(frame.head)),
        }
        Ok(())
    }
}

/// The answer to CONNECT, of a server that can take a session up again.
#[derive(serde::Deserialize)]
struct Admission {
    pid: String,
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}

/// What every member of the room must have got.
pub(crate) fn expected(sent: &Sent, room: u32) -> Account {
    sent.get(&room).copied().unwrap_or_default()
}
