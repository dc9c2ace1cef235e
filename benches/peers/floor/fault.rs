//! What the floor does wrong on purpose, so that a test can see the driver notice. Off unless asked for.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Lose,
    Double,
    /// Another message than the one that was sent: the count is right.
    Swap,
}

impl Fault {
    /// One broadcast in so many goes wrong, for one member.
    pub(crate) const EVERY: u64 = 5;

    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "lose" => Some(Self::Lose),
            "double" => Some(Self::Double),
            "swap" => Some(Self::Swap),
            _ => None,
        }
    }

    /// The frames that this member gets in place of the right ones.
    pub(crate) fn applied(self, frames: &[u8]) -> Vec<u8> {
        match self {
            Self::Lose => Vec::new(),
            Self::Double => frames.repeat(2),
            Self::Swap => {
                let mut frames = frames.to_vec();
                if let Some(at) = memchr::memchr(b'#', &frames) {
                    // The first of ten digits: a number that nobody ever sent.
                    frames[at + 1] = b'9';
                }
                frames
            }
        }
    }
}
