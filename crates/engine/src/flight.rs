//! The flight recorder of one connection: what happened to it last, in at most 256 bytes.
//!
//! Traffic and the rest have a ring each, so that a busy room does not wipe out why somebody was refused an hour ago.
//! Entries are eight bytes: what, how long after the one before, and a number that means something to whoever wrote it.
//! It knows no clock: the time is an argument. Nothing is allocated when something is written.

/// What the recorder of a connection may take.
pub const FLIGHT_BYTES_MAX: usize = 256;

const RARE_ENTRIES: usize = 15;
const BUSY_ENTRIES: usize = 9;

const DELTA_BITS: u32 = 24;
const DELTA_MAX: u32 = (1 << DELTA_BITS) - 1;
/// Set: the delta counts seconds. Up to two hours it counts milliseconds, then to three months seconds.
const DELTA_IS_SECONDS: u32 = 1 << (DELTA_BITS - 1);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// The first of a run of deliveries; the number is the event's mark.
    Delivered,
    /// The last of the run, so far.
    DeliveredThrough,
    /// The client sent an event: the application's code for it, and after how many milliseconds it was answered, if it was.
    Asked { code: u8, answered_after_ms: Option<u16> },
    /// An event was answered by a refusal, which the application has numbered.
    Refused,
    /// Its queue was full, and reliable events were kept back from here on. The number: bytes in the queue.
    Behind,
    /// It was given what was kept back, or what it missed: how many events.
    Refilled,
    /// The kernel took no more for it. The number: bytes in the queue.
    Blocked,
    /// Something that nobody is promised was not queued. The number: how often in a row.
    Dropped,
    /// The answer to a ping was late: by how many milliseconds after the ping it came.
    PongLate,
    /// What was queued was thrown away, because the client had gone. The number: bytes.
    Discarded,
    /// The application's own.
    Noted(u8),
}

const DELIVERED: u8 = 1;
const DELIVERED_THROUGH: u8 = 2;
const ASKED: u8 = 3;
const REFUSED: u8 = 4;
const BEHIND: u8 = 5;
const REFILLED: u8 = 6;
const BLOCKED: u8 = 7;
const DROPPED: u8 = 8;
const PONG_LATE: u8 = 9;
/// A second number of the entry before.
const MORE: u8 = 10;
const DISCARDED: u8 = 11;
const NOTED: u8 = 128;

/// Of the application's own kinds there are this many.
pub const NOTES: u8 = 128;

/// One entry, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub what: Happened,
    /// By the clock that the writer was told.
    pub at_ms: u64,
    pub number: u32,
    pub more: Option<u32>,
}

#[derive(Debug, Clone)]
struct Ring<const N: usize> {
    entries: [u64; N],
    /// When the newest was written, and the one before it.
    last_ms: u64,
    before_ms: u64,
    next: u8,
    len: u8,
}

#[derive(Debug, Clone, Default)]
pub struct Recorder {
    rare: Ring<RARE_ENTRIES>,
    busy: Ring<BUSY_ENTRIES>,
    delivered: u32,
    asked: u32,
}

const _: () = assert!(size_of::<Recorder>() <= FLIGHT_BYTES_MAX);

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self { entries: [0; N], last_ms: 0, before_ms: 0, next: 0, len: 0 }
    }
}

fn kind_of(entry: u64) -> u8 {
    (entry >> 56) as u8
}

fn number_of(entry: u64) -> u32 {
    entry as u32
}

fn delta_of(entry: u64) -> u32 {
    (entry >> 32) as u32 & DELTA_MAX
}

/// Longer ones to the second: what was before then seems a little later than it was.
fn delta(passed_ms: u64) -> u32 {
    if passed_ms < u64::from(DELTA_IS_SECONDS) {
        return passed_ms as u32;
    }
    DELTA_IS_SECONDS | (passed_ms / 1_000).min(u64::from(DELTA_IS_SECONDS - 1)) as u32
}

fn delta_ms(delta: u32) -> u64 {
    if delta & DELTA_IS_SECONDS == 0 {
        u64::from(delta)
    } else {
        u64::from(delta & !DELTA_IS_SECONDS) * 1_000
    }
}

impl<const N: usize> Ring<N> {
    #[inline]
    fn push(&mut self, kind: u8, number: u32, now_ms: u64) {
        self.before_ms = if self.len == 0 { now_ms } else { self.last_ms };
        self.last_ms = now_ms.max(self.before_ms);
        self.entries[usize::from(self.next)] = self.written(kind, number);
        self.next = if usize::from(self.next) + 1 == N { 0 } else { self.next + 1 };
        self.len = self.len.saturating_add(1).min(N as u8);
    }

    fn written(&self, kind: u8, number: u32) -> u64 {
        u64::from(kind) << 56 | u64::from(delta(self.last_ms - self.before_ms)) << 32 | u64::from(number)
    }

    /// The newest but `back`.
    #[inline]
    fn newest(&self, back: usize) -> Option<&u64> {
        (back < usize::from(self.len)).then(|| &self.entries[(usize::from(self.next) + N - 1 - back) % N])
    }

    #[inline]
    fn newest_mut(&mut self, back: usize) -> Option<&mut u64> {
        (back < usize::from(self.len)).then(|| &mut self.entries[(usize::from(self.next) + N - 1 - back) % N])
    }

    /// The newest entry happened again, now, with this number.
    #[inline]
    fn again(&mut self, number: u32, now_ms: u64) {
        self.last_ms = self.last_ms.max(now_ms);
        if let Some(kind) = self.newest(0).map(|entry| kind_of(*entry)) {
            let written = self.written(kind, number);
            if let Some(entry) = self.newest_mut(0) {
                *entry = written;
            }
        }
    }

    fn is(&self, back: usize, kind: u8, number: u32) -> bool {
        self.newest(back).is_some_and(|entry| kind_of(*entry) == kind && number_of(*entry) == number)
    }

    /// Newest first: when, and the entry.
    fn backwards(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut at_ms = self.last_ms;
        (0..usize::from(self.len)).filter_map(move |back| {
            let entry = *self.newest(back)?;
            let this_ms = at_ms;
            at_ms = at_ms.saturating_sub(delta_ms(delta_of(entry)));
            Some((this_ms, entry))
        })
    }
}

impl Recorder {
    /// An event that bears this mark was queued.
    #[inline]
    pub fn delivered(&mut self, mark: u32, now_ms: u64) {
        self.delivered = self.delivered.wrapping_add(1);
        match self.busy.newest(0).map(|entry| kind_of(*entry)) {
            Some(DELIVERED_THROUGH) => self.busy.again(mark, now_ms),
            Some(DELIVERED) => self.busy.push(DELIVERED_THROUGH, mark, now_ms),
            _ => self.busy.push(DELIVERED, mark, now_ms),
        }
    }

    /// The client sent an event.
    #[inline]
    pub fn asked(&mut self, code: u8, now_ms: u64) {
        self.asked = self.asked.wrapping_add(1);
        self.busy.push(ASKED, u32::from(code), now_ms);
    }

    /// It was answered: that counts for the oldest that waits, as far as it is remembered.
    pub fn answered(&mut self, now_ms: u64) {
        let waits = |(at_ms, entry): (u64, u64), back| {
            (kind_of(entry) == ASKED && number_of(entry) >> 8 == 0).then_some((at_ms, back))
        };
        let oldest = self.busy.backwards().zip(0..).filter_map(|(entry, back)| waits(entry, back)).last();
        let Some((at_ms, back)) = oldest else { return };
        if let Some(entry) = self.busy.newest_mut(back) {
            // One more than it took, so that zero says that it was not answered.
            let after_ms = now_ms.saturating_sub(at_ms).min(u64::from(u16::MAX) - 1) + 1;
            *entry |= after_ms << 8;
        }
    }

    pub fn refused(&mut self, number: u32, now_ms: u64) {
        self.rare(REFUSED, number, None, now_ms);
    }

    pub fn behind(&mut self, queue_bytes: usize, now_ms: u64) {
        self.rare(BEHIND, saturated(queue_bytes), None, now_ms);
    }

    pub fn refilled(&mut self, events: usize, now_ms: u64) {
        self.rare(REFILLED, saturated(events), None, now_ms);
    }

    pub fn blocked(&mut self, queue_bytes: usize, now_ms: u64) {
        self.once_more(BLOCKED, |_| saturated(queue_bytes), now_ms);
    }

    pub fn dropped(&mut self, now_ms: u64) {
        self.once_more(DROPPED, |count| count.saturating_add(1), now_ms);
    }

    pub fn discarded(&mut self, queue_bytes: usize, now_ms: u64) {
        self.rare(DISCARDED, saturated(queue_bytes), None, now_ms);
    }

    pub fn pong_late(&mut self, after_ms: u64, now_ms: u64) {
        self.rare(PONG_LATE, u32::try_from(after_ms).unwrap_or(u32::MAX), None, now_ms);
    }

    /// The application's own, of a kind below [`NOTES`].
    pub fn note(&mut self, kind: u8, number: u32, more: Option<u32>, now_ms: u64) {
        self.rare(NOTED | kind, number, more, now_ms);
    }

    /// What happens again and again takes one place.
    fn rare(&mut self, kind: u8, number: u32, more: Option<u32>, now_ms: u64) {
        let ring = &mut self.rare;
        match more {
            None if ring.is(0, kind, number) => ring.again(number, now_ms),
            None => ring.push(kind, number, now_ms),
            // Of such a pair the first time stays.
            Some(more) if ring.is(1, kind, number) && ring.is(0, MORE, more) => {}
            Some(more) => {
                ring.push(kind, number, now_ms);
                ring.push(MORE, more, now_ms);
            }
        }
    }

    fn once_more(&mut self, kind: u8, number: impl Fn(u32) -> u32, now_ms: u64) {
        match self.rare.newest(0).filter(|entry| kind_of(**entry) == kind).map(|entry| number_of(*entry)) {
            Some(before) => self.rare.again(number(before), now_ms),
            None => self.rare.push(kind, number(0), now_ms),
        }
    }

    /// How many events with a mark were queued, from the beginning on, as far as 32 bits count.
    pub fn delivered_count(&self) -> u32 {
        self.delivered
    }

    /// How many the client sent.
    pub fn asked_count(&self) -> u32 {
        self.asked
    }

    /// Everything that is remembered, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(RARE_ENTRIES + BUSY_ENTRIES);
        let mut more = None;
        for (at_ms, entry) in self.rare.backwards().chain(self.busy.backwards()) {
            let number = number_of(entry);
            let what = match kind_of(entry) {
                MORE => {
                    more = Some(number);
                    continue;
                }
                DELIVERED => Happened::Delivered,
                DELIVERED_THROUGH => Happened::DeliveredThrough,
                ASKED => {
                    let after = (number >> 8) as u16;
                    Happened::Asked { code: number as u8, answered_after_ms: after.checked_sub(1) }
                }
                REFUSED => Happened::Refused,
                BEHIND => Happened::Behind,
                REFILLED => Happened::Refilled,
                BLOCKED => Happened::Blocked,
                DROPPED => Happened::Dropped,
                PONG_LATE => Happened::PongLate,
                DISCARDED => Happened::Discarded,
                noted if noted >= NOTED => Happened::Noted(noted - NOTED),
                // Nothing else is ever written.
                _ => continue,
            };
            entries.push(Entry { what, at_ms, number, more: more.take() });
        }
        // Newest first within a ring: turned around, what happened at the same time keeps its order.
        entries.reverse();
        entries.sort_by_key(|entry| entry.at_ms);
        entries
    }
}

fn saturated(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
