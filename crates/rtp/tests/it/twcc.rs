//! Transport-wide feedback, against bytes from the draft's own words and against a model.

use turnpike_rtp::rtcp::{Compound, Message, RtcpError, TWCC_PACKETS_MAX, Twcc, TwccBuilder, Writer};

use crate::chance::{Chance, seeds};

/// Head of a feedback: `packets` from `base`, reference time one.
fn feedback(base: u16, packets: u16, rest: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1, 0, 0, 0, 2];
    body.extend(base.to_be_bytes());
    body.extend(packets.to_be_bytes());
    body.extend([0, 0, 1, 7]);
    body.extend(rest);
    body.resize(body.len().next_multiple_of(4), 0);
    let mut bytes = vec![0x8f, 205, 0, (body.len() / 4) as u8];
    bytes.extend(body);
    bytes
}

fn one(bytes: &[u8]) -> Twcc<'_> {
    match Compound::new(bytes).next() {
        Some(Ok(Message::Twcc(twcc))) => twcc,
        other => panic!("{other:?}"),
    }
}

fn error(bytes: &[u8]) -> RtcpError {
    Compound::new(bytes).next().expect("one message").map(|_| ()).expect_err("broken")
}

#[test]
fn the_three_kinds_of_chunk() {
    // Two lost; then one bit each: there, lost, there; then two bits each: late, lost, there.
    let bytes =
        feedback(65_534, 2 + 14 + 3, &[0x00, 0x02, 0b1010_1000, 0, 0b1110_0001, 0, 1, 2, 0xff, 0xfc, 4]);
    let twcc = one(&bytes);
    assert_eq!((twcc.base, twcc.packets, twcc.reference, twcc.number), (65_534, 19, 1, 7));
    let arrivals: Vec<_> = twcc.arrivals().filter(|(_, delta)| delta.is_some()).collect();
    assert_eq!(arrivals, [(0, Some(1)), (2, Some(2)), (14, Some(-4)), (16, Some(4))]);
    assert_eq!(twcc.arrivals().count(), 19);
}

#[test]
fn a_run_and_a_negative_reference() {
    let mut bytes = feedback(5, 3, &[0x20, 0x03, 0, 1, 255]);
    bytes[16..19].copy_from_slice(&[0xff, 0xff, 0xfe]);
    let twcc = one(&bytes);
    assert_eq!(twcc.reference, -2);
    assert_eq!(twcc.arrivals().collect::<Vec<_>>(), [(5, Some(0)), (6, Some(1)), (7, Some(255))]);
}

#[test]
fn what_says_more_than_it_holds_is_broken() {
    assert_eq!(error(&feedback(0, 1, &[])), RtcpError::Malformed(205));
    assert_eq!(error(&feedback(0, 5, &[0x20, 0x05, 1, 1])), RtcpError::Malformed(205));
    assert_eq!(error(&feedback(0, 5, &[0x20, 0x00, 0x20, 0x05])), RtcpError::Malformed(205));
    // Eight thousand lost packets in two bytes, and more packets than anybody walks through.
    assert_eq!(one(&feedback(0, TWCC_PACKETS_MAX, &[0x1f, 0xff])).arrivals().count(), 4_096);
    assert_eq!(error(&feedback(0, TWCC_PACKETS_MAX + 1, &[0x1f, 0xff])), RtcpError::TooMany);
}

#[test]
fn losses_before_the_first_arrival_are_told() {
    let mut builder = TwccBuilder::default();
    builder.begin(100, 1_000);
    builder.push(103, 1_000).unwrap();
    let bytes = finished(&mut builder);
    let twcc = one(&bytes);
    assert_eq!((twcc.base, twcc.packets), (100, 4));
    assert_eq!(twcc.arrivals().last(), Some((103, Some((1_000 % 256) as i16))));
    assert_eq!(twcc.reference, 1_000 / 256);
}

#[test]
fn what_cannot_be_told_is_refused_and_told_in_the_next() {
    let mut builder = TwccBuilder::default();
    builder.begin(0, 0);
    builder.push(0, 0).unwrap();
    // Eight seconds later, ten seconds before, behind the last, too far ahead.
    for (number, time) in [(1, 32_768), (1, -40_000), (0, 1), (TWCC_PACKETS_MAX, 1)] {
        assert!(builder.push(number, time).is_err(), "{number} {time}");
    }
    builder.push(1, 32_767).unwrap();
    assert_eq!(one(&finished(&mut builder)).packets, 2);
    assert!(builder.is_empty());
    let mut buf = [0; 100];
    let mut out = Writer::new(&mut buf);
    builder.finish(&mut out, 1, 2, 3).unwrap();
    assert!(out.is_empty());
}

/// Few arrivals with many losses between take much room for little; the fullest feedbacks are still whole.
#[test]
fn sparse_arrivals_fill_a_feedback() {
    for gap in [1, 2, 6, 7, 8, 13, 14, 15, 20, 27, 28, 29, 40] {
        let mut builder = TwccBuilder::default();
        let mut expected = Vec::new();
        builder.begin(0, 0);
        for round in 0..2_000_u16 {
            // Every third is late, so that symbols of two bits are among them.
            let time = i64::from(round) * 4 + if round % 3 == 0 { 2_000 } else { 0 };
            let number = round * gap;
            if builder.push(number, time).is_err() {
                break;
            }
            expected.push((number, time));
        }
        assert!(expected.len() >= 60, "{gap}: {}", expected.len());
        assert_eq!(times(&finished(&mut builder)), expected, "{gap}");
    }
}

fn finished(builder: &mut TwccBuilder) -> Vec<u8> {
    let mut buf = [0; 1_400];
    let mut out = Writer::new(&mut buf);
    builder.finish(&mut out, 1, 2, 3).expect("a feedback fits into a datagram");
    out.written().to_vec()
}

/// Arrivals with bursts, losses and stretches without any, told in as many feedbacks as it takes, are read as they were.
#[test]
fn whatever_arrives_is_told() {
    for seed in seeds("twcc", 40) {
        let mut chance = Chance::new(seed);
        let mut builder = TwccBuilder::default();
        let mut expected = Vec::new();
        let mut read = Vec::new();
        let mut time = chance.below(1 << 30).cast_signed();
        let mut number = chance.next() as u16;
        builder.begin(number, time);
        for _ in 0..3_000 {
            if chance.of_thousand(100) {
                number = number.wrapping_add(*[1, 1, 2, 9, 40, 900].get(chance.below(6) as usize).unwrap());
            }
            time += match chance.below(100) {
                0..60 => chance.below(20).cast_signed(),
                60..90 => chance.below(600).cast_signed(),
                90..99 => -chance.below(600).cast_signed(),
                _ => chance.below(60_000).cast_signed(),
            };
            if builder.push(number, time).is_err() {
                read.extend(times(&finished(&mut builder)));
                builder.begin(number, time);
                builder.push(number, time).expect("the first always fits");
            }
            expected.push((number, time & 0xffff_ffff));
            number = number.wrapping_add(1);
        }
        read.extend(times(&finished(&mut builder)));
        assert_eq!(read, expected, "SEED={seed}");
    }
}

fn times(bytes: &[u8]) -> Vec<(u16, i64)> {
    let twcc = one(bytes);
    let mut time = i64::from(twcc.reference) << 8;
    let arrived = twcc.arrivals().filter_map(|(number, delta)| Some((number, delta?)));
    arrived
        .map(|(number, delta)| {
            time += i64::from(delta);
            (number, time & 0xffff_ffff)
        })
        .collect()
}
