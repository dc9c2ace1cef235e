//! What the audit log bears: decisions that are acknowledged when their record is on disk, so many waiting at any time, beside
//! what the disk alone bears. Signed, chained and in the tree; afterwards all of it is verified.

use anyhow::Context as _;

use super::{Bench, Contender, Figure, Sample, Scenario};
use crate::{
    audit::{Found, Job, WORD},
    measure::pinning::Core,
    server::own_program,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "audit",
    figures: &[
        Figure {
            key: "micros_per_record",
            title: "audit log: a record that is acknowledged when it is on disk (512 ask at once, both cores)",
            unit: "us",
            goal: Some(10.0),
        },
        Figure {
            key: "p99_ms",
            title: "the same: asked to acknowledged, 99th percentile",
            unit: "ms",
            goal: Some(10.0),
        },
    ],
    contenders: &[Contender::Turnpike, Contender::Floor],
    rounds: 3,
    turn_seconds: 7.0,
    measure,
};

const ASKERS: usize = 512;
/// What a record of this kind takes in the log.
const RECORD_BYTES: usize = 618;

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let data = bench.places.disk()?;
    let job = Job {
        directory: data.path().to_owned(),
        askers: bench.pick(ASKERS, 64),
        seconds: bench.seconds(5.0, 0.3),
        bare_bytes: (bench.contender == Contender::Floor).then_some(RECORD_BYTES),
    };
    // Who asks and who writes are one process here, so it has both cores.
    let output = Core(None)
        .command(own_program()?)
        .args([WORD, &serde_json::to_string(&job)?])
        .output()
        .context("the process that asks")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Found = serde_json::from_slice(&output.stdout)?;
    let mut sample = Sample::new();
    sample.insert("micros_per_record", found.seconds * 1e6 / found.records as f64);
    sample.insert("records_per_second", found.records as f64 / found.seconds);
    sample.insert("p50_ms", found.p50_ms);
    sample.insert("p99_ms", found.p99_ms);
    sample.insert("bytes_per_record", found.bytes_per_record);
    sample.insert("records_per_sync", found.records_per_sync);
    if let Some(verified) = found.verified_per_second {
        sample.insert("verified_per_second", verified);
    }
    Ok(sample)
}
