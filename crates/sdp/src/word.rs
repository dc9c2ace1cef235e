//! Text of a peer that was looked at: short, visible, and unable to end the line that it stands in.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use crate::limits::{MID_BYTES_MAX, RID_BYTES_MAX, WORD_BYTES_MAX};

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $bytes_max:expr, $is_byte:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            pub fn parse(text: &str) -> Option<Self> {
                let is_one = (1..=$bytes_max).contains(&text.len()) && text.bytes().all($is_byte);
                is_one.then(|| Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

text!(
    /// Any visible ASCII without a space: names of streams, tracks, sources and foundations.
    Word,
    WORD_BYTES_MAX,
    |byte: u8| byte.is_ascii_graphic()
);
text!(
    /// Names a section (RFC 9143 4): a `token` of RFC 8866.
    Mid,
    MID_BYTES_MAX,
    is_token
);
text!(
    /// Names a layer (RFC 8851 4).
    Rid,
    RID_BYTES_MAX,
    |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
);

fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'"' | b'('
                | b')'
                | b','
                | b'/'
                | b':'
                | b';'
                | b'<'
                | b'='
                | b'>'
                | b'?'
                | b'@'
                | b'['
                | b'\\'
                | b']'
        )
}

impl Word {
    /// Sixteen hexadecimal digits.
    pub fn hex(number: u64) -> Self {
        Self(format!("{number:016x}").into())
    }
}

impl Mid {
    /// As browsers name theirs.
    pub(crate) fn number(number: usize) -> Self {
        Self(number.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_line_is_no_word() {
        for bad in ["", "a b", "a\r", "a\nb", "é", "a\0", "a\u{202e}", &"x".repeat(257)] {
            assert!(Word::parse(bad).is_none(), "{bad:?}");
            assert!(Mid::parse(bad).is_none() && Rid::parse(bad).is_none(), "{bad:?}");
        }
        assert!(Word::parse("user123@host-ab").is_some() && Word::parse("{3b2c}").is_some());
        assert!(
            Mid::parse("{3b2c}").is_some() && Mid::parse("video0").is_some() && Mid::parse("a/b").is_none()
        );
        assert!(Rid::parse("hi_1-x").is_some() && Rid::parse("h.i").is_none());
        assert!(Rid::parse(&"r".repeat(17)).is_none());
    }
}
