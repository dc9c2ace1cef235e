//! Valid packets with a few bytes changed, cut or doubled: nothing panics, and whatever is still read stays in bounds.

use turnpike_rtp::codec::dependency::{Descriptor, Structure};
use turnpike_rtp::extension::{
    AbsCaptureTime, AbsSendTime, AudioLevel, PlayoutDelay, VideoOrientation, identifier,
};
use turnpike_rtp::red::Red;
use turnpike_rtp::rewriter::{Incoming, Rewriter, Seeds, Source};
use turnpike_rtp::rtcp::{Compound, FirEntry, Message, TwccBuilder, nack_entries};
use turnpike_rtp::{Codec, Element, Packet, PacketMut, header_bytes, rtx, write_header};

use crate::chance::{Chance, seeds};
use crate::dependency::keyframe;
use crate::packets::FIELDS;
use crate::rtcp::{BLOCK, INFO, compound};

const ROUNDS: usize = 100_000;
pub(crate) const CODECS: [Codec; 6] =
    [Codec::Opus, Codec::Red, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

fn corpus() -> Vec<Vec<u8>> {
    let payloads: [&[u8]; 9] = [
        &[],
        &[0xb0, 0xf0, 0x92, 0x34, 0x56, 0x80, 0x01],
        &[0xe8, 0x92, 0x34, 0x50, 0x07, 0xff],
        &[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce],
        &[0x7c, 0x85, 0x88, 1, 2, 3],
        &[0x28, 1, 0x08, 0x34, 0x48, 1],
        &[0x00, 1, 0x10, 2, 0x30, 1],
        &[0xef, 0x0f, 0x00, 2, 111, 1, 2, 3, 4],
        &[0x7b, 3, 9, 9, 9],
    ];
    let descriptor = keyframe(77);
    let elements: [&[Element<'_>]; 3] = [
        &[],
        &[
            Element { id: 1, value: b"0" },
            Element { id: 3, value: &[1, 2, 3] },
            Element { id: 4, value: &[9; 16] },
        ],
        &[
            Element { id: 1, value: b"0" },
            Element { id: 9, value: &descriptor },
            Element { id: 20, value: &[] },
        ],
    ];
    let mut corpus = Vec::new();
    for payload in payloads {
        for elements in elements {
            let mut bytes = vec![0; 400];
            let len = write_header(&mut bytes, &FIELDS, elements).expect("there is room");
            bytes.truncate(len);
            bytes.extend_from_slice(payload);
            corpus.push(bytes.clone());
            bytes[0] |= 0x22;
            bytes.splice(12..12, [0; 8]);
            bytes.extend([0, 0, 3]);
            corpus.push(bytes);
        }
    }
    corpus.push(compound(|out| out.sender_report(&INFO, &[BLOCK; 3])));
    corpus.push(compound(|out| {
        out.receiver_report(1, &[BLOCK])?;
        out.cname(1, b"somebody")?;
        out.nack(1, 2, nack_entries([1, 2, 3, 40])).map(|_| ())
    }));
    corpus.push(compound(|out| {
        out.fir(1, &[FirEntry { ssrc: 1, number: 2 }; 3])?;
        out.pli(1, 2)?;
        out.remb(1, 1_000_000, &[1, 2, 3])?;
        out.bye(&[1, 2])
    }));
    let mut builder = TwccBuilder::default();
    builder.begin(65_500, 5_000);
    for number in 0..60_u16 {
        if number % 7 != 3 {
            let time = 5_000 + i64::from(number) * 9 + i64::from(number % 5) * 200;
            builder.push(65_500_u16.wrapping_add(number), time).expect("it fits");
        }
    }
    corpus.push(compound(|out| builder.finish(out, 1, 2, 3)));
    corpus
}

fn mutated(chance: &mut Chance, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len() as u64 + 1) as usize;
        match chance.below(6) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            2 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][chance.below(5) as usize],
            3 => bytes.truncate(at),
            4 => bytes.insert(at, chance.next() as u8),
            5 => bytes.extend_from_within(at..),
            _ => {}
        }
    }
    bytes
}

/// Everything that is done with what comes from a network.
pub(crate) fn take(bytes: &[u8], structure: &mut Structure, rewriters: &mut [Rewriter]) {
    for message in Compound::new(bytes).flatten() {
        look_into(&message);
    }
    if let Ok(len) = header_bytes(bytes) {
        assert!(len <= bytes.len());
    }
    let Ok(packet) = Packet::parse(bytes) else { return };
    assert_eq!(packet.csrcs().count(), usize::from(bytes[0] & 0x0f));
    let mut picture = None;
    for (_, value) in packet.extensions() {
        assert!(value.len() <= 255);
        let _ = identifier(value);
        let _ = AudioLevel::parse(value);
        let _ = AbsSendTime::parse(value);
        let _ = AbsCaptureTime::parse(value);
        let _ = PlayoutDelay::parse(value);
        let _ = VideoOrientation::parse(value);
        if let Some(descriptor) = Descriptor::parse(value, structure) {
            picture = descriptor.frame().picture;
            let _ = structure.target(2, 2);
        }
    }
    if let Some(red) = Red::parse(packet.payload()) {
        assert!(red.map(|block| block.payload.len()).sum::<usize>() < bytes.len());
    }
    let mut copy = bytes.to_vec();
    if let Some(restored) = rtx::restore(&mut copy, &packet.header, 96, 5) {
        let restored = Packet::parse(restored).expect("what was whole is whole without its number");
        assert_eq!(Some(restored.payload()), rtx::unwrap(packet.payload()).map(|(_, rest)| rest));
    }
    let mut copy = bytes.to_vec();
    let mut view = PacketMut::parse(&mut copy).expect("it was read before");
    let _ = view.extension_mut(9).map(|value| value.fill(0));
    for (codec, rewriter) in CODECS.into_iter().zip(rewriters) {
        let frame = codec.frame(packet.payload(), packet.header.marker);
        codec.rewrite_picture(view.payload_mut(), 0x7abc, 9);
        let incoming = Incoming {
            source: Source(packet.header.ssrc & 3),
            sequence: packet.header.sequence,
            timestamp: packet.header.timestamp,
            picture: frame.and_then(|frame| frame.picture).or(picture),
            arrival_ms: packet.header.timestamp.into(),
        };
        match packet.header.payload_type & 7 {
            0 => drop(rewriter.start(&incoming, None)),
            1 => drop(rewriter.skip(&incoming)),
            _ => drop(rewriter.forward(&incoming)),
        }
        let _ = rewriter.origin(packet.header.sequence);
    }
}

pub(crate) fn look_into(message: &Message<'_>) {
    match message {
        Message::SenderReport(report) => assert!(report.blocks.clone().count() <= 31),
        Message::ReceiverReport(report) => assert!(report.blocks.clone().count() <= 31),
        Message::Sdes(sdes) => assert!(sdes.clone().count() <= 31),
        Message::Bye(bye) => assert!(bye.ssrcs().count() <= 31),
        Message::Nack(nack) => assert!(nack.sequences().count() <= 17 * 16_384),
        Message::Pli(_) => {}
        Message::Fir(fir) => assert!(fir.entries().count() <= 8_192),
        Message::Twcc(twcc) => assert_eq!(twcc.arrivals().count(), usize::from(twcc.packets)),
        Message::Remb(remb) => assert!(remb.ssrcs().count() <= 255),
    }
}

#[test]
fn a_hundred_thousand_mutations() {
    let corpus = corpus();
    let share = ROUNDS / 4;
    for seed in seeds("mutation", 4) {
        let mut chance = Chance::new(seed);
        let mut structure = Structure::default();
        let numbers = Seeds { sequence: 1, timestamp: 2, picture_id: 3, tl0: 4 };
        let mut rewriters: Vec<_> = CODECS.iter().map(|codec| Rewriter::new(*codec, &numbers)).collect();
        for bytes in &corpus {
            take(bytes, &mut structure, &mut rewriters);
        }
        for _ in 0..share {
            let at = chance.below(corpus.len() as u64) as usize;
            let bytes = mutated(&mut chance, &corpus[at]);
            take(&bytes, &mut structure, &mut rewriters);
        }
    }
}
