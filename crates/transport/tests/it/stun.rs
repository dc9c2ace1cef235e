//! STUN messages: the vectors of RFC 5769, what is refused, and noise.

use std::net::SocketAddr;

use turnpike_transport::stun::{self, Class, Message, Writer};

use crate::network::Random;
use crate::srtp::hex;

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

fn request() -> Vec<u8> {
    hex(
        "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008\
         932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004\
         e57a3bcf",
    )
}

#[test]
fn the_request_of_rfc_5769() {
    let datagram = request();
    let message = Message::parse(&datagram).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, stun::BINDING));
    assert_eq!(message.username(), Some("evtj:h6vY"));
    assert_eq!(message.priority(), Some(0x6e00_01ff));
    assert_eq!(message.controlled(), Some(0x932f_f9b1_5126_3b36));
    assert!(!message.use_candidate() && message.unknown().is_empty());
    assert!(message.verify(PASSWORD));
    assert!(!message.verify("VOkJxbRl1RmTxUk/WvJxBu"));
    assert_eq!(stun::local_ufrag(&datagram), Some("evtj"));
}

#[test]
fn the_answers_of_rfc_5769() {
    for (text, mapped) in [
        (
            "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643\
             000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96",
            "192.0.2.1:32853",
        ),
        (
            "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9fa\
             a5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c",
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
        ),
    ] {
        let datagram = hex(text);
        let message = Message::parse(&datagram).unwrap();
        let mapped: SocketAddr = mapped.parse().unwrap();
        assert_eq!((message.class(), message.mapped()), (Class::Success, Some(mapped)));
        assert!(message.verify(PASSWORD));
        assert_eq!(stun::local_ufrag(&datagram), None);
        let ours = Writer::new(Class::Success, &message.transaction()).mapped(mapped).finish(PASSWORD);
        assert_eq!(Message::parse(&ours).unwrap().mapped(), Some(mapped));
    }
}

#[test]
fn what_is_written_is_read() {
    let transaction = Random::new(1).bytes();
    let datagram = Writer::new(Class::Request, &transaction)
        .username("receiver", "sender")
        .priority(7)
        .controlling(9)
        .use_candidate()
        .attribute(0x7777, b"abc")
        .finish(PASSWORD);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.transaction(), transaction);
    assert_eq!(message.username(), Some("receiver:sender"));
    assert_eq!((message.priority(), message.controlling(), message.controlled()), (Some(7), Some(9), None));
    assert!(message.use_candidate() && message.verify(PASSWORD));
    assert_eq!(message.unknown(), [0x7777]);
    let error = Writer::new(Class::Error, &transaction).error(487, "Role Conflict").finish(PASSWORD);
    assert_eq!(Message::parse(&error).unwrap().error(), Some(487));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let good = request();
    // All but the fingerprint's own header: without it the rest is still authenticated.
    let fingerprint = good.len() - 8;
    for bit in (0..good.len() * 8).filter(|bit| !(fingerprint..fingerprint + 2).contains(&(bit / 8))) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(!Message::parse(&bad).is_ok_and(|message| message.verify(PASSWORD)), "bit {bit}");
    }
}

#[test]
fn noise_is_refused_without_panic() {
    let seed = 5;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let good = request();
    let mut parsed = 0;
    for _ in 0..200_000 {
        let mut bad = good.clone();
        for _ in 0..=random.below(6) {
            let at = random.below(bad.len() as u64) as usize;
            bad[at] = random.next() as u8;
        }
        // Without the fingerprint more gets through to the attributes.
        bad.truncate(bad.len() - if random.below(2) == 0 { 8 } else { random.below(60) as usize });
        let length = (bad.len() as u16).saturating_sub(20);
        if random.below(2) == 0 && bad.len() > 4 {
            bad[2..4].copy_from_slice(&length.to_be_bytes());
        }
        let _ = stun::local_ufrag(&bad);
        parsed += u32::from(Message::parse(&bad).is_ok_and(|message| !message.verify("x")));
    }
    assert!(parsed > 1_000, "{parsed}");
}
