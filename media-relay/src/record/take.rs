//! One recording: packets go in, files come out. Which of them a frame belongs to, and when a cluster is whole.
//!
//! It knows no disk: it writes to a [`Sink`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::frames::{Assembler, Frame};
use super::matroska::{self, Cluster, Format};
use super::order::{Order, Ordered};
use super::tap::Fed;
use super::timeline::{Anchors, Timeline};

/// A cluster is written when it is so long: with what a hole is waited for, this is what a process that is killed loses.
const CLUSTER: Duration = Duration::from_millis(500);
/// A keyframe is many packets and may make a cluster large before it is long.
const CLUSTER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a repair may take.
const PATIENCE: Duration = Duration::from_millis(300);
/// A file names its tracks at its beginning: so long those that are announced are waited for.
const TRACKS_WAIT: Duration = Duration::from_millis(1_500);
/// What waits meanwhile.
const PENDING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Of one recording; packets of more are dropped and counted.
const TRACKS_MAX: usize = 16;

/// Where files are written.
pub(super) trait Sink {
    /// Another file; the one before is over.
    fn begin(&mut self, extension: &'static str, head: &[u8]);
    fn append(&mut self, bytes: &[u8]);
    /// Over what is there already.
    fn patch(&mut self, at: u64, bytes: &[u8]);
}

pub(super) struct Take<S> {
    pub(super) sink: S,
    file_bytes_max: u64,
    began: Option<Instant>,
    anchors: Anchors,
    tracks: Vec<Track>,
    /// How many tracks the stream has.
    announced: usize,
    file: Option<File>,
    /// For the next file.
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    pending_since: Option<Instant>,
    cluster: Cluster,
    cluster_since: Option<Instant>,
}

struct Track {
    key: usize,
    source: u32,
    order: Order<Fed>,
    assembler: Assembler,
    timeline: Timeline,
}

struct File {
    /// Keys and formats of its tracks.
    tracks: Vec<(usize, Format)>,
    begins_ms: u64,
    bytes: u64,
    duration_at: u64,
}

struct Pending {
    track: usize,
    ms: u64,
    frame: Frame,
}

impl<S: Sink> Take<S> {
    pub(super) fn new(sink: S, file_bytes_max: u64) -> Self {
        Self {
            sink,
            file_bytes_max,
            began: None,
            anchors: Anchors::default(),
            tracks: Vec::new(),
            announced: 0,
            file: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
            pending_since: None,
            cluster: Cluster::default(),
            cluster_since: None,
        }
    }

    /// False: there are too many tracks already.
    pub(super) fn packet(&mut self, now: Instant, fed: Fed) -> bool {
        self.began.get_or_insert(fed.arrived);
        self.announced = fed.tracks.min(TRACKS_MAX);
        let index = match self.tracks.iter().position(|track| track.key == fed.track) {
            Some(index) => index,
            None if self.tracks.len() < TRACKS_MAX => {
                self.tracks.push(Track {
                    key: fed.track,
                    source: fed.source,
                    order: Order::new(PATIENCE),
                    assembler: Assembler::new(),
                    timeline: Timeline::new(fed.clock_hz),
                });
                self.tracks.len() - 1
            }
            None => return false,
        };
        let track = &mut self.tracks[index];
        if track.source != fed.source {
            track.source = fed.source;
            track.order.restart();
            track.assembler.hole();
            track.timeline.restart();
        }
        track.order.insert(now, fed.seq, fed);
        self.drain(now, index);
        true
    }

    /// Looks after what is due, with or without packets.
    pub(super) fn tick(&mut self, now: Instant) {
        for index in 0..self.tracks.len() {
            self.drain(now, index);
        }
        let is_over = |since: Option<Instant>, span| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= span)
        };
        if self.file.is_none() && is_over(self.pending_since, TRACKS_WAIT) {
            self.begin(now);
        }
        if is_over(self.cluster_since, CLUSTER) {
            self.flush();
        }
    }

    /// The tracks of which nothing can be used until there is a keyframe.
    pub(super) fn wishes(&self) -> impl Iterator<Item = usize> {
        let is_full = self.is_full();
        let waits = move |track: &&Track| {
            track.assembler.waits_for_keyframe() || is_full && track.assembler.is_of_pictures()
        };
        self.tracks.iter().filter(waits).map(|track| track.key)
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self, now: Instant) {
        // What waits behind holes goes out as it is.
        self.tick(now + PATIENCE);
        if self.file.is_none() {
            self.begin(now);
        }
        self.flush();
    }

    fn is_full(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.bytes >= self.file_bytes_max)
    }

    fn drain(&mut self, now: Instant, index: usize) {
        loop {
            let track = &mut self.tracks[index];
            let fed = match track.order.next(now) {
                None => return,
                Some(Ordered::Hole) => {
                    track.assembler.hole();
                    continue;
                }
                Some(Ordered::Packet(fed)) => fed,
            };
            let began = self.began.unwrap_or(fed.arrived);
            let came_us = fed.arrived.saturating_duration_since(began).as_micros() as i64;
            let key = track.key;
            let mut frames = Vec::new();
            track.assembler.packet(&fed.piece, |frame| frames.push(frame));
            for frame in frames {
                let timeline = &mut self.tracks[index].timeline;
                let ms =
                    timeline.place(frame.timestamp, came_us, fed.clock, fed.publisher, &mut self.anchors);
                self.frame(now, key, ms, frame);
            }
        }
    }

    fn frame(&mut self, now: Instant, key: usize, ms: u64, frame: Frame) {
        if let Some(file) = &self.file {
            let place = file.tracks.iter().position(|(track, _)| *track == key);
            let fits = place.is_some_and(|place| file.tracks[place].1.goes_on_with(&frame.format));
            let has_pictures = file.tracks.iter().any(|(_, format)| format.is_video());
            let is_over = self.is_full() && (frame.format.is_video() || !has_pictures) && frame.is_keyframe;
            match place {
                Some(place) if fits && !is_over => return self.write(now, place, ms, &frame),
                _ => self.next_file(key),
            }
        }
        // One that was there before the others begins the file, whatever waits for its keyframe.
        self.pending_since.get_or_insert(now);
        self.pending_bytes += frame.bytes.len();
        self.pending.push_back(Pending { track: key, ms, frame });
        let mut known: Vec<usize> = self.pending.iter().map(|pending| pending.track).collect();
        known.sort_unstable();
        known.dedup();
        if known.len() >= self.announced || self.pending_bytes >= PENDING_BYTES_MAX {
            self.begin(now);
        }
    }

    /// What comes from now on is for another file. `first` begins it; other pictures begin anew.
    fn next_file(&mut self, first: usize) {
        self.flush();
        self.file = None;
        for track in &mut self.tracks {
            if track.key != first && track.assembler.is_of_pictures() {
                track.assembler.hole();
            }
        }
    }

    fn begin(&mut self, now: Instant) {
        let mut tracks: Vec<(usize, Format)> = Vec::new();
        for pending in &self.pending {
            match tracks.iter_mut().find(|(track, _)| *track == pending.track) {
                Some((_, format)) => *format = pending.frame.format.clone(),
                None => tracks.push((pending.track, pending.frame.format.clone())),
            }
        }
        let Some(begins_ms) = self.pending.iter().map(|pending| pending.ms).min() else { return };
        // Players take the first as the one to show.
        tracks.sort_by_key(|(_, format)| !format.is_video());
        let formats: Vec<Format> = tracks.iter().map(|(_, format)| format.clone()).collect();
        let head = matroska::head(&formats);
        self.sink.begin(matroska::extension(&formats), &head.bytes);
        let bytes = head.bytes.len() as u64;
        self.file = Some(File { tracks, begins_ms, bytes, duration_at: head.duration_at });
        self.pending_bytes = 0;
        self.pending_since = None;
        let mut pending: Vec<Pending> = std::mem::take(&mut self.pending).into();
        pending.sort_by_key(|pending| pending.ms);
        for Pending { track, ms, frame } in pending {
            let place =
                self.file.as_ref().and_then(|file| file.tracks.iter().position(|(key, _)| *key == track));
            if let Some(place) = place {
                self.write(now, place, ms, &frame);
            }
        }
    }

    fn write(&mut self, now: Instant, place: usize, ms: u64, frame: &Frame) {
        let Some(file) = &self.file else { return };
        let ms = ms.saturating_sub(file.begins_ms);
        let is_whole = self
            .cluster
            .begins_ms()
            .is_some_and(|begins| ms.saturating_sub(begins) >= CLUSTER.as_millis() as u64);
        if is_whole || !self.cluster.can_take(ms) || self.cluster.bytes() >= CLUSTER_BYTES_MAX {
            self.flush();
        }
        self.cluster_since.get_or_insert(now);
        self.cluster.push(place, ms, frame.is_keyframe, &frame.bytes);
    }

    fn flush(&mut self) {
        self.cluster_since = None;
        let Some(file) = self.file.as_mut().filter(|_| !self.cluster.is_empty()) else { return };
        let ends_ms = self.cluster.ends_ms();
        let bytes = self.cluster.take();
        file.bytes += bytes.len() as u64;
        self.sink.append(&bytes);
        self.sink.patch(file.duration_at, &matroska::duration(ends_ms.max(1)));
    }
}

#[cfg(test)]
mod tests;
