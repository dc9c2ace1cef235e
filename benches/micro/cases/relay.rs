//! What a relay does to each packet, and to each of its copies.

use turnpike_rtp::{
    Codec, Header,
    codec::Picture,
    rewriter::{Incoming, Rewriter, Seeds, Source},
};
use turnpike_transport::{
    demux,
    srtp::{Keys, Profile, Sealer},
};

use super::{Case, case};

const HEADER: [u8; 12] = [0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 42];
const PACKET_BYTES: usize = 1_200;
const TAG_BYTES: usize = 16;

pub(super) fn all() -> Vec<Case> {
    vec![demux(), header(), rewrite(), seal()]
}

fn packet() -> Vec<u8> {
    let mut packet = vec![0x5a; PACKET_BYTES + TAG_BYTES];
    packet[..HEADER.len()].copy_from_slice(&HEADER);
    packet
}

fn demux() -> Case {
    let packet = packet();
    case("relay: demux", move || usize::from(demux::classify(&packet) == demux::Kind::Rtp))
}

fn header() -> Case {
    let packet = packet();
    case("relay: read a header", move || {
        Header::parse(&packet[..PACKET_BYTES]).map_or(0, |header| header.header_len())
    })
}

/// The numbers of a viewer's packet from those of the publisher's, three packets a frame.
fn rewrite() -> Case {
    let seeds = Seeds { sequence: 1_000, timestamp: 5_000, picture_id: 9, tl0: 3 };
    let mut rewriter = Rewriter::new(Codec::Vp8, &seeds);
    let mut number: u32 = 0;
    case("relay: rewrite", move || {
        let incoming = Incoming {
            source: Source(1),
            sequence: number as u16,
            timestamp: number / 3 * 3_000,
            picture: Some(Picture {
                id: ((number / 3) & 0x7fff) as u16,
                bits: 15,
                tl0: Some((number / 3) as u8),
            }),
            arrival_ms: u64::from(number) * 11,
        };
        let output = if number == 0 { rewriter.start(&incoming, None) } else { rewriter.forward(&incoming) };
        number = number.wrapping_add(1);
        usize::from(output.expect("the numbers follow each other").sequence)
    })
}

fn seal() -> Case {
    let keys = Keys::new(Profile::AeadAes128Gcm, &[7; 16], &[9; 12]).expect("lengths of the profile");
    let mut sealer = Sealer::new(&keys, 1).expect("keys");
    let mut packet = packet();
    let mut number: u16 = 0;
    case("relay: seal, 1,200 B", move || {
        packet[..HEADER.len()].copy_from_slice(&HEADER);
        packet[2..4].copy_from_slice(&number.to_be_bytes());
        number = number.wrapping_add(1);
        sealer.seal_rtp(&mut packet, PACKET_BYTES).expect("each number once")
    })
}
