//! Time of day in records: RFC 3339 in UTC with milliseconds, always 24 characters, so that text sorts as time does. Pure.

use std::fmt;
use std::str::FromStr;

/// Milliseconds since 1970, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

/// The last moment of the year 9999: later ones have no form of the same length.
const TIME_MAX: Time = Time(253_402_300_799_999);
const DAY_MS: u64 = 86_400_000;

impl Time {
    /// `20261121T100501Z`, for names of files.
    pub fn compact(self) -> String {
        let (year, month, day) = date(self.0 / DAY_MS);
        let (hour, minute, second) = clock(self.0);
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
    }

    /// The number of the hour since 1970.
    pub fn hour(self) -> u64 {
        self.0 / 3_600_000
    }

    pub(crate) fn text(self) -> String {
        let mut text = Vec::with_capacity(24);
        self.push(&mut text);
        String::from_utf8(text).expect("digits and what stands between them are ASCII")
    }

    pub(crate) fn clamped(self) -> Self {
        self.min(TIME_MAX)
    }

    pub(crate) fn push(self, out: &mut Vec<u8>) {
        let (year, month, day) = date(self.clamped().0 / DAY_MS);
        let (hour, minute, second) = clock(self.clamped().0);
        for (number, digits, end) in [
            (year, 4, b'-'),
            (month, 2, b'-'),
            (day, 2, b'T'),
            (hour, 2, b':'),
            (minute, 2, b':'),
            (second, 2, b'.'),
            (self.clamped().0 % 1_000, 3, b'Z'),
        ] {
            let from = out.len();
            out.resize(from + digits, b'0');
            let mut rest = number;
            for digit in out[from..].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            out.push(end);
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Text that is no moment in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a time in UTC such as `2026-11-21` or `2026-11-21T10:05:01.250Z`")]
pub struct NotATime;

/// A date, or a date and a time; seconds and milliseconds may be left out.
impl FromStr for Time {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let (day, clock) = match text.split_once('T') {
            Some((day, clock)) => (day, clock.strip_suffix('Z').ok_or(NotATime)?),
            None => (text, "00:00"),
        };
        let [year, month, day] = numbers(day, '-', [4, 2, 2])?;
        let (clock, millis) = clock.split_once('.').unwrap_or((clock, "000"));
        let [hour, minute, second] = match clock.matches(':').count() {
            1 => numbers(clock, ':', [2, 2]).map(|[hour, minute]| [hour, minute, 0])?,
            _ => numbers(clock, ':', [2, 2, 2])?,
        };
        let [millis] = numbers(millis, '.', [3])?;
        if hour > 23 || minute > 59 || second > 59 {
            return Err(NotATime);
        }
        let days = days(year, month, day).ok_or(NotATime)?;
        Ok(Self(days * DAY_MS + hour * 3_600_000 + minute * 60_000 + second * 1_000 + millis))
    }
}

fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Result<[u64; N], NotATime> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits).ok_or(NotATime)?;
        if !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotATime);
        }
        *number = part.parse().map_err(|_| NotATime)?;
    }
    if parts.next().is_some() { Err(NotATime) } else { Ok(numbers) }
}

fn clock(millis: u64) -> (u64, u64, u64) {
    let seconds = millis / 1_000;
    (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

/// Years are counted from March on, so that the leap day is the last of its year and months follow from one formula.
const DAYS_FROM_0000_03_01: u64 = 719_468;
const DAYS_PER_400_YEARS: u64 = 146_097;

fn date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_FROM_0000_03_01;
    let (era, of_era) = (days / DAYS_PER_400_YEARS, days % DAYS_PER_400_YEARS);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// The day's number since 1970, if there is such a day and it is not before that.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1_970..=9_999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let year_from_march = year - u64::from(month <= 2);
    let (era, of_era) = (year_from_march / 400, year_from_march % 400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day.checked_sub(1)?;
    let days = era * DAYS_PER_400_YEARS + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    // The 31st of a month that has 30 days comes back as another day.
    let days = days.checked_sub(DAYS_FROM_0000_03_01)?;
    (date(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        // `date -u -d @SECONDS +%FT%T`
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (1_767_225_600, "2026-01-01T00:00:00.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
        ] {
            let time = Time(seconds * 1_000 + 7);
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
        assert_eq!(Time(1_767_225_661_000).compact(), "20260101T000101Z");
        assert_eq!(Time(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn every_day_comes_back() {
        for day in 0..60_000 {
            let time = Time(day * DAY_MS + 12_345_678);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn what_is_left_out_is_zero_and_what_is_wrong_is_refused() {
        assert_eq!("1970-01-02".parse(), Ok(Time(DAY_MS)));
        assert_eq!("1970-01-01T01:02Z".parse(), Ok(Time(3_720_000)));
        assert_eq!("1970-01-01T01:02:03Z".parse(), Ok(Time(3_723_000)));
        for wrong in [
            "",
            "1970",
            "1970-1-1",
            "1969-12-31",
            "2026-02-29",
            "2026-04-31",
            "2026-13-01",
            "2026-01-00",
            "2026-01-01T24:00Z",
            "2026-01-01T00:00",
            "2026-01-01T00:00:00.1Z",
            "2026-01-01T00:00:00+01:00",
            "+026-01-01",
        ] {
            assert_eq!(wrong.parse::<Time>(), Err(NotATime), "{wrong}");
        }
    }
}
