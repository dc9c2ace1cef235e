//! What a transport costs, for reading: `cargo test --release -p turnpike-transport --test it cost -- --ignored
//! --nocapture --test-threads 1`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use turnpike_transport::CloseReason;
use turnpike_transport::srtp::{Keys, Opener, Profile, Sealer};

use crate::network::{CLEAR, Network, USUAL, config, rtp_packet};

const PAYLOAD: usize = 1_200 - 12;
/// By the allocator of Rust, without the value itself and the keys, which the C library holds.
const KEPT_BYTES_MAX: i64 = 4_096;

#[test]
#[ignore = "a figure"]
fn sealing_and_opening() {
    const PACKETS: u32 = 500_000;
    for profile in Profile::PREFERENCE {
        let key = vec![7; profile.key_len()];
        let salt = vec![9; profile.salt_len()];
        let keys = || Keys::new(profile, &key, &salt).unwrap();
        let mut sealer = Sealer::new(&keys(), 8).unwrap();
        let mut opener = Opener::new(&keys(), 8).unwrap();
        let mut packet = rtp_packet(0, 5, PAYLOAD);
        let len = packet.len() - 20;
        let (mut sealing, mut opening) = (Duration::ZERO, Duration::ZERO);
        let mut batch = vec![packet.clone(); 100];
        for round in 0..PACKETS / 100 {
            for (at, packet) in batch.iter_mut().enumerate() {
                packet[2..4].copy_from_slice(&((round * 100 + at as u32) as u16).to_be_bytes());
            }
            let start = Instant::now();
            let mut sealed = 0;
            for packet in &mut batch {
                sealed = sealer.seal_rtp(packet, len).unwrap();
            }
            sealing += start.elapsed();
            let start = Instant::now();
            for packet in &mut batch {
                black_box(opener.open_rtp(&mut packet[..sealed]).unwrap());
            }
            opening += start.elapsed();
        }
        println!(
            "{profile:?}: seal {:?}, open {:?} a packet of 1,200 bytes",
            sealing / PACKETS,
            opening / PACKETS
        );
        let allocations = allocation_counter::measure(|| {
            packet[2..4].copy_from_slice(&[0xff, 0xff]);
            let sealed = sealer.seal_rtp(&mut packet, len).unwrap();
            black_box(opener.open_rtp(&mut packet[..sealed]).unwrap());
        });
        assert_eq!(allocations.count_total, 0);
    }
}

/// Both sides run here, so a join costs half of it: certificates of both are ECDSA, each signs once and verifies once.
#[test]
#[ignore = "a figure"]
fn a_join() {
    const JOINS: u32 = 500;
    let mut network = Network::with(1, CLEAR, &USUAL, config(USUAL.a), config(USUAL.b));
    let before = cpu();
    for seed in 0..JOINS {
        network.fresh(u64::from(seed));
        network.knock();
        network.run(Duration::from_secs(5), Network::connected);
    }
    let spent = cpu().checked_sub(before).unwrap();
    println!("a join costs {:?} of CPU a side", spent / JOINS / 2);
}

/// What the handshake needed is given back with the first packet, and not after a while: who comes next uses it again.
#[test]
fn a_connection_keeps_little() {
    const PAIRS: u64 = 16;
    let mut network = Network::with(1, CLEAR, &USUAL, config(USUAL.a), config(USUAL.b));
    let mut kept = Vec::with_capacity(3 * PAIRS as usize);
    let mut keep = |pairs: std::ops::Range<u64>, media: bool| {
        let counted = allocation_counter::measure(|| {
            for seed in pairs.clone() {
                network.fresh(seed);
                network.knock();
                network.run(Duration::from_secs(5), Network::connected);
                if media {
                    network.rtp(true, 1, 1);
                    network.rtp(false, 1, 1);
                }
                network.pass(Duration::from_millis(50));
                kept.push(network.swap());
            }
        });
        counted.bytes_current / (pairs.end - pairs.start).cast_signed() / 2
    };
    // What is made once a process is there by then.
    keep(0..PAIRS, false);
    let (before, after) = (keep(PAIRS..2 * PAIRS, false), keep(2 * PAIRS..3 * PAIRS, true));
    println!("{before} bytes a transport, and {after} once media has come");
    assert!(after < KEPT_BYTES_MAX, "{after} bytes");
    assert!(after < before, "{after} bytes, and {before} before");
}

/// Whether an alert is genuine only the library knows, which has to be woken for it.
#[test]
fn what_a_forged_alert_has_woken_goes_back_to_sleep() {
    for a_closes in [true, false] {
        let mut network = Network::new(1, CLEAR, &USUAL);
        network.connect();
        network.rtp(true, 1, 1);
        network.rtp(false, 1, 1);
        network.pass(Duration::from_secs(1));
        let mut forged = vec![21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 26];
        forged.resize(forged.len() + 26, 7);
        let mut time = |seconds: u64, forge: bool| {
            let counted = allocation_counter::measure(|| {
                if forge {
                    network.deliver(network.b.address, network.a.address, forged.clone());
                }
                network.pass(Duration::from_secs(seconds));
            });
            counted.bytes_current
        };
        // What grows once has grown by then.
        time(20, true);
        let idle = time(20, false);
        for _ in 0..3 {
            let (awake, later) = (time(5, true), time(15, false));
            println!("{idle} bytes idle, {awake} when it was woken, and {later} from then on");
            assert!(awake > 1_000, "it was not woken");
            assert!(awake + later < idle + 200, "it does not sleep");
        }
        // And again it is woken, by what is genuine.
        let now = network.now;
        let closes = if a_closes { &mut network.a } else { &mut network.b };
        closes.transport.close(now);
        network.pass(Duration::from_secs(1));
        let other = if a_closes { &network.b } else { &network.a };
        assert_eq!(other.closed(), Some(&CloseReason::CloseNotify));
    }
}

#[test]
#[ignore = "a figure"]
fn memory() {
    const PAIRS: u64 = 1_000;
    let mut network = Network::with(1, CLEAR, &USUAL, config(USUAL.a), config(USUAL.b));
    let mut kept = Vec::with_capacity(2 * PAIRS as usize);
    let counted = allocation_counter::measure(|| {
        let mut before = 0;
        for seed in 0..PAIRS + 100 {
            if seed == 100 {
                before = resident();
            }
            network.fresh(seed);
            network.knock();
            network.run(Duration::from_secs(5), Network::connected);
            network.rtp(true, 1, 1);
            network.rtp(true, 1, 2);
            network.rtp(false, 1, 3);
            network.pass(Duration::from_secs(12));
            kept.push(network.swap());
        }
        println!("{} bytes resident a transport", (resident() - before) / PAIRS / 2);
    });
    println!(
        "{} of them by the allocator of Rust; the value itself has {}",
        counted.bytes_current as u64 / (PAIRS + 100) / 2,
        size_of::<turnpike_transport::Transport>()
    );
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

/// User and system time of the process.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
