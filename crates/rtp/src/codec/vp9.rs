//! VP9 (RFC 9628, 4.2).

use super::{Frame, Picture, Places};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Depends on a frame of an earlier picture.
    pub predicted: bool,
    pub starts_frame: bool,
    pub ends_frame: bool,
    /// No higher spatial layer of the picture depends on this frame.
    pub not_for_higher: bool,
    pub picture_id: Option<u16>,
    pub tl0: Option<u8>,
    pub temporal: u8,
    pub spatial: u8,
    pub switch_up: bool,
    /// Depends on the next lower spatial layer of the same picture.
    pub inter_layer: bool,
    pub(super) places: Places,
}

impl Descriptor {
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let flag = |bit: u8| first >> bit & 1 == 1;
        let mut descriptor = Self {
            predicted: flag(6),
            starts_frame: flag(3),
            ends_frame: flag(2),
            not_for_higher: flag(0),
            picture_id: None,
            tl0: None,
            temporal: 0,
            spatial: 0,
            switch_up: false,
            inter_layer: false,
            places: Places::default(),
        };
        let flexible = flag(4);
        let mut at = 1;
        if flag(7) {
            let (id, end) = descriptor.places.id_at(payload, at)?;
            descriptor.picture_id = Some(id);
            at = end;
        }
        if flag(5) {
            let layers = *payload.get(at)?;
            descriptor.temporal = layers >> 5;
            descriptor.switch_up = layers & 0x10 != 0;
            descriptor.spatial = layers >> 1 & 7;
            descriptor.inter_layer = layers & 1 != 0;
            at += 1;
            if !flexible {
                descriptor.tl0 = Some(*payload.get(at)?);
                descriptor.places.tl0 = Some(at as u8);
                at += 1;
            }
        }
        (at < payload.len()).then_some(descriptor)
    }

    pub(super) fn frame(&self) -> Frame {
        // The higher layers of a picture that stands alone are not predicted either, but nobody can begin at them.
        let keyframe = self.starts_frame && !self.predicted && self.spatial == 0;
        Frame {
            starts_frame: self.starts_frame,
            ends_frame: self.ends_frame,
            keyframe,
            spatial: self.spatial,
            temporal: self.temporal,
            switch_up: self.switch_up || keyframe || self.temporal == 0,
            // Not said: the highest temporal layer usually is.
            discardable: false,
            picture: self.picture_id.map(|id| Picture { id, bits: self.places.bits(), tl0: self.tl0 }),
        }
    }
}
