//! The scenarios: what each does to a server, what it measures, and the goal it is held against.
//! One file each; here is what they have in common.

mod audit;
mod broadcast_stall;
mod connections;
mod cross_node;
mod deflate_broadcast;
mod echo;
mod failover;
mod fanout_paced;
mod fanout_saturated;
mod idle_cpu;
mod idle_memory;
mod node_killed;
mod proxy;
mod reconnect_storm;
mod relay_burst;
mod relay_delay;
mod relay_forward;
mod relay_join;
mod relay_loss;
mod session;
pub(crate) mod sweep;

use std::{borrow::Cow, collections::BTreeMap, time::Instant};

use crate::{
    load::{
        Driver,
        command::{Command, Report, Rooms},
    },
    measure::pinning::Core,
    media::{self, command::Rate},
    server::{Contender, Places, SECRET, Server, Setting},
};

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) figures: &'static [Figure],
    pub(crate) contenders: &'static [Contender],
    /// Unless the command line says otherwise.
    pub(crate) rounds: u32,
    /// About how long one server's turn takes, for plans until it was seen.
    pub(crate) turn_seconds: f64,
    /// Measures one server once. The first figure's value and any others come back by key.
    pub(crate) measure: fn(&Bench<'_>) -> anyhow::Result<Sample>,
}

/// Who is measured beside whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Servers,
    Relays,
    Proxies,
}

impl Scenario {
    pub(crate) fn field(&self) -> Field {
        if self.name.starts_with("relay-") || self.contenders.contains(&Contender::Janus) {
            Field::Relays
        } else if self.contenders.contains(&Contender::Nginx) {
            Field::Proxies
        } else {
            Field::Servers
        }
    }
}

/// Everybody who forwards media.
const RELAYS: &[Contender] = &[Contender::Turnpike, Contender::Webrtc, Contender::Janus, Contender::Floor];

/// A stream of 2.5 Mb/s, three packets at a time, as they come out of libwebrtc's pacer at this rate.
const STREAM: Rate = Rate { kbps: 2_500, burst: 3 };

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) goal: Option<f64>,
}

/// What one measurement found: figures and whatever helps to trust them, by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(BTreeMap<Cow<'static, str>, f64>);

impl Sample {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn insert(&mut self, key: impl Into<Cow<'static, str>>, value: f64) {
        self.0.insert(key.into(), value);
    }

    /// One of several sizes within one measurement.
    pub(crate) fn insert_at(&mut self, key: &str, size: u32, value: f64) {
        self.insert(at(key, size), value);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(key, value)| (&**key, *value))
    }
}

/// The key of a figure that was measured at several sizes, at this one.
pub(crate) fn at(key: &str, size: u32) -> String {
    format!("{key}@{size}")
}

/// All scenarios, and all sweeps.
pub(crate) fn every() -> impl Iterator<Item = &'static Scenario> {
    ALL.iter().chain(sweep::ALL.iter().map(|sweep| &sweep.scenario))
}

pub(crate) const ALL: [Scenario; 20] = [
    idle_memory::SCENARIO,
    idle_cpu::SCENARIO,
    fanout_paced::SCENARIO,
    fanout_saturated::SCENARIO,
    echo::SCENARIO,
    session::SCENARIO,
    deflate_broadcast::SCENARIO,
    broadcast_stall::SCENARIO,
    connections::SCENARIO,
    audit::SCENARIO,
    cross_node::SCENARIO,
    failover::SCENARIO,
    node_killed::SCENARIO,
    proxy::SCENARIO,
    reconnect_storm::SCENARIO,
    relay_forward::SCENARIO,
    relay_join::SCENARIO,
    relay_delay::SCENARIO,
    relay_burst::SCENARIO,
    relay_loss::SCENARIO,
];

/// One measurement: this server, with these sizes.
pub(crate) struct Bench<'a> {
    pub(crate) contender: Contender,
    pub(crate) places: &'a Places,
    pub(crate) server_core: Core,
    pub(crate) load_core: Core,
    pub(crate) size: Size,
}

/// What the command line can change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) quick: bool,
    pub(crate) seconds: Option<f64>,
    pub(crate) connections: Option<u32>,
    pub(crate) heartbeat_seconds: Option<f64>,
    pub(crate) window: Option<u32>,
}

impl Bench<'_> {
    pub(crate) fn serve(&self, setting: Setting) -> anyhow::Result<Server> {
        self.serve_with(setting, &[])
    }

    /// With an environment of its own.
    pub(crate) fn serve_with(
        &self,
        setting: Setting,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Server> {
        Server::start(self.contender, setting, self.places, self.server_core, environment)
    }

    /// Something that forwards media, and load for it.
    pub(crate) fn relay(&self) -> anyhow::Result<(Server, media::Driver)> {
        let server = self.serve(Setting { is_relay: true, ..Setting::default() })?;
        let dialect = self.contender.dialect();
        let driver = media::Driver::start(server.address, dialect, SECRET, self.load_core)?;
        Ok((server, driver))
    }

    pub(crate) fn driver(&self, server: &Server, number: u8) -> anyhow::Result<Driver> {
        Driver::start(server.address, SECRET, number, self.load_core)
    }

    /// Normal or quick, unless the command line has its own number.
    pub(crate) fn seconds(&self, normal: f64, quick: f64) -> f64 {
        self.size.seconds.unwrap_or(if self.size.quick { quick } else { normal })
    }

    pub(crate) fn connections(&self, normal: u32, quick: u32) -> u32 {
        self.size.connections.unwrap_or(if self.size.quick { quick } else { normal })
    }

    pub(crate) fn pick<T>(&self, normal: T, quick: T) -> T {
        if self.size.quick { quick } else { normal }
    }
}

/// Opens as fast as the server takes them.
pub(crate) fn open(count: u32, rooms: Rooms) -> Command {
    Command::Open { count, rooms, concurrency: 128, per_second: None, deflate: false }
}

/// What a stretch of load cost.
pub(crate) struct Cost {
    pub(crate) report: Report,
    pub(crate) cpu_seconds: f64,
    pub(crate) wall_seconds: f64,
    pub(crate) load_cpu_seconds: f64,
}

impl Cost {
    /// Runs one command and reads the server's CPU time before and after it.
    pub(crate) fn of(server: &Server, driver: &mut Driver, command: &Command) -> anyhow::Result<Self> {
        // A command that does nothing, to read the load's own CPU time.
        let load_before = driver.call(&Command::Idle { seconds: 0.0 })?.cpu_seconds;
        let before = server.cpu_seconds()?;
        let begun = Instant::now();
        let report = driver.call(command)?;
        let wall_seconds = begun.elapsed().as_secs_f64();
        let cpu_seconds = server.cpu_seconds()? - before;
        let load_cpu_seconds = report.cpu_seconds - load_before;
        Ok(Self { report, cpu_seconds, wall_seconds, load_cpu_seconds })
    }

    /// What tells whether the measurement can be trusted: how busy both sides were.
    pub(crate) fn explain(&self, sample: &mut Sample) {
        sample.insert("server_core_share", self.cpu_seconds / self.wall_seconds);
        sample.insert("load_core_share", self.load_cpu_seconds / self.wall_seconds);
        if let Some(latency) = self.report.latency {
            sample.insert("latency_p50_us", latency.p50);
            sample.insert("latency_p99_us", latency.p99);
        }
    }
}

/// Ours promises one order for all members of a room; for the others it is only noted.
pub(crate) fn account_for_order(
    bench: &Bench<'_>,
    disordered: u64,
    sample: &mut Sample,
) -> anyhow::Result<()> {
    anyhow::ensure!(
        disordered == 0 || bench.contender != Contender::Turnpike,
        "{disordered} members saw another order than the first of their room"
    );
    if disordered > 0 {
        sample.insert("disordered_members", disordered as f64);
    }
    Ok(())
}
