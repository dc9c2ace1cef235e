//! At most two a second, one of which is kept for what cannot wait. Pure.

/// Two in any such stretch of time.
const STRETCH_MS: u64 = 1_000;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    last_ms: Option<u64>,
    one_before_ms: Option<u64>,
}

impl Pace {
    /// When the next may go.
    pub(crate) fn next_ms(&self, is_urgent: bool) -> u64 {
        let after = if is_urgent { self.one_before_ms } else { self.last_ms };
        after.map_or(0, |after| after + STRETCH_MS)
    }

    /// One goes.
    pub(crate) fn go(&mut self, now_ms: u64) {
        self.one_before_ms = self.last_ms;
        self.last_ms = Some(now_ms);
    }

    /// Nothing that went has a say any more.
    pub(crate) fn is_rested(&self, now_ms: u64) -> bool {
        self.next_ms(false) <= now_ms
    }
}
