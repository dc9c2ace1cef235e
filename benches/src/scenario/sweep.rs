//! Sweeps: the same work at several sizes, so that it shows how cost grows. Each is a scenario whose figures have their size
//! behind an `@`; the curves drawn from them stand beside it.

mod clients;
mod connections;
mod rate;
mod room_size;
mod viewers;

use super::{Bench, Contender, Cost, Sample, Scenario};
use crate::{
    load::{Driver, command::Command, verify},
    packets::Body,
    server::Server,
};

pub(crate) struct Sweep {
    pub(crate) scenario: Scenario,
    pub(crate) curves: &'static [Curve],
}

/// A figure over a size, drawn for all who were measured.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) size: &'static str,
    pub(crate) unit: &'static str,
    /// What is compared grows by multiples rather than by steps.
    pub(crate) is_logarithmic: bool,
    pub(crate) goal: Option<f64>,
}

pub(crate) const ALL: [Sweep; 5] =
    [connections::SWEEP, room_size::SWEEP, rate::SWEEP, viewers::SWEEP, clients::SWEEP];

/// Sizes so large that a server cannot carry them end its curve. Ours and the floor have to carry so many, at least.
fn ends_at(
    bench: &Bench<'_>,
    error: anyhow::Error,
    carried: usize,
    carried_min: usize,
) -> anyhow::Result<()> {
    if carried >= if bench.contender.is_ours() { carried_min } else { 1 } {
        println!("{}: ends after {carried} sizes: {error:#}", bench.contender.name());
        return Ok(());
    }
    Err(error)
}

/// Everybody sends so often, at first for a moment that does not count; what came is accounted for.
fn paced(bench: &Bench<'_>, server: &Server, driver: &mut Driver, interval_ms: u64) -> anyhow::Result<Cost> {
    let paced = |seconds| Command::Paced { seconds, interval_ms, body: Body::Text(128) };
    driver.call(&paced(bench.pick(1.0, 0.2)))?;
    let cost = Cost::of(server, driver, &paced(bench.seconds(3.0, 0.5)))?;
    verify(&mut [driver], std::slice::from_ref(&cost.report))?;
    Ok(cost)
}
