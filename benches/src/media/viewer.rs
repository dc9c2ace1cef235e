//! A viewer: counts what it gets and reports as a browser does, feedback for every packet ten times a second and a
//! receiver report once.

use std::time::{Duration, Instant};

use turnpike_rtp::rtcp::{ReportBlock, Writer};
use turnpike_udp::Received;

use super::{
    peer::{Door, Peer},
    tally::Tally,
};

const FEEDBACK_EVERY: Duration = Duration::from_millis(100);
const REPORT_EVERY: Duration = Duration::from_secs(1);
const FEEDBACK_BYTES_MAX: usize = 1_200;
/// Whoever only receives has a name all the same.
const SSRC: u32 = 1;

pub(crate) struct Viewer {
    pub(crate) peer: Peer,
    pub(crate) tally: Tally,
    start: Instant,
    feedback_next: Instant,
    feedback_number: u8,
    report_next: Instant,
}

impl Viewer {
    /// `share` spreads the viewers' reports over time.
    pub(crate) fn open(door: &mut Door, start: Instant, share: f64) -> anyhow::Result<Self> {
        let peer = Peer::open(door, "/whep/bench", false)?;
        let now = Instant::now();
        Ok(Self {
            peer,
            tally: Tally::default(),
            start,
            feedback_next: now + FEEDBACK_EVERY.mul_f64(share),
            feedback_number: 0,
            report_next: now + REPORT_EVERY.mul_f64(share),
        })
    }

    pub(crate) fn read(&mut self, received: &mut Received, now: Instant) -> anyhow::Result<()> {
        let Self { peer, tally, start, .. } = self;
        peer.read(received, now, |media, came| tally.take(&media, *start, came))?;
        peer.faults += std::mem::take(&mut tally.malformed);
        if let Some((number, time)) = self.tally.left_over.take() {
            self.tell_feedback();
            self.tally.feedback.begin(number, time);
            let _ = self.tally.feedback.push(number, time);
        }
        Ok(())
    }

    pub(crate) fn tick(&mut self, now: Instant) {
        self.peer.tick(now);
        if self.tally.ssrc == 0 {
            return;
        }
        if now >= self.feedback_next && !self.tally.feedback.is_empty() {
            self.feedback_next = now + FEEDBACK_EVERY;
            self.tell_feedback();
        }
        if now >= self.report_next {
            self.report_next = now + REPORT_EVERY;
            self.tell_report();
        }
    }

    fn tell_feedback(&mut self) {
        let Self { peer, tally, feedback_number, .. } = self;
        peer.send_rtcp(FEEDBACK_BYTES_MAX, |buffer| {
            let mut writer = Writer::new(buffer);
            let written = tally.feedback.finish(&mut writer, SSRC, tally.ssrc, *feedback_number);
            *feedback_number = feedback_number.wrapping_add(1);
            if written.is_ok() { writer.len() } else { 0 }
        });
    }

    fn tell_report(&mut self) {
        let (ssrc, highest) = (self.tally.ssrc, self.tally.highest as u32);
        self.peer.send_rtcp(FEEDBACK_BYTES_MAX, |buffer| {
            let mut writer = Writer::new(buffer);
            let block = ReportBlock { ssrc, highest, ..ReportBlock::default() };
            if writer.receiver_report(SSRC, &[block]).is_ok() { writer.len() } else { 0 }
        });
    }
}
