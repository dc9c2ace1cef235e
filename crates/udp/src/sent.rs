//! What became of a batch: how much went out, in how many messages and calls, and what was dropped and why.

use std::ops::{AddAssign, Index};

/// Why a datagram was not sent. None of these holds up the datagrams behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The batch was at its limit: the kernel did not take what was there.
    Full,
    /// No route to the destination, or it is known to be away.
    Unreachable,
    /// The destination answered that nobody listens.
    Refused,
    /// Larger than the way to the destination takes.
    TooLarge,
    /// A firewall on this machine.
    Forbidden,
    /// The kernel had no memory.
    Memory,
    /// Not an address to which this socket can send, and whatever else there may be.
    Other,
}

impl Reason {
    pub const ALL: [Self; 7] = [
        Self::Full,
        Self::Unreachable,
        Self::Refused,
        Self::TooLarge,
        Self::Forbidden,
        Self::Memory,
        Self::Other,
    ];

    /// A word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::Forbidden => "forbidden",
            Self::Memory => "memory",
            Self::Other => "other",
        }
    }

    pub(crate) fn of(errno: i32) -> Self {
        match errno {
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN | libc::ENONET => {
                Self::Unreachable
            }
            libc::ECONNREFUSED => Self::Refused,
            libc::EMSGSIZE => Self::TooLarge,
            libc::EPERM | libc::EACCES => Self::Forbidden,
            libc::ENOBUFS | libc::ENOMEM => Self::Memory,
            _ => Self::Other,
        }
    }
}

/// Datagrams that were not sent, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped([u64; Reason::ALL.len()]);

impl Dropped {
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().zip(self.0)
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn add(&mut self, reason: Reason, datagrams: u64) {
        self.0[reason as usize] += datagrams;
    }
}

impl Index<Reason> for Dropped {
    type Output = u64;

    fn index(&self, reason: Reason) -> &u64 {
        &self.0[reason as usize]
    }
}

/// What one or several flushes did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub datagrams: u64,
    pub bytes: u64,
    /// What the kernel was given: a message may be many datagrams.
    pub messages: u64,
    pub syscalls: u64,
    pub dropped: Dropped,
    /// The kernel's buffer is full. What is left stays in the batch for the next flush.
    pub is_blocked: bool,
}

impl AddAssign for Sent {
    fn add_assign(&mut self, later: Self) {
        self.datagrams += later.datagrams;
        self.bytes += later.bytes;
        self.messages += later.messages;
        self.syscalls += later.syscalls;
        for (sum, datagrams) in self.dropped.0.iter_mut().zip(later.dropped.0) {
            *sum += datagrams;
        }
        self.is_blocked = later.is_blocked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_at_their_places() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
    }
}
