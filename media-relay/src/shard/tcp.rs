//! Peers that cannot send datagrams come by TCP (RFC 6544): a shard listens beside its socket, and what it reads from a
//! connection is given to the core as datagrams from an address of its own.
//!
//! To the core a connection is a path like others. So that it is not taken for the path of datagrams from the same address
//! and port, which may be somebody else's, its address bears a flow label that no datagram has.

mod framing;

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use slab::Slab;

use self::framing::{Incoming, frame};
use super::counters::TcpCounters;

/// Tells the address of a connection from that of datagrams.
const FLOW: u32 = 0x5_4c50;
const CONNECTIONS_MAX: usize = 2_048;
/// A network behind one address is small; a flood comes from one.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 64;
/// Two seconds of 2 Mbit/s that the network does not take. What comes beyond it is dropped as on any path that is full.
const WAITING_BYTES_MAX: usize = 512 * 1024;
/// Of one connection in one round, so that the others have their turn.
const READ_BYTES_PER_ROUND: usize = 64 * 1024;
const ACCEPTED_PER_ROUND: usize = 32;
/// Whoever has not shown by then that it belongs to a session goes. Checks of a session follow each other within a second.
const STRANGER_FOR: Duration = Duration::from_secs(5);

pub(super) struct Tcp {
    listener: TcpListener,
    local: SocketAddr,
    registry: Registry,
    connections: Slab<Connection>,
    by_address: HashMap<SocketAddr, usize>,
    /// Those that may have something to read.
    readable: VecDeque<usize>,
    /// Those with something to write.
    dirty: Vec<usize>,
    is_acceptable: bool,
    scratch: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    since: Instant,
    incoming: Incoming,
    waiting: Vec<u8>,
    /// Of what waits, so much was written.
    written: usize,
    is_readable: bool,
    is_dirty: bool,
}

impl Tcp {
    /// `first_token` and those behind it are its own.
    pub(super) fn new(
        mut listener: TcpListener,
        registry: &Registry,
        listener_token: Token,
    ) -> io::Result<Self> {
        let registry = registry.try_clone()?;
        registry.register(&mut listener, listener_token, Interest::READABLE)?;
        let local = listener.local_addr()?;
        Ok(Self {
            listener,
            local,
            registry,
            connections: Slab::new(),
            by_address: HashMap::new(),
            readable: VecDeque::new(),
            dirty: Vec::new(),
            is_acceptable: true,
            scratch: vec![0; READ_BYTES_PER_ROUND],
        })
    }

    /// Whether the address is that of a connection, of one that is here or has been.
    pub(super) fn is_path(address: SocketAddr) -> bool {
        matches!(address, SocketAddr::V6(address) if address.flowinfo() == FLOW)
    }

    /// The listener has somebody.
    pub(super) fn came(&mut self) {
        self.is_acceptable = true;
    }

    /// A connection has something to read, or room to write.
    pub(super) fn is_ready(&mut self, key: usize) {
        self.note_readable(key);
        self.note_dirty(key);
    }

    /// Whether there is more than was read.
    pub(super) fn has_more(&self) -> bool {
        self.is_acceptable || !self.readable.is_empty()
    }

    /// Lets those in who wait, up to the limits.
    pub(super) fn accept(&mut self, now: Instant, token: impl Fn(usize) -> Token, counters: &TcpCounters) {
        if !self.is_acceptable {
            return;
        }
        for _ in 0..ACCEPTED_PER_ROUND {
            match self.listener.accept() {
                Ok((stream, from)) => self.enter(now, stream, from, &token, counters),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_acceptable = false;
                    break;
                }
                // Of that one connection, or there are no descriptors: those who wait are looked at in the next round.
                Err(_) => {
                    counters.refused.add(1);
                    break;
                }
            }
        }
        counters.now.set(self.connections.len() as u64);
    }

    fn enter(
        &mut self,
        now: Instant,
        mut stream: TcpStream,
        from: SocketAddr,
        token: &impl Fn(usize) -> Token,
        counters: &TcpCounters,
    ) {
        let ip = from.ip().to_canonical();
        let same =
            || self.connections.iter().filter(|(_, one)| one.address.ip().to_canonical() == ip).count();
        if self.connections.len() >= CONNECTIONS_MAX || same() >= CONNECTIONS_PER_ADDRESS_MAX {
            return counters.refused.add(1);
        }
        let place = self.connections.vacant_entry();
        let key = place.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        // A packet that waits for another is late.
        if stream.set_nodelay(true).is_err()
            || self.registry.register(&mut stream, token(key), interest).is_err()
        {
            return counters.refused.add(1);
        }
        let address = path_address(from);
        place.insert(Connection {
            stream,
            address,
            since: now,
            incoming: Incoming::default(),
            waiting: Vec::new(),
            written: 0,
            is_readable: false,
            is_dirty: false,
        });
        self.by_address.insert(address, key);
        counters.accepted.add(1);
        self.note_readable(key);
    }

    /// Reads what has come, and gives each datagram with where it is from and where it came to.
    pub(super) fn read(
        &mut self,
        counters: &TcpCounters,
        mut take: impl FnMut(SocketAddr, SocketAddr, &mut [u8]),
    ) {
        // One by one, so that the others keep their turn if this panics.
        for _ in 0..self.readable.len() {
            let Some(key) = self.readable.pop_front() else { break };
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.is_readable = false;
            match connection.stream.read(&mut self.scratch[..]) {
                Ok(0) => self.close(key, counters),
                Ok(bytes) => {
                    connection.incoming.add(&self.scratch[..bytes]);
                    counters.bytes_in.add(bytes as u64);
                    let (local, from) = (self.local, connection.address);
                    let is_over = loop {
                        match connection.incoming.next() {
                            Ok(Some(datagram)) => take(local, from, datagram),
                            Ok(None) => break false,
                            Err(_) => break true,
                        }
                    };
                    if is_over {
                        counters.malformed.add(1);
                        self.close(key, counters);
                    } else {
                        // The kernel says once that there is something, and this may not have been all.
                        self.note_readable(key);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.note_readable(key),
                Err(_) => self.close(key, counters),
            }
        }
        counters.now.set(self.connections.len() as u64);
    }

    /// Room for a datagram, until [`Self::commit`].
    pub(super) fn slot(&mut self, bytes_max: usize) -> &mut [u8] {
        &mut self.scratch[..bytes_max]
    }

    /// Sends what was written into the slot, as far as there is room for it.
    pub(super) fn commit(&mut self, to: SocketAddr, bytes: usize, counters: &TcpCounters) {
        let found = self.by_address.get(&to).and_then(|key| Some((*key, self.connections.get_mut(*key)?)));
        // Of one that has gone, the core finds out by itself.
        let Some((key, connection)) = found else { return counters.dropped.add(1) };
        if connection.waiting.len() - connection.written + bytes > WAITING_BYTES_MAX {
            return counters.dropped.add(1);
        }
        frame(&mut connection.waiting, &self.scratch[..bytes]);
        counters.datagrams_out.add(1);
        self.note_dirty(key);
    }

    /// Gives the kernel what waits.
    pub(super) fn flush(&mut self, counters: &TcpCounters) {
        for key in std::mem::take(&mut self.dirty) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.is_dirty = false;
            let is_over = loop {
                let rest = &connection.waiting[connection.written..];
                if rest.is_empty() {
                    connection.waiting.clear();
                    connection.written = 0;
                    break false;
                }
                match connection.stream.write(rest) {
                    Ok(0) => break true,
                    Ok(bytes) => {
                        connection.written += bytes;
                        counters.bytes_out.add(bytes as u64);
                    }
                    // It is told when there is room again.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        connection.waiting.drain(..connection.written);
                        connection.written = 0;
                        break false;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break true,
                }
            };
            if is_over {
                self.close(key, counters);
            }
        }
    }

    /// Closes those that belong to no session: they have had their time to show it, or their session is over.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        counters: &TcpCounters,
        mut is_known: impl FnMut(SocketAddr) -> bool,
    ) {
        let is_stranger = |(key, one): (usize, &Connection)| {
            let is_old = now.saturating_duration_since(one.since) > STRANGER_FOR;
            (is_old && !is_known(one.address)).then_some(key)
        };
        let strangers: Vec<usize> = self.connections.iter().filter_map(is_stranger).collect();
        for key in strangers {
            self.close(key, counters);
        }
        counters.now.set(self.connections.len() as u64);
    }

    /// Closes the connection of that path.
    pub(super) fn drop_path(&mut self, address: SocketAddr, counters: &TcpCounters) {
        if let Some(key) = self.by_address.get(&address).copied() {
            self.close(key, counters);
        }
    }

    fn close(&mut self, key: usize, counters: &TcpCounters) {
        let Some(mut connection) = self.connections.try_remove(key) else { return };
        self.by_address.remove(&connection.address);
        // Closing takes it out of the poll as well.
        let _ = self.registry.deregister(&mut connection.stream);
        counters.closed.add(1);
    }

    fn note_readable(&mut self, key: usize) {
        if let Some(connection) = self.connections.get_mut(key)
            && !std::mem::replace(&mut connection.is_readable, true)
        {
            self.readable.push_back(key);
        }
    }

    fn note_dirty(&mut self, key: usize) {
        if let Some(connection) = self.connections.get_mut(key)
            && connection.written < connection.waiting.len()
            && !std::mem::replace(&mut connection.is_dirty, true)
        {
            self.dirty.push(key);
        }
    }
}

/// Under which the core knows a connection.
fn path_address(from: SocketAddr) -> SocketAddr {
    let ip = match from.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    SocketAddrV6::new(ip, from.port(), FLOW, 0).into()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream as Client;

    use mio::{Events, Poll};

    use super::*;

    const LISTENER: Token = Token(0);

    struct World {
        poll: Poll,
        events: Events,
        tcp: Tcp,
        counters: TcpCounters,
        got: Vec<(SocketAddr, Vec<u8>)>,
    }

    impl World {
        fn new() -> Self {
            let poll = Poll::new().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let tcp = Tcp::new(listener, poll.registry(), LISTENER).unwrap();
            let counters = TcpCounters::default();
            Self { poll, events: Events::with_capacity(64), tcp, counters, got: Vec::new() }
        }

        fn round(&mut self) {
            self.poll.poll(&mut self.events, Some(Duration::from_millis(10))).unwrap();
            for event in &self.events {
                match event.token() {
                    LISTENER => self.tcp.came(),
                    Token(other) => self.tcp.is_ready(other - 1),
                }
            }
            self.tcp.accept(Instant::now(), |key| Token(key + 1), &self.counters);
            let got = &mut self.got;
            self.tcp.read(&self.counters, |_, from, bytes| got.push((from, bytes.to_vec())));
            self.tcp.flush(&self.counters);
        }

        fn until(&mut self, what: impl Fn(&Self) -> bool) {
            let begun = Instant::now();
            while !what(self) {
                assert!(begun.elapsed() < Duration::from_secs(20), "it never came to that");
                self.round();
            }
        }

        fn client(&self) -> Client {
            Client::connect(self.tcp.local).unwrap()
        }
    }

    fn framed(bytes: &[u8]) -> Vec<u8> {
        let mut framed = Vec::new();
        frame(&mut framed, bytes);
        framed
    }

    #[test]
    fn what_comes_is_a_datagram_and_what_goes_back_is_one() {
        let mut world = World::new();
        let mut client = world.client();
        client.write_all(&[framed(b"one"), framed(b"two")].concat()).unwrap();
        world.until(|world| world.got.len() == 2);
        assert_eq!(world.got[0].1, b"one");
        let from = world.got[1].0;
        assert!(Tcp::is_path(from));
        assert_eq!(from.ip().to_canonical(), client.local_addr().unwrap().ip());
        assert!(!Tcp::is_path(client.local_addr().unwrap()), "datagrams from there are somebody else's");
        world.tcp.slot(3).copy_from_slice(b"yes");
        world.tcp.commit(from, 3, &world.counters);
        world.round();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"\0\x03yes");
    }

    #[test]
    fn who_does_not_read_loses_packets_and_costs_no_more_than_the_limit() {
        let mut world = World::new();
        let mut client = world.client();
        client.write_all(&framed(b"hello")).unwrap();
        world.until(|world| world.got.len() == 1);
        let from = world.got[0].0;
        for _ in 0..20_000 {
            world.tcp.slot(1_200).fill(7);
            world.tcp.commit(from, 1_200, &world.counters);
            world.tcp.flush(&world.counters);
        }
        assert!(world.counters.dropped.get() > 1_000);
        assert!(world.tcp.connections[0].waiting.capacity() <= 3 * WAITING_BYTES_MAX);
        // What was sent is whole frames, also after the break.
        let (sent, mut read) = (world.counters.datagrams_out.get() as usize, Vec::new());
        client.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 1 << 16];
        let begun = Instant::now();
        while read.len() < sent * 1_202 {
            assert!(begun.elapsed() < Duration::from_secs(20));
            world.round();
            while let Ok(bytes) = client.read(&mut buffer) {
                read.extend_from_slice(&buffer[..bytes]);
            }
        }
        assert!(read.chunks(1_202).all(|frame| frame[..2] == 1_200_u16.to_be_bytes() && frame[2] == 7));
    }

    #[test]
    fn garbage_and_strangers_are_closed_and_sessions_are_not() {
        let mut world = World::new();
        let (mut garbage, mut stranger, mut peer) = (world.client(), world.client(), world.client());
        garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        stranger.write_all(&framed(b"stranger")).unwrap();
        peer.write_all(&framed(b"peer")).unwrap();
        world.until(|world| world.got.len() == 2 && world.counters.malformed.get() == 1);
        let known = world.got.iter().find(|(_, bytes)| bytes == b"peer").unwrap().0;
        world.tcp.expire(Instant::now(), &world.counters, |_| false);
        assert_eq!(world.tcp.connections.len(), 2, "too soon to tell");
        let later = Instant::now() + 2 * STRANGER_FOR;
        world.tcp.expire(later, &world.counters, |address| address == known);
        assert_eq!(world.tcp.connections.len(), 1);
        assert_eq!(stranger.read(&mut [0; 8]).unwrap_or(0), 0);
        drop(peer);
        world.until(|world| world.tcp.connections.is_empty());
        assert!(world.tcp.by_address.is_empty());
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let mut world = World::new();
        let clients: Vec<Client> = (0..CONNECTIONS_PER_ADDRESS_MAX + 8).map(|_| world.client()).collect();
        world.until(|world| world.counters.refused.get() == 8);
        assert_eq!(world.tcp.connections.len(), CONNECTIONS_PER_ADDRESS_MAX);
        drop(clients);
    }
}
