//! Round trips, and bytes of any kind.

use proptest::collection::vec;
use proptest::prelude::*;
use turnpike_rtp::codec::dependency::Structure;
use turnpike_rtp::rewriter::{Rewriter, Seeds};
use turnpike_rtp::rtcp::{Compound, Message, NackEntry, ReportBlock, SenderInfo, nack_entries};
use turnpike_rtp::{Codec, Element, Fields, NtpTime, Packet, PacketMut, rtx, write_header};

use crate::mutation::take;
use crate::rtcp::compound;

fn fields() -> impl Strategy<Value = Fields> {
    (any::<bool>(), 0..128_u8, any::<u16>(), any::<u32>(), any::<u32>()).prop_map(
        |(marker, payload_type, sequence, timestamp, ssrc)| Fields {
            marker,
            payload_type,
            sequence,
            timestamp,
            ssrc,
        },
    )
}

fn elements() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    // Mostly what the short form can say.
    let element = prop_oneof![
        4 => (1..=14_u8, vec(any::<u8>(), 1..=16)),
        1 => (1..=255_u8, vec(any::<u8>(), 0..=255)),
    ];
    vec(element, 0..6)
}

fn block() -> impl Strategy<Value = ReportBlock> {
    (any::<[u32; 5]>(), any::<u8>(), -0x80_0000..0x80_0000_i32).prop_map(|(words, fraction_lost, lost)| {
        let [ssrc, highest, jitter, last_report, since_last_report] = words;
        ReportBlock { ssrc, fraction_lost, lost, highest, jitter, last_report, since_last_report }
    })
}

proptest! {
    #[test]
    fn headers_survive(fields in fields(), elements in elements(), payload in vec(any::<u8>(), 0..40)) {
        let list: Vec<_> = elements.iter().map(|(id, value)| Element { id: *id, value }).collect();
        let mut buf = vec![0xff; 2_000];
        let len = write_header(&mut buf, &fields, &list).unwrap();
        buf.truncate(len);
        buf.extend_from_slice(&payload);
        let packet = Packet::parse(&buf).unwrap();
        let header = packet.header;
        prop_assert_eq!(
            (header.marker, header.payload_type, header.sequence, header.timestamp, header.ssrc),
            (fields.marker, fields.payload_type, fields.sequence, fields.timestamp, fields.ssrc)
        );
        prop_assert_eq!(packet.payload(), &payload);
        let read: Vec<_> = packet.extensions().map(|(id, value)| Element { id, value }).collect();
        prop_assert_eq!(&read, &list);
        for element in &list {
            let first = list.iter().find(|other| other.id == element.id).unwrap();
            let mut copy = buf.clone();
            let mut view = PacketMut::parse(&mut copy).unwrap();
            prop_assert_eq!(view.extension_mut(element.id).map(|value| value.to_vec()), Some(first.value.to_vec()));
        }
    }

    #[test]
    fn retransmissions_survive(fields in fields(), original in any::<u16>(), payload in vec(any::<u8>(), 1..40)) {
        let mut buf = vec![0; 200];
        let len = rtx::wrap(&mut buf, &fields, &[], original, &payload).unwrap();
        let header = Packet::parse(&buf[..len]).unwrap().header;
        let restored = rtx::restore(&mut buf[..len], &header, 100, 7).unwrap();
        let packet = Packet::parse(restored).unwrap();
        prop_assert_eq!((packet.header.sequence, packet.header.ssrc, packet.header.payload_type), (original, 7, 100));
        prop_assert_eq!((packet.header.marker, packet.header.timestamp), (fields.marker, fields.timestamp));
        prop_assert_eq!(packet.payload(), &payload);
    }

    #[test]
    fn reports_survive(words in any::<[u32; 4]>(), ntp in any::<u64>(), blocks in vec(block(), 0..=31)) {
        let [ssrc, rtp, packets, octets] = words;
        let info = SenderInfo { ssrc, ntp: NtpTime(ntp), rtp, packets, octets };
        let bytes = compound(|out| out.sender_report(&info, &blocks));
        let Some(Ok(Message::SenderReport(report))) = Compound::new(&bytes).next() else { panic!() };
        prop_assert_eq!(report.info, info);
        prop_assert_eq!(report.blocks.collect::<Vec<_>>(), blocks);
    }

    #[test]
    fn requests_survive(start in any::<u16>(), steps in vec(1..60_u16, 0..80)) {
        let lost: Vec<_> = steps.iter().scan(start, |at, step| { *at = at.wrapping_add(*step); Some(*at) }).collect();
        let read: Vec<_> = nack_entries(lost.iter().copied()).flat_map(NackEntry::sequences).collect();
        prop_assert_eq!(read, lost);
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..120), first in any::<u8>()) {
        let mut structure = Structure::default();
        let seeds = Seeds { sequence: 1, timestamp: 2, picture_id: 3, tl0: 4 };
        let codecs = [Codec::Opus, Codec::Red, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];
        let mut rewriters: Vec<_> = codecs.iter().map(|codec| Rewriter::new(*codec, &seeds)).collect();
        take(&bytes, &mut structure, &mut rewriters);
        // Most bytes are of no version; these are.
        let mut bytes = bytes;
        if let Some(byte) = bytes.first_mut() {
            *byte = first & 0x3f | 0x80;
        }
        take(&bytes, &mut structure, &mut rewriters);
        // And a payload that is one of each codec's.
        for codec in codecs {
            codec.frame(&bytes, first & 1 == 1);
        }
    }
}
