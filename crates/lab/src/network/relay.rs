//! Takes connections for one node and carries them on, while the network lets them.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::owner::owner;
use super::{End, Network};

/// How often those who wait look whether they are still needed.
pub(super) const BREATH: Duration = Duration::from_millis(50);
/// How often those who read do; what comes wakes them, and so does the other direction's end.
const IDLE: Duration = Duration::from_secs(1);
/// More than any burst between two looks; when it is full the sender waits, as with TCP.
const BUFFER_BYTES: usize = 64 * 1024;

/// Takes connections as long as it lives, and those that it took end with it.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) port: u16,
    ended: Arc<AtomicBool>,
}

impl Relay {
    /// Connections to `port` lead to `target`, which is `node`'s.
    pub(crate) fn start(port: u16, target: u16, node: End, network: Network) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("port {port} was taken meanwhile"))?;
        let ended = Arc::new(AtomicBool::new(false));
        let link = Link { target, node, network, ended: Arc::clone(&ended) };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if link.ended.load(Ordering::Relaxed) {
                    return;
                }
                let link = link.clone();
                thread::spawn(move || link.carry(&stream));
            }
        });
        Ok(Self { port, ended })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Whoever accepts is woken by a connection only.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

#[derive(Clone)]
struct Link {
    target: u16,
    node: End,
    network: Network,
    ended: Arc<AtomicBool>,
}

impl Link {
    /// One connection to its end. Whatever goes wrong ends it, and both sides notice.
    fn carry(&self, client: &TcpStream) {
        let (Ok(SocketAddr::V4(peer)), Ok(SocketAddr::V4(local))) = (client.peer_addr(), client.local_addr())
        else {
            return;
        };
        let Some(from) = self.source(peer, local) else { return };
        // A link that is cut takes no new connection through; to its maker it looks as if nobody answered.
        let over = AtomicBool::new(false);
        self.network.wait_open(from, self.node, || self.is_over(&over));
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.target)) else { return };
        for stream in [client, &server] {
            let _ = stream.set_nodelay(true);
            let _ = stream.set_read_timeout(Some(IDLE));
        }
        thread::scope(|scope| {
            scope.spawn(|| self.copy(client, &server, (from, self.node), &over));
            self.copy(&server, client, (self.node, from), &over);
        });
    }

    fn source(&self, peer: SocketAddrV4, local: SocketAddrV4) -> Option<End> {
        owner(peer, local, &self.network.redis_processes()).map(|process| self.network.end_of(process))
    }

    fn is_over(&self, over: &AtomicBool) -> bool {
        over.load(Ordering::Relaxed) || self.ended.load(Ordering::Relaxed)
    }

    /// Until either side ends. An end does not pass where nothing else does.
    fn copy(
        &self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        (sender, receiver): (End, End),
        over: &AtomicBool,
    ) {
        let mut buffer = vec![0; BUFFER_BYTES];
        while !self.is_over(over) {
            // Nothing is taken that cannot be passed on, so that the sender's buffers fill as they would.
            if self.network.is_cut(sender, receiver) {
                self.network.wait_open(sender, receiver, || self.is_over(over));
                continue;
            }
            match from.read(&mut buffer) {
                Ok(count @ 1..) => {
                    self.network.wait_open(sender, receiver, || self.is_over(over));
                    if self.is_over(over) || to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                Err(error) if is_pause(&error) => {}
                Ok(0) | Err(_) => {
                    self.network.wait_open(sender, receiver, || self.is_over(over));
                    break;
                }
            }
        }
        over.store(true, Ordering::Relaxed);
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

fn is_pause(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut | std::io::ErrorKind::Interrupted
    )
}
