//! The socket: bound, non-blocking, and asked once what its kernel can do.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Type};

use crate::address::Family;
use crate::kernel;

/// How a socket is bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// What the kernel may hold for us; the system's limit (`net.core.rmem_max`) cuts it without an error, so ask
    /// [`Socket::memory`] for what was granted. `None` leaves the system's default.
    pub receive_buffer_bytes: Option<usize>,
    /// The same for datagrams on their way out (`net.core.wmem_max`).
    pub send_buffer_bytes: Option<usize>,
    /// Several sockets on one address; the kernel spreads senders over them by a hash.
    pub reuse_port: bool,
    /// An IPv6 socket that takes no IPv4. Without it a wildcard of IPv6 takes both.
    pub v6only: bool,
    /// Datagrams of one sender that arrive together are handed over in one piece (`UDP_GRO`) and taken apart by
    /// [`crate::Received`], whose slots are then 64 KB each.
    pub join_received: bool,
    /// The kernel notes when each datagram came ([`crate::Datagram::time`]), which is more exact than the time at which
    /// it is read: for whoever tells senders of delays.
    pub note_time: bool,
}

/// A bound UDP socket.
///
/// With mio it is a source like mio's own: readiness is told once, so read until fewer than
/// [`crate::Received::CAPACITY`] messages come.
#[derive(Debug)]
pub struct Socket {
    inner: UdpSocket,
    local: SocketAddr,
    can_segment: bool,
    joins: bool,
    notes_time: bool,
}

impl Socket {
    pub fn bind(addr: SocketAddr, options: Options) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if addr.is_ipv6() {
            socket.set_only_v6(options.v6only)?;
        }
        if options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if let Some(bytes) = options.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = options.send_buffer_bytes {
            socket.set_send_buffer_size(bytes)?;
        }
        // Before binding: what arrives in between would come without its address.
        if addr.ip().is_unspecified() {
            let (level, name) = match Family::of(addr) {
                Family::V4 => (libc::IPPROTO_IP, libc::IP_PKTINFO),
                Family::V6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
            };
            kernel::set_option(socket.as_fd(), level, name, 1)?;
        }
        if options.note_time {
            kernel::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        }
        // Neither is there before Linux 4.18 and 5.0; without them everything works, one datagram a message.
        let can_segment = kernel::set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok();
        let joins = options.join_received
            && kernel::set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1).is_ok();
        socket.bind(&addr.into())?;
        let inner = UdpSocket::from(socket);
        let local = inner.local_addr()?;
        Ok(Self { inner, local, can_segment, joins, notes_time: options.note_time })
    }

    /// Where it is bound, with the port that the system chose if zero was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Whether datagrams can come to, and leave from, more than one address.
    pub fn is_wildcard(&self) -> bool {
        self.local.ip().is_unspecified()
    }

    /// Whether the kernel can cut messages into datagrams (`UDP_SEGMENT`).
    pub fn can_segment(&self) -> bool {
        self.can_segment
    }

    /// Whether the kernel joins what arrives (`UDP_GRO`).
    pub fn joins_received(&self) -> bool {
        self.joins
    }

    /// What the kernel holds for this socket, and what it had to drop.
    pub fn memory(&self) -> io::Result<Memory> {
        let fields = kernel::memory(self.as_fd())?;
        let field = |name: i32| fields[name as usize];
        Ok(Memory {
            receive_queued_bytes: field(libc::SK_MEMINFO_RMEM_ALLOC),
            receive_buffer_bytes: field(libc::SK_MEMINFO_RCVBUF),
            send_queued_bytes: field(libc::SK_MEMINFO_WMEM_ALLOC),
            send_buffer_bytes: field(libc::SK_MEMINFO_SNDBUF),
            receive_drops: field(libc::SK_MEMINFO_DROPS),
        })
    }

    /// Whether the kernel says anything beside a datagram.
    pub(crate) fn has_control(&self) -> bool {
        self.is_wildcard() || self.joins || self.notes_time
    }

    pub(crate) fn family(&self) -> Family {
        Family::of(self.local)
    }
}

/// What the kernel holds for a socket. It counts its own overhead too, so that a buffer takes about half of its size
/// in payload; it also grants twice what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub receive_queued_bytes: u32,
    pub receive_buffer_bytes: u32,
    pub send_queued_bytes: u32,
    pub send_buffer_bytes: u32,
    /// Datagrams that came and were dropped before we read them, since the socket was bound: the buffer was full.
    /// Wraps around.
    pub receive_drops: u32,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl mio::event::Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.as_raw_fd()).deregister(registry)
    }
}
