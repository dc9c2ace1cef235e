//! What stands in the extensions, read and written byte for byte.

use std::time::Duration;

use crate::bytes::{be16, be24, be64};

/// The letters of a mid or rid: printable, and short enough to be compared without thought.
const IDENTIFIER_BYTES_MAX: usize = 32;

/// A mid or a rid. `None` when it is empty, long or not of letters that SDP could name.
pub fn identifier(value: &[u8]) -> Option<&str> {
    let fits = matches!(value.len(), 1..=IDENTIFIER_BYTES_MAX) && value.iter().all(u8::is_ascii_graphic);
    str::from_utf8(value).ok().filter(|_| fits)
}

/// The number of transport-wide congestion control. Written with `to_be_bytes`.
pub fn transport_sequence(value: &[u8]) -> Option<u16> {
    be16(value, 0)
}

/// RFC 6464.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    pub voice: bool,
    /// Decibels below the loudest: 0 is loud, 127 silence.
    pub below_full_db: u8,
}

impl AudioLevel {
    pub fn parse(value: &[u8]) -> Option<Self> {
        let byte = *value.first()?;
        Some(Self { voice: byte & 0x80 != 0, below_full_db: byte & 0x7f })
    }

    pub fn bytes(self) -> [u8; 1] {
        [u8::from(self.voice) << 7 | self.below_full_db & 0x7f]
    }
}

/// When a packet left, in 2^-18 seconds, round every 64 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsSendTime(u32);

impl AbsSendTime {
    /// `time` counts from any moment that stays the same.
    pub fn at(time: Duration) -> Self {
        let fraction = (u64::from(time.subsec_nanos()) << 18) / 1_000_000_000;
        let parts = ((time.as_secs() & 63) << 18) | fraction;
        Self(parts as u32)
    }

    pub fn parse(value: &[u8]) -> Option<Self> {
        be24(value, 0).map(Self)
    }

    pub fn bytes(self) -> [u8; 3] {
        let [_, high, middle, low] = self.0.to_be_bytes();
        [high, middle, low]
    }

    /// In microseconds, negative when `self` is before `earlier`; right within 32 seconds.
    pub fn since_us(self, earlier: Self) -> i64 {
        let apart = (self.0.wrapping_sub(earlier.0) << 8).cast_signed() >> 8;
        (i64::from(apart) * 1_000_000) >> 18
    }
}

/// When the first octet of a frame was captured, by the clock of whoever captured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsCaptureTime {
    /// NTP, 2^-32 seconds.
    pub captured: u64,
    /// What to add to get the sender's own clock, in 2^-32 seconds.
    pub offset: Option<i64>,
}

impl AbsCaptureTime {
    pub fn parse(value: &[u8]) -> Option<Self> {
        Some(Self { captured: be64(value, 0)?, offset: be64(value, 8).map(u64::cast_signed) })
    }
}

/// How a picture must be turned (3GPP TS 26.114, 7.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoOrientation {
    pub back_camera: bool,
    pub flipped: bool,
    pub clockwise_degrees: u16,
}

impl VideoOrientation {
    pub fn parse(value: &[u8]) -> Option<Self> {
        let byte = *value.first()?;
        Some(Self {
            back_camera: byte & 8 != 0,
            flipped: byte & 4 != 0,
            clockwise_degrees: u16::from(byte & 3) * 90,
        })
    }
}

/// How long a receiver should hold frames back, in steps of 10 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutDelay {
    pub shortest_ms: u16,
    pub longest_ms: u16,
}

impl PlayoutDelay {
    pub fn parse(value: &[u8]) -> Option<Self> {
        let bits = be24(value, 0)?;
        Some(Self { shortest_ms: (bits >> 12) as u16 * 10, longest_ms: (bits & 0xfff) as u16 * 10 })
    }

    pub fn bytes(self) -> [u8; 3] {
        let steps = |ms: u16| u32::from(ms / 10).min(0xfff);
        let [_, high, middle, low] = (steps(self.shortest_ms) << 12 | steps(self.longest_ms)).to_be_bytes();
        [high, middle, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_short_and_printable() {
        assert_eq!(identifier(b"hi"), Some("hi"));
        for bad in [&b""[..], b"a b", b"\xff", b"012345678901234567890123456789012"] {
            assert_eq!(identifier(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn values_survive_being_written() {
        let level = AudioLevel { voice: true, below_full_db: 37 };
        assert_eq!(AudioLevel::parse(&level.bytes()), Some(level));
        let delay = PlayoutDelay { shortest_ms: 100, longest_ms: 40_950 };
        assert_eq!(PlayoutDelay::parse(&delay.bytes()), Some(delay));
        let time = AbsSendTime::at(Duration::from_micros(63_999_999));
        assert_eq!(AbsSendTime::parse(&time.bytes()), Some(time));
    }

    #[test]
    fn send_times_wrap() {
        let before = AbsSendTime::at(Duration::from_millis(63_500));
        let after = AbsSendTime::at(Duration::from_millis(64_250));
        assert_eq!(after.since_us(before), 750_000);
        assert_eq!(before.since_us(after), -750_000);
    }

    #[test]
    fn capture_time_has_its_offset_only_if_sent() {
        let value = [0, 0, 0, 1, 0, 0, 0, 2, 255, 255, 255, 255, 255, 255, 255, 254];
        let whole = AbsCaptureTime::parse(&value).unwrap();
        assert_eq!((whole.captured, whole.offset), (1 << 32 | 2, Some(-2)));
        assert_eq!(AbsCaptureTime::parse(&value[..8]).unwrap().offset, None);
        assert_eq!(AbsCaptureTime::parse(&value[..7]), None);
    }
}
