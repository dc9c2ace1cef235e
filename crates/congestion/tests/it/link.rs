//! A bottleneck: so many bits a second, a queue that drops what does not fit, a delay behind it, loss at random.

use crate::seed::Random;
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) bps: f64,
    pub(crate) delay_us: u64,
    pub(crate) queue_bytes: usize,
    pub(crate) loss: f64,
    /// Added to each packet's way without changing the order, up to this.
    pub(crate) jitter_us: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self { bps: 2e6, delay_us: 20_000, queue_bytes: 75_000, loss: 0.0, jitter_us: 0 }
    }
}

pub(crate) struct Link<T> {
    pub(crate) shape: Shape,
    queue: VecDeque<(u64, usize, T)>,
    queued_bytes: usize,
    free_us: f64,
    under_way: VecDeque<(u64, T)>,
    random: Random,
    pub(crate) dropped: u64,
}

impl<T> Link<T> {
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        Self {
            shape,
            queue: VecDeque::new(),
            queued_bytes: 0,
            free_us: 0.0,
            under_way: VecDeque::new(),
            random: Random::new(seed),
            dropped: 0,
        }
    }

    pub(crate) fn push(&mut self, now_us: u64, bytes: usize, what: T) {
        if self.queued_bytes + bytes > self.shape.queue_bytes {
            self.dropped += 1;
            return;
        }
        self.queued_bytes += bytes;
        self.queue.push_back((now_us, bytes, what));
    }

    /// How long a packet that came now would wait.
    pub(crate) fn wait_us(&self, now_us: u64) -> u64 {
        let busy = (self.free_us - now_us as f64).max(0.0);
        (busy + self.queued_bytes as f64 * 8e6 / self.shape.bps) as u64
    }

    /// What arrives at the other end until now, with the time of each arrival.
    pub(crate) fn pop(&mut self, now_us: u64) -> Vec<(u64, T)> {
        while let Some(&(since_us, bytes, _)) = self.queue.front() {
            let begins_us = self.free_us.max(since_us as f64);
            if begins_us > now_us as f64 {
                break;
            }
            self.free_us = begins_us + bytes as f64 * 8e6 / self.shape.bps;
            self.queued_bytes -= bytes;
            if let Some((_, _, what)) = self.queue.pop_front()
                && !self.random.one_in(self.shape.loss)
            {
                let jitter_us = self.random.below(self.shape.jitter_us + 1);
                let arrives_us = self.free_us as u64 + self.shape.delay_us + jitter_us;
                let before_us = self.under_way.back().map_or(0, |&(before_us, _)| before_us);
                self.under_way.push_back((arrives_us.max(before_us), what));
            }
        }
        let ready = self.under_way.iter().take_while(|&&(arrives_us, _)| arrives_us <= now_us).count();
        self.under_way.drain(..ready).collect()
    }
}
