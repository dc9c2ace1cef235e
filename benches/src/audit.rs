//! The audit log alone: as many askers as there are connections that are let in at once, each of whom goes on when its record is
//! on disk. And the disk alone: the same bytes, in writes as large as all askers together.
//!
//! A process of its own, as the load is; what it found is a line of JSON.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use turnpike_audit::{Audit, Event, Kind, Outcome, Settings, Signer, Trust, Verdict, Verify};

/// The word that has this program be one; no scenario has that name.
pub(crate) const WORD: &str = "askers";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) directory: PathBuf,
    pub(crate) askers: usize,
    pub(crate) seconds: f64,
    /// Only the disk, with records of so many bytes.
    pub(crate) bare_bytes: Option<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) records: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) bytes_per_record: f64,
    pub(crate) records_per_sync: f64,
    /// How fast all of it was checked again, where there is something to check.
    pub(crate) verified_per_second: Option<f64>,
}

pub(crate) fn serve(job: &str) -> anyhow::Result<()> {
    let job: Job = serde_json::from_str(job)?;
    let found = match job.bare_bytes {
        Some(bytes) => bare(&job, bytes)?,
        None => decisions(&job)?,
    };
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}

fn decisions(job: &Job) -> anyhow::Result<Found> {
    let settings = Settings { queue_records_max: 2 * job.askers, ..Settings::new(&job.directory, "bench") };
    let signer = Signer::from_seed("turnpike/bench", [1; 32])?;
    let trust = Trust { keys: vec![signer.public().clone()], anchors: Vec::new() };
    let (audit, closing) = Audit::open(&settings, vec![signer], Box::new(()))?;
    let runtime = tokio::runtime::Runtime::new()?;
    let lasts = Duration::from_secs_f64(job.seconds);
    let begun = Instant::now();
    let waits = runtime.block_on(async {
        let askers: Vec<_> = (0..job.askers)
            .map(|asker| tokio::spawn(ask(audit.clone(), format!("user-{asker}"), begun + lasts)))
            .collect();
        let mut waits = Vec::new();
        for asker in askers {
            waits.extend(asker.await??);
        }
        anyhow::Ok(waits)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let figure = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    let (bytes, written, syncs) =
        (figure(&audit.figures().bytes), figure(&audit.figures().records), figure(&audit.figures().batches));
    closing.close();
    let verified_per_second = verified(&job.directory, trust, waits.len() as u64)?;
    Found::of(waits, seconds, bytes as f64 / written as f64, syncs, Some(verified_per_second))
}

async fn ask(audit: Audit, user: String, end: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut waits = Vec::new();
    while Instant::now() < end {
        let event = Event::new(Kind::Login, Outcome::Success)
            .user(user.as_str())
            .address("192.0.2.7")
            .connection("c-1")
            .transport("websocket");
        let asked = Instant::now();
        audit.decide(event).await?;
        waits.push(asked.elapsed());
    }
    Ok(waits)
}

/// Everything that was acknowledged is there, and nothing was changed.
fn verified(directory: &Path, trust: Trust, acknowledged: u64) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let verify = Verify { trust, tail_max: Duration::from_secs(10), anchors_needed: false };
    let report = verify.directory(directory, &mut |_| ())?;
    anyhow::ensure!(report.verdict == Verdict::Sound, "{report:?}");
    anyhow::ensure!(report.records >= acknowledged, "{} of {acknowledged} records", report.records);
    Ok(report.records as f64 / begun.elapsed().as_secs_f64())
}

/// One who writes and waits for the disk, as many records at once as there are askers.
fn bare(job: &Job, bytes: usize) -> anyhow::Result<Found> {
    let mut file = File::create(job.directory.join("bare"))?;
    let records = vec![b'x'; bytes * job.askers];
    let (begun, lasts) = (Instant::now(), Duration::from_secs_f64(job.seconds));
    let mut waits = Vec::new();
    while begun.elapsed() < lasts {
        let asked = Instant::now();
        file.write_all(&records)?;
        file.sync_data()?;
        waits.extend(std::iter::repeat_n(asked.elapsed(), job.askers));
    }
    let syncs = (waits.len() / job.askers) as u64;
    Found::of(waits, begun.elapsed().as_secs_f64(), bytes as f64, syncs, None)
}

impl Found {
    fn of(
        mut waits: Vec<Duration>,
        seconds: f64,
        bytes_per_record: f64,
        syncs: u64,
        verified_per_second: Option<f64>,
    ) -> anyhow::Result<Self> {
        waits.sort_unstable();
        let at = |share: f64| waits.get((waits.len() as f64 * share) as usize).copied();
        let millis = |share| at(share).map(|wait| wait.as_secs_f64() * 1e3).context("not one record");
        Ok(Self {
            records: waits.len() as u64,
            seconds,
            p50_ms: millis(0.5)?,
            p99_ms: millis(0.99)?,
            bytes_per_record,
            records_per_sync: waits.len() as f64 / syncs as f64,
            verified_per_second,
        })
    }
}
