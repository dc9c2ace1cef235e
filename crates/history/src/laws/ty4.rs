//! 10,000 typing events a second move the p99 of messages by less than 10 %.

use super::p13::compared;
use crate::What;
use crate::index::Index;
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let Some((before, during, at_us)) = compared(index, What::TYPING_LOAD) else { return Vec::new() };
    if during * 10 >= before * 11 {
        return vec![found!(at_us, "the p99 went from {before} us to {during} us")];
    }
    Vec::new()
}
