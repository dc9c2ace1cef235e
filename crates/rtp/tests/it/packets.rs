//! Headers, extensions, padding, retransmissions and redundancy, byte by byte.

use turnpike_rtp::red::{Block, Red};
use turnpike_rtp::{
    Element, Fields, Form, Header, Packet, PacketError, PacketMut, WriteError, header_bytes, rtx,
    write_header, write_padding,
};

pub(crate) const FIELDS: Fields =
    Fields { marker: true, payload_type: 96, sequence: 0x1234, timestamp: 0x0102_0304, ssrc: 0xa0b0_c0d0 };

const PLAIN: [u8; 14] = [0x80, 0xe0, 0x12, 0x34, 1, 2, 3, 4, 0xa0, 0xb0, 0xc0, 0xd0, 7, 8];

fn written(extensions: &[Element<'_>], payload: &[u8]) -> Vec<u8> {
    let mut buf = vec![0xee; 600];
    let len = write_header(&mut buf, &FIELDS, extensions).expect("there is room");
    buf.truncate(len);
    buf.extend_from_slice(payload);
    buf
}

#[test]
fn a_plain_packet_is_read_and_written() {
    assert_eq!(written(&[], &[7, 8]), PLAIN);
    let packet = Packet::parse(&PLAIN).unwrap();
    assert_eq!((packet.header.marker, packet.header.payload_type), (true, 96));
    assert_eq!((packet.header.sequence, packet.header.timestamp), (0x1234, 0x0102_0304));
    assert_eq!((packet.header.ssrc, packet.header.form), (0xa0b0_c0d0, Form::None));
    assert_eq!((packet.payload(), packet.extensions().count()), (&[7, 8][..], 0));
}

#[test]
fn sources_and_padding_are_no_payload() {
    let mut bytes = PLAIN.to_vec();
    bytes[0] = 0x80 | 0x20 | 2;
    bytes.splice(12..12, [0, 0, 0, 1, 0, 0, 0, 2]);
    bytes.extend([0, 0, 3]);
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.csrcs().collect::<Vec<_>>(), [1, 2]);
    assert_eq!((packet.payload(), packet.header.padding_len()), (&[7, 8][..], 3));
    assert_eq!(header_bytes(&bytes), Ok(20));
}

#[test]
fn what_is_no_packet_is_said_to_be_none() {
    let with = |change: fn(&mut Vec<u8>)| {
        let mut bytes = PLAIN.to_vec();
        change(&mut bytes);
        Header::parse(&bytes)
    };
    assert_eq!(with(|bytes| bytes.truncate(11)), Err(PacketError::Truncated));
    assert_eq!(with(Vec::clear), Err(PacketError::Truncated));
    assert_eq!(with(|bytes| bytes[0] = 0x40), Err(PacketError::Version));
    assert_eq!(with(|bytes| bytes[0] = 0x81), Err(PacketError::Truncated));
    assert_eq!(with(|bytes| bytes[0] = 0x90), Err(PacketError::Truncated));
    assert_eq!(with(|bytes| bytes.resize(70_000, 0)), Err(PacketError::TooLong));
    // Padding that says nothing, and padding longer than all that is there.
    assert_eq!(with(|bytes| (bytes[0], bytes[13]) = (0xa0, 0)), Err(PacketError::Padding));
    assert_eq!(with(|bytes| (bytes[0], bytes[13]) = (0xa0, 3)), Err(PacketError::Padding));
    assert!(with(|bytes| (bytes[0], bytes[13]) = (0xa0, 2)).is_ok());
}

#[test]
fn the_one_byte_form_is_used_where_it_says_everything() {
    let bytes = written(&[Element { id: 1, value: b"0" }, Element { id: 14, value: &[9; 16] }], &[1]);
    assert_eq!(bytes[12..18], [0xbe, 0xde, 0, 5, 0x10, b'0']);
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.extensions().collect::<Vec<_>>(), [(1, &b"0"[..]), (14, &[9; 16])]);
    assert_eq!((packet.extension(14), packet.extension(2)), (Some(&[9; 16][..]), None));
    assert_eq!(packet.payload(), [1]);
}

#[test]
fn the_two_byte_form_says_the_rest() {
    for (id, value) in [(15, &b"x"[..]), (3, &[0; 17]), (3, &[]), (200, &[5; 255])] {
        let bytes = written(&[Element { id: 1, value: b"0" }, Element { id, value }], &[1, 2]);
        assert_eq!(bytes[12..14], [0x10, 0x00], "{id}");
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.extensions().collect::<Vec<_>>(), [(1, &b"0"[..]), (id, value)]);
        assert_eq!(packet.payload(), [1, 2]);
    }
}

#[test]
fn what_has_no_form_or_no_room_is_not_written() {
    let mut buf = [0; 64];
    let zero = [Element { id: 0, value: b"x" }];
    assert_eq!(write_header(&mut buf, &FIELDS, &zero), Err(WriteError::Extension(0)));
    let mut wide = [0; 600];
    let long = [Element { id: 9, value: &[0; 256] }];
    assert_eq!(write_header(&mut wide, &FIELDS, &long), Err(WriteError::Extension(9)));
    let four = [Element { id: 1, value: &[1; 4] }];
    for len in 0..24 {
        assert_eq!(write_header(&mut buf[..len], &FIELDS, &four), Err(WriteError::NoRoom), "{len}");
    }
    assert_eq!(write_header(&mut buf[..24], &FIELDS, &four), Ok(24));
}

#[test]
fn elements_end_where_they_are_broken() {
    let read = |profile: [u8; 2], block: &[u8]| {
        let mut bytes = PLAIN[..12].to_vec();
        bytes[0] = 0x90;
        bytes.extend(profile);
        bytes.extend([0, (block.len() / 4) as u8]);
        bytes.extend(block);
        let packet = Packet::parse(&bytes).unwrap();
        packet.extensions().map(|(id, value)| (id, value.to_vec())).collect::<Vec<_>>()
    };
    let one = [0xbe, 0xde];
    // Padding before, between and behind.
    assert_eq!(read(one, &[0, 0x10, 5, 0, 0, 0x20, 6, 0]), [(1, vec![5]), (2, vec![6])]);
    // Id fifteen ends all, an element longer than the block too.
    assert_eq!(read(one, &[0x10, 5, 0xf0, 0x20]), [(1, vec![5])]);
    assert_eq!(read(one, &[0x10, 5, 0x2f, 1]), [(1, vec![5])]);
    let two = [0x10, 0x07];
    assert_eq!(read(two, &[1, 0, 9, 1, 5, 0, 0, 0]), [(1, vec![]), (9, vec![5])]);
    assert_eq!(read(two, &[1, 1, 8, 9]), [(1, vec![8])]);
    assert_eq!(read([0x12, 0x34], &[1, 1, 8, 9]), []);
}

#[test]
fn a_packet_is_changed_in_place() {
    let mut bytes = written(&[Element { id: 3, value: &[1, 2] }], &[7, 8, 9]);
    let mut packet = PacketMut::parse(&mut bytes).unwrap();
    packet.set_marker(false);
    packet.set_payload_type(111);
    packet.set_sequence(5);
    packet.set_timestamp(6);
    packet.set_ssrc(7);
    packet.payload_mut()[0] = 70;
    packet.extension_mut(3).unwrap().copy_from_slice(&[3, 4]);
    assert!(packet.extension_mut(4).is_none());
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!((packet.header.marker, packet.header.payload_type), (false, 111));
    assert_eq!((packet.header.sequence, packet.header.timestamp, packet.header.ssrc), (5, 6, 7));
    assert_eq!((packet.payload(), packet.extension(3)), (&[70, 8, 9][..], Some(&[3, 4][..])));
}

#[test]
fn padding_alone_is_a_packet_without_payload() {
    let mut buf = [0xff; 300];
    for (asked, got) in [(0, 1), (1, 1), (255, 255)] {
        let len = write_padding(&mut buf, &FIELDS, &[Element { id: 5, value: &[0, 1] }], asked).unwrap();
        let packet = Packet::parse(&buf[..len]).unwrap();
        assert_eq!((packet.payload().len(), packet.header.padding_len()), (0, got));
        assert_eq!(packet.extension(5), Some(&[0, 1][..]));
    }
}

#[test]
fn a_retransmission_brings_the_packet_back() {
    let original = written(&[Element { id: 1, value: b"hi" }], &[7, 8, 9]);
    let mut buf = [0; 100];
    let rtx = Fields { payload_type: 97, sequence: 500, ssrc: 99, ..FIELDS };
    let elements = [Element { id: 1, value: b"hi" }];
    let len = rtx::wrap(&mut buf, &rtx, &elements, FIELDS.sequence, &[7, 8, 9]).unwrap();
    let packet = Packet::parse(&buf[..len]).unwrap();
    assert_eq!((packet.header.ssrc, packet.header.sequence), (99, 500));
    assert_eq!(rtx::unwrap(packet.payload()), Some((FIELDS.sequence, &[7, 8, 9][..])));

    let header = packet.header;
    let restored = rtx::restore(&mut buf[..len], &header, FIELDS.payload_type, FIELDS.ssrc);
    assert_eq!(restored.unwrap(), original);
}

#[test]
fn an_empty_retransmission_brings_nothing_back() {
    let mut buf = [0; 100];
    let len = write_padding(&mut buf, &FIELDS, &[], 200 / 4).unwrap();
    let header = Header::parse(&buf[..len]).unwrap();
    assert!(rtx::restore(&mut buf[..len], &header, 96, 1).is_none());
    for payload in [&[][..], &[1], &[1, 2]] {
        let rest = rtx::unwrap(payload).map(|(_, rest)| rest.len());
        assert_eq!(rest, (payload.len() == 2).then_some(0));
    }
}

#[test]
fn redundant_blocks_come_oldest_first() {
    let payload = [0xef, 0x0f, 0x00, 2, 0xef, 0x07, 0x80, 1, 111, 1, 2, 3, 4, 5, 6];
    let red = Red::parse(&payload).unwrap();
    let block = |timestamp_offset, payload| Block { payload_type: 111, timestamp_offset, payload };
    assert_eq!(red.primary(), Some(block(0, &[4, 5, 6])));
    assert_eq!(red.collect::<Vec<_>>(), [block(960, &[1, 2]), block(480, &[3]), block(0, &[4, 5, 6])]);
}

#[test]
fn broken_redundancy_is_none() {
    for payload in [&[][..], &[0xef, 0, 0], &[0xef, 0, 0, 2, 111, 1]] {
        assert!(Red::parse(payload).is_none(), "{payload:?}");
    }
    assert!(Red::parse(&[0xef, 0, 0, 0].repeat(40)).is_none());
    assert_eq!(Red::parse(&[111]).unwrap().primary().unwrap().payload, []);
}
