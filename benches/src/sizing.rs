//! The parts of `docs/sizing.md` that are figures, and the costs that `turnpike size` counts with: both made from what is
//! recorded, and a test holds them to it.
//!
//! The program's costs may be a tenth off before the test fails: a server that changed with each record of it would never be
//! the one that was recorded.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;

use crate::{performance::ours, table};

const PAGE: &str = "docs/sizing.md";
/// What `turnpike size` counts with.
const PROGRAM: &str = "turnpike/src/size/costs.rs";
const OFF_MAX: f64 = 0.1;

/// What is planned with of a core.
const BUSY: f64 = 0.5;
/// As in `turnpike size`: of a process without connections, and what may wait to be written to every tenth connection.
const NODE_BYTES: f64 = 512.0 * 1024.0 * 1024.0;
const QUEUE_BYTES: f64 = 32.0 * 1024.0 / 10.0;
/// Receivers of a message in the two parts of `cross-node`.
const FEW: f64 = 2.0;
const MANY: f64 = 100.0;

/// Microseconds of a core, unless it says something else.
struct Costs {
    idle: f64,
    connection_kilobytes: f64,
    kernel_kilobytes: f64,
    session: f64,
    sent: f64,
    /// A message with two receivers, at both nodes.
    of_both: f64,
    heard: f64,
    /// Between nodes with many receivers, and within one.
    delivered_far: f64,
    delivered_near: f64,
    delivered_saturated: f64,
    redis: f64,
    redis_commands: f64,
    returned: f64,
    returned_commands: f64,
    forwarded: f64,
    viewer_kilobytes: f64,
    join_millis: f64,
}

impl Costs {
    fn read(results: &Path) -> anyhow::Result<Self> {
        let ours = |scenario, key| ours(results, scenario, key);
        let sent = ours("cross-node", "cpu_seconds_per_million_messages_saturated")?;
        let of_both = ours("cross-node", "cpu_seconds_per_million")? * FEW;
        let of_many = ours("cross-node", "cpu_seconds_per_million_wide")? * MANY;
        // Both are sending, hearing, and a delivery to each receiver.
        let delivered_far = (of_many - of_both) / (MANY - FEW);
        let memory = [
            ours("idle-memory", "kilobytes_per_connection")?,
            ours("idle-memory", "kilobytes_10_s_after_broadcast")?,
        ];
        Ok(Self {
            idle: ours("idle-cpu", "cpu_us_per_second")?,
            connection_kilobytes: memory[0].max(memory[1]),
            kernel_kilobytes: ours("idle-memory", "kernel_kilobytes_per_socket_end")?,
            session: ours("session", "cpu_seconds_per_thousand")? * 1e3,
            sent,
            of_both,
            heard: (of_both - sent - FEW * delivered_far).max(0.0),
            delivered_far,
            delivered_near: ours("fanout-paced", "cpu_seconds_per_million")?,
            delivered_saturated: ours("fanout-saturated", "cpu_seconds_per_million")?,
            redis: ours("cross-node", "redis_cpu_seconds_per_million_messages_saturated")?,
            redis_commands: ours("cross-node", "redis_commands_per_message_saturated")?,
            returned: ours("node-killed", "cpu_seconds_per_thousand")? * 1e3,
            returned_commands: ours("node-killed", "redis_commands_per_session")?,
            forwarded: ours("relay-forward", "cpu_micros_per_packet_200")?,
            viewer_kilobytes: ours("relay-forward", "resident_kilobytes_per_viewer")?,
            join_millis: ours("relay-join", "cpu_millis_per_join")?,
        })
    }

    /// The dearer one is planned with.
    fn delivered(&self) -> f64 {
        self.delivered_far.max(self.delivered_near)
    }

    fn connection_bytes(&self) -> f64 {
        (self.connection_kilobytes + self.kernel_kilobytes) * 1024.0 + QUEUE_BYTES
    }

    /// By the names they have in the program.
    fn of_program(&self) -> [(&'static str, &'static str, f64); 9] {
        let seconds = |micros: f64| micros * 1e-6;
        [
            (
                "IDLE_CORE_SECONDS",
                "A second of an idle connection with a heartbeat every 25 s (`idle-cpu`).",
                seconds(self.idle),
            ),
            (
                "SENT_CORE_SECONDS",
                "A message at the gateway that sends it, acknowledged, when many are sent (`cross-node`, saturated).",
                seconds(self.sent),
            ),
            (
                "HEARD_CORE_SECONDS",
                "The same message at each gateway that has members (`cross-node`, without the sending and the deliveries).",
                seconds(self.heard),
            ),
            (
                "DELIVERED_CORE_SECONDS",
                "One delivery to one member, the dearer of `cross-node` and `fanout-paced`.",
                seconds(self.delivered()),
            ),
            (
                "REDIS_CORE_SECONDS",
                "Redis, a message: all of its processes together (`cross-node`, saturated).",
                seconds(self.redis),
            ),
            (
                "CONNECTION_BYTES",
                "A connection: ours, the kernel's (`idle-memory`), and room for what waits to be written to a tenth of them.",
                self.connection_bytes(),
            ),
            (
                "FORWARDED_CORE_SECONDS",
                "A packet of 1,200 bytes, sent to a viewer (`relay-forward`).",
                seconds(self.forwarded),
            ),
            ("VIEWER_BYTES", "A viewer (`relay-forward`).", self.viewer_kilobytes * 1024.0),
            (
                "RETURN_CORE_SECONDS",
                "A session that comes back after its node was lost (`node-killed`).",
                seconds(self.returned),
            ),
        ]
    }

    fn program(&self) -> String {
        let mut text = String::from(
            "//! What things cost, as it was measured. Made from the records of the benches: `cargo xtask bench -- table`, and held by\n\
             //! `cargo test -p turnpike-benches`. CPU in seconds of a core.\n",
        );
        for (name, about, value) in self.of_program() {
            let _ = write!(text, "\n/// {about}\npub(super) const {name}: f64 = {value:.2e};\n");
        }
        text
    }

    fn costs(&self) -> String {
        let bench = |scenario: &str| format!("`cargo xtask bench -- {scenario}`");
        let rows = [
            ("a connection that is idle, CPU", format!("{:.2} us a second", self.idle), bench("idle-cpu")),
            (
                "a connection, memory",
                format!(
                    "{:.1} kB, and {:.1} kB of the kernel's",
                    self.connection_kilobytes, self.kernel_kilobytes
                ),
                bench("idle-memory"),
            ),
            (
                "a session from its first byte to its last",
                format!("{:.0} us: {} a second and core", self.session, round(1e6 / self.session)),
                bench("session"),
            ),
            (
                "a message, at the gateway that sends it, acknowledged when Redis and its replica have it",
                format!("{:.0} us when many are sent", self.sent),
                bench("cross-node"),
            ),
            (
                "the same message at another gateway with members of the room",
                format!("at most {:.0} us", self.heard),
                format!(
                    "the same: {:.0} us of both gateways for a message with two receivers, without sending and deliveries",
                    self.of_both
                ),
            ),
            (
                "a delivery to a member",
                format!("{:.1} us", self.delivered()),
                format!(
                    "the dearer of {:.1} us between nodes (the same, what a hundred receivers cost beyond two) and {:.1} us within one \
                     (`fanout-paced`); {:.2} us when a room has a thousand members at one node (`fanout-saturated`)",
                    self.delivered_far, self.delivered_near, self.delivered_saturated
                ),
            ),
            (
                "a message, in Redis, replicas included",
                format!("{:.0} us when many are sent, {:.1} commands", self.redis, self.redis_commands),
                "the same".into(),
            ),
            (
                "a client that comes back after its node was killed",
                format!(
                    "{:.0} us of a surviving node, {:.1} commands",
                    self.returned, self.returned_commands
                ),
                bench("node-killed"),
            ),
            (
                "a packet of live video to a viewer",
                format!("{:.2} us", self.forwarded),
                bench("relay-forward"),
            ),
            ("a viewer, memory", format!("{:.0} kB", self.viewer_kilobytes), "the same".into()),
            ("a viewer joins", format!("{:.2} ms", self.join_millis), bench("relay-join")),
        ];
        let mut text = String::from("| what | measured | by |\n| --- | --- | --- |\n");
        for (what, measured, by) in rows {
            let _ = writeln!(text, "| {what} | {measured} | {by} |");
        }
        text
    }

    fn carries(&self) -> String {
        let mut text = String::from(
            "| a gateway of | idle connections, by CPU | by memory | deliveries a second | messages sent a second |\n\
             | --- | --- | --- | --- | --- |\n",
        );
        for (size, cores, gibibytes) in
            [("1 core, 1 GiB", 1.0, 1.0), ("4 cores, 4 GiB", 4.0, 4.0), ("16 cores, 16 GiB", 16.0, 16.0)]
        {
            let of = |micros: f64| round(cores * BUSY * 1e6 / micros);
            let room = gibibytes * 1024.0_f64.powi(3) - NODE_BYTES;
            let _ = writeln!(
                text,
                "| {size} | {} | {} | {} | {} |",
                of(self.idle),
                round(room / self.connection_bytes()),
                of(self.delivered()),
                of(self.sent)
            );
        }
        let packets = 4.0 * BUSY * 1e6 / self.forwarded;
        let viewers = packets / (2_500_000.0 / 8.0 / 1_200.0);
        let _ = writeln!(
            text,
            "\nEach column alone: half the cores divided by the cost above; memory is what is left of it beside 512 MiB for the process, \
             by {:.1} kB a connection ({:.1} and {:.1} kB, and 32 KiB of queue for every tenth).\n\n\
             A relay of four cores forwards, at half of its time, {} packets a second: {} viewers of 2.5 Mb/s, which is {:.1} Gb/s.",
            self.connection_bytes() / 1024.0,
            self.connection_kilobytes,
            self.kernel_kilobytes,
            round(packets),
            round(viewers),
            viewers * 2.5 / 1e3,
        );
        text
    }

    fn of_redis(&self) -> String {
        format!(
            "A message is {:.0} us of Redis' time, master and replica together; a Redis process uses one core. Planned at half of it, each \
             master carries {} messages a second, and messages spread over masters by room.\n",
            self.redis,
            round(BUSY * 1e6 / self.redis)
        )
    }

    fn of_rooms(&self) -> String {
        let (heard, delivered) = (self.heard, self.delivered());
        format!(
            "Twenty members at twenty gateways cost 20 x {heard:.0} us beside 20 x {delivered:.1} us of deliveries; at one gateway they \
             cost {heard:.0} us beside the same deliveries.\n"
        )
    }
}

/// Three figures that count, thousands apart.
fn round(value: f64) -> String {
    let step = 10_f64.powf((value.log10().floor() - 2.0).max(0.0));
    crate::plot::spelled((value / step).round() * step)
}

fn with_figures(page: &str, costs: &Costs) -> anyhow::Result<String> {
    let mut page = page.to_owned();
    for (name, part) in [
        ("costs", costs.costs()),
        ("carries", costs.carries()),
        ("redis", costs.of_redis()),
        ("rooms", costs.of_rooms()),
    ] {
        let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- end of {name} -->"));
        page = table::replaced(&page, &begin, &end, &part)?;
    }
    Ok(page)
}

/// The page; it changes with every record.
pub(crate) fn write_page(root: &Path) -> anyhow::Result<()> {
    let path = root.join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    fs::write(&path, with_figures(&page, &Costs::read(&root.join("benches/results"))?)?)?;
    Ok(())
}

/// The program's costs, where one of them is off. `true` if they were: then the program says other things than its guide.
pub(crate) fn write_program(root: &Path) -> anyhow::Result<bool> {
    let costs = Costs::read(&root.join("benches/results"))?;
    let path = root.join(PROGRAM);
    if off(&fs::read_to_string(&path).unwrap_or_default(), &costs).is_empty() {
        return Ok(false);
    }
    fs::write(&path, costs.program())?;
    Ok(true)
}

/// What the program has too little or too much of, a line each.
fn off(program: &str, costs: &Costs) -> String {
    let mut lines = String::new();
    for (name, _, measured) in costs.of_program() {
        let value =
            program.split_once(&format!("{name}: f64 = ")).and_then(|(_, rest)| rest.split(';').next());
        let value: f64 = value.and_then(|value| value.parse().ok()).unwrap_or(0.0);
        if (value - measured).abs() > measured * OFF_MAX {
            let _ = writeln!(lines, "{name} is {value:.2e}, and {measured:.2e} by the records");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_DOCS=1 cargo test -p turnpike-benches` makes both again.
    #[test]
    fn sizes_rest_on_what_was_recorded() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            write_page(root).unwrap();
            write_program(root).unwrap();
        }
        let costs = Costs::read(&root.join("benches/results")).unwrap();
        let page = fs::read_to_string(root.join(PAGE)).unwrap();
        let wanted = with_figures(&page, &costs).unwrap();
        assert!(page == wanted, "{PAGE}: run UPDATE_DOCS=1 cargo test -p turnpike-benches");
        let off = off(&fs::read_to_string(root.join(PROGRAM)).unwrap(), &costs);
        assert!(
            off.is_empty(),
            "{PROGRAM}: run UPDATE_DOCS=1 cargo test -p turnpike-benches, then the same of turnpike\n{off}"
        );
    }

    #[test]
    fn values_have_three_figures() {
        assert_eq!(
            [820_123.0, 13_966.4, 97.4, 1_845_000.0].map(round),
            ["820,000", "14,000", "97", "1,850,000"]
        );
    }
}
