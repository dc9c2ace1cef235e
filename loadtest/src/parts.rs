//! One run in several processes: the first starts the others and is the only one that is seen. It tells them when to begin,
//! each second they tell it what they measured, and everybody learns how far every room has come.
//!
//! The words between them are lines of JSON on stdin and stdout. They share neither files nor memory.

pub mod child;
pub mod parent;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{accounting::Account, figures::Packed, generator::Generator, run::Phase};

/// Which users a process has: every so many-th, so that each room has members in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub index: u32,
    pub of: u32,
}

pub const PARTS_MAX: u32 = 64;

impl Part {
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// How many of so many are in this part.
    pub fn share(self, all: u32) -> u32 {
        (all + self.of - 1 - self.index) / self.of
    }

    /// The number in the whole of one of this part.
    pub fn number(self, own: u32) -> u32 {
        own * self.of + self.index
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |text: &str| text.parse::<u32>().ok();
        let (index, of) =
            text.split_once('/').and_then(|(index, of)| parse(index).zip(parse(of))).unwrap_or((0, 0));
        if index < of && of <= PARTS_MAX {
            Ok(Self { index, of })
        } else {
            Err("a part is written 0/4".to_owned())
        }
    }
}

/// How far a room has come: its number, epoch and place, and what was taken of each sender where there are no places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub room: u32,
    pub epoch: u64,
    pub place: u64,
    pub taken: Vec<(u32, u64)>,
}

/// What a part tells.
#[derive(Debug, Serialize, Deserialize)]
pub enum Told {
    /// Once a second.
    Second {
        figures: Packed,
        connected: u64,
        arrived: u32,
        under_way: u64,
        heads: Vec<Head>,
    },
    End {
        account: Account,
        examples: Vec<String>,
        generator: Box<Generator>,
    },
}

/// What a part is told.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    Load {
        start_us: u64,
        stop_us: u64,
    },
    Settle {
        until_us: u64,
    },
    /// Of all parts together.
    State {
        under_way: u64,
        heads: Vec<Head>,
    },
}

impl Order {
    /// What follows from a phase.
    fn of(phase: Phase) -> Option<Self> {
        match phase {
            Phase::Loading { start_us, stop_us } => Some(Self::Load { start_us, stop_us }),
            Phase::Settling { until_us } => Some(Self::Settle { until_us }),
            Phase::Gathering | Phase::Over => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_is_in_one_part() {
        for (all, of) in [(10, 3), (2, 4), (9_000, 2), (1, 1)] {
            let parts = (0..of).map(|index| Part { index, of });
            let mut numbers: Vec<u32> =
                parts.flat_map(|part| (0..part.share(all)).map(move |own| part.number(own))).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..all).collect::<Vec<_>>());
        }
        assert_eq!("1/3".parse(), Ok(Part { index: 1, of: 3 }));
        for text in ["3/3", "1", "0/65", "-1/2", ""] {
            assert!(text.parse::<Part>().is_err(), "{text}");
        }
    }
}
