//! The floor of a relay: what decrypting once, copying, encrypting for each viewer and sending cost, with real ICE and
//! DTLS. One thread, one socket; every packet goes to every viewer of its stream as it came. No retransmission, no estimate, no
//! pacing, no choice of layers, no reports, nobody is authenticated.

#![allow(clippy::print_stdout, reason = "the address goes to stdout, as the driver expects of every server")]

mod door;
mod peers;

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};
use peers::{Fault, Peers};
use turnpike_transport::{Certificate, DTLS_MTU_BYTES_DEFAULT, IceMode, TransportConfig};
use turnpike_udp::{Limits, Options, Outgoing, Outlet, Received, Socket};

const SOCKET: Token = Token(0);
const LISTENER: Token = Token(1);
/// How often all peers' clocks are looked at.
const TICK: Duration = Duration::from_millis(20);
const BUFFER_BYTES: usize = 4 << 20;

fn main() -> anyhow::Result<()> {
    let options = Options {
        receive_buffer_bytes: Some(BUFFER_BYTES),
        send_buffer_bytes: Some(BUFFER_BYTES),
        ..Options::default()
    };
    let mut socket = Socket::bind((Ipv4Addr::LOCALHOST, 0).into(), options)?;
    let certificate = Certificate::generate("floor")?;
    let config = Arc::new(TransportConfig::new(IceMode::Full, certificate, DTLS_MTU_BYTES_DEFAULT)?);
    let mut door = door::Door::open()?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut socket, SOCKET, Interest::READABLE)?;
    poll.registry().register(door.listener(), LISTENER, Interest::READABLE)?;
    println!("{{\"listening\":{{\"gateway\":\"http://{}\"}}}}", door.local_addr()?);

    let mut received = Received::new(&socket);
    let mut outgoing = Outgoing::new(&socket, Limits::default());
    let fault = std::env::var("BENCH_FLOOR_FAULT").ok().and_then(|name| Fault::named(&name));
    let mut peers = Peers::new(config, socket.local_addr(), fault);
    let mut events = Events::with_capacity(8);
    let mut tick_next = Instant::now();
    loop {
        poll.poll(&mut events, Some(TICK))?;
        let now = Instant::now();
        let mut outlet = Outlet::new(&mut outgoing, &socket);
        if events.iter().any(|event| event.token() == LISTENER) {
            door.serve(|is_publisher, stream, offer| peers.open(is_publisher, stream, offer, now))?;
        }
        loop {
            let messages = socket.receive(&mut received)?;
            while let Some(mut datagram) = received.take_next() {
                peers.take(now, &mut datagram);
            }
            if messages < Received::CAPACITY {
                break;
            }
        }
        if now >= tick_next {
            tick_next = now + TICK;
            peers.tick(now);
        }
        peers.send(&mut outlet);
        outlet.flush();
    }
}
