//! Bursts: as segments, joined, to many, and with an event loop.

use std::net::SocketAddr;

use mio::{Events, Interest, Poll, Token};
use turnpike_udp::{Limits, Options, Outgoing, Outlet, Received, Sent, Socket};

use crate::loopback::{BROKEN, bind, receive};

fn datagram(number: usize, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|index| (number * 31 + index) as u8).collect();
    bytes[..4].copy_from_slice(&(number as u32).to_le_bytes());
    bytes
}

fn segments_arrive(addr: &str, joins: bool) {
    let options = Options { join_received: joins, receive_buffer_bytes: Some(1 << 20), ..Options::default() };
    let to = Socket::bind(addr.parse().unwrap(), options).unwrap();
    let socket = bind(addr);
    let mut outgoing = Outgoing::new(&socket, Limits::default());
    let mut expected = Vec::new();
    for (number, len) in [1_200; 3].into_iter().chain([700, 1_200, 1_200, 1_201]).chain([90; 100]).enumerate()
    {
        expected.push(datagram(number, len));
        assert!(outgoing.push(to.local_addr(), &expected[number]));
    }
    let sent = outgoing.flush(&socket);
    assert_eq!((sent.datagrams, sent.syscalls, sent.dropped.total()), (107, 1, 0));
    // 1,200 x 3 + 700; 1,200 x 2; 1,201 + the first of 90; 64; 35.
    assert_eq!(sent.messages, if socket.can_segment() { 5 } else { 107 });
    let seen = receive(&to, &mut Received::new(&to), 107);
    assert!(seen.iter().all(|seen| seen.from == socket.local_addr() && seen.local == to.local_addr()));
    assert_eq!(seen.into_iter().map(|seen| seen.bytes).collect::<Vec<_>>(), expected);
}

#[test]
fn segments_arrive_as_datagrams() {
    segments_arrive("127.0.0.1:0", false);
    segments_arrive("[::1]:0", false);
}

#[test]
fn what_the_kernel_joins_is_taken_apart() {
    segments_arrive("127.0.0.1:0", true);
    segments_arrive("[::1]:0", true);
}

/// Reads what is there.
fn drain(socket: &Socket, received: &mut Received, take: &mut impl FnMut(&[u8])) {
    loop {
        let messages = socket.receive(received).unwrap();
        while let Some(datagram) = received.take_next() {
            assert!(!datagram.is_truncated);
            take(datagram.bytes);
        }
        if messages < Received::CAPACITY {
            return;
        }
    }
}

#[test]
fn ten_thousand_datagrams_to_fifty() {
    const ROUNDS: usize = 200;
    let options = Options { receive_buffer_bytes: Some(2 << 20), ..Options::default() };
    let receivers: Vec<_> = (0..50)
        .map(|_| {
            let socket = Socket::bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
            let received = Received::new(&socket);
            (socket, received, Vec::new())
        })
        .collect();
    let mut receivers = receivers;
    let addrs: Vec<SocketAddr> = receivers.iter().map(|(socket, ..)| socket.local_addr()).collect();
    let socket = bind("127.0.0.1:0");
    let mut outgoing = Outgoing::new(&socket, Limits::default());
    let mut sum = Sent::default();
    // Four datagrams a receiver at a time, as a relay writes when a burst has come; no round's end in between.
    for round in (0..ROUNDS).step_by(4) {
        let mut outlet = Outlet::new(&mut outgoing, &socket);
        for (index, to) in addrs.iter().enumerate() {
            for number in round..round + 4 {
                let bytes = datagram(number * 50 + index, 1_000);
                outlet.slot(None, *to, 1_200).unwrap()[..1_000].copy_from_slice(&bytes);
                outlet.commit(1_000);
            }
        }
        sum += outlet.flush();
        if round % 20 == 0 {
            for (socket, received, seen) in &mut receivers {
                drain(socket, received, &mut |bytes| seen.push(bytes.to_vec()));
            }
        }
    }
    assert_eq!((sum.datagrams, sum.dropped.total(), sum.is_blocked), (10_000, 0, false));
    assert!(sum.messages == 2_500 || !socket.can_segment());
    for (index, (socket, received, seen)) in receivers.iter_mut().enumerate() {
        drain(socket, received, &mut |bytes| seen.push(bytes.to_vec()));
        let expected = (0..ROUNDS).map(|number| datagram(number * 50 + index, 1_000));
        assert!(expected.eq(seen.iter().cloned()), "{} came", seen.len());
        assert_eq!(socket.memory().unwrap().receive_drops, 0);
    }
}

#[test]
fn readiness_comes_from_mio() {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    let mut socket = bind("127.0.0.1:0");
    let other = bind("127.0.0.1:0");
    poll.registry().register(&mut socket, Token(7), Interest::READABLE).unwrap();
    let mut received = Received::new(&socket);
    for round in 0..3 {
        let mut outgoing = Outgoing::new(&other, Limits::default());
        for number in 0..100 {
            assert!(outgoing.push(socket.local_addr(), &datagram(number, 100)));
        }
        outgoing.flush(&other);
        poll.poll(&mut events, Some(BROKEN)).unwrap();
        assert!(events.iter().any(|event| event.token() == Token(7) && event.is_readable()), "round {round}");
        let mut count = 0;
        drain(&socket, &mut received, &mut |_| count += 1);
        assert_eq!(count, 100);
    }
    poll.registry().deregister(&mut socket).unwrap();
}
