//! H.264 (RFC 6184): single NAL units, aggregates (STAP-A) and fragments (FU-A).

use super::Frame;
use crate::bytes::be16;

const SLICE: u8 = 1;
const IDR: u8 = 5;
const SPS: u8 = 7;
const DELIMITER: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// A browser aggregates three or four. What stands behind is not looked at.
const AGGREGATED_MAX: usize = 16;

#[derive(Default)]
struct Facts {
    starts_frame: bool,
    keyframe: bool,
    reference: bool,
}

impl Facts {
    /// `unit` begins with its header and need not be whole.
    fn add(&mut self, unit: &[u8]) {
        let Some(head) = unit.first() else { return };
        // The first macroblock's number is an Exp-Golomb code: zero is a single set bit.
        let first_slice = unit.get(1).is_some_and(|byte| byte & 0x80 != 0);
        match head & 0x1f {
            SPS => (self.starts_frame, self.keyframe) = (true, true),
            IDR if first_slice => (self.starts_frame, self.keyframe) = (true, true),
            SLICE if first_slice => self.starts_frame = true,
            DELIMITER => self.starts_frame = true,
            _ => {}
        }
        self.reference |= head & 0x60 != 0;
    }
}

pub(super) fn frame(payload: &[u8], marker: bool) -> Option<Frame> {
    let head = *payload.first()?;
    let mut facts = Facts::default();
    match head & 0x1f {
        STAP_A => aggregate(&payload[1..], &mut facts)?,
        FU_A => {
            let (unit, rest) = payload.get(1..)?.split_first()?;
            // The fragment's first packet has the beginning of the unit, its header split in two.
            if unit & 0x80 != 0 {
                facts.add(&[head & 0x60 | unit & 0x1f, *rest.first()?]);
            }
            facts.reference |= head & 0x60 != 0;
        }
        _ => facts.add(payload),
    }
    Some(Frame {
        starts_frame: facts.starts_frame,
        ends_frame: marker,
        keyframe: facts.keyframe,
        spatial: 0,
        temporal: 0,
        switch_up: facts.keyframe,
        discardable: !facts.reference,
        picture: None,
    })
}

fn aggregate(mut units: &[u8], facts: &mut Facts) -> Option<()> {
    for _ in 0..AGGREGATED_MAX {
        if units.is_empty() {
            break;
        }
        let len = usize::from(be16(units, 0)?);
        facts.add(units.get(2..2 + len)?);
        units = &units[2 + len..];
    }
    Some(())
}
