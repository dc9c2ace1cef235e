//! SRTP against known answers (RFC 3711, RFC 7714; packets of libsrtp's own tests), and its promises about replay.

use turnpike_transport::srtp::{Keys, OpenError, Opener, Profile, SealError, Sealer};

use crate::network::{Random, rtp_packet};

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

struct Vector {
    profile: Profile,
    key: &'static str,
    salt: &'static str,
    srtp: &'static str,
    srtcp: &'static str,
}

/// The same two packets under two profiles, key derivation included.
const VECTORS: [Vector; 2] = [
    Vector {
        profile: Profile::Aes128CmSha1_80,
        key: "e1f97a0d3e018be0d64fa32c06de4139",
        salt: "0ec675ad498afeebb6960b3aabe6",
        srtp: "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb",
        srtcp: "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798",
    },
    Vector {
        profile: Profile::AeadAes128Gcm,
        key: "000102030405060708090a0b0c0d0e0f",
        salt: "a0a1a2a3a4a5a6a7a8a9aaab",
        srtp: "800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392",
        srtcp: "81c8000bcafebabec98b8b5df0392a55852b6c21ac8e7025c52c6fbea2b3b446ea31123ba88ce61e80000001",
    },
];

#[test]
fn known_answers() {
    for vector in VECTORS {
        let (key, salt) = (hex(vector.key), hex(vector.salt));
        let keys = || Keys::new(vector.profile, &key, &salt).unwrap();
        let rtp = hex("800f1234decafbadcafebabeabababababababababababababababab");
        let rtcp = hex("81c8000bcafebabeabababababababababababababababab");
        let mut opener = Opener::new(&keys(), 4).unwrap();
        assert_eq!(opener.open_rtp(&mut hex(vector.srtp)).unwrap(), rtp);
        assert_eq!(opener.open_rtcp(&mut hex(vector.srtcp)).unwrap(), rtcp);

        let mut sealer = Sealer::new(&keys(), 4).unwrap();
        let mut room = [0; 60];
        room[..rtp.len()].copy_from_slice(&rtp);
        let len = sealer.seal_rtp(&mut room, rtp.len()).unwrap();
        assert_eq!(room[..len], hex(vector.srtp));
        // The vector has index 1.
        for index in 0..2 {
            room[..rtcp.len()].copy_from_slice(&rtcp);
            let len = sealer.seal_rtcp(&mut room, rtcp.len()).unwrap();
            assert_eq!(room[..len] == hex(vector.srtcp), index == 1);
        }
    }
}

fn pair(profile: Profile) -> (Sealer, Opener) {
    let key = vec![7; profile.key_len()];
    let salt = vec![9; profile.salt_len()];
    let keys = Keys::new(profile, &key, &salt).unwrap();
    (Sealer::new(&keys, 8).unwrap(), Opener::new(&keys, 8).unwrap())
}

fn sealed(sealer: &mut Sealer, sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = rtp_packet(sequence, ssrc, 100);
    let len = packet.len() - 20;
    let len = sealer.seal_rtp(&mut packet, len).unwrap();
    packet.truncate(len);
    packet
}

/// Three times around the sequence numbers, with loss, reordering and repetition.
#[test]
fn the_roll_over_counter_on_both_sides() {
    for profile in Profile::PREFERENCE {
        let mut random = Random::new(3);
        let (mut sealer, mut opener) = pair(profile);
        let mut held: Vec<Vec<u8>> = Vec::new();
        let mut opened = 0;
        for index in 100u32..200_000 {
            // In the middle of a round only every 50th packet is sent: it is the turn that matters.
            if (500..65_000).contains(&(index % 65_536)) && index % 50 != 0 {
                continue;
            }
            let packet = sealed(&mut sealer, index as u16, 5);
            match random.below(10) {
                0 => {}
                1 | 2 => held.push(packet),
                _ => {
                    assert!(opener.open_rtp(&mut packet.clone()).is_ok(), "{index}");
                    assert_eq!(opener.open_rtp(&mut packet.clone()), Err(OpenError::Replayed), "{index}");
                    opened += 1;
                }
            }
            if held.len() > 10 {
                for mut packet in held.drain(..) {
                    opened += u32::from(opener.open_rtp(&mut packet).is_ok());
                }
            }
        }
        assert!(opened > 4_000, "{opened}");
    }
}

#[test]
fn no_number_is_sealed_twice() {
    for profile in Profile::PREFERENCE {
        let (mut sealer, _) = pair(profile);
        for sequence in [10u16, 12, 11, 2_000] {
            sealed(&mut sealer, sequence, 1);
        }
        let mut packet = rtp_packet(11, 1, 50);
        let len = packet.len() - 20;
        assert_eq!(sealer.seal_rtp(&mut packet, len), Err(SealError::Old));
        let mut packet = rtp_packet(2_000, 1, 50);
        assert_eq!(sealer.seal_rtp(&mut packet, len), Err(SealError::Repeated));
        let before = packet.clone();
        assert_eq!(sealer.seal_rtp(&mut packet, len), Err(SealError::Repeated));
        assert_eq!(packet, before, "what is refused is left as it was");
        sealed(&mut sealer, 1_500, 1);
        sealed(&mut sealer, 2_000, 2);
    }
}

#[test]
fn room_and_tables_are_bounded() {
    let (mut sealer, mut opener) = pair(Profile::AeadAes128Gcm);
    let mut packet = rtp_packet(1, 1, 10);
    let len = packet.len();
    assert_eq!(sealer.seal_rtp(&mut packet, len), Err(SealError::NoRoom));
    assert_eq!(sealer.seal_rtp(&mut packet, 11), Err(SealError::Malformed));
    assert_eq!(sealer.seal_rtcp(&mut packet, len), Err(SealError::NoRoom));
    assert_eq!(sealer.seal_rtcp(&mut packet, 7), Err(SealError::Malformed));
    let (mut theirs, _) = pair(Profile::AeadAes128Gcm);
    for ssrc in 0..8 {
        opener.open_rtp(&mut sealed(&mut theirs, 1, ssrc)).unwrap();
    }
    let mut packet = rtp_packet(1, 8, 10);
    let len = packet.len() - 20;
    assert_eq!(theirs.seal_rtp(&mut packet, len), Err(SealError::TooManyStreams));
    let (mut theirs, _) = pair(Profile::AeadAes128Gcm);
    assert_eq!(opener.open_rtp(&mut sealed(&mut theirs, 1, 8)), Err(OpenError::TooManyStreams));
    opener.open_rtp(&mut sealed(&mut theirs, 2, 7)).unwrap();
}

#[test]
fn control_packets_are_not_replayed_either() {
    for profile in Profile::PREFERENCE {
        let (mut sealer, mut opener) = pair(profile);
        let mut packets = Vec::new();
        for _ in 0..100 {
            let mut packet = hex("80c90001000000630000000000000000000000000000000000000000");
            let len = sealer.seal_rtcp(&mut packet, 8).unwrap();
            packet.truncate(len);
            packets.push(packet);
        }
        packets.reverse();
        for packet in &packets {
            assert_eq!(opener.open_rtcp(&mut packet.clone()).unwrap(), hex("80c9000100000063"));
        }
        for packet in &packets {
            assert_eq!(opener.open_rtcp(&mut packet.clone()), Err(OpenError::Replayed));
        }
        let mut bare = packets[0].clone();
        let word = if profile == Profile::Aes128CmSha1_80 { 8 } else { bare.len() - 4 };
        bare[word] &= 0x7f;
        assert_eq!(opener.open_rtcp(&mut bare), Err(OpenError::Malformed));
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for profile in Profile::PREFERENCE {
        let (mut sealer, mut opener) = pair(profile);
        let good = sealed(&mut sealer, 700, 1);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open_rtp(&mut bad).is_err(), "{profile:?} bit {bit}");
        }
        assert!(opener.open_rtp(&mut good.clone()).is_ok());
    }
}

/// Extension and CSRCs are authenticated and in the clear.
#[test]
fn headers_of_every_shape() {
    let (mut sealer, mut opener) = pair(Profile::AeadAes128Gcm);
    let mut packet = hex("b26f0001000000010000000100000a0100000a02bede0001 11223344 55667788");
    let len = packet.len();
    packet.resize(len + 16, 0);
    let clear = packet.clone();
    assert_eq!(sealer.seal_rtp(&mut packet, len), Ok(len + 16));
    assert_eq!(packet[..28], clear[..28]);
    assert_ne!(packet[28..32], clear[28..32]);
    assert_eq!(opener.open_rtp(&mut packet).unwrap(), &clear[..len]);
    // An extension that says it is longer than the packet.
    let mut bad = hex("906f0001000000010000000 1bede0100 11223344");
    let len = bad.len();
    bad.resize(len + 16, 0);
    assert_eq!(sealer.seal_rtp(&mut bad, len), Err(SealError::Malformed));
}
