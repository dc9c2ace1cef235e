//! The numbers of frames, which decoders expect to go on without jumps.

use crate::codec::{Picture, mask};

#[derive(Debug, Clone)]
pub(super) struct Pictures {
    /// Whether the number of a frame that is left out goes to the next.
    closes: bool,
    newest_input: u16,
    /// What the viewer was sent.
    newest_output: u16,
    offset: u16,
    newest_tl0: u8,
    tl0_offset: u8,
}

impl Pictures {
    pub(super) fn new(closes: bool, first: u16, first_tl0: u8) -> Self {
        Self {
            closes,
            newest_input: 0,
            newest_output: first.wrapping_sub(1),
            offset: 0,
            newest_tl0: first_tl0.wrapping_sub(1),
            tl0_offset: 0,
        }
    }

    pub(super) fn set_closes(&mut self, closes: bool) {
        self.closes = closes;
    }

    pub(super) fn offset(&self) -> u16 {
        self.offset
    }

    pub(super) fn tl0_offset(&self) -> u8 {
        self.tl0_offset
    }

    pub(super) fn start(&mut self, picture: Option<Picture>) {
        let Some(picture) = picture else { return };
        self.newest_output = self.newest_output.wrapping_add(1) & mask(picture.bits);
        self.newest_input = picture.id;
        self.offset = self.newest_output.wrapping_sub(picture.id);
        if let Some(tl0) = picture.tl0 {
            self.newest_tl0 = self.newest_tl0.wrapping_add(1);
            self.tl0_offset = self.newest_tl0.wrapping_sub(tl0);
        }
    }

    pub(super) fn forward(&mut self, picture: Option<Picture>) {
        let Some(picture) = picture else { return };
        if self.is_newer(picture) {
            self.newest_input = picture.id;
            self.note(picture);
        }
    }

    fn note(&mut self, picture: Picture) {
        self.newest_output = picture.id.wrapping_add(self.offset) & mask(picture.bits);
        if let Some(tl0) = picture.tl0 {
            self.newest_tl0 = tl0.wrapping_add(self.tl0_offset);
        }
    }

    pub(super) fn skip(&mut self, picture: Option<Picture>) {
        let Some(picture) = picture.filter(|picture| self.is_newer(*picture)) else { return };
        self.newest_input = picture.id;
        if self.closes {
            self.offset = self.offset.wrapping_sub(1);
        }
        // Those that are missing before it keep their numbers.
        self.note(picture);
    }

    pub(super) fn output(&self, picture: Option<Picture>) -> (u16, u8) {
        let Some(picture) = picture else { return (0, 0) };
        let id = picture.id.wrapping_add(self.offset) & mask(picture.bits);
        (id, picture.tl0.unwrap_or(0).wrapping_add(self.tl0_offset))
    }

    fn is_newer(&self, picture: Picture) -> bool {
        let all = mask(picture.bits);
        let ahead = picture.id.wrapping_sub(self.newest_input) & all;
        ahead != 0 && ahead <= all / 2
    }
}
