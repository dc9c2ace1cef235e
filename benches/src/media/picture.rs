//! What a viewer can show: frames are put together from packets in their order, and a frame counts when it and all before
//! it back to a keyframe are complete. A viewer without a picture asks for one as libwebrtc does.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{freezes::Freezes, missing::Missing};

/// While there is no picture.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Pieces that wait for one before them: some seconds of a stream. When full it begins anew with a keyframe.
const PIECES_MAX: usize = 4_096;

/// A packet, as far as its payload matters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) ends: bool,
    pub(crate) is_keyframe: bool,
}

impl Piece {
    /// Of VP8 as the load's publisher writes it (RFC 7741 4.2): a keyframe is told by its first packet alone.
    pub(crate) fn of(payload: &[u8], marker: bool) -> Self {
        let begins = payload.first().is_some_and(|first| first & 0x10 != 0);
        let is_keyframe = begins && payload.get(4).is_some_and(|first| first & 1 == 0);
        Self { ends: marker, is_keyframe }
    }
}

#[derive(Default)]
pub(crate) struct Picture {
    pub(crate) missing: Missing,
    pub(crate) freezes: Freezes,
    /// Before the first number wraps around; none is negative.
    highest: Option<u64>,
    pieces: BTreeMap<u64, Piece>,
    /// The next number to be looked at; none without a picture.
    next: Option<u64>,
    keyframe_came: Option<Instant>,
    asked: Option<Instant>,
    first_shown: Option<Instant>,
    pub(crate) frames: u64,
    /// Times that it had to begin anew.
    pub(crate) restarts: u64,
}

impl Picture {
    pub(crate) fn first_shown(&self) -> Option<Instant> {
        self.first_shown
    }

    /// Counting begins anew; what is shown goes on.
    pub(crate) fn forget(&mut self, now: Instant) {
        (self.frames, self.restarts, self.missing.requests) = (0, 0, 0);
        self.freezes.begin(now);
    }

    /// Whether the packet came for the first time.
    pub(crate) fn take(&mut self, sequence: u16, piece: Piece, now: Instant) -> bool {
        let Some(number) = self.number(sequence) else { return false };
        self.missing.came(number, now);
        if self.next.is_some_and(|next| number < next) {
            return false;
        }
        if piece.is_keyframe {
            self.keyframe_came = Some(now);
        }
        if self.pieces.len() >= PIECES_MAX {
            self.begin_anew();
        }
        let is_new = self.pieces.insert(number, piece).is_none();
        if self.next.is_none() {
            self.next = self.pieces.iter().find(|(_, piece)| piece.is_keyframe).map(|(number, _)| *number);
            if let Some(next) = self.next {
                self.pieces = self.pieces.split_off(&next);
                self.missing.forget_before(next);
            }
        }
        self.show(now);
        is_new
    }

    fn number(&mut self, sequence: u16) -> Option<u64> {
        let highest = *self.highest.get_or_insert(u64::from(sequence) + (1 << 16));
        let step = sequence.wrapping_sub(highest as u16).cast_signed();
        let number = highest.checked_add_signed(step.into())?;
        self.highest = Some(highest.max(number));
        Some(number)
    }

    fn show(&mut self, now: Instant) {
        while let Some(next) = self.next
            && let Some(piece) = self.pieces.remove(&next)
        {
            self.next = Some(next + 1);
            if piece.ends {
                self.frames += 1;
                self.first_shown.get_or_insert(now);
                self.freezes.shown(now);
            }
        }
    }

    /// Gives up what nothing brings back.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.next.is_some_and(|next| self.missing.is_given_up(next, now)) {
            self.begin_anew();
        }
    }

    fn begin_anew(&mut self) {
        if let Some(next) = self.next.take() {
            self.missing.forget_before(next + 1);
            self.restarts += 1;
        }
        // One that is here already will do.
        let keyframe = self.pieces.iter().find(|(_, piece)| piece.is_keyframe).map(|(number, _)| *number);
        match keyframe {
            Some(number) => {
                self.pieces = self.pieces.split_off(&number);
                self.missing.forget_before(number);
                self.next = Some(number);
            }
            None => self.pieces.clear(),
        }
    }

    /// Whether to ask for a keyframe now: something comes that cannot be shown, and no keyframe is on its way.
    pub(crate) fn asks_for_keyframe(&mut self, now: Instant) -> bool {
        let lately = |time: Option<Instant>| time.is_some_and(|time| now < time + ASK_AGAIN_AFTER);
        let asks = self.next.is_none()
            && self.pieces.values().any(|piece| piece.ends)
            && !lately(self.asked)
            && !lately(self.keyframe_came);
        if asks {
            self.asked = Some(now);
        }
        asks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(is_keyframe: bool, begins: bool, ends: bool) -> Piece {
        Piece { ends, is_keyframe: is_keyframe && begins }
    }

    /// Frames of three packets each; the first is a keyframe.
    fn stream(first: u16, count: u16) -> impl Iterator<Item = (u16, Piece)> {
        (0..count).map(move |at| (first.wrapping_add(at), piece(at < 3, at % 3 == 0, at % 3 == 2)))
    }

    #[test]
    fn frames_are_shown_in_their_order() {
        let (now, mut picture) = (Instant::now(), Picture::default());
        for (sequence, piece) in stream(65_530, 12) {
            if sequence != 65_533 {
                assert!(picture.take(sequence, piece, now));
            }
        }
        assert_eq!(picture.frames, 1, "all others need the second");
        assert!(picture.take(65_533, piece(false, true, false), now));
        assert_eq!(picture.frames, 4);
        assert!(!picture.take(65_533, piece(false, true, false), now));
    }

    #[test]
    fn without_a_picture_it_asks_and_not_too_often() {
        let (start, mut picture) = (Instant::now(), Picture::default());
        let at = |ms| start + Duration::from_millis(ms);
        assert!(!picture.asks_for_keyframe(start), "nothing comes");
        picture.take(10, piece(false, false, false), start);
        assert!(!picture.asks_for_keyframe(start));
        picture.take(11, piece(false, false, true), start);
        assert!(picture.asks_for_keyframe(start));
        assert!(!picture.asks_for_keyframe(at(199)));
        assert!(picture.asks_for_keyframe(at(200)));
        picture.take(12, piece(true, true, false), at(300));
        assert_eq!(picture.frames, 0);
        picture.take(13, piece(true, false, true), at(310));
        assert_eq!((picture.frames, picture.first_shown()), (1, Some(at(310))));
        assert!(!picture.asks_for_keyframe(at(900)));
    }

    #[test]
    fn what_never_comes_ends_the_picture_until_a_keyframe() {
        let (start, mut picture, mut due) = (Instant::now(), Picture::default(), Vec::new());
        stream(0, 9).filter(|(sequence, _)| *sequence != 4).for_each(|(sequence, piece)| {
            picture.take(sequence, piece, start);
        });
        let mut now = start;
        while picture.restarts == 0 {
            assert!(now < start + Duration::from_secs(1));
            picture.missing.due(now, &mut due);
            now += Duration::from_millis(20);
            picture.tick(now);
        }
        assert_eq!(picture.frames, 1);
        picture.take(9, piece(false, true, true), now);
        assert!(picture.asks_for_keyframe(now));
        picture.take(10, piece(true, true, true), now);
        picture.take(11, piece(false, true, true), now);
        assert_eq!(picture.frames, 3);
    }

    #[test]
    fn what_the_publisher_writes_is_understood() {
        let mut payload = [0; 24];
        payload[..5].copy_from_slice(&[0x90, 0x80, 0x80, 0, 0x10]);
        let first = Piece::of(&payload, false);
        assert!(first.is_keyframe && !first.ends);
        payload[4] |= 1;
        assert!(!Piece::of(&payload, false).is_keyframe);
        payload[0] = 0x80;
        let last = Piece::of(&payload, true);
        assert!(!last.is_keyframe && last.ends);
    }
}
