//! What a datagram costs, by the way in which it is sent and read: CPU time of the thread that does it, on loopback,
//! with somebody else reading.
//!
//! `cargo run --release -p turnpike-udp --example costs [rounds]`
//!
//! On loopback the sender's time has the receiver's half of the kernel in it (the datagram is put into the other
//! socket within the call), and a message of segments is cut there. What compares is the rows of one run.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use turnpike_udp::{Limits, Options, Outgoing, Outlet, Received, Socket};

const RECEIVERS: usize = 200;
const BYTES: usize = 1_200;
/// Datagrams a measurement, about a second of work for the slowest way.
const DATAGRAMS: usize = 480_000;

/// CPU time of this thread so far, user and system, in microseconds.
fn cpu() -> io::Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos: Option<f64> = text.split(' ').next().and_then(|word| word.parse().ok());
    Ok(nanos.ok_or(io::ErrorKind::InvalidData)? / 1e3)
}

fn main() -> anyhow::Result<()> {
    let rounds = std::env::args().nth(1).map_or(Ok(3), |word| word.parse())?;
    for round in 0..rounds {
        println!("round {}: CPU us a datagram of {BYTES} bytes, {RECEIVERS} receivers", round + 1);
        for joins in [false, true] {
            let sink = Sink::start(joins)?;
            let name = if joins { "joined by the reader" } else { "read one by one" };
            row(&format!("send_to, {name}"), || send_to(&sink))?;
            for run in [1, 2, 3, 8, 24] {
                row(&format!("runs of {run}, {name}"), || runs(&sink, run, false))?;
            }
            row(&format!("runs of 3, in an epoll set, {name}"), || runs(&sink, 3, true))?;
            sink.stop()?;
        }
    }
    Ok(())
}

fn row(name: &str, send: impl FnOnce() -> io::Result<usize>) -> io::Result<()> {
    let before = cpu()?;
    let count = send()?;
    let micros = (cpu()? - before) / count as f64;
    println!("  {name:<55} {micros:.3}");
    Ok(())
}

fn send_to(sink: &Sink) -> io::Result<usize> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let payload = [7; BYTES];
    for index in 0..DATAGRAMS {
        socket.send_to(&payload, sink.addrs[index % RECEIVERS])?;
    }
    Ok(DATAGRAMS)
}

fn runs(sink: &Sink, run: usize, is_polled: bool) -> io::Result<usize> {
    let mut socket = Socket::bind(([127, 0, 0, 1], 0).into(), Options::default())?;
    let poll = Poll::new()?;
    if is_polled {
        poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    }
    let mut outgoing = Outgoing::new(&socket, Limits::default());
    for _ in 0..DATAGRAMS / run / RECEIVERS {
        let mut outlet = Outlet::new(&mut outgoing, &socket);
        for to in &sink.addrs {
            for _ in 0..run {
                let Some(slot) = outlet.slot(None, *to, BYTES) else {
                    return Err(io::ErrorKind::OutOfMemory.into());
                };
                slot[..BYTES].fill(7);
                outlet.commit(BYTES);
            }
        }
        let sent = outlet.flush();
        if sent.dropped.total() > 0 || sent.is_blocked {
            return Err(io::Error::other(format!("{sent:?}")));
        }
    }
    Ok(DATAGRAMS / run / RECEIVERS * run * RECEIVERS)
}

/// Reads everything, on a thread of its own.
struct Sink {
    addrs: Vec<SocketAddr>,
    ends: Arc<AtomicBool>,
    read: Arc<AtomicU64>,
    thread: thread::JoinHandle<io::Result<f64>>,
    began: Instant,
}

impl Sink {
    fn start(joins: bool) -> io::Result<Self> {
        let options =
            Options { receive_buffer_bytes: Some(1 << 20), join_received: joins, ..Options::default() };
        let (ends, read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, addrs) = mpsc::channel();
        let (should_end, count) = (ends.clone(), read.clone());
        let thread = thread::spawn(move || {
            let sockets: Vec<Socket> = (0..RECEIVERS)
                .map(|_| Socket::bind(([127, 0, 0, 1], 0).into(), options))
                .collect::<io::Result<_>>()?;
            let _ = told.send(sockets.iter().map(Socket::local_addr).collect());
            let Some(first) = sockets.first() else { return Ok(0.0) };
            let mut received = Received::new(first);
            let mut poll = Poll::new()?;
            let mut events = Events::with_capacity(RECEIVERS);
            let mut sockets = sockets;
            for (index, socket) in sockets.iter_mut().enumerate() {
                poll.registry().register(socket, Token(index), Interest::READABLE)?;
            }
            let before = cpu()?;
            while !should_end.load(Ordering::Relaxed) {
                poll.poll(&mut events, Some(Duration::from_millis(50)))?;
                for event in &events {
                    let Some(socket) = sockets.get(event.token().0) else { continue };
                    while socket.receive(&mut received)? == Received::CAPACITY {
                        while received.take_next().is_some() {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    while received.take_next().is_some() {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            Ok(cpu()? - before)
        });
        let addrs = addrs.recv().map_err(io::Error::other)?;
        Ok(Self { addrs, ends, read, thread, began: Instant::now() })
    }

    fn stop(self) -> anyhow::Result<()> {
        self.ends.store(true, Ordering::Relaxed);
        let busy = self.thread.join().map_err(|_| anyhow::anyhow!("the reader has panicked"))??;
        let read = self.read.load(Ordering::Relaxed);
        let (micros, share) = (busy / read as f64, busy / 1e6 / self.began.elapsed().as_secs_f64());
        println!("  the reader: {micros:.3} a datagram of those that it read ({read}), busy {share:.2}");
        Ok(())
    }
}
