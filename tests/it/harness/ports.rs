//! Ports for programs that must be told theirs before they are there.

use std::net::{TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};

const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// So many must be beside those that the kernel gives away.
const APART_MIN: u16 = 1_000;

/// So many that are free, and stay so until they are used: the kernel gives none of them to whoever asks it for any, as to each
/// connection that goes out.
pub fn own<const COUNT: usize>() -> [u16; COUNT] {
    static DRAWN: AtomicU32 = AtomicU32::new(0);
    let apart = apart();
    let count = u32::from(apart.end() - apart.start()) + 1;
    // Tests run in processes of their own, at the same time.
    let first = std::process::id().wrapping_mul(97);
    let mut free = (0..count)
        .map(|_| apart.start() + (first.wrapping_add(DRAWN.fetch_add(1, Ordering::Relaxed)) % count) as u16)
        .filter(|port| {
            let address = ("127.0.0.1", *port);
            TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
        });
    std::array::from_fn(|_| free.next().expect("one of them is free"))
}

fn apart() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string(RANGE).unwrap_or_default();
    let mut ends = text.split_whitespace().filter_map(|end| end.parse::<u16>().ok());
    match (ends.next(), ends.next()) {
        (Some(_), Some(last)) if u16::MAX - last > APART_MIN => last + 1..=u16::MAX,
        (Some(first), Some(_)) if first > 2 * APART_MIN => first - APART_MIN..=first - 1,
        _ => u16::MAX - APART_MIN..=u16::MAX,
    }
}
