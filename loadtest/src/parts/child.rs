//! A part: it loads when it is told to, and tells what it sees.

use std::{
    io::Write as _,
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::mpsc;

use super::{Order, Told};
use crate::{
    figures::Figures,
    run::{Phase, Run},
};

/// Orders that wait to be followed: a few come in a second. When it is full, whoever gives them waits.
const ORDERS_MAX: usize = 64;

/// Follows what it is told on stdin; the run is over when nobody is there any more.
pub fn follow(run: &Arc<Run>) {
    let (give, mut given) = mpsc::channel(ORDERS_MAX);
    // Not one of the runtime's: it waits for a line when everything else has ended.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let Ok(order) = serde_json::from_str::<Order>(&line) else { continue };
            if give.blocking_send(order).is_err() {
                return;
            }
        }
    });
    let run = Arc::clone(run);
    tokio::spawn(async move {
        while let Some(order) = given.recv().await {
            match order {
                Order::Load { start_us, stop_us } => run.enter(Phase::Loading { start_us, stop_us }),
                Order::Settle { until_us } => run.enter(Phase::Settling { until_us }),
                Order::State { under_way, heads } => run.learn(under_way, &heads),
            }
        }
        run.enter(Phase::Over);
    });
}

/// What was measured since the last time.
pub fn tell_second(run: &Run, figures: &Figures) {
    tell(&Told::Second {
        figures: figures.pack(),
        connected: run.connected.load(Ordering::Relaxed),
        arrived: run.arrived.load(Ordering::Relaxed),
        under_way: run.under_way.load(Ordering::Relaxed),
        heads: run.heads(),
    });
}

pub fn tell(told: &Told) {
    let mut line = serde_json::to_string(told).expect("numbers and strings are always JSON");
    line.push('\n');
    // If nobody listens any more, stdin has ended as well.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}
