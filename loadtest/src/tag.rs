//! What every message of a run carries, so that whoever gets it knows where it comes from and when it was due.
//!
//! Text in, values out. When a message is due is told by the clock of the machine in microseconds, so that processes of one
//! machine can read each other's.

use std::fmt::Write as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Messages of other runs in the same room are not ours to judge.
    pub run: u32,
    pub sender: u32,
    /// Counts what this sender sent.
    pub number: u32,
    pub due_us: u64,
}

const OPEN: &str = "tp!";
const CLOSE: u8 = b'!';
const FILLER: &str = " and the quick brown fox jumps over the lazy dog";

impl Tag {
    /// The JSON of a body of about so many bytes.
    pub fn body(&self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes.max(64) + 2);
        let _ = write!(text, "\"{OPEN}{:x}.{}.{}.{}!", self.run, self.sender, self.number, self.due_us);
        while text.len() < bytes {
            text.push_str(&FILLER[..FILLER.len().min(bytes - text.len())]);
        }
        text.push('"');
        text
    }

    /// The id under which it is sent, and sent again.
    pub fn message_id(&self) -> String {
        format!("{:x}.{}.{}", self.run, self.sender, self.number)
    }

    /// Of the JSON of a body, if it is one of ours.
    pub fn find(body: &str) -> Option<Self> {
        // Where it was put, or further on if the server has wrapped it in something.
        let (_, rest) = match body.strip_prefix('"').and_then(|body| body.strip_prefix(OPEN)) {
            Some(rest) => ("", rest),
            None => body.split_once(OPEN)?,
        };
        let (run, rest) = digits(rest.as_bytes(), 16, b'.')?;
        let (sender, rest) = digits(rest, 10, b'.')?;
        let (count, rest) = digits(rest, 10, b'.')?;
        let (due_us, _) = digits(rest, 10, CLOSE)?;
        let small = |number: u64| u32::try_from(number).ok();
        Some(Self { run: small(run)?, sender: small(sender)?, number: small(count)?, due_us })
    }

    /// One number that stands for the message: two messages have the same by chance alone.
    pub fn mark(&self) -> u64 {
        let plain = u64::from(self.sender) << 32 | u64::from(self.number);
        (plain ^ u64::from(self.run).rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
    }
}

/// Digits up to the end mark, and what comes behind it. Each delivery has four of these.
fn digits(text: &[u8], radix: u32, end: u8) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in text.iter().enumerate() {
        if *byte == end {
            return (at > 0).then_some((number, &text[at + 1..]));
        }
        let digit = char::from(*byte).to_digit(radix)?;
        number = number.checked_mul(u64::from(radix))?.checked_add(u64::from(digit))?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_found() {
        let tag = Tag { run: 0xbeef, sender: 17, number: 4_000_000_000, due_us: 1_795_284_000_123_456 };
        for bytes in [0, 64, 128, 4_096] {
            let body = tag.body(bytes);
            assert_eq!(Tag::find(&body), Some(tag));
            assert!(body.len() >= bytes && body.len() < bytes.max(64) + 16, "{bytes}: {}", body.len());
            serde_json::from_str::<String>(&body).unwrap();
        }
        assert_eq!(tag.message_id(), "beef.17.4000000000");
    }

    #[test]
    fn what_is_not_ours_is_not_found() {
        for body in [
            "\"hello\"",
            "\"tp!\"",
            "\"tp!1.2.3!\"",
            "\"tp!1.2.3.4.5!\"",
            "\"tp!x.2.3.4!\"",
            "\"tp!1.2.3.4",
            "\"tp!1..3.4!\"",
            "\"tp!1.2.4294967296.4!\"",
            "\"tp!1.2.3.18446744073709551616!\"",
            "\"tp!1.2.3.-4!\"",
            "",
        ] {
            assert_eq!(Tag::find(body), None, "{body}");
        }
    }

    #[test]
    fn neighbours_have_different_marks() {
        let mark = |sender, number| Tag { run: 1, sender, number, due_us: 0 }.mark();
        assert_ne!(mark(1, 2), mark(2, 1));
        assert_ne!(mark(1, 1), mark(1, 2));
    }
}
