//! One raw client: its socket, how far its entering has come, and the account of what it was sent.
//! Knows frames; what a packet means to a run is the fleet's and the job's business.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
};

use flate2::{Decompress, FlushDecompress};
use mio::net::TcpStream;

use super::command::Account;
use crate::frames::{self, Inbox};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Connecting,
    Upgrading,
    Opening,
    Entering,
    Joining,
    Ready,
    /// A close frame was sent; the end of the stream is what should come.
    Leaving,
}

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) stage: Stage,
    pub(crate) inbox: Inbox,
    /// The unfinished response to the upgrade.
    pub(crate) response: Vec<u8>,
    outbox: Vec<u8>,
    pub(crate) user: u32,
    pub(crate) room: u32,
    acks: u64,
    pub(crate) received: Account,
    /// A hash over the numbers as they came, to compare the order with that of others.
    pub(crate) order: u64,
    /// What the server must be shown to take this session up again, once it is known.
    pub(crate) ticket: Option<Box<Ticket>>,
    pub(crate) deflate: bool,
    /// Got messages whose numbers it could not see; only their count can be held against what was sent.
    pub(crate) opaque: bool,
    /// Inflates everything this connection gets: while it enters, and after that if it belongs to the sample, or if the
    /// server keeps its context from message to message so that none can be left out.
    pub(crate) inflater: Option<Box<Inflater>>,
}

impl Connection {
    /// Starts to connect. The source address is chosen so that no address runs out of ports.
    pub(crate) fn start(target: SocketAddr, source: Ipv4Addr, user: u32, room: u32) -> std::io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        // Ports of connections that ended a moment ago may be used again.
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddrV4::new(source, 0).into())?;
        match socket.connect(&target.into()) {
            Err(error) if error.raw_os_error() != Some(EINPROGRESS) => return Err(error),
            _ => {}
        }
        Ok(Self {
            stream: TcpStream::from_std(socket.into()),
            stage: Stage::Connecting,
            inbox: Inbox::default(),
            response: Vec::new(),
            outbox: Vec::new(),
            user,
            room,
            acks: 0,
            received: Account::default(),
            order: 0,
            ticket: None,
            deflate: false,
            opaque: false,
            inflater: None,
        })
    }

    pub(crate) fn next_ack(&mut self) -> u64 {
        self.acks += 1;
        self.acks - 1
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buffer)
    }

    /// Writes, or keeps what the socket does not take.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if !self.outbox.is_empty() {
            self.outbox.extend_from_slice(bytes);
            return Ok(());
        }
        match self.stream.write(bytes) {
            Ok(written) if written == bytes.len() => {}
            Ok(written) => self.outbox.extend_from_slice(&bytes[written..]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                self.outbox.extend_from_slice(bytes);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> std::io::Result<()> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.outbox);
        self.write(&bytes)
    }

    pub(crate) fn close_frame(&mut self) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        frames::write_masked(&mut bytes, frames::TEXT, b"41");
        frames::write_masked(&mut bytes, frames::CLOSE, &[]);
        self.stage = Stage::Leaving;
        self.write(&bytes)
    }

    /// How much of a payload must be there before it can be judged.
    pub(crate) fn head_bytes_max(&self) -> usize {
        if self.inflater.is_some() || self.ticket.is_some() { usize::MAX } else { frames::HEAD_BYTES_MAX }
    }
}

/// The session's private id and the offset of the last event that had one, as they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ticket {
    pub(crate) pid: String,
    pub(crate) offset: String,
}

impl Ticket {
    /// Keeps the offset, which is the last argument of an event.
    pub(crate) fn keep_offset(&mut self, event: &[u8]) {
        let Some(rest) = event.strip_suffix(b"\"]") else { return };
        if let Some(open) = memchr::memrchr(b'"', rest) {
            self.offset.clear();
            self.offset.push_str(&String::from_utf8_lossy(&rest[open + 1..]));
        }
    }
}

const EINPROGRESS: i32 = 115;

/// The largest deflated message that a scenario sends is far below.
const INFLATED_BYTES_MAX: usize = 16 * 1024;

/// The receiving half of permessage-deflate for one connection, with or without context takeover.
pub(crate) struct Inflater {
    state: Decompress,
    pub(crate) keeps_context: bool,
    text: Vec<u8>,
}

impl Inflater {
    pub(crate) fn new(keeps_context: bool) -> Self {
        Self { state: Decompress::new(false), keeps_context, text: Vec::new() }
    }

    pub(crate) fn inflate(&mut self, payload: &[u8]) -> anyhow::Result<&[u8]> {
        if !self.keeps_context {
            self.state.reset(false);
        }
        self.text.clear();
        self.text.reserve(INFLATED_BYTES_MAX);
        for input in [payload, &[0, 0, 0xff, 0xff]] {
            let before = self.state.total_in();
            self.state.decompress_vec(input, &mut self.text, FlushDecompress::Sync)?;
            anyhow::ensure!(
                self.state.total_in() - before == input.len() as u64,
                "a message of more than {INFLATED_BYTES_MAX} bytes"
            );
        }
        Ok(&self.text)
    }
}
