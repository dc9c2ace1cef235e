//! Through the kernel and back, in every form of address.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use turnpike_udp::{Limits, Options, Outgoing, Reason, Received, Socket};

/// More than any of this takes.
pub(crate) const BROKEN: Duration = Duration::from_secs(10);

pub(crate) fn bind(addr: &str) -> Socket {
    Socket::bind(addr.parse().unwrap(), Options::default()).unwrap()
}

/// What one datagram was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) from: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_truncated: bool,
}

/// Reads until so many are there.
pub(crate) fn receive(socket: &Socket, received: &mut Received, count: usize) -> Vec<Seen> {
    let end = Instant::now() + BROKEN;
    let mut seen = Vec::new();
    while seen.len() < count {
        if socket.receive(received).unwrap() == 0 {
            assert!(Instant::now() < end, "{} of {count} came", seen.len());
            std::thread::yield_now();
        }
        while let Some(datagram) = received.take_next() {
            seen.push(Seen {
                from: datagram.from,
                local: datagram.local,
                bytes: datagram.bytes.to_vec(),
                is_truncated: datagram.is_truncated,
            });
        }
    }
    seen
}

fn there_and_back(one: &Socket, two: &Socket, to: SocketAddr) {
    let mut outgoing = Outgoing::new(one, Limits::default());
    assert!(outgoing.push(to, b"there"));
    assert_eq!(outgoing.flush(one).datagrams, 1);
    let there = receive(two, &mut Received::new(two), 1).remove(0);
    assert_eq!((there.bytes.as_slice(), there.local), (b"there".as_slice(), to));
    let mut outgoing = Outgoing::new(two, Limits::default());
    outgoing.slot_from(Some(there.local.ip()), there.from, 100).unwrap()[..4].copy_from_slice(b"back");
    outgoing.commit(4);
    assert_eq!(outgoing.flush(two).datagrams, 1);
    let back = receive(one, &mut Received::new(one), 1).remove(0);
    assert_eq!((back.bytes.as_slice(), back.from), (b"back".as_slice(), to));
}

#[test]
fn v4() {
    let two = bind("127.0.0.1:0");
    there_and_back(&bind("127.0.0.1:0"), &two, two.local_addr());
}

#[test]
fn v6() {
    let two = bind("[::1]:0");
    there_and_back(&bind("[::1]:0"), &two, two.local_addr());
}

#[test]
fn a_wildcard_answers_from_the_address_that_was_asked() {
    let two = bind("0.0.0.0:0");
    for ip in [[127, 0, 0, 1], [127, 0, 0, 77]] {
        there_and_back(&bind("127.0.0.1:0"), &two, (ip, two.local_addr().port()).into());
    }
}

#[test]
fn a_wildcard_of_both_families() {
    let two = bind("[::]:0");
    let port = two.local_addr().port();
    there_and_back(&bind("[::1]:0"), &two, SocketAddr::new("::1".parse().unwrap(), port));
    // Both ends see addresses of IPv4.
    there_and_back(&bind("127.0.0.1:0"), &two, ([127, 0, 0, 77], port).into());
}

#[test]
fn v6only_leaves_v4_to_others() {
    let six =
        Socket::bind("[::]:0".parse().unwrap(), Options { v6only: true, ..Options::default() }).unwrap();
    let four: SocketAddr = ([0, 0, 0, 0], six.local_addr().port()).into();
    Socket::bind(four, Options::default()).unwrap();
}

#[test]
fn a_port_is_shared_only_on_request() {
    let options = Options { reuse_port: true, ..Options::default() };
    let one = Socket::bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
    Socket::bind(one.local_addr(), options).unwrap();
    let error = Socket::bind(one.local_addr(), Options::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn nothing_there_is_zero() {
    let socket = bind("127.0.0.1:0");
    let mut received = Received::new(&socket);
    assert_eq!(socket.receive(&mut received).unwrap(), 0);
    assert!(received.take_next().is_none());
}

#[test]
fn what_does_not_fit_is_flagged_and_counted() {
    let socket = bind("127.0.0.1:0");
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut received = Received::new(&socket);
    for len in [2_048, 2_049, 9_000, 0] {
        other.send_to(&vec![7; len], socket.local_addr()).unwrap();
    }
    let seen = receive(&socket, &mut received, 4);
    let seen: Vec<_> = seen.iter().map(|seen| (seen.bytes.len(), seen.is_truncated)).collect();
    assert_eq!(seen, [(2_048, false), (2_048, true), (2_048, true), (0, false)]);
    assert_eq!(received.truncated_total(), 2);
}

#[test]
fn the_time_is_that_of_coming_not_of_reading() {
    for addr in ["127.0.0.1:0", "[::]:0"] {
        let options = Options { note_time: true, join_received: true, ..Options::default() };
        let socket = Socket::bind(addr.parse().unwrap(), options).unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut received = Received::new(&socket);
        // The kernel begins to stamp a little after it is asked to; until then it stamps what is read.
        let end = Instant::now() + BROKEN;
        loop {
            other.send_to(b"now", ("127.0.0.1", socket.local_addr().port())).unwrap();
            let sent = SystemTime::now();
            std::thread::sleep(Duration::from_millis(5));
            assert_eq!(socket.receive(&mut received).unwrap(), 1);
            let time = received.take_next().unwrap().time.unwrap();
            if time <= sent {
                break;
            }
            assert!(Instant::now() < end, "{addr}: {:?} after it was sent", time.duration_since(sent));
        }
    }
}

#[test]
fn more_than_a_batch_comes_in_order() {
    let socket = bind("127.0.0.1:0");
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..150_u32 {
        other.send_to(&number.to_le_bytes(), socket.local_addr()).unwrap();
    }
    let mut received = Received::new(&socket);
    assert_eq!(socket.receive(&mut received).unwrap(), Received::CAPACITY);
    let mut seen = Vec::new();
    while let Some(datagram) = received.take_next() {
        seen.push(datagram.bytes.to_vec());
    }
    seen.extend(receive(&socket, &mut received, 86).into_iter().map(|seen| seen.bytes));
    assert!(seen.iter().enumerate().all(|(number, bytes)| *bytes == (number as u32).to_le_bytes()));
}

#[test]
fn a_port_at_which_nobody_listens_holds_nobody_up() {
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let socket = bind("127.0.0.1:0");
    let other = bind("127.0.0.1:0");
    let mut outgoing = Outgoing::new(&socket, Limits::default());
    // The second time the answers to the first are there.
    for _ in 0..2 {
        for number in 0..100_u8 {
            let to = if number % 2 == 0 { gone } else { other.local_addr() };
            assert!(outgoing.push(to, &[number; 10]));
        }
        let sent = outgoing.flush(&socket);
        assert_eq!((sent.datagrams, sent.dropped.total()), (100, 0));
        receive(&other, &mut Received::new(&other), 50);
        assert_eq!(socket.receive(&mut Received::new(&socket)).unwrap(), 0);
    }
}

#[test]
fn addresses_to_which_nothing_goes_are_counted() {
    let socket = bind("127.0.0.1:0");
    let other = bind("127.0.0.1:0");
    let mut outgoing = Outgoing::new(&socket, Limits::default());
    // Another family, broadcasting without permission, and a port that is none.
    let nowhere = ["[::1]:9", "255.255.255.255:9", "127.0.0.1:0"];
    for to in nowhere {
        assert!(outgoing.push(to.parse().unwrap(), b"nowhere"));
        assert!(outgoing.push(other.local_addr(), b"here"));
    }
    assert!(outgoing.push(other.local_addr(), &vec![1; 65_507]));
    assert!(!outgoing.push(other.local_addr(), &vec![1; 65_508]));
    let sent = outgoing.flush(&socket);
    assert_eq!(sent.dropped.total(), 4, "{:?}", sent.dropped);
    assert_eq!((sent.dropped[Reason::Forbidden], sent.dropped[Reason::Full]), (1, 1));
    assert_eq!(receive(&other, &mut Received::new(&other), 4).len(), 4);
}

#[test]
fn the_kernels_own_drops_can_be_asked_for() {
    let options = Options { receive_buffer_bytes: Some(4_096), ..Options::default() };
    let socket = Socket::bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
    assert_eq!(socket.memory().unwrap().receive_drops, 0);
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..100 {
        other.send_to(&[7; 1_200], socket.local_addr()).unwrap();
    }
    let memory = socket.memory().unwrap();
    assert!(memory.receive_queued_bytes > 0 && memory.receive_buffer_bytes >= 4_096, "{memory:?}");
    assert!((50..100).contains(&memory.receive_drops), "{memory:?}");
}

#[test]
fn a_source_that_is_not_ours_is_refused_alone() {
    let socket = bind("0.0.0.0:0");
    let other = bind("127.0.0.1:0");
    let mut outgoing = Outgoing::new(&socket, Limits::default());
    for from in ["192.0.2.1", "127.0.0.5"] {
        let from: IpAddr = from.parse().unwrap();
        outgoing.slot_from(Some(from), other.local_addr(), 1).unwrap()[0] = 1;
        outgoing.commit(1);
    }
    let sent = outgoing.flush(&socket);
    assert_eq!((sent.datagrams, sent.dropped.total()), (1, 1));
    let seen = receive(&other, &mut Received::new(&other), 1).remove(0);
    assert_eq!(seen.from.ip(), IpAddr::from([127, 0, 0, 5]));
}
