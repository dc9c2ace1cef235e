//! Sequence numbers that wrap.

/// How far `a` is ahead of `b`, negative when it is behind. Right as long as they are less than half a circle apart.
pub fn distance(a: u16, b: u16) -> i16 {
    a.wrapping_sub(b).cast_signed()
}

/// The same for RTP timestamps.
pub fn timestamp_distance(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

/// Turns numbers that wrap into ones that do not, by the nearest reading. The first is given its own value in the
/// second circle, so that what comes a little late before it has a place too.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwrapper {
    newest: Option<u64>,
}

impl Unwrapper {
    pub fn unwrap(&mut self, number: u16) -> u64 {
        let Some(newest) = self.newest else {
            let first = (1 << 16) + u64::from(number);
            self.newest = Some(first);
            return first;
        };
        let value = newest.saturating_add_signed(i64::from(distance(number, newest as u16)));
        self.newest = Some(newest.max(value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_signed_and_wraps() {
        for (a, b, apart) in [(1, 0, 1), (0, 1, -1), (2, 65_534, 4), (65_534, 2, -4), (7, 7, 0)] {
            assert_eq!(distance(a, b), apart, "{a} {b}");
        }
        assert_eq!(timestamp_distance(5, u32::MAX), 6);
    }

    #[test]
    fn unwrapping_follows_the_nearest_reading() {
        let mut unwrapper = Unwrapper::default();
        let first = unwrapper.unwrap(65_530);
        assert_eq!(unwrapper.unwrap(3), first + 9);
        assert_eq!(unwrapper.unwrap(65_535), first + 5);
        assert_eq!(unwrapper.unwrap(4), first + 10);
    }

    #[test]
    fn what_comes_before_the_first_has_a_place() {
        let mut unwrapper = Unwrapper::default();
        let first = unwrapper.unwrap(0);
        assert_eq!(unwrapper.unwrap(65_535), first - 1);
    }
}
