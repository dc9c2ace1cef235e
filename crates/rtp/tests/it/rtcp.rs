//! RTCP: what is written is read again, and what is broken ends with an error.

use turnpike_rtp::NtpTime;
use turnpike_rtp::rtcp::{
    Compound, FirEntry, Message, NackEntry, NoRoom, ReportBlock, RtcpError, SenderInfo, Writer, nack_entries,
};

pub(crate) const BLOCK: ReportBlock = ReportBlock {
    ssrc: 0x0102_0304,
    fraction_lost: 25,
    lost: -3,
    highest: 0x0002_fffe,
    jitter: 77,
    last_report: 0x1111_2222,
    since_last_report: 65_536,
};

pub(crate) const INFO: SenderInfo =
    SenderInfo { ssrc: 9, ntp: NtpTime(0x0102_0304_0506_0708), rtp: 90_000, packets: 12, octets: 3_456 };

pub(crate) fn compound(write: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>) -> Vec<u8> {
    let mut buf = [0xaa; 1_500];
    let mut out = Writer::new(&mut buf);
    write(&mut out).expect("there is room");
    assert_eq!(out.len() % 4, 0);
    out.written().to_vec()
}

#[test]
fn everything_that_is_written_is_read_in_its_order() {
    let bytes = compound(|out| {
        out.sender_report(&INFO, &[BLOCK, BLOCK])?;
        out.cname(9, b"relay")?;
        out.receiver_report(5, &[BLOCK])?;
        out.nack(1, 2, nack_entries([10, 11, 26, 27]))?;
        out.pli(1, 2)?;
        out.fir(1, &[FirEntry { ssrc: 3, number: 200 }])?;
        out.remb(1, 2_500_000, &[7, 8])?;
        out.bye(&[9, 10])
    });
    let messages: Vec<_> = Compound::new(&bytes).map(Result::unwrap).collect();
    let [
        Message::SenderReport(sender),
        Message::Sdes(sdes),
        Message::ReceiverReport(receiver),
        Message::Nack(nack),
        Message::Pli(pli),
        Message::Fir(fir),
        Message::Remb(remb),
        Message::Bye(bye),
    ] = &messages[..]
    else {
        panic!("{messages:?}");
    };
    assert_eq!((sender.info, sender.blocks.clone().collect::<Vec<_>>()), (INFO, vec![BLOCK, BLOCK]));
    let chunk = sdes.clone().next().unwrap();
    assert_eq!((chunk.ssrc, chunk.cname), (9, Some(&b"relay"[..])));
    assert_eq!((receiver.ssrc, receiver.blocks.clone().collect::<Vec<_>>()), (5, vec![BLOCK]));
    assert_eq!((nack.sender, nack.media), (1, 2));
    assert_eq!(nack.sequences().collect::<Vec<_>>(), [10, 11, 26, 27]);
    assert_eq!((pli.sender, pli.media), (1, 2));
    assert_eq!(fir.entries().collect::<Vec<_>>(), [FirEntry { ssrc: 3, number: 200 }]);
    assert_eq!(remb.ssrcs().collect::<Vec<_>>(), [7, 8]);
    assert_eq!(remb.bits_per_second, 2_500_000);
    assert_eq!((bye.ssrcs().collect::<Vec<_>>(), bye.reason), (vec![9, 10], None));
}

#[test]
fn lost_packets_are_packed_across_the_wrap() {
    let entries: Vec<_> = nack_entries([65_535, 0, 15, 16, 17]).collect();
    assert_eq!(entries, [NackEntry { first: 65_535, behind: 0x8001 }, NackEntry { first: 16, behind: 1 }]);
    assert_eq!(entries[0].sequences().collect::<Vec<_>>(), [65_535, 0, 15]);
}

#[test]
fn a_name_ends_with_zeros_to_a_word() {
    for len in 0..9 {
        let bytes = compound(|out| out.cname(1, &b"abcdefghi"[..len]));
        assert_eq!(bytes.len(), 4 + (4 + 2 + len + 1).next_multiple_of(4));
        let Some(Ok(Message::Sdes(mut sdes))) = Compound::new(&bytes).next() else { panic!("{bytes:?}") };
        assert_eq!(sdes.next().unwrap().cname, Some(&b"abcdefghi"[..len]));
    }
}

#[test]
fn what_is_not_known_is_passed_over() {
    let mut bytes = compound(|out| out.pli(1, 2));
    // An extended report, feedback of kinds of no concern, and a type of nobody.
    for (first, packet_type) in [(0x80, 207), (0x83, 205), (0x82, 206), (0x8f, 206), (0x80, 250)] {
        bytes.extend([first, packet_type, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
    }
    bytes.extend(compound(|out| out.bye(&[1])));
    let kinds: Vec<_> = Compound::new(&bytes).collect();
    assert!(matches!(kinds[..], [Ok(Message::Pli(_)), Ok(Message::Bye(_))]), "{kinds:?}");
}

#[test]
fn a_broken_part_is_the_last() {
    let good = compound(|out| out.pli(1, 2));
    let table: [(&[u8], RtcpError); 12] = [
        (&[0x80, 200, 0], RtcpError::Truncated),
        (&[0x80, 200, 0, 9, 0, 0, 0, 0], RtcpError::Truncated),
        (&[0x40, 200, 0, 0], RtcpError::Version),
        (&[0x80, 200, 0, 1, 0, 0, 0, 1], RtcpError::Malformed(200)),
        (&[0x81, 201, 0, 1, 0, 0, 0, 1], RtcpError::Malformed(201)),
        (&[0x81, 202, 0, 1, 0, 0, 0, 1], RtcpError::Malformed(202)),
        (&[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 9, 0, 0], RtcpError::Malformed(202)),
        (&[0x82, 203, 0, 1, 0, 0, 0, 1], RtcpError::Malformed(203)),
        (&[0x81, 203, 0, 2, 0, 0, 0, 1, 9, 0, 0, 0], RtcpError::Malformed(203)),
        (&[0x81, 205, 0, 1, 0, 0, 0, 1], RtcpError::Malformed(205)),
        (&[0x81, 206, 0, 1, 0, 0, 0, 1], RtcpError::Malformed(206)),
        (
            &[0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 2, 0, 0, 0],
            RtcpError::Malformed(206),
        ),
    ];
    for (broken, error) in table {
        let bytes = [&good, broken, &good].concat();
        let all: Vec<_> = if error == RtcpError::Truncated {
            Compound::new(&[&good, broken].concat()).map(|message| message.map(|_| ())).collect()
        } else {
            Compound::new(&bytes).map(|message| message.map(|_| ())).collect()
        };
        assert_eq!(all, [Ok(()), Err(error)], "{broken:?}");
    }
}

#[test]
fn padding_belongs_to_no_message() {
    let mut bytes = compound(|out| out.bye(&[1]));
    bytes[0] |= 0x20;
    bytes[3] += 1;
    bytes.extend([0, 0, 0, 4]);
    let Some(Ok(Message::Bye(bye))) = Compound::new(&bytes).next() else { panic!("{bytes:?}") };
    assert_eq!((bye.ssrcs().count(), bye.reason), (1, None));
    for wrong in [0, 9, 255] {
        bytes[11] = wrong;
        assert!(matches!(Compound::new(&bytes).next(), Some(Err(RtcpError::Malformed(203)))), "{wrong}");
    }
}

#[test]
fn an_estimate_keeps_eighteen_bits() {
    for rate in [0, 1, 30_000, 262_143, 262_144, 2_500_001, 1 << 40, u64::MAX] {
        let bytes = compound(|out| out.remb(1, rate, &[]));
        let Some(Ok(Message::Remb(remb))) = Compound::new(&bytes).next() else { panic!("{rate}") };
        assert!(remb.bits_per_second <= rate && rate - remb.bits_per_second <= rate >> 17, "{rate} {remb:?}");
    }
    // An exponent beyond all numbers.
    let mut bytes = compound(|out| out.remb(1, 1 << 17, &[]));
    bytes[17..20].copy_from_slice(&[0xff, 0xff, 0xff]);
    let Some(Ok(Message::Remb(remb))) = Compound::new(&bytes).next() else { panic!() };
    assert_eq!(remb.bits_per_second, u64::MAX);
}

#[test]
fn what_does_not_fit_leaves_no_trace() {
    let mut buf = [0; 40];
    let mut out = Writer::new(&mut buf);
    out.pli(1, 2).unwrap();
    let before = out.written().to_vec();
    assert!(out.sender_report(&INFO, &[BLOCK]).is_err());
    assert!(out.receiver_report(1, &[BLOCK; 32]).is_err());
    assert!(out.cname(1, &[b'x'; 256]).is_err());
    assert!(out.bye(&[0; 32]).is_err());
    assert_eq!(out.written(), before);
    // A request is cut to what fits, and says so.
    assert_eq!(out.nack(1, 2, nack_entries((0..100).map(|n| n * 100))), Ok(4));
    assert_eq!(Compound::new(out.written()).count(), 2);
    assert_eq!(out.nack(1, 2, nack_entries([1])), Err(NoRoom));
    assert_eq!(out.nack(1, 2, []), Ok(0));
}
