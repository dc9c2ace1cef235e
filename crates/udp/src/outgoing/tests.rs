use std::collections::VecDeque;

use super::*;
use crate::address;

/// One answer of a kernel: so many messages taken, or an error.
type Answer = Result<usize, i32>;

/// A kernel that answers as it was told, and takes everything when it has nothing left to say.
#[derive(Default)]
struct Script {
    answers: VecDeque<Answer>,
    /// What an answer with an error is about, instead of a fixed place: a kernel that never takes segments.
    refuses_segments: Option<i32>,
    taken: Vec<(SocketAddr, Vec<u8>)>,
    messages: usize,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: answers.into_iter().collect(), ..Self::default() }
    }

    fn take(&mut self, piece: &Piece<'_>) {
        let to = address::read(piece.to.as_bytes()).unwrap();
        self.messages += 1;
        match piece.segment {
            None => self.taken.push((to, piece.payload.to_vec())),
            Some(segment) => {
                assert!(piece.payload.len() <= RUN_BYTES_MAX);
                let datagrams = piece.payload.chunks(segment.into());
                assert!((2..=usize::from(SEGMENTS_MAX)).contains(&datagrams.len()));
                self.taken.extend(datagrams.map(|datagram| (to, datagram.to_vec())));
            }
        }
    }
}

impl Wire for Script {
    fn send<'a>(&mut self, pieces: impl Iterator<Item = Piece<'a>>) -> io::Result<usize> {
        let most = match self.answers.pop_front() {
            Some(Err(errno)) => return Err(io::Error::from_raw_os_error(errno)),
            Some(Ok(most)) => most,
            None => 64,
        };
        let mut count = 0;
        for piece in pieces.take(most) {
            if let Some(errno) = self.refuses_segments
                && piece.segment.is_some()
            {
                return if count > 0 { Ok(count) } else { Err(io::Error::from_raw_os_error(errno)) };
            }
            self.take(&piece);
            count += 1;
        }
        Ok(count)
    }
}

fn addr(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

fn outgoing() -> Outgoing {
    Outgoing::with(Family::V4, Limits::default())
}

fn datagram(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|index| (number * 7 + index) as u8).collect()
}

#[test]
fn equal_lengths_to_one_address_are_one_message() {
    let mut outgoing = outgoing();
    let expected: Vec<_> = (0..3).map(|number| (addr(1), datagram(number, 1_200))).collect();
    for (to, datagram) in &expected {
        assert!(outgoing.push(*to, datagram));
    }
    let mut kernel = Script::default();
    let sent = outgoing.flush_through(&mut kernel);
    assert_eq!((sent.datagrams, sent.messages, sent.syscalls, sent.bytes), (3, 1, 1, 3_600));
    assert_eq!(kernel.taken, expected);
    assert!(outgoing.is_empty());
}

#[test]
fn a_shorter_one_ends_a_run_and_a_longer_one_begins_the_next() {
    let mut outgoing = outgoing();
    let lens = [1_000, 1_000, 400, 1_000, 1_000, 1_200, 1_200];
    for (number, len) in lens.into_iter().enumerate() {
        assert!(outgoing.push(addr(1), &datagram(number, len)));
    }
    let mut kernel = Script::default();
    assert_eq!(outgoing.flush_through(&mut kernel).messages, 3);
    assert_eq!(kernel.taken.iter().map(|(_, datagram)| datagram.len()).collect::<Vec<_>>(), lens);
}

#[test]
fn runs_end_at_the_kernels_limits() {
    for (len, count, messages) in [(100, 200, 4), (1_200, 120, 3), (40_000, 4, 4)] {
        let mut outgoing = outgoing();
        for number in 0..count {
            assert!(outgoing.push(addr(1), &datagram(number, len)));
        }
        // The script checks both limits.
        let sent = outgoing.flush_through(&mut Script::default());
        assert_eq!((sent.datagrams, sent.messages), (count as u64, messages), "{len}");
    }
}

#[test]
fn sources_are_not_mixed() {
    let mut outgoing = outgoing();
    for from in ["198.51.100.1", "198.51.100.2"] {
        outgoing.slot_from(Some(from.parse().unwrap()), addr(1), 100).unwrap().fill(1);
        outgoing.commit(100);
    }
    assert_eq!(outgoing.flush_through(&mut Script::default()).messages, 2);
}

#[test]
fn what_is_not_committed_is_not_sent() {
    let mut outgoing = outgoing();
    outgoing.slot(addr(1), 100).unwrap().fill(1);
    outgoing.slot(addr(2), 100).unwrap().fill(2);
    outgoing.commit(50);
    outgoing.commit(50);
    outgoing.slot(addr(3), 100).unwrap().fill(3);
    outgoing.commit(0);
    let mut kernel = Script::default();
    outgoing.flush_through(&mut kernel);
    assert_eq!(kernel.taken, [(addr(2), vec![2; 50])]);
}

#[test]
fn a_full_kernel_gets_the_rest_later_in_order() {
    let mut outgoing = outgoing();
    let expected: Vec<_> = (0..10).map(|number| (addr(number), datagram(number.into(), 100))).collect();
    for (to, datagram) in &expected {
        assert!(outgoing.push(*to, datagram));
    }
    let mut kernel = Script::new([Ok(3), Err(libc::EAGAIN)]);
    let sent = outgoing.flush_through(&mut kernel);
    assert!(sent.is_blocked);
    assert_eq!((sent.datagrams, sent.syscalls), (3, 2));
    assert_eq!((outgoing.queued_messages(), outgoing.queued_bytes()), (7, 700));
    let sent = outgoing.flush_through(&mut kernel);
    assert!(!sent.is_blocked);
    assert_eq!(kernel.taken, expected);
}

#[test]
fn a_kernel_that_stays_full_costs_no_memory_and_loses_the_newest() {
    let limits = Limits { bytes_max: 10_000, messages_max: 1_000 };
    let mut outgoing = Outgoing::with(Family::V4, limits);
    let mut kernel = Script::new([Ok(2), Err(libc::EAGAIN), Err(libc::EAGAIN)]);
    let taken = (0..200_u16).filter(|&port| outgoing.push(addr(port), &datagram(port.into(), 100))).count();
    assert_eq!(taken, 100);
    let sent = outgoing.flush_through(&mut kernel);
    assert_eq!((sent.datagrams, sent.dropped[Reason::Full], sent.is_blocked), (2, 100, true));
    // The room of what is gone is used again.
    assert!(outgoing.push(addr(500), &datagram(500, 100)) && outgoing.push(addr(501), &datagram(501, 100)));
    assert!(!outgoing.push(addr(502), &datagram(502, 100)));
    assert!(outgoing.flush_through(&mut kernel).is_blocked);
    let sent = outgoing.flush_through(&mut kernel);
    assert_eq!((sent.datagrams, sent.dropped.total()), (100, 0));
    let ports: Vec<u16> = kernel.taken.iter().map(|(to, _)| to.port()).collect();
    assert_eq!(ports, (0..100).chain([500, 501]).collect::<Vec<_>>());
    assert!(kernel.taken.iter().all(|(to, bytes)| *bytes == datagram(to.port().into(), 100)));
}

#[test]
fn the_number_of_messages_has_a_limit_too() {
    let mut outgoing = Outgoing::with(Family::V4, Limits { bytes_max: 100_000, messages_max: 3 });
    assert_eq!((0..5).filter(|&port| outgoing.push(addr(port), &[1])).count(), 3);
    assert_eq!(outgoing.flush_through(&mut Script::default()).dropped[Reason::Full], 2);
}

#[test]
fn one_destination_that_cannot_be_reached_holds_nobody_up() {
    for (errno, reason) in [
        (libc::ENETUNREACH, Reason::Unreachable),
        (libc::EPERM, Reason::Forbidden),
        (libc::EMSGSIZE, Reason::TooLarge),
        (libc::EAFNOSUPPORT, Reason::Other),
        (libc::ENOBUFS, Reason::Memory),
    ] {
        let mut outgoing = outgoing();
        for port in 0..10 {
            assert!(outgoing.push(addr(port), &datagram(port.into(), 100)));
        }
        let mut kernel = Script::new([Ok(4), Err(errno)]);
        let sent = outgoing.flush_through(&mut kernel);
        assert_eq!((sent.datagrams, sent.dropped[reason], sent.dropped.total()), (9, 1, 1));
        assert!(kernel.taken.iter().all(|(to, _)| to.port() != 4));
    }
}

#[test]
fn a_report_about_an_earlier_datagram_costs_none() {
    let mut outgoing = outgoing();
    for port in 0..3 {
        assert!(outgoing.push(addr(port), &[1; 100]));
    }
    let mut kernel = Script::new([Ok(1), Err(libc::ECONNREFUSED)]);
    assert_eq!(outgoing.flush_through(&mut kernel).datagrams, 3);
    for port in 0..3 {
        assert!(outgoing.push(addr(port), &[1; 100]));
    }
    let mut kernel = Script::new([Ok(1), Err(libc::ECONNREFUSED), Err(libc::ECONNREFUSED)]);
    let sent = outgoing.flush_through(&mut kernel);
    assert_eq!((sent.datagrams, sent.dropped[Reason::Refused]), (2, 1));
}

#[test]
fn a_device_without_segmentation_is_remembered() {
    for errno in [libc::EIO, libc::EOPNOTSUPP] {
        let mut outgoing = outgoing();
        let mut kernel = Script { refuses_segments: Some(errno), ..Script::default() };
        let mut expected = Vec::new();
        for round in 0..2 {
            for number in 0..9 {
                expected.push((addr(number / 3), datagram(number.into(), 500)));
                assert!(outgoing.push(addr(number / 3), &datagram(number.into(), 500)));
            }
            let sent = outgoing.flush_through(&mut kernel);
            assert_eq!((sent.datagrams, sent.messages, sent.dropped.total()), (9, 9, 0));
            assert_eq!(sent.syscalls, if round == 0 { 2 } else { 1 });
        }
        assert_eq!(kernel.taken, expected);
    }
}

#[test]
fn a_narrow_way_to_one_destination_does_not_end_segmentation() {
    let mut outgoing = outgoing();
    let push = |outgoing: &mut Outgoing| {
        for number in 0..9_u16 {
            assert!(outgoing.push(addr(number / 3), &datagram(number.into(), 500)));
        }
    };
    push(&mut outgoing);
    // The first is taken whole, the second is refused as a whole and goes as three.
    let mut kernel = Script::new([Ok(1), Err(libc::EINVAL)]);
    let sent = outgoing.flush_through(&mut kernel);
    assert_eq!((sent.datagrams, sent.messages, sent.dropped.total()), (9, 5, 0));
    push(&mut outgoing);
    assert_eq!(outgoing.flush_through(&mut kernel).messages, 3);
}

#[test]
fn a_kernel_that_has_never_taken_segments_is_not_asked_for_ever() {
    let mut outgoing = outgoing();
    let mut kernel = Script { refuses_segments: Some(libc::EINVAL), ..Script::default() };
    for round in 0..10 {
        for number in 0..8 {
            assert!(outgoing.push(addr(number / 2), &[1; 500]));
        }
        let sent = outgoing.flush_through(&mut kernel);
        assert_eq!((sent.datagrams, sent.dropped.total()), (8, 0));
        assert!(round < 2 || sent.syscalls == 1, "round {round} took {} calls", sent.syscalls);
    }
}

#[test]
fn a_partly_sent_run_goes_on_where_it_was() {
    let mut outgoing = outgoing();
    outgoing.segmenting = Segmenting::Never;
    for number in 0..3 {
        assert!(outgoing.push(addr(1), &datagram(number, 100)));
    }
    let mut kernel = Script::new([Ok(2), Err(libc::EAGAIN)]);
    outgoing.flush_through(&mut kernel);
    assert_eq!(outgoing.queued_bytes(), 100);
    // More for the same run, also after segmentation was found to work.
    outgoing.segmenting = Segmenting::Works;
    for number in 3..5 {
        assert!(outgoing.push(addr(1), &datagram(number, 100)));
    }
    let sent = outgoing.flush_through(&mut kernel);
    assert_eq!((sent.datagrams, sent.messages), (3, 1));
    let expected: Vec<_> = (0..5).map(|number| (addr(1), datagram(number, 100))).collect();
    assert_eq!(kernel.taken, expected);
}

/// Whatever a kernel answers: nothing twice, nothing in another order for one destination, nothing changed, and what
/// is missing is counted.
#[test]
fn any_kernel() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_nanos() as u64
    });
    let mut random = Random(seed | 1);
    for case in 0..300 {
        let limits =
            Limits { bytes_max: 20_000 + random.below(200_000), messages_max: 20 + random.below(300) };
        let mut outgoing = Outgoing::with(Family::V4, limits);
        let mut kernel = Script::default();
        let (mut asked, mut full, mut dropped, mut number) = (Vec::new(), 0, 0, 0);
        for _ in 0..random.below(30) {
            let errors =
                [libc::EAGAIN, libc::EINTR, libc::EINVAL, libc::ENETUNREACH, libc::EMSGSIZE, libc::EIO];
            let answers = (0..random.below(8)).map(|_| match random.below(3) {
                0 => Err(errors[random.below(if case % 2 == 0 { 5 } else { 6 })]),
                _ => Ok(1 + random.below(64)),
            });
            kernel.answers = answers.collect();
            for _ in 0..random.below(100) {
                let to = addr(random.below(4) as u16);
                let len = 8 + [100, 100, 1_000, random.below(1_400)][random.below(4)];
                number += 1;
                let mut bytes = datagram(number, len);
                bytes[..8].copy_from_slice(&number.to_le_bytes());
                if outgoing.push(to, &bytes) {
                    asked.push((to, bytes));
                } else {
                    full += 1;
                }
            }
            let sent = outgoing.flush_through(&mut kernel);
            full -= sent.dropped[Reason::Full];
            dropped += sent.dropped.total() - sent.dropped[Reason::Full];
        }
        kernel.answers.clear();
        let sent = outgoing.flush_through(&mut kernel);
        assert!(outgoing.is_empty());
        dropped += sent.dropped.total();
        let lost = check(&asked, &kernel.taken);
        assert_eq!((lost, full), (dropped, 0), "SEED={seed} case {case}");
    }
}

/// That what was taken is what was asked for, in order a destination; gives how many are missing.
fn check(asked: &[(SocketAddr, Vec<u8>)], taken: &[(SocketAddr, Vec<u8>)]) -> u64 {
    for port in 0..4 {
        let mut asked = asked.iter().filter(|(to, _)| *to == addr(port));
        for datagram in taken.iter().filter(|(to, _)| *to == addr(port)) {
            assert!(asked.any(|other| other == datagram), "not asked for, or not in this order");
        }
    }
    (asked.len() - taken.len()) as u64
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}
