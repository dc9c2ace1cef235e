//! The name of a session: whoever knows it still has to show the right to it, but nobody guesses it.

use std::fmt;
use std::str::FromStr;

/// One peer's stay at a relay, as a publisher or as a viewer: 128 random bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u128);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session's id is 32 hexadecimal digits")]
pub struct NoSessionId;

impl SessionId {
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell sessions apart in a log, and too little to use one.
        write!(f, "{:08x}", (self.0 >> 96) as u32)
    }
}

impl FromStr for SessionId {
    type Err = NoSessionId;

    fn from_str(text: &str) -> Result<Self, NoSessionId> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            return Err(NoSessionId);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| NoSessionId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_again() {
        let id = SessionId::from_random([7; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "7", "+0000000000000000000000000000000", "0707070707070707070707070707070G"] {
            assert_eq!(text.parse::<SessionId>(), Err(NoSessionId), "{text}");
        }
    }
}
