//! Which trace something belongs to, and how that is said in a header (W3C Trace Context, `traceparent`).

use std::fmt;

/// One span of a trace, as others are told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    pub trace: u128,
    pub span: u64,
    /// Whoever began the trace wants it to be kept.
    pub sampled: bool,
}

impl TraceContext {
    pub const HEADER: &str = "traceparent";

    /// None: it is not of the form, or says nothing. Later versions are read as far as this one knows them (4.).
    pub fn parse(header: &str) -> Option<Self> {
        let bytes = header.as_bytes();
        let is_longer = bytes.len() > 55;
        if bytes.len() < 55
            || [2, 35, 52].iter().any(|dash| bytes[*dash] != b'-')
            || (is_longer && bytes[55] != b'-')
        {
            return None;
        }
        let version = hex(&bytes[..2])?;
        let (trace, span, flags) = (hex(&bytes[3..35])?, hex(&bytes[36..52])?, hex(&bytes[53..55])?);
        let is_known = version != 0xff && (version != 0 || !is_longer);
        let span = u64::try_from(span).ok()?;
        (is_known && trace != 0 && span != 0).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }

    /// The trace of a message. All nodes come to the same one without telling each other, and so to the same decision
    /// whether it is kept.
    pub fn trace_of_message(room: &str, published_ms: u64, seq: u64) -> u128 {
        let half = |salt: u64| {
            let bytes = room.bytes().chain(published_ms.to_be_bytes()).chain(seq.to_be_bytes());
            // FNV-1a, which is cheap, and a last step that spreads what it leaves close together (splitmix64).
            let hash = bytes.fold(0xcbf2_9ce4_8422_2325 ^ salt, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
            spread(hash)
        };
        (u128::from(half(0)) << 64 | u128::from(half(0x9e37_79b9_7f4a_7c15))).max(1)
    }
}

pub(crate) fn spread(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Lower case alone, as the specification has it.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn headers_that_say_something_and_such_that_do_not() {
        let context = TraceContext::parse(GOOD).unwrap();
        assert_eq!((context.span, context.sampled), (0xb7ad_6b71_6920_3331, true));
        assert_eq!(context.to_string(), GOOD);
        assert!(!TraceContext::parse(&GOOD.replace("-01", "-00")).unwrap().sampled);
        let later = GOOD.replacen("00-", "cc-", 1) + "-what-will-be";
        assert_eq!(TraceContext::parse(&later), Some(context));
        for bad in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replacen("00-", "ff-", 1),
            &GOOD.replacen("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32), 1),
            &GOOD.replacen("b7ad6b7169203331", &"0".repeat(16), 1),
            &format!("{GOOD}-more"),
            &format!("{GOOD}x"),
            &GOOD[..54],
            &GOOD.replacen('-', "_", 1),
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn messages_have_traces_of_their_own() {
        let traces: std::collections::BTreeSet<u128> = ["chat:1", "chat:2"]
            .iter()
            .flat_map(|room| (0..1_000).map(|seq| TraceContext::trace_of_message(room, 7, seq)))
            .collect();
        assert_eq!(traces.len(), 2_000);
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back(trace in 1..u128::MAX, span in 1..u64::MAX, sampled: bool) {
            let context = TraceContext { trace, span, sampled };
            prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        }

        #[test]
        fn no_header_is_too_strange(header in ".{0,80}") {
            let _ = TraceContext::parse(&header);
        }
    }
}
