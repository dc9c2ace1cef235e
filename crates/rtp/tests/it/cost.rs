//! What a packet costs. That nothing is allocated is proven; the time is a look while working on it, not run by default:
//!
//! `cargo test --release -p turnpike-rtp --test it -- --ignored --nocapture cost`
#![allow(clippy::print_stdout, reason = "it is there to print")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use turnpike_rtp::rewriter::{Incoming, Rewriter, Seeds, Source};
use turnpike_rtp::rtcp::{Compound, TwccBuilder, Writer};
use turnpike_rtp::{Codec, Element, Fields, Packet, Picture, write_header};

use crate::packets::FIELDS;

const SEEDS: Seeds = Seeds { sequence: 65_000, timestamp: 1, picture_id: 2, tl0: 3 };

fn incoming(number: u32) -> Incoming {
    let frame = number / 8;
    Incoming {
        source: Source(1),
        sequence: number as u16,
        timestamp: frame * 3_000,
        picture: Some(Picture { id: frame as u16 & 0x7fff, bits: 15, tl0: Some((frame / 4) as u8) }),
        arrival_ms: u64::from(frame) * 33,
    }
}

/// What is done with each packet: some are left out, some lost, some late, some asked for again.
fn forwarding(rewriter: &mut Rewriter, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let packet = incoming(number);
        let answer = match (number / 8 % 4, number % 101) {
            (_, 100) => continue,
            (3, _) => rewriter.skip(&packet),
            _ => rewriter.forward(&packet).ok(),
        };
        let _ = black_box(answer);
        if number > 100 && number % 101 == 9 {
            let _ = black_box(rewriter.forward(&incoming(number - 10)));
            let _ = black_box(rewriter.origin(rewriter.newest_output().0.wrapping_sub(200)));
        }
    }
}

fn sample() -> Vec<u8> {
    let mut bytes = vec![0; 1_300];
    let elements =
        [Element { id: 3, value: b"0" }, Element { id: 4, value: &[1, 2] }, Element { id: 10, value: b"h" }];
    let len = write_header(&mut bytes, &FIELDS, &elements).expect("there is room");
    bytes[len..len + 8].copy_from_slice(&[0x90, 0xe0, 0x92, 0x34, 0x56, 0x80, 0x01, 0]);
    bytes.truncate(1_200);
    bytes
}

fn reading(bytes: &[u8]) {
    let packet = Packet::parse(black_box(bytes)).expect("it is whole");
    let found = packet.extensions().fold(0, |sum, (id, value)| sum + usize::from(id) + value.len());
    black_box((found, Codec::Vp8.frame(packet.payload(), packet.header.marker)));
}

fn writing(buf: &mut [u8], payload: &mut [u8]) {
    let fields = Fields { sequence: black_box(5), ..FIELDS };
    let elements = [Element { id: 1, value: b"0" }, Element { id: 2, value: &[1, 2] }];
    black_box(write_header(buf, &fields, &elements).expect("there is room"));
    Codec::Vp8.rewrite_picture(payload, black_box(77), 8);
}

fn feedback(builder: &mut TwccBuilder, buf: &mut [u8]) {
    builder.begin(1, 1_000);
    for number in 0..100 {
        builder.push(1 + number, 1_000 + i64::from(number) * 4).expect("it fits");
    }
    let mut out = Writer::new(buf);
    builder.finish(&mut out, 1, 2, 3).expect("there is room");
    let arrivals = Compound::new(out.written()).flatten().map(|message| match message {
        turnpike_rtp::rtcp::Message::Twcc(twcc) => {
            twcc.arrivals().filter(|(_, delta)| delta.is_some()).count()
        }
        _ => 0,
    });
    assert_eq!(arrivals.sum::<usize>(), 100);
}

#[test]
fn nothing_is_allocated_for_a_packet() {
    let mut rewriter = Rewriter::new(Codec::Vp8, &SEEDS);
    let mut bytes = sample();
    let mut buf = [0; 1_400];
    let mut builder = TwccBuilder::default();
    let info = allocation_counter::measure(|| {
        rewriter.start(&incoming(0), None).expect("the first");
        forwarding(&mut rewriter, 1..5_000);
        reading(&bytes);
        writing(&mut buf, &mut bytes[24..]);
        feedback(&mut builder, &mut buf);
    });
    assert_eq!(info.count_total, 0);
}

/// The best of some runs: the others were interrupted.
fn nanoseconds(name: &str, operations: u32, mut run: impl FnMut()) {
    let best = (0..200)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .min()
        .unwrap_or(Duration::MAX);
    println!("{name}: {:.1} ns", best.as_secs_f64() * 1e9 / f64::from(operations));
}

#[test]
#[ignore = "a time says nothing in the dev profile or on a busy machine"]
fn cost() {
    println!("a rewriter takes {} bytes", size_of::<Rewriter>());
    let mut rewriter = Rewriter::new(Codec::Vp8, &SEEDS);
    rewriter.start(&incoming(0), None).expect("the first");
    let mut at = 1;
    nanoseconds("rewriting, a quarter left out, one of a hundred lost and late", 10_000, || {
        forwarding(&mut rewriter, at..at + 10_000);
        at += 10_000;
    });
    let mut rewriter = Rewriter::new(Codec::Vp8, &SEEDS);
    rewriter.start(&incoming(0), None).expect("the first");
    let mut at = 1;
    nanoseconds("rewriting, all in order", 10_000, || {
        for number in at..at + 10_000 {
            let _ = black_box(rewriter.forward(&incoming(number)));
        }
        at += 10_000;
    });
    let mut rewriter = Rewriter::new(Codec::Vp8, &SEEDS);
    rewriter.start(&incoming(0), None).expect("the first");
    forwarding(&mut rewriter, 1..20_000);
    nanoseconds("asking for what a number was", 1_000, || {
        for back in 0..1_000 {
            let _ = black_box(rewriter.origin(rewriter.newest_output().0.wrapping_sub(back)));
        }
    });
    nanoseconds("refusing what is late and has no place", 1_000, || {
        for back in 0..1_000 {
            let _ = black_box(rewriter.skip(&incoming(19_999 - back)));
        }
    });
    let mut bytes = sample();
    nanoseconds("reading a header, three extensions and a VP8 descriptor", 1_000, || {
        for _ in 0..1_000 {
            reading(&bytes);
        }
    });
    let mut buf = [0; 1_400];
    nanoseconds("writing a header, two extensions and VP8 numbers", 1_000, || {
        for _ in 0..1_000 {
            writing(&mut buf, &mut bytes[24..]);
        }
    });
    let mut builder = TwccBuilder::default();
    nanoseconds("feedback on a packet, made and read", 100, || feedback(&mut builder, &mut buf));
}
