//! AV1 without a dependency descriptor (RTP payload format for AV1, 4.4): the aggregation header and the first OBUs.

use super::Frame;

const SEQUENCE_HEADER: u8 = 1;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;

/// A picture begins with a sequence header, metadata and a frame: more are not looked through for layer ids.
const ELEMENTS_MAX: usize = 8;

/// The first byte of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aggregation {
    /// The first element goes on from the packet before.
    pub continues: bool,
    /// The last element goes on in the next packet.
    pub continued: bool,
    /// How many elements, zero when each has its length.
    pub elements: u8,
    /// The first packet of a coded video sequence.
    pub starts_sequence: bool,
}

impl Aggregation {
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let aggregation = Self {
            continues: first & 0x80 != 0,
            continued: first & 0x40 != 0,
            elements: first >> 4 & 3,
            starts_sequence: first & 0x08 != 0,
        };
        // A sequence cannot begin in the middle of an element, and there is no packet without elements.
        let sound = payload.len() > 1 && !(aggregation.continues && aggregation.starts_sequence);
        sound.then_some(aggregation)
    }
}

pub(super) fn frame(payload: &[u8], marker: bool) -> Option<Frame> {
    let aggregation = Aggregation::parse(payload)?;
    let facts = walk(aggregation, &payload[1..])?;
    let keyframe = aggregation.starts_sequence || facts.sequence_header;
    Some(Frame {
        starts_frame: !aggregation.continues,
        ends_frame: marker,
        keyframe,
        spatial: facts.spatial,
        temporal: facts.temporal,
        switch_up: keyframe || facts.temporal == 0,
        discardable: false,
        picture: None,
    })
}

#[derive(Default)]
struct Facts {
    sequence_header: bool,
    spatial: u8,
    temporal: u8,
}

fn walk(aggregation: Aggregation, mut rest: &[u8]) -> Option<Facts> {
    let mut facts = Facts::default();
    for index in 1..=ELEMENTS_MAX {
        let element;
        if index == usize::from(aggregation.elements) {
            (element, rest) = (rest, &[][..]);
        } else {
            let (len, after) = leb128(rest)?;
            (element, rest) = after.split_at_checked(len)?;
        }
        let begins = index > 1 || !aggregation.continues;
        if begins && obu(element, &mut facts) || rest.is_empty() {
            break;
        }
    }
    Some(facts)
}

/// Says whether it is a frame, behind which nothing new is told.
fn obu(element: &[u8], facts: &mut Facts) -> bool {
    let Some(head) = element.first() else { return false };
    let kind = head >> 3 & 0x0f;
    facts.sequence_header |= kind == SEQUENCE_HEADER;
    if head & 0x04 != 0
        && let Some(layers) = element.get(1)
    {
        facts.temporal = layers >> 5;
        facts.spatial = layers >> 3 & 3;
    }
    matches!(kind, FRAME | FRAME_HEADER)
}

/// A length of at most four groups of seven bits; no packet is longer.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}
