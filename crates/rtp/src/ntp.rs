//! Times of sender reports, and how a source's timestamps lie against them.

use std::time::Duration;

/// Seconds from 1900 to 1970.
const UNIX_EPOCH_SECONDS: u64 = 2_208_988_800;

/// 32 bits of seconds since 1900, 32 bits of fractions (RFC 3550, 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NtpTime(pub u64);

impl NtpTime {
    pub fn from_unix(since_1970: Duration) -> Self {
        let seconds = since_1970.as_secs().wrapping_add(UNIX_EPOCH_SECONDS);
        let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
        Self(seconds << 32 | fraction)
    }

    /// The middle 32 bits, by which receiver reports name a sender report.
    pub fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// In units of 2^-32 seconds, negative when `self` is before `earlier`. Eras wrap.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let fraction = (u64::from(span.subsec_nanos()) << 32) / 1_000_000_000;
        Self(self.0.wrapping_add(span.as_secs() << 32).wrapping_add(fraction))
    }
}

/// One instant in both of a source's clocks, as its last sender report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockMapping {
    pub ntp: NtpTime,
    pub rtp: u32,
}

impl ClockMapping {
    /// The timestamp that the source gives to what is captured at `ntp`.
    pub fn rtp_at(&self, ntp: NtpTime, clock_hz: u32) -> u32 {
        let ticks = (i128::from(ntp.since(self.ntp)) * i128::from(clock_hz) + (1 << 31)) >> 32;
        self.rtp.wrapping_add(ticks as u32)
    }

    /// When what bears the timestamp was captured; right within half a circle of the report.
    pub fn ntp_at(&self, rtp: u32, clock_hz: u32) -> NtpTime {
        let ticks = i128::from(rtp.wrapping_sub(self.rtp).cast_signed());
        let span = (ticks << 32) / i128::from(clock_hz.max(1));
        NtpTime(self.ntp.0.wrapping_add(span as u64))
    }

    /// The timestamp that `other` gives to what `self` gives `rtp`. Means something only when both sources tell the
    /// same time, that is, when one device publishes both.
    pub fn translate(&self, rtp: u32, other: &Self, clock_hz: u32) -> u32 {
        other.rtp_at(self.ntp_at(rtp, clock_hz), clock_hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_time_is_seventy_years_later() {
        let time = NtpTime::from_unix(Duration::from_millis(1_500));
        assert_eq!(time.0, (UNIX_EPOCH_SECONDS + 1) << 32 | 1 << 31);
        assert_eq!(time.plus(Duration::from_millis(500)).since(time), 1 << 31);
        assert_eq!(time.middle(), (time.0 >> 16) as u32);
    }

    #[test]
    fn two_layers_agree_on_an_instant() {
        let low = ClockMapping { ntp: NtpTime(100 << 32), rtp: 4_000_000_000 };
        let high = ClockMapping { ntp: NtpTime(103 << 32), rtp: 50 };
        // Two seconds after low's report is one before high's.
        let rtp = 4_000_000_000_u32.wrapping_add(180_000);
        assert_eq!(low.translate(rtp, &high, 90_000), 50_u32.wrapping_sub(90_000));
        assert_eq!(high.translate(50_u32.wrapping_sub(90_000), &low, 90_000), rtp);
    }
}
