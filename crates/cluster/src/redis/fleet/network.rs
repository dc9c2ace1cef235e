//! The way between nodes and the store, in virtual time: each line keeps its order, and can be cut or stand still. What goes over
//! it is counted as it would be on the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::functions::Functions;
use super::keyspace::{Keyspace, Text};
use crate::redis::client::Played;
use crate::redis::fault::Fault;
use crate::redis::link::Command;
use crate::redis::simulation::random::Random;

/// Where the store's clock stands at the beginning.
const BEGIN_MS: u64 = 1_700_000_000_000;

/// A question that gets no answer is given up after this, as by a connection.
const SILENCE: Duration = Duration::from_secs(1);

/// Two things on one line are at least so far apart.
const STEP: Duration = Duration::from_micros(50);

pub(super) struct Network {
    functions: Functions,
    start: Instant,
    state: Mutex<State>,
}

struct State {
    random: Random,
    wires: BTreeMap<u64, Wire>,
    /// The store does not answer until then.
    away: Option<Instant>,
}

/// What goes to one node, and comes from it.
struct Wire {
    is_cut: bool,
    stands_until: Option<Instant>,
    asked: Instant,
    answered: Instant,
    brought: Instant,
    channels: BTreeSet<String>,
    bus: mpsc::UnboundedSender<Brought>,
    count: Count,
}

/// What the bus brings, and when.
pub(super) struct Brought {
    pub(super) at: Instant,
    pub(super) channel: String,
    pub(super) frame: Bytes,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) commands: BTreeMap<String, u64>,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    pub(super) brought: u64,
}

impl Count {
    pub(super) fn commands(&self) -> u64 {
        self.commands.values().sum()
    }
}

impl Network {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let state = State { random: Random::new(seed), wires: BTreeMap::new(), away: None };
        Arc::new(Self { functions: Functions::load(), start: Instant::now(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn now_ms(&self) -> u64 {
        BEGIN_MS + self.start.elapsed().as_millis() as u64
    }

    /// From here on there is that node. Gives what the bus brings it.
    pub(super) fn join(self: &Arc<Self>, node: u64) -> (Arc<dyn Played>, mpsc::UnboundedReceiver<Brought>) {
        let (bus, brought) = mpsc::unbounded_channel();
        let now = Instant::now();
        let wire = Wire {
            is_cut: false,
            stands_until: None,
            asked: now,
            answered: now,
            brought: now,
            channels: BTreeSet::new(),
            bus,
            count: Count::default(),
        };
        self.state().wires.insert(node, wire);
        (Arc::new(Line { network: Arc::clone(self), node }), brought)
    }

    /// Nothing more comes from there.
    pub(super) fn kill(&self, node: u64) {
        self.state().wires.remove(&node);
    }

    pub(super) fn cut(&self, node: u64, is_cut: bool) {
        if let Some(wire) = self.state().wires.get_mut(&node) {
            wire.is_cut = is_cut;
            wire.channels.clear();
        }
    }

    /// Nothing of the node goes on for so long.
    pub(super) fn stand_still(&self, node: u64, time: Duration) {
        if let Some(wire) = self.state().wires.get_mut(&node) {
            wire.stands_until = Some(Instant::now() + time);
        }
    }

    pub(super) fn subscribe(&self, node: u64, channel: String) {
        if let Some(wire) = self.state().wires.get_mut(&node)
            && !wire.is_cut
        {
            // The command, and its answer, which repeats the name.
            wire.count.bytes_sent += 24 + channel.len() as u64;
            wire.count.bytes_received += 32 + channel.len() as u64;
            *wire.count.commands.entry("SSUBSCRIBE".to_owned()).or_default() += 1;
            wire.channels.insert(channel);
        }
    }

    pub(super) fn unsubscribe(&self, node: u64, channel: &str) {
        if let Some(wire) = self.state().wires.get_mut(&node) {
            wire.channels.remove(channel);
        }
    }

    pub(super) fn snapshot(&self) -> Keyspace {
        self.functions.snapshot()
    }

    /// Another process takes over after that time, with what it had heard of.
    pub(super) async fn fail_over(&self, keys: Keyspace, after: Duration) {
        self.state().away = Some(Instant::now() + after);
        sleep(after).await;
        self.functions.fail_over(keys);
    }

    pub(super) fn count(&self, node: u64) -> Count {
        self.state().wires.get(&node).map(|wire| wire.count.clone()).unwrap_or_default()
    }

    /// When a question of that node arrives, or nothing if none does.
    fn sent(&self, node: u64, kind: &str, bytes: u64) -> Option<Instant> {
        let State { random, wires, away } = &mut *self.state();
        let wire = wires.get_mut(&node)?;
        *wire.count.commands.entry(kind.to_owned()).or_default() += 1;
        wire.count.bytes_sent += bytes;
        let now = Instant::now();
        if wire.is_cut || away.is_some_and(|until| until > now) {
            return None;
        }
        let at = now + delay(random);
        wire.asked = at.max(wire.asked + STEP).max(wire.stands_until.unwrap_or(now));
        Some(wire.asked)
    }

    fn answered(&self, node: u64, bytes: u64) -> Option<Instant> {
        let State { random, wires, away } = &mut *self.state();
        let wire = wires.get_mut(&node)?;
        let now = Instant::now();
        if wire.is_cut || away.is_some_and(|until| until > now) {
            return None;
        }
        wire.count.bytes_received += bytes;
        wire.answered = (now + delay(random)).max(wire.answered + STEP).max(wire.stands_until.unwrap_or(now));
        Some(wire.answered)
    }

    fn announce(&self, announced: Vec<(String, Bytes)>) {
        let State { random, wires, .. } = &mut *self.state();
        let now = Instant::now();
        for (channel, frame) in announced {
            for wire in wires.values_mut().filter(|wire| wire.channels.contains(&channel)) {
                wire.count.brought += 1;
                wire.count.bytes_received += 32 + (channel.len() + frame.len()) as u64;
                wire.brought =
                    (now + delay(random)).max(wire.brought + STEP).max(wire.stands_until.unwrap_or(now));
                let brought = Brought { at: wire.brought, channel: channel.clone(), frame: frame.clone() };
                // Nobody listens any more.
                let _ = wire.bus.send(brought);
            }
        }
    }

    async fn ask(self: Arc<Self>, node: u64, command: Command) -> Result<Value, Fault> {
        let (name, args) = command.words();
        let words: Vec<Text> = args.iter().map(text).collect();
        let kind =
            if name == "FCALL" { String::from_utf8_lossy(&words[0]).into_owned() } else { name.to_owned() };
        let bytes = 16 + words.iter().map(|word| size(word.len())).sum::<u64>();
        let Some(at) = self.sent(node, &kind, bytes) else { return silence(self.is_there(node)).await };
        sleep_until(at).await;
        if !self.is_there(node) {
            return silence(false).await;
        }
        let (answer, announced) = if name == "FCALL" {
            let count: usize =
                String::from_utf8_lossy(&words[1]).parse().expect("it says how many keys there are");
            let (keys, args) = words[2..].split_at(count);
            self.functions.call(&kind, keys, args, self.now_ms())
        } else {
            assert_eq!(name, "SPUBLISH", "no other is asked for here");
            let channel = String::from_utf8_lossy(&words[0]).into_owned();
            (Value::Integer(1), vec![(channel, words[1].clone().into())])
        };
        self.announce(announced);
        let Some(at) = self.answered(node, size_of(&answer)) else {
            return silence(self.is_there(node)).await;
        };
        sleep_until(at).await;
        if self.is_there(node) { Ok(answer) } else { silence(false).await }
    }

    fn is_there(&self, node: u64) -> bool {
        self.state().wires.contains_key(&node)
    }
}

/// Of a node that is no more nothing goes on.
async fn silence(is_there: bool) -> Result<Value, Fault> {
    if !is_there {
        std::future::pending::<()>().await;
    }
    sleep(SILENCE).await;
    Err(Fault::Lost("no answer in time".into()))
}

fn delay(random: &mut Random) -> Duration {
    let slow = if random.percent(1) { random.below(40) } else { 0 };
    Duration::from_micros(200 + random.below(800)) + Duration::from_millis(slow)
}

struct Line {
    network: Arc<Network>,
    node: u64,
}

impl Played for Line {
    fn answer(&self, command: Command) -> BoxFuture<'static, Result<Value, Fault>> {
        Arc::clone(&self.network).ask(self.node, command).boxed()
    }
}

fn text(value: &Value) -> Text {
    match value {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Integer(number) => number.to_string().into(),
        other => panic!("{other:?} is no word of a command"),
    }
}

/// Of a word on the wire: `$`, its length, and what ends both.
fn size(length: usize) -> u64 {
    (length + length.to_string().len() + 5) as u64
}

fn size_of(value: &Value) -> u64 {
    match value {
        Value::Array(values) => 8 + values.iter().map(size_of).sum::<u64>(),
        Value::String(text) => size(text.len()),
        Value::Bytes(bytes) => size(bytes.len()),
        _ => 8,
    }
}
