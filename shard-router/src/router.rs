//! A router as its process sees it: bound, serving, draining, gone.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use turnpike_cluster::{Directory, Node};
use turnpike_guard::address::Proxies;

use crate::admission::{Admission, Handshakes};
use crate::choice::Strategy;
use crate::front::{Front, Shared};
use crate::lines::Lines;
use crate::lookup::Lookup;
use crate::metrics::{Meters, Readings};
use crate::roster::Roster;

/// Connections that the kernel holds for a thread that is busy.
const BACKLOG: i32 = 4_096;
const THREADS_MAX: usize = 64;
/// Of a client: what waits in the kernel for somebody who does not read, and for a node that does not.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
const RECEIVE_BUFFER_BYTES: usize = 128 * 1024;
/// As long as a heartbeat and its deadline: a client that has taken nothing for so long is gone, or does as if it were.
const UNREAD_MAX: Duration = Duration::from_secs(45);
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// How often some of those that are left are closed while the router leaves.
const WAVE: Duration = Duration::from_millis(100);

/// What may become another while a router serves.
#[derive(Debug, Clone)]
pub struct Rules {
    pub strategy: Strategy,
    /// How much nodes carry, by their names, where it is not 1.
    pub weights: HashMap<String, usize>,
    pub handshakes: Handshakes,
}

#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// Where to listen; port 0 lets the system choose.
    pub address: SocketAddr,
    pub threads: usize,
    pub rules: Rules,
    /// The proxies in front of it.
    pub proxies: Proxies,
    pub connections_max: usize,
}

/// Bound, but not serving yet.
pub struct Bound {
    listeners: Vec<TcpListener>,
    address: SocketAddr,
    config: RouterConfig,
}

/// A router that serves. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
}

impl Router {
    /// Binds all listeners, so that an address in use is found before anything is served.
    pub fn bind(config: RouterConfig) -> io::Result<Bound> {
        let threads = config.threads.clamp(1, THREADS_MAX);
        if threads > 1 && config.address.port() != 0 {
            // With SO_REUSEPORT a second process could take half of our connections unnoticed; without it, it fails.
            drop(listen(config.address, false)?);
        }
        let first = listen(config.address, threads > 1)?;
        let address = first.local_addr()?;
        let mut listeners = vec![first];
        for _ in 1..threads {
            listeners.push(listen(address, true)?);
        }
        Ok(Bound { listeners, address, config })
    }

    /// The same with a listener that somebody else has bound, and keeps open while one process follows another.
    pub fn adopt(listener: TcpListener, config: RouterConfig) -> io::Result<Bound> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        prepare(&SockRef::from(&listener))?;
        let others = 1..config.threads.clamp(1, THREADS_MAX);
        let mut listeners = others.map(|_| listener.try_clone()).collect::<io::Result<Vec<_>>>()?;
        listeners.push(listener);
        Ok(Bound { listeners, address, config })
    }

    /// Connections of clients that are open.
    pub fn connections(&self) -> usize {
        self.shared.lines.count()
    }

    /// From now on others. Sessions that are there stay where they are.
    pub fn replace_rules(&self, Rules { strategy, weights, handshakes }: Rules) {
        self.shared.roster.replace_rule(strategy, weights);
        self.shared.admission.replace(handshakes);
    }

    /// Takes nobody in any more, and closes what is left evenly over the window: clients come back through another router.
    pub async fn drain(&self, window: Duration) {
        let _ = self.stop.send(true);
        let waves = (window.as_millis() / WAVE.as_millis()).max(1) as usize;
        for left in (1..=waves).rev() {
            let count = self.shared.lines.count();
            if count == 0 {
                return;
            }
            self.shared.lines.cut_some(count.div_ceil(left));
            tokio::time::sleep(WAVE.min(window)).await;
        }
    }
}

impl Bound {
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// From within a runtime, on which nodes are looked after; requests are served by threads of their own.
    pub fn serve(
        self,
        nodes: watch::Receiver<Arc<[Node]>>,
        directory: Arc<dyn Directory>,
        registry: &Registry,
    ) -> io::Result<Router> {
        let Self { listeners, config, .. } = self;
        let Rules { strategy, weights, handshakes } = config.rules;
        let roster = Arc::new(Roster::new(nodes, strategy, weights));
        let lines = Arc::new(Lines::default());
        let meters = Meters::register(registry).map_err(io::Error::other)?;
        Readings::register(registry, Arc::clone(&roster), Arc::clone(&lines)).map_err(io::Error::other)?;
        let shared = Arc::new(Shared {
            roster: Arc::clone(&roster),
            lines,
            admission: Admission::new(handshakes),
            lookup: Lookup::new(Arc::clone(&roster), directory),
            proxies: config.proxies,
            meters,
            connections_max: config.connections_max,
        });
        let (stop, stopped) = watch::channel(false);
        for (index, listener) in listeners.into_iter().enumerate() {
            let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
            std::thread::Builder::new()
                .name(format!("router-{index}"))
                .spawn(move || run(shared, stopped, listener))?;
        }
        tokio::spawn(async move { roster.keep().await });
        tokio::spawn(cut(Arc::clone(&shared)));
        tokio::spawn(pace(Arc::clone(&shared)));
        tokio::spawn(sweep(Arc::clone(&shared)));
        Ok(Router { shared, stop })
    }
}

fn listen(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    prepare(&SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What it accepts has all this from it.
fn prepare(listener: &SockRef<'_>) -> io::Result<()> {
    listener.set_tcp_nodelay(true)?;
    listener.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    listener.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    #[cfg(target_os = "linux")]
    listener.set_tcp_user_timeout(Some(UNREAD_MAX))?;
    Ok(())
}

/// Until the process ends: what is under way when the router leaves goes on.
fn run(shared: Arc<Shared>, stopped: watch::Receiver<bool>, listener: TcpListener) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("the kernel gives an epoll descriptor");
    runtime.block_on(async {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => Rc::new(Front::new(shared, stopped)).accept(listener).await,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the router cannot listen");
            }
        }
        std::future::pending::<()>().await;
    });
}

/// Those whose node is gone are closed, so that their clients begin again elsewhere.
async fn cut(shared: Arc<Shared>) {
    let mut changes = shared.roster.changes();
    while changes.changed().await.is_ok() {
        let count = shared.lines.cut(|node| shared.roster.has(node));
        if count > 0 {
            tracing::info!(count, "connections to a node that is gone are closed");
            shared.meters.cut.inc_by(count as u64);
        }
    }
}

/// As many are let in as the nodes can take.
async fn pace(shared: Arc<Shared>) {
    let mut strain = shared.roster.strain();
    while strain.changed().await.is_ok() {
        let took = *strain.borrow_and_update();
        shared.admission.heard(took);
        shared.meters.pace.set(f64::from(shared.admission.a_second()));
    }
}

async fn sweep(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        shared.admission.sweep();
    }
}
