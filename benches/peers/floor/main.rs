//! The floor: what the kernel alone costs for the bytes of a scenario. One thread, epoll, and no protocol: packets are
//! recognised by their first bytes, answers are pasted together from prepared pieces, nothing is checked, nobody is
//! authenticated. It does answer with the bytes that were sent, so that the driver can hold it to the same account.

#![allow(clippy::print_stdout, reason = "the address goes to stdout, as the driver expects of every server")]

mod fault;
mod peer;

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use fault::Fault;
use flate2::{Compress, Compression, FlushCompress};
use mio::{Events, Interest, Poll, Token, net::TcpListener};
use peer::{Peer, Read};
use turnpike_benches::frames;

const LISTENER: Token = Token(usize::MAX);
/// As many frames go into one write to a member, so that the saturated floor says what it says: ten frames a write.
const FRAMES_PER_WRITE_MAX: usize = 10;
/// Heartbeats that are due within this time share a wake-up.
const HEARTBEAT_TICK: Duration = Duration::from_millis(50);
const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
const PING: &[u8] = &[0x81, 0x01, b'2'];

struct Floor {
    poll: Poll,
    listener: TcpListener,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    rooms: HashMap<Box<[u8]>, u32>,
    members: Vec<Vec<u32>>,
    /// Of this turn: finished frames for a room's members, and how many.
    batches: HashMap<u32, (Vec<u8>, usize)>,
    /// Who is pinged when; everybody has the same interval, so this stays in order by itself.
    heartbeats: VecDeque<(Instant, u32, u32)>,
    heartbeat: Duration,
    deflate: Option<Compress>,
    scratch: Vec<u8>,
    generation: u32,
    fault: Option<Fault>,
    broadcasts: u64,
}

fn main() -> anyhow::Result<()> {
    let setting = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let port = setting("PORT").unwrap_or(0) as u16;
    let heartbeat = Duration::from_millis(setting("HEARTBEAT_MS").unwrap_or(25_000));
    let deflate = (setting("DEFLATE") == Some(1)).then(|| Compress::new(Compression::fast(), false));

    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    socket.listen(4_096)?;
    socket.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(socket.into());
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!(r#"{{"listening":{{"gateway":"http://{}"}}}}"#, listener.local_addr()?);

    Floor {
        poll,
        listener,
        peers: Vec::new(),
        free: Vec::new(),
        rooms: HashMap::new(),
        members: Vec::new(),
        batches: HashMap::new(),
        heartbeats: VecDeque::new(),
        heartbeat,
        deflate,
        scratch: Vec::new(),
        generation: 0,
        fault: std::env::var("BENCH_FLOOR_FAULT").ok().and_then(|name| Fault::named(&name)),
        broadcasts: 0,
    }
    .run()
}

impl Floor {
    fn run(&mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1_024);
        let mut buffer = vec![0; 64 * 1024];
        let mut last_beat = Instant::now();
        loop {
            let timeout = self
                .heartbeats
                .front()
                .map(|due| due.0.max(last_beat + HEARTBEAT_TICK).saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept()?;
                    continue;
                }
                let index = event.token().0;
                if event.is_writable()
                    && let Some(peer) = self.peers.get_mut(index).and_then(Option::as_mut)
                {
                    peer.flush();
                }
                if event.is_readable() {
                    self.readable(index, event.is_read_closed(), &mut buffer);
                }
            }
            self.broadcast();
            if last_beat.elapsed() >= HEARTBEAT_TICK {
                last_beat = Instant::now();
                self.beat(last_beat);
            }
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    stream.set_nodelay(true)?;
                    let index = self.free.pop().unwrap_or_else(|| {
                        self.peers.push(None);
                        self.peers.len() - 1
                    });
                    self.generation += 1;
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    self.poll.registry().register(&mut stream, Token(index), interest)?;
                    self.peers[index] = Some(Peer::new(stream, self.generation));
                    self.heartbeats.push_back((
                        Instant::now() + self.heartbeat,
                        index as u32,
                        self.generation,
                    ));
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn readable(&mut self, index: usize, ends: bool, buffer: &mut [u8]) {
        loop {
            let Some(peer) = self.peers[index].as_mut() else { return };
            let read = match peer.read(buffer) {
                Read::Bytes(read) => read,
                Read::Later => return,
                Read::Gone => return self.forget(index),
            };
            let full = read == buffer.len();
            let mut joined = peer.partial.take().map(|mut partial| {
                partial.extend_from_slice(&buffer[..read]);
                partial
            });
            let input = joined.as_deref_mut().map_or(&mut buffer[..read], |joined| &mut joined[..]);
            let used = self.consume(index, input);
            if used < input.len() {
                let rest = input[used..].to_vec();
                if let Some(peer) = self.peers[index].as_mut() {
                    peer.partial = Some(rest);
                }
            }
            if !full && !ends {
                return;
            }
        }
    }

    /// Handles what is complete and says how many bytes that was.
    fn consume(&mut self, index: usize, input: &mut [u8]) -> usize {
        let mut used = 0;
        while let Some(peer) = self.peers[index].as_mut()
            && used < input.len()
        {
            if !peer.upgraded {
                let Some(end) = memchr::memmem::find(&input[used..], b"\r\n\r\n") else { break };
                used += end + 4;
                self.upgrade(index);
                continue;
            }
            let Ok(Some(header)) = frames::header(&input[used..]) else { break };
            let start = used + header.header_bytes;
            let Some(payload) = input.get_mut(start..start + header.payload_bytes) else { break };
            used = start + header.payload_bytes;
            frames::mask(payload, header.key.unwrap_or_default());
            if header.opcode == frames::CLOSE {
                peer.write(&[0x88, 0x00]);
                self.forget(index);
                return used;
            }
            self.packet(index, payload);
        }
        used
    }

    fn upgrade(&mut self, index: usize) {
        let Some(peer) = self.peers[index].as_mut() else { return };
        peer.upgraded = true;
        let out = &mut self.scratch;
        out.clear();
        out.extend_from_slice(UPGRADED.as_bytes());
        if self.deflate.is_some() {
            out.extend_from_slice(DEFLATE.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        let open = br#"0{"sid":"n.0.abcdefghijklmnopqrstuv","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
        frames::write_unmasked(out, frames::TEXT, open, false);
        peer.write(out);
    }

    fn packet(&mut self, index: usize, payload: &[u8]) {
        match payload {
            [b'4', b'0', ..] => {
                self.answer(
                    index,
                    &[br#"40{"sid":"abcdefghijklmnopqrst","pid":"abcdefghijklmnopqrstuvwxyz"}"#],
                );
            }
            [b'4', b'2', event @ ..] => {
                let digits = event.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (ack, event) = event.split_at(digits);
                // The third byte of the event's name is the first that differs where it matters.
                match event.get(2..6) {
                    Some(b"ping") => {
                        let data = event.get(8..event.len() - 1).unwrap_or_default();
                        self.answer(
                            index,
                            &[b"43", ack, br#"[{"ok":true,"data":"#, data, br#","server_time":1}]"#],
                        );
                    }
                    Some(b"mess") => self.message(index, ack, event),
                    Some(b"room") => {
                        self.room(index, event);
                        self.answer(index, &[b"43", ack, br#"[{"ok":true}]"#]);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn room(&mut self, index: usize, event: &[u8]) {
        let Some(peer) = self.peers[index].as_mut() else { return };
        if event.starts_with(br#"["room:leave"#) {
            if let Some(room) = peer.room.take() {
                self.members[room as usize].retain(|member| *member != index as u32);
            }
            return;
        }
        let name = event.get(22..event.len().saturating_sub(3)).unwrap_or_default();
        let members = &mut self.members;
        let room = *self.rooms.entry(name.into()).or_insert_with(|| {
            members.push(Vec::new());
            members.len() as u32 - 1
        });
        peer.room = Some(room);
        self.members[room as usize].push(index as u32);
    }

    fn message(&mut self, index: usize, ack: &[u8], event: &[u8]) {
        self.answer(index, &[b"43", ack, br#"[{"ok":true,"id":"abcdefghijklmnopqrstuv","epoch":"abcdefgh","seq":1234567,"ts":1234567890123}]"#]);
        let Some(room) = self.peers[index].as_ref().and_then(|peer| peer.room) else { return };
        let Some(at) = memchr::memmem::find(event, b"\"body\":") else { return };
        let text = &mut self.scratch;
        text.clear();
        text.extend_from_slice(br#"42["message",{"room":"bench-1","epoch":"abcdefgh","seq":1234567,"id":"abcdefghijklmnopqrstuv","from":"user-123","ts":1234567890123,"#);
        text.extend_from_slice(&event[at..event.len() - 1]);
        text.extend_from_slice(b",\"abcdefghijklmnop\"]");
        let (batch, count) = self.batches.entry(room).or_default();
        match &mut self.deflate {
            Some(deflate) if text.len() >= 1_024 => {
                let mut packed = Vec::with_capacity(text.len() + 64);
                deflate.reset();
                if deflate.compress_vec(text, &mut packed, FlushCompress::Sync).is_ok() {
                    packed.truncate(packed.len() - 4);
                    frames::write_unmasked(batch, frames::TEXT, &packed, true);
                }
            }
            _ => frames::write_unmasked(batch, frames::TEXT, text, false),
        }
        *count += 1;
        if *count == FRAMES_PER_WRITE_MAX {
            self.broadcast();
        }
    }

    fn broadcast(&mut self) {
        for (room, (bytes, count)) in &mut self.batches {
            if *count == 0 {
                continue;
            }
            self.broadcasts += 1;
            let spoilt = self.fault.filter(|_| self.broadcasts.is_multiple_of(Fault::EVERY));
            for (place, member) in self.members[*room as usize].iter().enumerate() {
                let Some(peer) = self.peers[*member as usize].as_mut() else { continue };
                match spoilt {
                    Some(fault) if place == 0 => peer.write(&fault.applied(bytes)),
                    _ => peer.write(bytes),
                }
            }
            bytes.clear();
            // One 64 KB broadcast must not stay resident.
            bytes.shrink_to(4_096);
            *count = 0;
        }
    }

    fn answer(&mut self, index: usize, pieces: &[&[u8]]) {
        let Some(peer) = self.peers[index].as_mut() else { return };
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut frame = [0_u8; 2_048];
        let Some(space) = frame.get_mut(4..4 + len) else { return };
        let mut at = 0;
        for piece in pieces {
            space[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
        let start = if len < 126 {
            frame[2] = 0x81;
            frame[3] = len as u8;
            2
        } else {
            frame[..2].copy_from_slice(&[0x81, 126]);
            frame[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            0
        };
        peer.write(&frame[start..4 + len]);
    }

    fn beat(&mut self, now: Instant) {
        while let Some((due, index, generation)) = self.heartbeats.front().copied()
            && due <= now
        {
            self.heartbeats.pop_front();
            if let Some(peer) = self.peers[index as usize].as_mut()
                && peer.generation == generation
            {
                peer.write(PING);
                self.heartbeats.push_back((due + self.heartbeat, index, generation));
            }
        }
    }

    fn forget(&mut self, index: usize) {
        if let Some(peer) = self.peers[index].take() {
            self.free.push(index);
            if let Some(room) = peer.room {
                self.members[room as usize].retain(|member| *member != index as u32);
            }
        }
    }
}
