//! Several nodes and the bucket that they share, with delays, lost requests and answers, and a cluster that goes away and
//! comes back: what is let through in any 10 s stays within 1.05 times the limit plus the burst.
#![allow(clippy::print_stdout, reason = "the seed of a run must be seen")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU32;
use std::ops::Range;

use turnpike_guard::limit::{ANSWER_MS, Ask, Rate, Share, Verdict, Whole};

const WINDOW_US: u64 = 10_000_000;
const LENGTH_US: u64 = 60_000_000;
const SEEDS: u64 = 24;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Sends { node: usize },
    Arrives { node: usize, ask: u64, wanted: u64 },
    Answers { node: usize, ask: u64, granted: u64 },
    GivenUp { node: usize, ask: u64 },
    GivenBack { unused: u64 },
}

struct Node {
    share: Share<()>,
    /// Clocks begin anywhere.
    ahead_ms: u64,
    ask: Option<u64>,
    /// How far apart its user's messages are, by the stretch of time.
    gaps_us: Vec<u64>,
}

/// The cluster's.
struct Bucket {
    left: f64,
    as_of_us: u64,
}

struct World {
    random: Random,
    rate: Rate,
    nodes: Vec<Node>,
    bucket: Bucket,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    numbered: u64,
    outages: Vec<Range<u64>>,
    lost_percent: u64,
    slow_percent: u64,
    passed_us: Vec<u64>,
    refused: u64,
    unknown: u64,
    waited: u64,
    takes: u64,
}

const STRETCHES: u64 = 12;

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let nodes = 1 + random.below(5) as usize;
        let per_second = [1, 3, 20, 100, 1_000][random.below(5) as usize];
        let burst = (nodes as u64)
            .max([per_second / 2, per_second, 2 * per_second, 10 * per_second][random.below(4) as usize]);
        let rate = rate(per_second as u32, burst as u32);
        let whole = Whole { rate: &rate, nodes: nodes as u32 };
        let nodes: Vec<Node> = (0..nodes)
            .map(|_| {
                let ahead_ms = random.below(1_000_000);
                // From nothing to ten times the limit on this node alone.
                let gaps_us = (0..STRETCHES)
                    .map(|_| match random.below(5) {
                        0 => u64::MAX,
                        1 => 1_000_000 / per_second * 10,
                        2 => 1_000_000 / per_second,
                        _ => 1_000_000 / per_second / 10,
                    })
                    .collect();
                Node { share: Share::new(whole, ahead_ms), ahead_ms, ask: None, gaps_us }
            })
            .collect();
        let outages = match random.below(3) {
            0 => Vec::new(),
            _ => (0..=random.below(3))
                .map(|_| {
                    let begin = random.below(LENGTH_US);
                    begin..begin + random.below(15_000_000)
                })
                .collect(),
        };
        let (lost_percent, slow_percent) =
            ([0, 0, 1, 10][random.below(4) as usize], [0, 0, 5, 40][random.below(4) as usize]);
        let bucket = Bucket { left: burst as f64, as_of_us: 0 };
        let mut world = Self {
            random,
            rate,
            nodes,
            bucket,
            events: BinaryHeap::new(),
            numbered: 0,
            outages,
            lost_percent,
            slow_percent,
            passed_us: Vec::new(),
            refused: 0,
            unknown: 0,
            waited: 0,
            takes: 0,
        };
        for node in 0..world.nodes.len() {
            world.at(0, Event::Sends { node });
        }
        world
    }

    fn at(&mut self, us: u64, event: Event) {
        self.numbered += 1;
        self.events.push(Reverse((us, self.numbered, event)));
    }

    fn is_away(&self, us: u64) -> bool {
        self.outages.iter().any(|outage| outage.contains(&us))
    }

    fn delay_us(&mut self) -> u64 {
        if self.random.chance(self.slow_percent) {
            self.random.below(400_000)
        } else {
            100 + self.random.below(2_000)
        }
    }

    fn run(&mut self) {
        while let Some(Reverse((now_us, _, event))) = self.events.pop() {
            if now_us > LENGTH_US {
                break;
            }
            match event {
                Event::Sends { node } => self.sends(node, now_us),
                Event::Arrives { node, ask, wanted } => self.arrives(node, ask, wanted, now_us),
                Event::Answers { node, ask, granted } => self.settle(node, ask, Some(granted), now_us),
                Event::GivenUp { node, ask } => self.settle(node, ask, None, now_us),
                Event::GivenBack { unused } if !self.is_away(now_us) => {
                    self.accrue(now_us);
                    self.bucket.left = (self.bucket.left + unused as f64).min(f64::from(self.rate.burst()));
                }
                Event::GivenBack { .. } => {}
            }
        }
    }

    fn whole(rate: &Rate, nodes: usize) -> Whole<'_> {
        Whole { rate, nodes: nodes as u32 }
    }

    fn sends(&mut self, index: usize, now_us: u64) {
        let stretch = (now_us * STRETCHES / LENGTH_US).min(STRETCHES - 1) as usize;
        let gap_us = self.nodes[index].gaps_us[stretch];
        if gap_us == u64::MAX {
            self.at((stretch as u64 + 1) * LENGTH_US / STRETCHES + 1, Event::Sends { node: index });
            return;
        }
        let jitter = self.random.below(gap_us / 2 + 1);
        self.at(now_us + (gap_us / 2 + jitter).max(1), Event::Sends { node: index });
        let whole = Self::whole(&self.rate, self.nodes.len());
        let node = &mut self.nodes[index];
        let (verdict, ask) = node.share.pass(whole, 1, now_us / 1_000 + node.ahead_ms, || ());
        match verdict {
            Some(verdict) => self.count(verdict, now_us),
            None => self.waited += 1,
        }
        self.send(index, ask, now_us);
    }

    fn count(&mut self, verdict: Verdict, now_us: u64) {
        match verdict {
            Verdict::Passes => self.passed_us.push(now_us),
            Verdict::Exceeded { .. } => self.refused += 1,
            Verdict::Unknown { .. } => self.unknown += 1,
        }
    }

    fn send(&mut self, index: usize, ask: Option<Ask>, now_us: u64) {
        let Some(Ask { wanted }) = ask else { return };
        self.takes += 1;
        let id = self.takes;
        self.nodes[index].ask = Some(id);
        self.at(now_us + ANSWER_MS * 1_000, Event::GivenUp { node: index, ask: id });
        if !self.random.chance(self.lost_percent) {
            let at = now_us + self.delay_us();
            self.at(at, Event::Arrives { node: index, ask: id, wanted });
        }
    }

    fn accrue(&mut self, now_us: u64) {
        let seconds = (now_us - self.bucket.as_of_us) as f64 / 1e6;
        self.bucket.left =
            (self.bucket.left + seconds * self.rate.a_second()).min(f64::from(self.rate.burst()));
        self.bucket.as_of_us = now_us;
    }

    fn arrives(&mut self, node: usize, ask: u64, wanted: u64, now_us: u64) {
        if self.is_away(now_us) {
            return;
        }
        self.accrue(now_us);
        let granted = wanted.min(self.bucket.left as u64);
        self.bucket.left -= granted as f64;
        if !self.random.chance(self.lost_percent) {
            let at = now_us + self.delay_us();
            self.at(at, Event::Answers { node, ask, granted });
        }
    }

    fn settle(&mut self, index: usize, ask: u64, granted: Option<u64>, now_us: u64) {
        if self.nodes[index].ask != Some(ask) {
            return;
        }
        let whole = Self::whole(&self.rate, self.nodes.len());
        let node = &mut self.nodes[index];
        node.ask = None;
        let now_ms = now_us / 1_000 + node.ahead_ms;
        let (verdicts, ask, unused) = match granted {
            Some(granted) => {
                let settled = node.share.answered(whole, granted, now_ms);
                (settled.verdicts, settled.ask, settled.unused)
            }
            None => (node.share.failed(whole, now_ms), None, 0),
        };
        for ((), verdict) in verdicts {
            self.count(verdict, now_us);
        }
        if unused > 0 {
            let at = now_us + self.delay_us();
            self.at(at, Event::GivenBack { unused });
        }
        self.send(index, ask, now_us);
    }

    /// The most that passed in any window, of those that lie in the ranges.
    fn most(&self, within: impl Fn(u64, u64) -> bool) -> usize {
        let mut most = 0;
        let mut first = 0;
        for (last, at) in self.passed_us.iter().enumerate() {
            while self.passed_us[first] + WINDOW_US <= *at {
                first += 1;
            }
            if within(self.passed_us[first], *at) {
                most = most.max(last + 1 - first);
            }
        }
        most
    }

    fn limit(&self, tolerance: f64) -> f64 {
        tolerance * self.rate.a_second() * 10.0 + f64::from(self.rate.burst())
    }
}

fn rate(per_second: u32, burst: u32) -> Rate {
    Rate::per_second(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap())
}

fn seeds() -> Range<u64> {
    match std::env::var("TURNPIKE_SHARES_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    }
}

#[test]
fn what_all_nodes_let_through_stays_within_the_limit() {
    let (mut worst, mut worst_away) = (0.0f64, 0.0f64);
    for seed in seeds() {
        let mut world = World::new(seed);
        world.run();
        let about = format!(
            "seed {seed} (TURNPIKE_SHARES_SEED): {:?} on {} nodes, lost {} %, slow {} %, away {:?}",
            world.rate,
            world.nodes.len(),
            world.lost_percent,
            world.slow_percent,
            world.outages
        );
        let most = world.most(|_, _| true);
        assert!(most as f64 <= world.limit(1.05), "{about}: {most} of {}", world.limit(1.05));
        worst = worst.max(most as f64 / world.limit(1.0));
        let away = world.most(|first, last| {
            world.outages.iter().any(|away| away.contains(&first) && away.contains(&last))
        });
        assert!(away as f64 <= world.limit(1.0), "{about}: {away} while away");
        worst_away = worst_away.max(away as f64 / world.limit(1.0));
    }
    println!("at most {worst:.3} of limit plus burst, {worst_away:.3} while the cluster is away");
}

/// Of a cluster that always grants.
fn alone_in_the_world(per_second: u32, burst: u32, gap_ms: u64, length_ms: u64) -> (u64, u64, u64) {
    let rate = rate(per_second, burst);
    let whole = Whole { rate: &rate, nodes: 3 };
    let mut share = Share::new(whole, 0);
    let (mut left, mut as_of_ms) = (f64::from(burst), 0);
    let (mut passed, mut sent, mut takes) = (0, 0, 0);
    for now_ms in (0..length_ms).step_by(gap_ms as usize) {
        sent += 1;
        let (verdict, mut ask) = share.pass(whole, 1, now_ms, || ());
        passed += u64::from(verdict == Some(Verdict::Passes));
        while let Some(Ask { wanted }) = ask {
            takes += 1;
            left = (left + (now_ms - as_of_ms) as f64 * f64::from(per_second) / 1e3).min(f64::from(burst));
            as_of_ms = now_ms;
            let granted = wanted.min(left as u64);
            left -= granted as f64;
            let settled = share.answered(whole, granted, now_ms);
            let passes = settled.verdicts.iter().filter(|((), verdict)| *verdict == Verdict::Passes);
            passed += passes.count() as u64;
            ask = settled.ask;
        }
    }
    (sent, passed, takes)
}

#[test]
fn a_user_on_one_of_three_nodes_has_the_whole_limit() {
    let (sent, passed, takes) = alone_in_the_world(200, 400, 1, 20_000);
    println!("{passed} of {sent}, asked for {takes} times");
    assert!((4_200..=4_600).contains(&passed), "20 s of 200 and a burst of 400: {passed}");
    let (sent, passed, takes) = alone_in_the_world(200, 400, 10, 20_000);
    assert_eq!(passed, sent, "half of the limit");
    assert!(takes < sent / 3, "the cluster was asked {takes} times for {sent} messages");
}

#[test]
fn who_sends_now_and_then_costs_the_cluster_nothing() {
    // Of the default limit a node regains five messages a second by itself.
    let (sent, passed, takes) = alone_in_the_world(1_000, 5_000, 500, 60_000);
    assert_eq!((passed, takes), (sent, 0));
}

#[test]
fn when_the_cluster_does_not_answer_there_is_doubt_and_then_the_divided_limit() {
    let rate = rate(30, 60);
    let whole = Whole { rate: &rate, nodes: 3 };
    let mut share = Share::new(whole, 0);
    let (mut passed, mut exceeded, mut unknown) = (0u32, 0u32, 0u32);
    for now_ms in (0..11_000).step_by(5) {
        let mut count = |verdict| match verdict {
            Verdict::Passes => passed += 1,
            Verdict::Exceeded { retry_after_ms } if retry_after_ms > 0 => exceeded += 1,
            Verdict::Unknown { retry_after_ms } if retry_after_ms > 0 => unknown += 1,
            other => panic!("{other:?}"),
        };
        let (verdict, ask) = share.pass(whole, 1, now_ms, || ());
        verdict.into_iter().for_each(&mut count);
        if ask.is_some() {
            share.failed(whole, now_ms).into_iter().for_each(|((), verdict)| count(verdict));
        }
    }
    assert!((95..=105).contains(&passed), "10 s of a third of 30: {passed}");
    assert!(unknown > 0 && exceeded > 8 * unknown, "{exceeded} exceeded, {unknown} unknown");
}
