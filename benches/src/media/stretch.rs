//! A stretch of sending: what was sent in it, and what all viewers together made of it.

use std::time::Instant;

use super::{command::Report, publisher::Publisher, viewer::Viewer};
use crate::load::command::Latency;

pub(crate) struct Stretch {
    begun: Instant,
    /// Packets and frames of each publisher before it.
    before: Vec<(u64, u64)>,
}

impl Stretch {
    /// All begin to count.
    pub(crate) fn begin(now: Instant, publishers: &[Publisher], viewers: &mut [Viewer]) -> Self {
        for viewer in viewers {
            viewer.forget(now);
        }
        let before = publishers.iter().map(|publisher| (publisher.published, publisher.frames)).collect();
        Self { begun: now, before }
    }

    /// Whether more can come to viewers who count; those on a bad path never get all.
    pub(crate) fn has_all(&self, publishers: &[Publisher], viewers: &[Viewer]) -> bool {
        viewers.iter().all(|viewer| {
            let stream = viewer.peer.stream as usize;
            let sent = publishers[stream].published - self.before[stream].0;
            viewer.peer.path.is_some() || viewer.ears.tally.deliveries >= sent
        })
    }

    /// The publishers were silent from `end` on.
    pub(crate) fn finish(
        self,
        end: Instant,
        publishers: &[Publisher],
        viewers: &mut [Viewer],
        report: &mut Report,
    ) {
        let sent = publishers.iter().zip(&self.before);
        let sent: Vec<(u64, u64)> =
            sent.map(|(it, (packets, frames))| (it.published - packets, it.frames - frames)).collect();
        report.published = sent.iter().map(|(packets, _)| packets).sum();
        for publisher in publishers {
            let requests = publisher.keyframe_requests.iter().filter(|at| **at >= self.begun).count() as u64;
            report.keyframe_requests += requests;
            let in_a_second = publisher.keyframe_requests_in_a_second(self.begun);
            report.keyframe_requests_in_a_second = report.keyframe_requests_in_a_second.max(in_a_second);
        }
        let mut latencies = Vec::new();
        for viewer in viewers {
            let (packets, frames) = sent.get(viewer.peer.stream as usize).copied().unwrap_or_default();
            report.expected += packets;
            report.deliveries += viewer.ears.tally.deliveries;
            report.repeated += viewer.ears.tally.repeated + viewer.peer.replayed;
            report.missing += viewer.ears.tally.missing();
            latencies.append(&mut viewer.ears.tally.latencies_us);
            let Some(picture) = &mut viewer.ears.picture else { continue };
            picture.freezes.end(end);
            let sight = &mut report.sight;
            sight.frames += picture.frames;
            sight.frames_expected += frames;
            sight.freezes += picture.freezes.count;
            sight.frozen_seconds += picture.freezes.total.as_secs_f64();
            sight.restarts += picture.restarts;
            sight.lost += viewer.peer.path.as_ref().map_or(0, |path| path.lost);
            sight.restored += viewer.ears.restored;
            sight.requests += picture.missing.requests;
        }
        report.latency = Latency::of(&mut latencies);
    }
}
