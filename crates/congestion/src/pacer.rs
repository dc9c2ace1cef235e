//! Spreads what is sent to a peer over time, so that a keyframe does not overrun the path's queue.
//!
//! It owns the budget and what waits for it. It must not know packets: a handle stands for one, and is small. While
//! nothing waits and the budget allows, a packet passes without being stored, so an ordinary frame leaves as one batch.

use crate::Class;
use crate::probe::{Probe, ProbeId};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How a pacer paces. One value for all viewers will do.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How much faster than the target packets may leave. Video comes in frames, and whoever paces it at its mean
    /// adds the time of a frame to each frame.
    pub factor: f64,
    /// What may leave at once after a pause. With a factor of 2.5 the mean frame of a stream that uses the whole target
    /// at 30 frames a second takes 13 ms.
    pub burst: Duration,
    /// How much of the budget must be there before queued packets leave: fewer wake-ups, larger batches.
    pub quantum: Duration,
    /// Full means that the packet is dropped and the caller told; whoever watches will ask for it again.
    pub queued_packets_max: usize,
    pub queued_bytes_max: usize,
    /// What has waited longer is dropped and told. For video the caller should take a lower layer or a keyframe.
    pub queued_video_max: Duration,
    /// A retransmission that is later than this comes after the frame was given up.
    pub queued_retransmission_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            factor: 2.5,
            burst: Duration::from_millis(15),
            quantum: Duration::from_millis(5),
            queued_packets_max: 512,
            queued_bytes_max: 384 * 1024,
            queued_video_max: Duration::from_secs(1),
            queued_retransmission_max: Duration::from_millis(300),
        }
    }
}

/// Audio is not held back, only counted, up to so much debt: more is not audio.
const AUDIO_DEBT_MAX_NS: u64 = 100_000_000;
/// Audio that is so old is skipped by any player.
const QUEUED_AUDIO_MAX: Duration = Duration::from_millis(200);
const QUEUED_PADDING_MAX: Duration = Duration::from_millis(100);
/// So long a probe may take, however badly it goes.
const PROBE_MAX: Duration = Duration::from_millis(500);
/// What a packet of padding is asked to be at the most.
const PADDING_BYTES_MAX: u32 = 1200;
/// An empty queue keeps room for so many: an ordinary frame, and not a keyframe.
const QUEUE_KEPT_MAX: usize = 16;
const BITRATE_MIN_BPS: u64 = 10_000;

/// What to do with a packet that has just come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it now. It belongs to a probe if one is under way.
    Send { probe: Option<ProbeId> },
    /// It will come out of [`Pacer::poll`].
    Queued,
    /// The queue is full. It is counted; the pacer has forgotten it.
    Dropped,
}

/// What comes out of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release<T> {
    Packet {
        handle: T,
        bytes: usize,
        class: Class,
        probe: Option<ProbeId>,
    },
    /// Send about so many bytes that nobody needs: old packets again, or padding. If that cannot be, call
    /// [`Pacer::cancel_probe`].
    Padding {
        bytes: usize,
        probe: ProbeId,
    },
    /// It has waited too long. It is counted; do not send it.
    Expired {
        handle: T,
        class: Class,
    },
}

/// What was dropped, by class in the order of [`Class::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub full: [u64; 4],
    pub expired: [u64; 4],
}

#[derive(Clone, Copy, Debug)]
struct Waiting<T> {
    handle: T,
    since_us: u32,
    bytes: u32,
}

#[derive(Clone, Copy, Debug)]
struct Probing {
    id: ProbeId,
    cost: Cost,
    due_ns: u64,
    end_ns: u64,
    bytes_left: u32,
    packets_left: u32,
}

/// Nanoseconds a byte, times 1,024.
#[derive(Clone, Copy, Debug)]
struct Cost(u64);

impl Cost {
    fn new(bitrate_bps: f64) -> Self {
        Self((8.0e9 * 1024.0 / bitrate_bps.max(BITRATE_MIN_BPS as f64)) as u64)
    }

    fn of(self, bytes: u64) -> u64 {
        (self.0 * bytes) >> 10
    }
}

/// One a viewer. Its queues take no memory until something must wait.
#[derive(Debug)]
pub struct Pacer<T> {
    config: Config,
    epoch: Instant,
    burst_ns: u64,
    cost: Cost,
    /// When everything that has left would have left at exactly the paced rate. What lies ahead of now is debt.
    level_ns: u64,
    queues: [VecDeque<Waiting<T>>; 4],
    /// One bit a queue that holds something.
    occupied: u8,
    queued_packets: usize,
    queued_bytes: usize,
    probing: Option<Probing>,
    counts: Counts,
}

impl<T: Copy> Pacer<T> {
    pub fn new(now: Instant, target_bps: u64, config: Config) -> Self {
        let mut pacer = Self {
            config,
            epoch: now,
            burst_ns: config.burst.as_nanos() as u64,
            cost: Cost(0),
            level_ns: 0,
            queues: std::array::from_fn(|_| VecDeque::new()),
            occupied: 0,
            queued_packets: 0,
            queued_bytes: 0,
            probing: None,
            counts: Counts::default(),
        };
        pacer.set_target(target_bps);
        pacer
    }

    pub fn set_target(&mut self, target_bps: u64) {
        self.cost = Cost::new(target_bps as f64 * self.config.factor);
    }

    /// A packet wants to leave. `bytes` is what the path feels.
    pub fn admit(&mut self, now: Instant, class: Class, bytes: usize, handle: T) -> Verdict {
        let now_ns = self.nanos(now);
        // Nothing of the same class or before it may wait.
        let ahead = self.occupied & (0b10_u8 << class.index()).wrapping_sub(1);
        if ahead == 0 && self.within_budget(class, now_ns) {
            return Verdict::Send { probe: self.charge(now_ns, bytes) };
        }
        if self.queued_packets >= self.config.queued_packets_max
            || self.queued_bytes + bytes > self.config.queued_bytes_max
        {
            self.counts.full[class.index()] += 1;
            return Verdict::Dropped;
        }
        let since_us = (now_ns / 1000) as u32;
        self.queues[class.index()].push_back(Waiting { handle, since_us, bytes: bytes as u32 });
        self.occupied |= 1 << class.index();
        self.queued_packets += 1;
        self.queued_bytes += bytes;
        Verdict::Queued
    }

    /// Call until it gives nothing.
    pub fn poll(&mut self, now: Instant) -> Option<Release<T>> {
        if self.occupied == 0 && self.probing.is_none() {
            return None;
        }
        let now_ns = self.nanos(now);
        if let Some(expired) = self.expire(now_ns) {
            return Some(expired);
        }
        if let Some(probing) = self.probing {
            if now_ns > probing.end_ns {
                self.probing = None;
            } else if probing.due_ns <= now_ns {
                return Some(self.release_first(now_ns).unwrap_or_else(|| self.pad(now_ns, probing)));
            }
        }
        let first = Class::ALL[(self.occupied.trailing_zeros() as usize).min(3)];
        if self.occupied == 0 || !self.within_budget(first, now_ns) {
            return None;
        }
        self.release_first(now_ns)
    }

    /// When [`poll`](Self::poll) will next have something; a time that has passed means now.
    pub fn next_due(&self) -> Option<Instant> {
        let probe_ns = self.probing.map(|probing| probing.due_ns);
        let queue_ns = (self.occupied != 0).then(|| {
            // Wait until a batch may leave, or all there is.
            let batch_ns = self.cost.of(self.queued_bytes as u64).min(self.config.quantum.as_nanos() as u64);
            let allowance_ns = if self.occupied & 1 != 0 { AUDIO_DEBT_MAX_NS } else { self.burst_ns };
            (self.level_ns + batch_ns).saturating_sub(allowance_ns)
        });
        let due_ns = match (probe_ns, queue_ns) {
            (Some(probe), Some(queue)) => probe.min(queue),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return None,
        };
        Some(self.epoch + Duration::from_nanos(due_ns))
    }

    /// Starts a probe; one that is still under way ends.
    pub fn probe(&mut self, now: Instant, probe: Probe) {
        let now_ns = self.nanos(now);
        self.probing = Some(Probing {
            id: probe.id,
            cost: Cost::new(probe.bitrate_bps as f64),
            due_ns: now_ns,
            end_ns: now_ns + PROBE_MAX.as_nanos() as u64,
            bytes_left: probe.bytes,
            packets_left: probe.packets,
        });
    }

    /// There is nothing to pad with.
    pub fn cancel_probe(&mut self) {
        self.probing = None;
    }

    /// Forgets what waits, as when the viewer's picture starts anew; each handle is shown once.
    pub fn clear(&mut self, mut forgotten: impl FnMut(T, Class)) {
        for class in Class::ALL {
            for waiting in std::mem::take(&mut self.queues[class.index()]) {
                forgotten(waiting.handle, class);
            }
        }
        self.occupied = 0;
        self.queued_packets = 0;
        self.queued_bytes = 0;
    }

    pub fn queued_packets(&self) -> usize {
        self.queued_packets
    }

    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub fn memory_bytes(&self) -> usize {
        let slots: usize = self.queues.iter().map(VecDeque::capacity).sum();
        size_of::<Self>() + slots * size_of::<Waiting<T>>()
    }

    fn within_budget(&self, class: Class, now_ns: u64) -> bool {
        let allowance_ns = if class == Class::Audio { AUDIO_DEBT_MAX_NS } else { self.burst_ns };
        self.level_ns <= now_ns + allowance_ns
    }

    /// Books a packet that leaves, and says to which probe it counts.
    fn charge(&mut self, now_ns: u64, bytes: usize) -> Option<ProbeId> {
        self.level_ns = self.level_ns.max(now_ns) + self.cost.of(bytes as u64);
        let probing = self.probing.as_mut()?;
        let id = probing.id;
        probing.due_ns = probing.due_ns.max(now_ns.saturating_sub(5_000_000)) + probing.cost.of(bytes as u64);
        probing.bytes_left = probing.bytes_left.saturating_sub(bytes as u32);
        probing.packets_left = probing.packets_left.saturating_sub(1);
        if probing.bytes_left == 0 && probing.packets_left == 0 {
            self.probing = None;
        }
        Some(id)
    }

    fn release_first(&mut self, now_ns: u64) -> Option<Release<T>> {
        let class = *Class::ALL.get(self.occupied.trailing_zeros() as usize)?;
        let waiting = self.take_first(class)?;
        let bytes = waiting.bytes as usize;
        let probe = self.charge(now_ns, bytes);
        Some(Release::Packet { handle: waiting.handle, bytes, class, probe })
    }

    fn pad(&mut self, now_ns: u64, probing: Probing) -> Release<T> {
        let bytes = (probing.bytes_left / probing.packets_left.max(1)).clamp(200, PADDING_BYTES_MAX) as usize;
        // Padding may not hold up media for longer than a burst.
        let level_max_ns = self.level_ns.max(now_ns + self.burst_ns);
        let probe = self.charge(now_ns, bytes);
        self.level_ns = self.level_ns.min(level_max_ns);
        Release::Padding { bytes, probe: probe.unwrap_or(probing.id) }
    }

    fn expire(&mut self, now_ns: u64) -> Option<Release<T>> {
        let now_us = (now_ns / 1000) as u32;
        let mut left = self.occupied;
        while left != 0 {
            let class = Class::ALL[left.trailing_zeros() as usize];
            left &= left - 1;
            let first = self.queues[class.index()].front()?;
            let waited_us = u64::from(now_us.wrapping_sub(first.since_us));
            if u128::from(waited_us) > self.patience(class).as_micros() {
                let waiting = self.take_first(class)?;
                self.counts.expired[class.index()] += 1;
                return Some(Release::Expired { handle: waiting.handle, class });
            }
        }
        None
    }

    fn take_first(&mut self, class: Class) -> Option<Waiting<T>> {
        let queue = &mut self.queues[class.index()];
        let waiting = queue.pop_front()?;
        if queue.is_empty() {
            self.occupied &= !(1 << class.index());
            // A queue that was long once does not stay so.
            if queue.capacity() > QUEUE_KEPT_MAX {
                queue.shrink_to(QUEUE_KEPT_MAX);
            }
        }
        self.queued_packets -= 1;
        self.queued_bytes -= waiting.bytes as usize;
        Some(waiting)
    }

    fn patience(&self, class: Class) -> Duration {
        match class {
            Class::Audio => QUEUED_AUDIO_MAX,
            Class::Retransmission => self.config.queued_retransmission_max,
            Class::Video => self.config.queued_video_max,
            Class::Padding => QUEUED_PADDING_MAX,
        }
    }

    fn nanos(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_nanos() as u64
    }
}
