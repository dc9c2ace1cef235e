//! Load that makes a million acknowledged messages in minutes: recording clients of this process, each in two rooms, which
//! send without waiting for answers, are cut off at random, and go from node to node.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use turnpike_history::{Level, Violation, What};
use turnpike_tests::recording::{Client, Place, Plan, Recording, record_log};

use crate::roaming::Pair;

const CLIENTS: usize = 32;
/// A client is cut off once in so many messages, on average: every few seconds.
const CUT_EVERY: usize = 600;
/// Everything has an answer by then, or never.
const SETTLED_MAX: Duration = Duration::from_mins(1);

pub(super) struct Load {
    runtime: Runtime,
    recording: Recording,
    clients: Vec<Arc<Client>>,
    reader: Plan,
    ends: Arc<AtomicBool>,
    senders: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
#[expect(dead_code, reason = "it is printed")]
pub(super) struct Report {
    acks: usize,
    events: usize,
    recovered: usize,
    fresh: usize,
    checked_in: Duration,
    /// The most that this process, with clients and checker, had in memory.
    resident_mb_max: u64,
}

fn room(number: usize) -> String {
    format!("load:{}", number % CLIENTS)
}

impl Load {
    /// Everybody is in their rooms when it returns. With so many messages a second of all together, while nothing is broken.
    pub(super) fn start(pair: &Pair, folder: &Path, seed: u64, per_second: u64) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let recording = Recording::in_folder(folder).unwrap();
        let nodes: Vec<_> = pair.nodes.iter().map(|node| node.gateway).collect();
        let plan = |number: usize| {
            let user = format!("load-{number}");
            let token = pair.token(&user);
            let mut nodes = nodes.clone();
            nodes.rotate_left(number % 2);
            Plan { name: format!("c{number}"), user, token, nodes, level: Level::Replicated }
        };
        let plans: Vec<Plan> = (0..CLIENTS).map(plan).collect();
        let reader = plans[0].clone();
        let _inside = runtime.enter();
        let clients: Vec<Arc<Client>> =
            plans.into_iter().map(|plan| Arc::new(Client::start(plan, recording.clone()))).collect();
        runtime.block_on(async {
            for (number, client) in clients.iter().enumerate() {
                client.join(&room(number)).await;
                client.join(&room(number + 1)).await;
            }
        });
        let load = Self { recording, clients, reader, ends: Arc::default(), senders: Vec::new(), runtime };
        load.until("all to be in their rooms", |clients| {
            clients.iter().all(|client| client.places().len() == 2)
        });
        load.begin(seed, per_second)
    }

    fn begin(mut self, seed: u64, per_second: u64) -> Self {
        let pace = Duration::from_nanos(1_000_000_000 * CLIENTS as u64 / per_second);
        for (number, client) in self.clients.iter().enumerate() {
            let (client, ends) = (Arc::clone(client), Arc::clone(&self.ends));
            let random = seed.wrapping_add(number as u64);
            let sender = send(client, number, pace, random, ends);
            self.senders.push(self.runtime.spawn(sender));
        }
        self
    }

    pub(super) fn recording(&self) -> &Recording {
        &self.recording
    }

    pub(super) fn acks(&self) -> usize {
        self.recording.acks()
    }

    /// Waits until everything is answered and everybody has it, reads the logs, and holds it all against the laws.
    pub(super) fn end(mut self) -> (Report, Vec<Violation>) {
        self.ends.store(true, Ordering::Relaxed);
        for sender in self.senders.drain(..) {
            let _ = self.runtime.block_on(sender);
        }
        self.until("all answers", |clients| clients.iter().all(|client| client.under_way() == 0));
        self.until("everybody at the head", level);
        let rooms: Vec<String> = (0..CLIENTS).map(room).collect();
        self.runtime.block_on(record_log(&self.reader, &rooms, &self.recording)).unwrap();
        self.recording.write("machine", What::End);
        let begun = Instant::now();
        let (violations, events) = self.recording.check().unwrap();
        let sessions = |recovered| {
            let events = self.recording.events();
            events.iter().filter(|event| event.what == What::Session { recovered }).count()
        };
        let report = Report {
            acks: self.acks(),
            events,
            recovered: sessions(true),
            fresh: sessions(false),
            checked_in: begun.elapsed(),
            resident_mb_max: resident_mb_max(),
        };
        (report, violations)
    }

    /// Says nothing if it takes too long: the laws do.
    fn until(&self, what: &str, holds: impl Fn(&[Arc<Client>]) -> bool) {
        let begun = Instant::now();
        while !holds(&self.clients) {
            if begun.elapsed() > SETTLED_MAX {
                println!("waited in vain for {what}");
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// All members of a room have as much of it as was acknowledged, and the same.
fn level(clients: &[Arc<Client>]) -> bool {
    let mut rooms: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    for (room, place) in clients.iter().flat_map(|client| client.places()) {
        rooms.entry(room).or_default().push(place);
    }
    rooms.values().all(|places| {
        let acknowledged = places.iter().map(|place| place.acknowledged).max();
        let given = places.iter().map(|place| place.given);
        given.clone().min() == given.max() && places.iter().map(|place| place.given).min() >= acknowledged
    })
}

async fn send(client: Arc<Client>, number: usize, pace: Duration, mut random: u64, ends: Arc<AtomicBool>) {
    let mut pace = interval(pace);
    // What could not be sent in time is not made good: that would be a burst after every fault.
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 0.. {
        pace.tick().await;
        if ends.load(Ordering::Relaxed) {
            return;
        }
        client.send(&room(number + count % 2), "m").await;
        if below(&mut random, CUT_EVERY) == 0 {
            client.cut(Duration::from_millis(below(&mut random, 500) as u64)).await;
        }
    }
}

/// SplitMix64.
pub(super) fn below(state: &mut u64, bound: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) % bound as u64) as usize
}

fn resident_mb_max() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    kb.unwrap_or(0) / 1024
}
