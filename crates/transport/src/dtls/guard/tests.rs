//! The guard against a model: whatever the order, cut and repetition of fragments, the library gets each message once,
//! whole and in order.

use super::*;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20) as usize % limit
    }
}

/// Message `sequence` of kind 16, which the guard does not look into.
fn body(sequence: u16, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(7) ^ sequence as u8).collect()
}

fn fragment(sequence: u16, message: &[u8], from: usize, to: usize) -> Vec<u8> {
    let mut bytes = vec![16];
    bytes.extend(&(message.len() as u32).to_be_bytes()[1..]);
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(&(from as u32).to_be_bytes()[1..]);
    bytes.extend(&((to - from) as u32).to_be_bytes()[1..]);
    bytes.extend(&message[from..to]);
    bytes
}

/// The messages in what goes to the library: sequence and body.
fn messages(datagram: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    for record in records(datagram) {
        let body = record.body();
        let length = usize::from(body[2]) << 8 | usize::from(body[3]);
        assert_eq!(body.len(), HEADER_BYTES + length, "one whole message a record");
        assert_eq!(body[1..4], body[9..12]);
        assert_eq!(body[6..9], [0; 3]);
        found.push((u16::from_be_bytes([body[4], body[5]]), body[HEADER_BYTES..].to_vec()));
    }
    found
}

#[test]
fn fragments_in_any_order() {
    for seed in 1..500u64 {
        let mut random = Random(seed);
        let bodies: Vec<Vec<u8>> =
            (0..5).map(|sequence| body(sequence, random.below(3) * random.below(1_500))).collect();
        let mut fragments = Vec::new();
        for (sequence, message) in bodies.iter().enumerate() {
            // The message twice, each time cut another way; the cuts overlap.
            for _ in 0..2 {
                let mut at = 0;
                loop {
                    let rest = message.len() - at;
                    let len = if rest <= FRAGMENT_BYTES_MIN || random.below(4) == 0 {
                        rest
                    } else {
                        FRAGMENT_BYTES_MIN + random.below(rest - FRAGMENT_BYTES_MIN)
                    };
                    fragments.push(fragment(sequence as u16, message, at, at + len));
                    at += len;
                    if at == message.len() {
                        break;
                    }
                }
            }
        }
        for at in (1..fragments.len()).rev() {
            fragments.swap(at, random.below(at + 1));
        }
        // Some records carry several fragments, some datagrams several records.
        let mut guard = Guard::new(false);
        let mut got = Vec::new();
        while !fragments.is_empty() {
            let mut datagram = Vec::new();
            for _ in 0..=random.below(2) {
                let count = (1 + random.below(2)).min(fragments.len());
                let several: Vec<u8> = fragments.drain(..count).flatten().collect();
                if !several.is_empty() {
                    record::write(&mut datagram, record::HANDSHAKE, random.below(1_000) as u64, &several);
                }
            }
            match guard.admit(&datagram) {
                Ok(admitted) => got.extend(messages(&admitted.datagram)),
                Err(Violation::Datagrams) => break,
                Err(other) => panic!("seed {seed}: {other}"),
            }
        }
        if guard.datagrams > DATAGRAMS_MAX {
            continue;
        }
        let wanted: Vec<(u16, Vec<u8>)> = (0..).zip(bodies).collect();
        assert_eq!(got, wanted, "seed {seed}");
        assert_eq!(guard.waiting_bytes, 0);
        assert!(guard.waiting.is_empty());
    }
}

#[test]
fn a_handshake_has_an_end() {
    let mut guard = Guard::new(false);
    let mut outcome = Ok(());
    for sequence in 0..=MESSAGES_MAX {
        assert_eq!(outcome, Ok(()), "{sequence}");
        let mut datagram = Vec::new();
        record::write(&mut datagram, record::HANDSHAKE, 0, &fragment(sequence, &[], 0, 0));
        outcome = guard.admit(&datagram).map(|_| ());
    }
    assert_eq!(outcome, Err(Violation::HandshakeLength));

    let mut guard = Guard::new(false);
    let long = body(0, MESSAGE_BYTES_MAX);
    for sequence in 0..4 {
        let mut datagram = Vec::new();
        record::write(&mut datagram, record::HANDSHAKE, 0, &fragment(sequence, &long, 0, long.len()));
        let expected = if sequence < 3 { None } else { Some(Violation::HandshakeLength) };
        assert_eq!(guard.admit(&datagram).err(), expected);
    }
}

#[test]
fn repetitions_are_told_and_not_handed_on() {
    let mut guard = Guard::new(false);
    let send = |guard: &mut Guard, sequence| {
        let mut datagram = Vec::new();
        record::write(&mut datagram, record::HANDSHAKE, 0, &fragment(sequence, &body(sequence, 80), 0, 80));
        let admitted = guard.admit(&datagram).unwrap();
        (messages(&admitted.datagram).len(), admitted.repeated)
    };
    assert_eq!(send(&mut guard, 0), (1, false));
    assert_eq!(send(&mut guard, 1), (1, false));
    assert_eq!(send(&mut guard, 0), (0, false));
    assert_eq!(send(&mut guard, 1), (0, true));
    assert_eq!(send(&mut guard, 3), (0, false));
    assert_eq!(send(&mut guard, 2), (2, false));
}
