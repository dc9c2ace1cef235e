//! Checkpoints of this node's log go to where whoever owns this node cannot change them: into the logs of two other nodes, into Redis,
//! and into a file on another disk. Theirs come here.
//!
//! A chain cannot say that its end is missing or that all of it was made anew; a checkpoint that was kept elsewhere can.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use turnpike_audit::{Anchor, Audit, Note, PublicKey};
use turnpike_cluster::{Claim, Cluster, Directory, Incarnation, Letter, Node};
use turnpike_daemon::tasks::{Stop, Tasks};

use crate::audit::key_file;
use crate::config::Config;

/// Checkpoints are made every second; so many of them go out. An end that is cut off is seen but for this.
const EVERY: Duration = Duration::from_secs(5);
/// While the log has nothing new but what it says of itself and of others: else two nodes would wake each other for ever.
const IDLE_EVERY: Duration = Duration::from_mins(5);
/// Other nodes that are told. More would cost disk on each, and prove no more.
const WITNESSES: usize = 2;
/// Of letters between nodes.
const SUBJECT: &str = "audit";
/// One node may not fill another's log.
const FROM_ONE_EVERY: Duration = Duration::from_secs(1);
/// In Redis: `audit/NODE/START/SLOT`, where a start is one run of its process. One slot has the newest, one each the last of so many hours.
const PREFIX: &str = "audit/";
const HOURS: u64 = 48;
/// After that Redis forgets them.
const LEASE: Duration = Duration::from_hours(7 * 24);
/// Names asked for at once.
const PAGE: usize = 256;
/// The file begins anew, and the one before is kept.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The newest checkpoint. Whoever takes it elsewhere needs no other: each covers all records before it.
#[derive(Clone, Default)]
pub(super) struct Newest(Arc<watch::Sender<Option<Note>>>);

impl Anchor for Newest {
    fn checkpoint(&mut self, note: &Note) {
        self.0.send_replace(Some(note.clone()));
    }
}

/// Where checkpoints go.
pub(super) struct Place {
    cluster: Cluster,
    node: String,
    key: PublicKey,
    file: Option<PathBuf>,
    /// There is nobody else, and nothing outlives the process.
    alone: bool,
}

impl Place {
    pub(super) fn new(config: &Config, cluster: &Cluster, key: PublicKey) -> Self {
        let alone = config.redis.nodes.0.is_empty();
        Self {
            cluster: cluster.clone(),
            node: config.node_id(),
            key,
            file: config.audit.anchor_file.clone(),
            alone,
        }
    }
}

pub(super) fn start(place: Place, audit: &Audit, newest: &Newest, tasks: &Tasks) {
    if !place.alone {
        let (cluster, audit) = (place.cluster.clone(), audit.clone());
        tasks.spawn("audit witness", |stop| witness(cluster, audit, stop));
    }
    if !place.alone || place.file.is_some() {
        let (newest, audit) = (newest.0.subscribe(), audit.clone());
        tasks.spawn("audit anchors", |stop| take_out(place, audit, newest, stop));
    }
}

/// Takes the newest checkpoint out as long as there is a newer one.
async fn take_out(place: Place, audit: Audit, mut newest: watch::Receiver<Option<Note>>, mut stop: Stop) {
    let (mut told, mut told_at, mut hour) = (0, None::<Instant>, None);
    loop {
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return stop.requested().await },
            () = stop.requested() => return,
        }
        let Some(note) = newest.borrow_and_update().clone() else { continue };
        let said = news(&audit);
        let idle = said == told && told_at.is_some_and(|at| at.elapsed() < IDLE_EVERY);
        if !idle {
            (told, told_at) = (said, Some(Instant::now()));
            place.write_to_neighbours(&note);
            place.keep_in_redis(&note, &mut hour).await;
            if let Some(file) = place.file.clone() {
                write_to_file(file, note.text().to_owned()).await;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.requested() => return,
        }
    }
}

/// How many records are neither checkpoints nor others' checkpoints.
fn news(audit: &Audit) -> u64 {
    let figures = audit.figures();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    count(&figures.records).saturating_sub(count(&figures.checkpoints) + count(&figures.witnessed))
}

impl Place {
    fn write_to_neighbours(&self, note: &Note) {
        let words = Bytes::from(format!("{}\n{}", self.key, note.text()));
        let (own, nodes) = (self.cluster.membership.own(), self.cluster.membership.nodes());
        let neighbours = neighbours(&nodes.borrow(), own);
        for neighbour in neighbours {
            // The next one says all that this one would have.
            let _ = self.cluster.post.send(neighbour, SUBJECT, words.clone());
        }
    }

    /// A claim of a name that only this start of this node has.
    async fn keep_in_redis(&self, note: &Note, hour: &mut Option<u64>) {
        if self.alone {
            return;
        }
        let own = self.cluster.membership.own();
        let now = super::now().0 / 3_600_000;
        let mut slots = vec!["now".to_owned()];
        if *hour != Some(now) {
            slots.push(format!("h{:02}", now % HOURS));
        }
        for slot in slots {
            let claim = Claim {
                over: None,
                name: format!("{PREFIX}{}/{own}/{slot}", self.node),
                lease_ms: LEASE.as_millis() as u64,
                value: note.text().to_owned(),
            };
            if self.cluster.directory.claim(&claim).wait().await.is_err() {
                // The next one says all that this one would have.
                return tracing::debug!("a checkpoint of the audit log could not be kept in Redis");
            }
        }
        *hour = Some(now);
    }
}

/// The next of the ring of names: each node has others.
fn neighbours(nodes: &[Node], own: Incarnation) -> Vec<Incarnation> {
    let mut all: Vec<(&str, Incarnation)> =
        nodes.iter().map(|node| (node.name.as_str(), node.incarnation)).collect();
    all.sort_unstable();
    let at = all.iter().position(|(_, incarnation)| *incarnation == own).map_or(0, |at| at + 1);
    let ring = all[at..].iter().chain(&all[..at]);
    ring.map(|(_, incarnation)| *incarnation).filter(|other| *other != own).take(WITNESSES).collect()
}

async fn write_to_file(file: PathBuf, text: String) {
    let written = tokio::task::spawn_blocking(move || append(&file, &text));
    if let Ok(Err(error)) = written.await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a checkpoint of the audit log could not be written to its second file"
        );
    }
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| found.len() > FILE_BYTES_MAX) {
        fs::rename(path, path.with_extension("before"))?;
    }
    let mut file = File::options().append(true).create(true).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_data()
}

/// Writes other nodes' checkpoints into this log.
async fn witness(cluster: Cluster, audit: Audit, mut stop: Stop) {
    let mut letters = cluster.post.listen(SUBJECT);
    let nodes = cluster.membership.nodes();
    let mut known = HashMap::new();
    loop {
        let letter = tokio::select! {
            letter = letters.recv() => letter,
            () = stop.requested() => return,
        };
        let Some(letter) = letter else { return stop.requested().await };
        let nodes = Arc::clone(&nodes.borrow());
        known.retain(|incarnation, _| nodes.iter().any(|node| node.incarnation == *incarnation));
        let Some(node) = nodes.iter().find(|node| node.incarnation == letter.from) else { continue };
        if let Some((note, key)) = read(&letter, node, &mut known, Instant::now()) {
            audit.witness(&note, &key);
        }
    }
}

/// The first key that a start of a node shows is the one of that start. That the letter is that node's, its seal has said.
fn read(
    letter: &Letter,
    node: &Node,
    known: &mut HashMap<Incarnation, (PublicKey, Instant)>,
    now: Instant,
) -> Option<(Note, PublicKey)> {
    let (key, note) = std::str::from_utf8(&letter.words).ok()?.split_once('\n')?;
    let (key, note) = (key.parse::<PublicKey>().ok()?, Note::parse(note).ok()?);
    if key.name() != key_file::origin(&node.name) {
        return None;
    }
    if let Some((known, at)) = known.get(&letter.from)
        && (*known != key || now.duration_since(*at) < FROM_ONE_EVERY)
    {
        return None;
    }
    known.insert(letter.from, (key.clone(), now));
    Some((note, key))
}

/// All checkpoints that Redis has, of all nodes, as text that `turnpike audit verify --anchors` reads.
pub(crate) async fn printed(directory: &dyn Directory) -> anyhow::Result<String> {
    let (mut text, mut cursor) = (String::new(), String::new());
    loop {
        let (page, next) = directory.list(PREFIX, &cursor, PAGE).wait().await?;
        for (_, claimed) in page {
            // Whatever else stands under such a name is none.
            if let Ok(note) = Note::parse(&claimed.value) {
                text.push_str(note.text());
                text.push('\n');
            }
        }
        match next {
            Some(next) => cursor = next,
            None => return Ok(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use turnpike_audit::{Checkpoint, Digest, Signer};

    use super::*;

    fn node(name: &str, number: u64) -> Node {
        let (incarnation, name) = (Incarnation(number), name.to_owned());
        Node {
            incarnation,
            name,
            address: None,
            version: String::new(),
            draining: false,
            places: None,
            relay: None,
        }
    }

    fn letter(from: u64, signer: &Signer, size: u64) -> Letter {
        let origin = signer.public().name().to_owned();
        let checkpoint = Checkpoint { origin, size, root: Digest::NONE, bound: "x".into() };
        let note = Note::sign(checkpoint, &[signer]);
        Letter {
            from: Incarnation(from),
            words: Bytes::from(format!("{}\n{}", signer.public(), note.text())),
        }
    }

    #[test]
    fn every_node_is_somebodys_witness_and_nobodys_own() {
        let nodes = [node("b", 7), node("a", 9), node("c", 3)];
        let of = |own| neighbours(&nodes, Incarnation(own)).iter().map(|other| other.0).collect::<Vec<_>>();
        assert_eq!((of(9), of(7), of(3)), (vec![7, 3], vec![3, 9], vec![9, 7]));
        assert_eq!(neighbours(&nodes[..1], Incarnation(7)), []);
    }

    #[test]
    fn a_letter_counts_if_it_is_of_that_node_with_the_key_that_it_began_with_and_not_too_often() {
        let signers = [1, 2].map(|seed| Signer::from_seed("turnpike/a", [seed; 32]).unwrap());
        let stranger = Signer::from_seed("turnpike/b", [3; 32]).unwrap();
        let (a, mut known, begin) = (node("a", 1), HashMap::new(), Instant::now());
        let mut taken = |letter: &Letter, seconds| {
            read(letter, &a, &mut known, begin + Duration::from_secs(seconds))
                .map(|(note, _)| note.checkpoint.size)
        };
        assert_eq!(taken(&letter(1, &stranger, 5), 0), None, "another node's log");
        assert_eq!(taken(&letter(1, &signers[0], 5), 0), Some(5));
        assert_eq!(taken(&letter(1, &signers[0], 6), 0), None, "too often");
        assert_eq!(taken(&letter(1, &signers[0], 7), 1), Some(7));
        assert_eq!(taken(&letter(1, &signers[1], 8), 2), None, "another key");
        let nonsense = Letter { from: Incarnation(1), words: Bytes::from_static(b"\xff\n") };
        assert_eq!(taken(&nonsense, 3), None);
    }
}
