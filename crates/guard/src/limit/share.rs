//! What one node may let through of a limit that holds for the whole cluster.
//!
//! The cluster has one bucket for each key, and nodes take from it in chunks. Between two chunks a node decides alone, so
//! what nodes hold at a time is what may be let through too much:
//!
//! - a share holds at most a tenth of a second's worth, divided by the nodes, and begins with that: a user who sends now
//!   and then costs the cluster nothing;
//! - of its own it regains 1.5 % of the rate, divided by the nodes;
//! - a chunk that was asked for longer than [`ANSWER_MS`] ago does not count.
//!
//! In any 10 s that is at most 0.1 + 0.15 + 0.2 seconds' worth above the limit: less than 5 %. Nobody waits for the cluster
//! while the share suffices, and chunks are so small that the cluster's bucket has regained one that is left unused within
//! a tenth of a second.
//!
//! When the cluster does not answer for a while the share becomes the limit divided by the nodes. It begins with what is at
//! hand and not with a burst, which may have been let through elsewhere just before. When the cluster answers again, its
//! bucket is emptied, because nobody told it what was let through meanwhile; and for a few seconds both hold, the bucket and
//! the divided limit, until all nodes know that it is back.

use super::Rate;

/// How long an answer of the cluster may take. Whoever asks must take a later one for none.
pub const ANSWER_MS: u64 = 200;

/// How many may wait for an answer; more are refused.
const WAITING_MAX: usize = 256;

/// In seconds' worth of the rate, all nodes together.
const HELD_SECONDS: f64 = 0.1;
/// A part of the rate, all nodes together.
const FREE: f64 = 0.015;

/// The cluster is taken to be away when it has not answered this many times in a row, for this long. A lost connection
/// alone is not enough: others are served by then, and what is let through here alone comes on top.
const FAILURES_IN_A_ROW: u32 = 5;
const FAILING_MS: u64 = 1_000;
/// How often it is asked while it does not answer.
const PROBE_MS: u64 = 100;
/// How long both limits hold when it is back: longer than nodes differ in noticing.
const SETTLING_MS: u64 = 5_000;

/// An empty bucket is not asked again sooner than one more can be in it, within these bounds.
const AGAIN_MS_MIN: u64 = 20;
const AGAIN_MS_MAX: u64 = 10_000;

/// The limit of the whole cluster, and how many nodes share it.
#[derive(Debug, Clone, Copy)]
pub struct Whole<'a> {
    pub rate: &'a Rate,
    pub nodes: u32,
}

/// What becomes of one who wants to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passes,
    /// The limit is reached.
    Exceeded {
        retry_after_ms: u64,
    },
    /// The cluster has not said, and what is at hand is used up.
    Unknown {
        retry_after_ms: u64,
    },
}

/// To be taken from the cluster's bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    pub wanted: u64,
}

/// What came of an answer.
#[derive(Debug)]
pub struct Settled<W> {
    /// In the order of asking.
    pub verdicts: Vec<(W, Verdict)>,
    pub ask: Option<Ask>,
    /// To be given back to the cluster's bucket.
    pub unused: u64,
}

impl<W> Settled<W> {
    fn of(verdicts: Vec<(W, Verdict)>) -> Self {
        Self { verdicts, ask: None, unused: 0 }
    }
}

/// `W` is whatever the verdict goes to, if it has to wait for the cluster.
#[derive(Debug)]
pub struct Share<W> {
    /// Leased or regained, and not used.
    held: f64,
    /// Of the divided limit; counts in all but the usual mode.
    own: f64,
    as_of_ms: u64,
    mode: Mode,
    asked: Option<Asked>,
    not_before_ms: u64,
    failing_since_ms: u64,
    failures: u32,
    waiting: Vec<(u32, W)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Leasing,
    /// The cluster is away. Nodes that are not seen any more may still be there: not fewer are reckoned with than before.
    Alone {
        nodes: u32,
    },
    Settling {
        nodes: u32,
        until_ms: u64,
    },
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    wanted: u64,
    at_ms: u64,
    /// What is given is thrown away.
    empties: bool,
}

impl<W> Share<W> {
    pub fn new(whole: Whole<'_>, now_ms: u64) -> Self {
        Self {
            held: held_max(whole),
            own: 0.0,
            as_of_ms: now_ms,
            mode: Mode::Leasing,
            asked: None,
            not_before_ms: 0,
            failing_since_ms: 0,
            failures: 0,
            waiting: Vec::new(),
        }
    }

    /// Decides at once, or takes `waits` for later: then a verdict follows from [`Share::answered`] or [`Share::failed`].
    pub fn pass(
        &mut self,
        whole: Whole<'_>,
        count: u32,
        now_ms: u64,
        waits: impl FnOnce() -> W,
    ) -> (Option<Verdict>, Option<Ask>) {
        self.pass_time(whole, now_ms);
        let count = count.min(whole.rate.burst());
        if self.waiting.is_empty() && self.takes(count) {
            let low = self.held < held_max(whole) / 2.0 || self.mode != Mode::Leasing;
            return (Some(Verdict::Passes), if low { self.ask(whole, now_ms) } else { None });
        }
        if let Mode::Alone { nodes } | Mode::Settling { nodes, .. } = self.mode
            && self.own < f64::from(count)
        {
            let rate = whole.rate.a_second() / f64::from(nodes);
            let retry_after_ms = ms((f64::from(count) - self.own) / rate);
            return (Some(Verdict::Exceeded { retry_after_ms }), self.ask(whole, now_ms));
        }
        if self.waiting.len() >= WAITING_MAX {
            return (Some(Verdict::Exceeded { retry_after_ms: ANSWER_MS }), None);
        }
        if self.asked.is_none() && now_ms < self.not_before_ms {
            return (Some(self.refusal(self.not_before_ms - now_ms)), None);
        }
        self.waiting.push((count, waits()));
        (None, self.ask(whole, now_ms))
    }

    /// The cluster has given this many of what was asked for.
    pub fn answered(&mut self, whole: Whole<'_>, granted: u64, now_ms: u64) -> Settled<W> {
        let Some(asked) = self.asked.take() else { return Settled::of(Vec::new()) };
        if now_ms.saturating_sub(asked.at_ms) > ANSWER_MS {
            return Settled::of(self.fail(whole, now_ms));
        }
        self.pass_time(whole, now_ms);
        (self.failures, self.not_before_ms) = (0, 0);
        if let Mode::Alone { nodes } = self.mode {
            self.mode = Mode::Settling { nodes, until_ms: now_ms + SETTLING_MS };
        }
        if !asked.empties {
            self.held += granted as f64;
            if granted < asked.wanted {
                let again = ms(1.0 / whole.rate.a_second()).clamp(AGAIN_MS_MIN, AGAIN_MS_MAX);
                self.not_before_ms = now_ms + again;
            }
        }
        let mut verdicts = self.admit();
        let ask = if self.waiting.is_empty() { None } else { self.ask(whole, now_ms) };
        if ask.is_none() {
            let refusal = self.refusal(self.not_before_ms.saturating_sub(now_ms));
            verdicts.extend(self.waiting.drain(..).map(|(_, waits)| (waits, refusal)));
        }
        // Those that it was for do not wait any more.
        let surplus = if ask.is_none() { (self.held - held_max(whole)).max(0.0) } else { 0.0 };
        self.held -= surplus;
        Settled { verdicts, ask, unused: surplus as u64 }
    }

    /// The cluster has not answered, or not in time.
    pub fn failed(&mut self, whole: Whole<'_>, now_ms: u64) -> Vec<(W, Verdict)> {
        if self.asked.take().is_none() {
            return Vec::new();
        }
        self.fail(whole, now_ms)
    }

    /// Nothing would be different if it were made anew.
    pub fn is_idle(&self, whole: Whole<'_>, now_ms: u64) -> bool {
        let held_max = held_max(whole);
        let seconds = now_ms.saturating_sub(self.as_of_ms) as f64 / 1000.0;
        let settled = match self.mode {
            Mode::Leasing => true,
            // The divided limit alone would be full by now, and it begins again with less.
            Mode::Alone { .. } | Mode::Settling { .. } => now_ms > self.as_of_ms + 2 * SETTLING_MS,
        };
        let free = whole.rate.a_second() * FREE / f64::from(whole.nodes.max(1));
        settled
            && self.waiting.is_empty()
            && self.asked.is_none()
            && now_ms >= self.not_before_ms
            && self.held + seconds * free >= held_max
    }

    fn fail(&mut self, whole: Whole<'_>, now_ms: u64) -> Vec<(W, Verdict)> {
        self.pass_time(whole, now_ms);
        if self.failures == 0 {
            self.failing_since_ms = now_ms;
        }
        self.failures = self.failures.saturating_add(1);
        self.not_before_ms = now_ms + PROBE_MS;
        let long = now_ms - self.failing_since_ms.min(now_ms) >= FAILING_MS;
        if self.failures >= FAILURES_IN_A_ROW && long {
            match self.mode {
                Mode::Leasing => {
                    self.own = self.held;
                    self.mode = Mode::Alone { nodes: whole.nodes.max(1) };
                }
                Mode::Settling { nodes, .. } => self.mode = Mode::Alone { nodes },
                Mode::Alone { .. } => {}
            }
        }
        let mut verdicts = self.admit();
        let refusal = self.refusal(PROBE_MS);
        verdicts.extend(self.waiting.drain(..).map(|(_, waits)| (waits, refusal)));
        verdicts
    }

    /// Lets those pass who have waited, as far as it goes.
    fn admit(&mut self) -> Vec<(W, Verdict)> {
        let mut admitted = 0;
        while admitted < self.waiting.len() && self.takes(self.waiting[admitted].0) {
            admitted += 1;
        }
        self.waiting.drain(..admitted).map(|(_, waits)| (waits, Verdict::Passes)).collect()
    }

    fn takes(&mut self, count: u32) -> bool {
        let count = f64::from(count);
        let (of_held, of_own) = match self.mode {
            Mode::Leasing => (count, 0.0),
            Mode::Alone { .. } => (0.0, count),
            Mode::Settling { .. } => (count, count),
        };
        let suffices = self.held >= of_held && self.own >= of_own;
        if suffices {
            self.held -= of_held;
            self.own -= of_own;
        }
        suffices
    }

    fn refusal(&self, retry_after_ms: u64) -> Verdict {
        let retry_after_ms = retry_after_ms.max(1);
        if self.failures == 0 || matches!(self.mode, Mode::Alone { .. }) {
            Verdict::Exceeded { retry_after_ms }
        } else {
            Verdict::Unknown { retry_after_ms }
        }
    }

    /// One question at a time. As much as those need who wait, and as much as a share may hold.
    fn ask(&mut self, whole: Whole<'_>, now_ms: u64) -> Option<Ask> {
        if self.asked.is_some() || now_ms < self.not_before_ms {
            return None;
        }
        let burst = f64::from(whole.rate.burst());
        let empties = matches!(self.mode, Mode::Alone { .. });
        let waiting: f64 = self.waiting.iter().map(|(count, _)| f64::from(*count)).sum();
        let wanted =
            if empties { burst } else { (waiting.ceil() + held_max(whole) - self.held).floor().min(burst) };
        // Who waits for a part of one needs a whole one.
        let wanted =
            if waiting > self.held { wanted.max((waiting - self.held).ceil().min(burst)) } else { wanted };
        if wanted < 1.0 {
            return None;
        }
        let wanted = wanted as u64;
        self.asked = Some(Asked { wanted, at_ms: now_ms, empties });
        Some(Ask { wanted })
    }

    fn pass_time(&mut self, whole: Whole<'_>, now_ms: u64) {
        let seconds = now_ms.saturating_sub(self.as_of_ms) as f64 / 1000.0;
        self.as_of_ms = self.as_of_ms.max(now_ms);
        let rate = whole.rate.a_second();
        let free = rate * FREE / f64::from(whole.nodes.max(1));
        self.held = (self.held + seconds * free).min(held_max(whole).max(self.held));
        if let Mode::Alone { nodes } | Mode::Settling { nodes, .. } = &mut self.mode {
            *nodes = whole.nodes.max(*nodes);
            let nodes = f64::from(*nodes);
            let own_max = (f64::from(whole.rate.burst()) / nodes).max(1.0);
            self.own = (self.own + seconds * rate / nodes).min(own_max.max(self.own));
        }
        if let Mode::Settling { until_ms, .. } = self.mode
            && now_ms >= until_ms
        {
            self.mode = Mode::Leasing;
        }
    }
}

/// What a share holds at most, unless it has just been given more for those who wait.
fn held_max(whole: Whole<'_>) -> f64 {
    let nodes = f64::from(whole.nodes.max(1));
    (whole.rate.a_second() * HELD_SECONDS / nodes).min(f64::from(whole.rate.burst()) / nodes)
}

fn ms(seconds: f64) -> u64 {
    (seconds * 1000.0).ceil().max(1.0) as u64
}
