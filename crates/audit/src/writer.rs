//! The one thread that owns the end of the log: it takes what waits, writes it, brings it to the disk, and only then answers.
//!
//! While the disk is busy with one batch the next gathers, so the more there is to write, the fewer times the disk is asked. A batch
//! is written whole or not at all: what follows from a failure is decided in `trouble`.

mod segment;
mod trouble;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{oneshot, watch};

use self::segment::Open;
use self::trouble::Trouble;
use crate::chain::{Chain, Stamp};
use crate::disk::Disk;
use crate::event::{Event, Value};
use crate::handle::{Anchor, Figures, Health, NotRecorded, OnFailure, Recorded};
use crate::key::Signer;
use crate::kind::{Kind, Outcome, Wait};
use crate::merge::Merger;
use crate::note::Note;
use crate::personal::{SALT_BYTES, Salt};
use crate::queue::{Batch, Entry, Order, Queue, Reply};
use crate::time::Time;

/// Records of one write. What is larger becomes several, so that memory is bounded and answers come early.
const BATCH_RECORDS_MAX: usize = 8_192;
/// With nothing to do.
const IDLE: Duration = Duration::from_mins(1);

pub(crate) struct Writer {
    pub queue: Arc<Queue>,
    pub disk: Box<dyn Disk>,
    pub chain: Chain,
    pub signer: Signer,
    /// The key before, until it has signed for the one that follows.
    pub handing_over: Option<Signer>,
    pub anchor: Box<dyn Anchor>,
    pub figures: Arc<Figures>,
    pub health: Arc<watch::Sender<Health>>,
    pub limits: Limits,
    /// What the log itself has to say, to be written before anything else.
    pub own: Vec<Event>,
    /// The name of the file before, for the one that comes.
    pub previous: Option<String>,
    pub state: State,
    /// Held for as long as this process owns the directory.
    pub _lock: Option<std::fs::File>,
}

pub(crate) struct Limits {
    pub segment_bytes_max: u64,
    pub reserve_bytes: u64,
    pub records_max: usize,
    pub on_failure: OnFailure,
    pub checkpoint_every: Duration,
}

pub(crate) struct State {
    began: Instant,
    open: Option<Open>,
    merger: Merger,
    trouble: Trouble,
    salts: Salts,
    /// The number after the last checkpoint's record.
    signed: u64,
    sign_at: Instant,
    buffer: Vec<u8>,
}

impl State {
    /// `reserved`: whether there is something to fall back to when the disk is full.
    pub(crate) fn new(reserved: bool) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            open: None,
            merger: Merger::default(),
            trouble: Trouble::new(reserved),
            salts: Salts::default(),
            signed: 0,
            sign_at: now,
            buffer: Vec::new(),
        }
    }
}

/// Whoever waits must not wait for ever, should this thread end before its time.
struct Closes(Arc<Queue>, Arc<watch::Sender<Health>>);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.close();
        self.1.send_replace(Health::Closed);
    }
}

impl Writer {
    pub(crate) fn run(mut self) {
        let _closes = Closes(self.queue.clone(), self.health.clone());
        // So that a log is signed from its first record on.
        self.write(Vec::new(), true);
        loop {
            let batch = self.queue.take(self.deadline());
            if self.turn(batch) {
                return;
            }
        }
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        // While the disk refuses, nothing is signed before the next attempt.
        let waiting = self.state.trouble.is_waiting(now);
        let sign = (self.chain.seq > self.state.signed && !waiting).then_some(self.state.sign_at);
        let times = [sign, self.state.merger.next(), self.state.trouble.retry_at()];
        times.into_iter().flatten().min().unwrap_or(now + IDLE)
    }

    /// Whether the log is closed.
    fn turn(&mut self, batch: Batch) -> bool {
        let now = Instant::now();
        let Batch { entries, orders, dropped } = batch;
        let mut closes = false;
        let mut rotations: Vec<oneshot::Sender<()>> = Vec::new();
        for order in orders {
            match order {
                Order::Close => closes = true,
                Order::Rotate(done) => rotations.push(done),
                Order::Key(signer) => self.take_key(*signer),
            }
        }
        if !dropped.is_empty() {
            Figures::add(&self.figures.dropped, dropped.values().sum());
            let mut event = Event::new(Kind::Dropped, Outcome::Failure).reason("queue_full");
            for (class, count) in dropped {
                event = event.detail(class, count);
            }
            self.own.push(event);
        }
        let mut write: Vec<Entry> = Vec::with_capacity(entries.len());
        for mut entry in entries {
            if entry.reply.is_none() || entry.event.kind().wait() == Wait::First {
                let Some(event) = self.state.merger.offer(entry.event, now) else {
                    if let Some(reply) = entry.reply {
                        // One like it is on record, and this one in its count. Whoever asked may have gone.
                        let _ = reply.send(Ok(Recorded { seq: None }));
                    }
                    continue;
                };
                entry.event = event;
            }
            write.push(entry);
        }
        let merged = self.state.merger.due(now, closes);
        write.extend(merged.into_iter().map(|event| Entry { event, reply: None }));
        if closes {
            let left = self.queue.close();
            write.extend(left.entries);
            let closed = Event::new(Kind::Closed, Outcome::Success);
            write.push(Entry { event: closed, reply: None });
        }
        self.mend(now);

        while write.len() > BATCH_RECORDS_MAX {
            let rest = write.split_off(BATCH_RECORDS_MAX);
            self.write(write, false);
            write = rest;
        }
        let rotates = !rotations.is_empty();
        let sign_due = self.chain.seq > self.state.signed && now >= self.state.sign_at;
        let sign = closes || sign_due || self.handing_over.is_some();
        if !write.is_empty() || sign || !self.own.is_empty() || self.state.trouble.is_due(now) {
            self.write(write, sign);
        }
        if rotates {
            self.rotate();
            // The next file is there at once: whoever asked may take the one before.
            self.write(Vec::new(), true);
            for done in rotations {
                // Whoever asked may have gone.
                let _ = done.send(());
            }
        }
        closes
    }

    fn take_key(&mut self, signer: Signer) {
        if signer.public() == self.signer.public() {
            return;
        }
        self.own.push(key_introduced(&signer, self.signer.public().id().to_string()));
        let before = std::mem::replace(&mut self.signer, signer);
        // Of two changes before one signature, the first key has still to sign for what comes.
        self.handing_over.get_or_insert(before);
    }

    /// Writes a batch, or does with it what the policy says.
    fn write(&mut self, entries: Vec<Entry>, sign: bool) {
        let deny = self.limits.on_failure == OnFailure::Deny;
        let (mut events, mut replies) = (self.state.trouble.kept(), Vec::new());
        let kept = events.len();
        for Entry { event, reply } in entries {
            // Whoever gave up waiting was refused: what did not happen is not recorded.
            if deny && reply.as_ref().is_some_and(oneshot::Sender::is_closed) {
                continue;
            }
            events.push(event);
            replies.push(reply);
        }
        if self.state.trouble.is_waiting(Instant::now()) {
            return self.give_up(events, replies, kept);
        }
        self.rotate_if_due();
        loop {
            match self.attempt(&events, sign) {
                Ok(first) => return Self::done(first + kept as u64, replies),
                Err(error) => {
                    if !self.recover(&error) {
                        return self.give_up(events, replies, kept);
                    }
                }
            }
        }
    }

    /// Gives the number of the first of the events.
    fn attempt(&mut self, events: &[Event], sign: bool) -> io::Result<u64> {
        let stamp = self.stamp();
        self.open_segment(stamp)?;
        let mut chain = self.chain.clone();
        let mut buffer = std::mem::take(&mut self.state.buffer);
        buffer.clear();
        let salts = &mut self.state.salts;
        let mut salt = || salts.next();

        let open = self.state.open.as_ref().expect("it was opened just now");
        if open.bytes == 0 {
            let event = chain.segment_opened(self.previous.as_deref());
            chain.append(&event, open.begun, &mut salt, &mut buffer);
        }
        let gap = self.state.trouble.gap();
        for event in gap.iter().chain(&self.own) {
            chain.append(event, stamp, &mut salt, &mut buffer);
        }
        let first = chain.seq;
        for event in events {
            chain.append(event, stamp, &mut salt, &mut buffer);
        }
        let mut note = None;
        if sign {
            let signers: Vec<&Signer> = self.handing_over.iter().chain([&self.signer]).collect();
            let (event, signed) = chain.checkpoint(stamp, self.signer.public().name(), &signers);
            chain.append(&event, stamp, &mut salt, &mut buffer);
            note = Some(signed);
        }
        let written = self.bring_to_disk(&buffer);
        let bytes = buffer.len() as u64;
        self.state.buffer = buffer;
        written?;
        self.advance(chain, bytes, note);
        Ok(first)
    }

    fn bring_to_disk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let open = self.state.open.as_mut().expect("an attempt opens it first");
        let began = Instant::now();
        open.medium.append(bytes)?;
        open.medium.sync()?;
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        Figures::add(&self.figures.sync_micros, micros);
        Ok(())
    }

    /// It is on disk.
    fn advance(&mut self, chain: Chain, bytes: u64, note: Option<Note>) {
        Figures::add(&self.figures.records, chain.seq - self.chain.seq);
        Figures::add(&self.figures.bytes, bytes);
        Figures::add(&self.figures.batches, 1);
        self.figures.size.store(chain.seq, Ordering::Relaxed);
        self.chain = chain;
        self.own.clear();
        self.state.trouble.over();
        self.state.trouble.cut_again();
        if let Some(open) = &mut self.state.open {
            open.bytes += bytes;
        }
        if let Some(note) = note {
            Figures::add(&self.figures.checkpoints, 1);
            self.handing_over = None;
            self.state.signed = self.chain.seq;
            self.state.sign_at = Instant::now() + self.limits.checkpoint_every;
            self.anchor.checkpoint(&note);
        }
        let now_well = !self.state.trouble.on_reserve();
        self.health.send_if_modified(|health| {
            let next = if now_well { Health::Well } else { Health::Reserve };
            std::mem::replace(health, next.clone()) != next
        });
    }

    fn done(first: u64, replies: Vec<Option<Reply>>) {
        for (seq, reply) in (first..).zip(replies) {
            if let Some(reply) = reply {
                // Whoever has gone meanwhile does not hear it.
                let _ = reply.send(Ok(Recorded { seq: Some(seq) }));
            }
        }
    }

    /// The batch is not written now. What somebody waited for is refused, or under the other policy kept with the rest until the disk
    /// is back.
    fn give_up(&mut self, events: Vec<Event>, replies: Vec<Option<Reply>>, kept: usize) {
        let mut keep = Vec::new();
        let replies = std::iter::repeat_with(|| None).take(kept).chain(replies);
        for (event, reply) in events.into_iter().zip(replies) {
            if let Some(reply) = reply {
                let _ = reply.send(Err(NotRecorded::Failing));
                if self.limits.on_failure == OnFailure::Deny {
                    self.state.trouble.refused += 1;
                    continue;
                }
            }
            keep.push(event);
        }
        let dropped = self.state.trouble.keep(keep, self.limits.records_max);
        Figures::add(&self.figures.dropped, dropped);
    }

    fn stamp(&self) -> Stamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Stamp { time: Time(millis(since_epoch)).clamped(), mono: millis(self.state.began.elapsed()) }
    }
}

pub(crate) fn key_introduced(signer: &Signer, previous: String) -> Event {
    Event::new(Kind::KeyIntroduced, Outcome::Success)
        .detail("key", Value::Own(signer.public().to_string()))
        .detail("previous", Value::Own(previous))
}

/// Random bytes, many at a time.
struct Salts {
    bytes: Vec<u8>,
    used: usize,
}

impl Default for Salts {
    fn default() -> Self {
        Self { bytes: vec![0; 4_096], used: 4_096 }
    }
}

impl Salts {
    fn next(&mut self) -> Salt {
        if self.used + SALT_BYTES > self.bytes.len() {
            aws_lc_rs::rand::fill(&mut self.bytes)
                .expect("the generator of the process was seeded at its start");
            self.used = 0;
        }
        let mut salt = Salt::default();
        salt.copy_from_slice(&self.bytes[self.used..self.used + SALT_BYTES]);
        self.used += SALT_BYTES;
        salt
    }
}
