//! Starts the shards: binds a listener for each, and gives each its thread.

mod caller;
mod cors;
mod forward;
mod heard;
mod http;
mod mark;
mod open;
mod query;
mod timely;
mod tunnel;
mod upgrade;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use crate::application::Application;
use crate::command::Command;
use crate::config::{EngineConfig, SHARDS_MAX};
use crate::counters::ShardCounters;
use crate::handle::{Handle, ShardHandle, Shared, mark_shard_thread};
use crate::inbox::Inbox;
use crate::shard::Shard;
use crate::whereabouts::Whereabouts;

use forward::Forwarder;
pub use http::{KEPT_HEADERS, PeerAddress};

/// Connections that the kernel holds for a shard that is busy.
const BACKLOG: i32 = 4_096;
/// Tasks that run before the runtime looks at its sockets again. Small: a task is a connection's turn, and other
/// connections must not wait for many of those.
const TASKS_PER_LOOK: u32 = 31;

/// Bound, but not yet serving.
pub struct Bound {
    config: Arc<EngineConfig>,
    address: SocketAddr,
    listeners: Vec<TcpListener>,
    inboxes: Vec<mpsc::Receiver<Command>>,
    handle: Handle,
}

/// The running engine.
pub struct Server {
    address: SocketAddr,
    handle: Handle,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Binds all listeners, so that an address in use is found before anything is served.
    pub fn bind(address: SocketAddr, config: EngineConfig) -> io::Result<Bound> {
        let shards = config.shards.clamp(1, SHARDS_MAX);
        let config = Arc::new(EngineConfig { shards, ..config });
        if shards > 1 && address.port() != 0 {
            // With SO_REUSEPORT a second process could take half of our connections unnoticed; without it, it fails.
            drop(listen(address, &config, false)?);
        }
        let first = listen(address, &config, shards > 1)?;
        let address = first.local_addr()?;
        let mut listeners = vec![first];
        for _ in 1..shards {
            listeners.push(listen(address, &config, true)?);
        }
        Ok(Bound::over(listeners, address, config))
    }

    /// The same with a listener that somebody else has bound, and keeps open while one process follows another: nobody who
    /// comes in between is refused.
    pub fn adopt(listener: TcpListener, config: EngineConfig) -> io::Result<Bound> {
        let shards = config.shards.clamp(1, SHARDS_MAX);
        let config = Arc::new(EngineConfig { shards, ..config });
        let (address, socket) = (listener.local_addr()?, Socket::from(listener));
        set_up(&socket, &config)?;
        // One queue of the kernel for all of them: whichever shard is idle takes the next.
        let listeners = (0..shards).map(|_| socket.try_clone().map(Into::into)).collect::<io::Result<_>>()?;
        Ok(Bound::over(listeners, address, config))
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops the shards, dropping whatever is still connected, and waits for their threads.
    pub fn shutdown(self) {
        for shard in 0..self.handle.shards() {
            self.handle.send(shard, Command::Stop);
        }
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a shard's thread had panicked");
            }
        }
    }
}

impl Bound {
    fn over(listeners: Vec<TcpListener>, address: SocketAddr, config: Arc<EngineConfig>) -> Self {
        let shards = listeners.len();
        let mut inboxes = Vec::with_capacity(shards);
        let shards = (0..shards)
            .map(|_| {
                let (inbox, receiver) = Inbox::new(config.inbox_commands_max);
                inboxes.push(receiver);
                ShardHandle { inbox, counters: Arc::new(ShardCounters::default()) }
            })
            .collect::<Vec<_>>();
        let whereabouts = Whereabouts::new(shards.len());
        let handle = Handle(Arc::new(Shared { shards, whereabouts }));
        Self { config, address, listeners, inboxes, handle }
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The handle works before the shards run: what is sent to them waits.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves Socket.IO at `/socket.io/`, the raw protocol at `/ws`, and everything else by `router`.
    pub fn serve<A: Application>(self, app: &Arc<A>, router: &Router) -> io::Result<Server> {
        let mut threads = Vec::with_capacity(self.listeners.len());
        for (index, (listener, inbox)) in self.listeners.into_iter().zip(self.inboxes).enumerate() {
            let (config, app, handle) = (Arc::clone(&self.config), Arc::clone(app), self.handle.clone());
            let router = router.clone();
            let thread = std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || run_shard(index as u16, config, app, handle, listener, inbox, router))?;
            threads.push(thread);
        }
        Ok(Server { address: self.address, handle: self.handle, threads })
    }
}

fn listen(address: SocketAddr, config: &EngineConfig, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    set_up(&socket, config)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn set_up(socket: &Socket, config: &EngineConfig) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if let Some(bytes) = config.send_buffer_bytes {
        // Inherited by accepted sockets. The kernel doubles what it is told.
        socket.set_send_buffer_size(bytes / 2)?;
    }
    // Inherited as well. Whoever takes nothing of what was written to it for so long is gone for the heartbeats too; this
    // ends the answers of HTTP, which have no deadline of their own, and holds for closing sockets and zero windows.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(config.ping_interval + config.ping_timeout))?;
    Ok(())
}

fn run_shard<A: Application>(
    index: u16,
    config: Arc<EngineConfig>,
    app: Arc<A>,
    handle: Handle,
    listener: TcpListener,
    inbox: mpsc::Receiver<Command>,
    router: Router,
) {
    mark_shard_thread(index);
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .event_interval(TASKS_PER_LOOK)
        .build_local(LocalOptions::default())
        .expect("the kernel gives an epoll descriptor");
    let shard = Shard::new(index, config, app, handle);
    runtime.block_on(async {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "shard cannot listen");
                return;
            }
        };
        tokio::task::spawn_local(Rc::clone(&shard).turn_wheel());
        let forwarder = Forwarder::new(&shard.config);
        let front = Rc::new(http::Front { shard: Rc::clone(&shard), router, forwarder });
        tokio::task::spawn_local(http::accept(front, listener));
        shard.pump(inbox).await;
    });
}
