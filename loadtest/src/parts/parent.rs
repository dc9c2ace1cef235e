//! The process that has no users of its own: it starts the parts and adds up what they tell.

use std::{
    process::Stdio,
    sync::{Arc, Mutex, atomic::Ordering},
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    sync::broadcast,
    task::JoinSet,
};

use super::{Order, Part, Told};
use crate::{
    accounting::Account,
    figures::Figures,
    generator::Generator,
    run::{Run, held},
};

/// What all parts came to.
#[derive(Debug, Default)]
pub struct Ended {
    pub account: Account,
    pub examples: Vec<String>,
    pub generator: Generator,
}

/// The latest of each part.
#[derive(Clone, Copy, Default)]
struct Counts {
    connected: u64,
    arrived: u32,
    under_way: u64,
    /// It is not asked any more.
    has_ended: bool,
}

struct Parts {
    run: Arc<Run>,
    counts: Mutex<Vec<Counts>>,
    orders: broadcast::Sender<String>,
}

/// Orders that a part has not taken yet. One that does not read at all misses the oldest: the states, of which the last counts.
const ORDERS_MAX: usize = 256;
/// A line of a part; more than that is not one of its own.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Until the last has ended. Each gets the arguments of this process and says which part it is.
pub async fn load(run: &Arc<Run>, of: u32) -> anyhow::Result<Ended> {
    let parts = Arc::new(Parts {
        run: Arc::clone(run),
        counts: Mutex::new(vec![Counts::default(); of as usize]),
        orders: broadcast::Sender::new(ORDERS_MAX),
    });
    let mut all = JoinSet::new();
    for index in 0..of {
        let child = start(Part { index, of }, run.id)?;
        all.spawn(Arc::clone(&parts).one(index as usize, child));
    }
    let phases = tokio::spawn(pass_on(Arc::clone(&parts)));
    let mut ended = Ended::default();
    while let Some(part) = all.join_next().await {
        let part = part.context("a part")??;
        ended.account.add(&part.account);
        ended.examples.extend(part.examples);
        ended.generator.add(&part.generator);
    }
    phases.abort();
    Ok(ended)
}

fn start(part: Part, run: u32) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("where this program is")?;
    Command::new(program)
        .args(std::env::args_os().skip(1))
        .arg(format!("--part={}/{}", part.index, part.of))
        .arg(format!("--run-id={run}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("part {}", part.index))
}

/// Phases of the run become orders.
async fn pass_on(parts: Arc<Parts>) {
    let mut phases = parts.run.phases();
    while phases.changed().await.is_ok() {
        let phase = *phases.borrow_and_update();
        if let Some(order) = Order::of(phase) {
            parts.order(&order);
        }
    }
}

impl Parts {
    async fn one(self: Arc<Self>, index: usize, mut child: Child) -> anyhow::Result<Ended> {
        let mut stdin = child.stdin.take().context("its stdin")?;
        let stdout = child.stdout.take().context("its stdout")?;
        let mut orders = self.orders.subscribe();
        let giving = tokio::spawn(async move {
            loop {
                match orders.recv().await {
                    Ok(line) if stdin.write_all(line.as_bytes()).await.is_ok() => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    _ => break,
                }
            }
        });
        let ended = self.hear(index, stdout).await;
        giving.abort();
        let status = child.wait().await.context("its end")?;
        match ended? {
            Some(ended) => Ok(ended),
            None => bail!("part {index} ended without a word: {status}"),
        }
    }

    async fn hear(&self, index: usize, stdout: ChildStdout) -> anyhow::Result<Option<Ended>> {
        use tokio::io::AsyncReadExt as _;
        let mut lines = BufReader::new(stdout);
        let mut ended = None;
        loop {
            let mut line = Vec::new();
            if (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await.context("its words")? == 0
            {
                break;
            }
            // What its libraries print is nothing to us.
            match serde_json::from_slice::<Told>(&line) {
                Ok(Told::Second { figures, connected, arrived, under_way, heads }) => {
                    self.run.take_in(&Figures::unpack(&figures), &heads);
                    self.count(index, |counts| {
                        *counts = Counts { connected, arrived, under_way, has_ended: false };
                    });
                }
                Ok(Told::End { account, examples, generator }) => {
                    self.count(index, |counts| (counts.has_ended, counts.connected) = (true, 0));
                    ended = Some(Ended { account, examples, generator: *generator });
                }
                Err(_) => {}
            }
        }
        Ok(ended)
    }

    /// Adds up, and tells everybody how far all of them are.
    fn count(&self, index: usize, change: impl FnOnce(&mut Counts)) {
        let mut counts = held(&self.counts);
        if let Some(counts) = counts.get_mut(index) {
            change(counts);
        }
        let connected = counts.iter().map(|one| one.connected).sum();
        let under_way = counts.iter().map(|one| one.under_way).sum();
        self.run.connected.store(connected, Ordering::Relaxed);
        self.run.arrived.store(counts.iter().map(|one| one.arrived).sum(), Ordering::Relaxed);
        self.run.under_way.store(under_way, Ordering::Relaxed);
        drop(counts);
        self.order(&Order::State { under_way, heads: self.run.heads() });
    }

    fn order(&self, order: &Order) {
        let mut line = serde_json::to_string(order).expect("numbers and strings are always JSON");
        line.push('\n');
        // Without parts nobody needs it.
        let _ = self.orders.send(line);
    }
}
