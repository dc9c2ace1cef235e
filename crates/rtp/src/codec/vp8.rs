//! VP8 (RFC 7741, 4.2 and 4.3).

use super::{Frame, Picture, Places};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    pub non_reference: bool,
    pub starts_partition: bool,
    pub partition: u8,
    pub picture_id: Option<u16>,
    pub tl0: Option<u8>,
    pub temporal: u8,
    /// Depends on the lowest temporal layer only.
    pub layer_sync: bool,
    /// Where the frame's own bytes begin.
    pub len: usize,
    pub(super) places: Places,
}

impl Descriptor {
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let mut descriptor = Self {
            non_reference: first & 0x20 != 0,
            starts_partition: first & 0x10 != 0,
            partition: first & 0x07,
            picture_id: None,
            tl0: None,
            temporal: 0,
            layer_sync: false,
            len: 1,
            places: Places::default(),
        };
        if first & 0x80 != 0 {
            descriptor.extended(payload)?;
        }
        // A packet without a byte of the frame says nothing about it.
        (descriptor.len < payload.len()).then_some(descriptor)
    }

    fn extended(&mut self, payload: &[u8]) -> Option<()> {
        let present = *payload.get(1)?;
        let mut at = 2;
        if present & 0x80 != 0 {
            let (id, end) = self.places.id_at(payload, at)?;
            self.picture_id = Some(id);
            at = end;
        }
        if present & 0x40 != 0 {
            self.tl0 = Some(*payload.get(at)?);
            self.places.tl0 = Some(at as u8);
            at += 1;
        }
        if present & 0x30 != 0 {
            let byte = *payload.get(at)?;
            if present & 0x20 != 0 {
                self.temporal = byte >> 6;
                self.layer_sync = byte & 0x20 != 0;
            }
            at += 1;
        }
        self.len = at;
        Some(())
    }

    pub(super) fn frame(&self, payload: &[u8], marker: bool) -> Frame {
        let starts_frame = self.starts_partition && self.partition == 0;
        // The frame's first bit says that it is predicted.
        let keyframe = starts_frame && payload.get(self.len).is_some_and(|byte| byte & 1 == 0);
        Frame {
            starts_frame,
            ends_frame: marker,
            keyframe,
            spatial: 0,
            temporal: self.temporal,
            switch_up: keyframe || self.temporal == 0 || self.layer_sync,
            discardable: self.non_reference,
            picture: self.picture_id.map(|id| Picture { id, bits: self.places.bits(), tl0: self.tl0 }),
        }
    }
}
