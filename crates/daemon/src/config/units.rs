//! Durations and sizes, written with their unit.

use std::cmp::Ordering;
use std::time::Duration;

use super::value::Setting;

const DURATIONS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

// Largest first: showing picks the first that divides.
const SIZES: [(&str, usize); 6] = [
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("KB", 1_000),
    ("KiB", 1 << 10),
];

impl Setting for Duration {
    // A bare number is what comparable systems take for HEARTBEAT_INTERVAL, and there it is milliseconds.
    const EXPECTS: &'static str =
        "a duration such as `500ms`, `25s`, `2m`, `1h` (a bare number is milliseconds)";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let unit = if unit.is_empty() { "ms" } else { unit };
        let factor = DURATIONS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let (Some(factor), Ok(number)) = (factor, u64::parse(number)) else {
            return Err("is not a duration".into());
        };
        number.checked_mul(factor).map(Self::from_millis).ok_or_else(|| "is too long".into())
    }

    fn show(&self) -> String {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        // Seconds and minutes are what people write; nobody reads `2d` in a timeout gladly, but it is exact.
        let (unit, factor) = DURATIONS
            .iter()
            .rev()
            .find(|(_, factor)| millis != 0 && millis % factor == 0)
            .unwrap_or(&DURATIONS[0]);
        format!("{}{unit}", millis / factor)
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub usize);

impl Setting for ByteSize {
    const EXPECTS: &'static str = "a size such as `64KiB`, `1MB` (a bare number is bytes)";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let factor = match unit {
            "" | "B" => Some(1),
            unit => SIZES.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor),
        };
        let (Some(factor), Ok(number)) = (factor, usize::parse(number)) else {
            return Err("is not a size".into());
        };
        number.checked_mul(factor).map(Self).ok_or_else(|| "is too large".into())
    }

    fn show(&self) -> String {
        match SIZES.iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => format!("{}{unit}", self.0 / factor),
            None => self.0.to_string(),
        }
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `25 s` and `25s` are the same.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '_').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_with_and_without_a_unit() {
        for (text, millis) in
            [("25s", 25_000), ("25000", 25_000), ("2m", 120_000), ("1 h", 3_600_000), ("0", 0)]
        {
            assert_eq!(Duration::parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "1.5s", "1w", "25 apples", "99999999999999999999", "9999999999999999d"] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        for (text, bytes) in
            [("1MB", 1_000_000), ("1MiB", 1_048_576), ("64 KiB", 65_536), ("1024", 1_024), ("7B", 7)]
        {
            assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MB", "-1", "1.5MB", "1mb", "1TB", "18446744073709551615GiB"] {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in 0_u64..1 << 50, bytes in 0_usize..1 << 50) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(Duration::parse(&duration.show()), Ok(duration));
            prop_assert_eq!(ByteSize::parse(&ByteSize(bytes).show()), Ok(ByteSize(bytes)));
        }
    }
}
