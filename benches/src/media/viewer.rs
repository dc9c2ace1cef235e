//! A viewer: counts what it gets and reports as a browser does, feedback for every packet ten times a second and a
//! receiver report once. One that looks at the picture also asks for what it needs for it.

use std::time::{Duration, Instant};

use turnpike_rtp::{
    Packet,
    rtcp::{Compound, Message, ReportBlock, Writer, nack_entries},
    rtx,
};
use turnpike_udp::Received;

use super::{
    description::Terms,
    peer::{Media, Peer},
    picture::{Picture, Piece},
    tally::Tally,
};

const FEEDBACK_EVERY: Duration = Duration::from_millis(100);
const REPORT_EVERY: Duration = Duration::from_secs(1);
const FEEDBACK_BYTES_MAX: usize = 1_200;
/// Whoever only receives has a name all the same.
const SSRC: u32 = 1;

pub(crate) struct Viewer {
    pub(crate) peer: Peer,
    pub(crate) ears: Ears,
    feedback_next: Instant,
    feedback_number: u8,
    report_next: Instant,
    due: Vec<u16>,
}

/// What takes note of what comes.
pub(crate) struct Ears {
    pub(crate) tally: Tally,
    pub(crate) picture: Option<Picture>,
    /// Packets that came again and were needed.
    pub(crate) restored: u64,
    start: Instant,
    /// The relay's last report, and when it came.
    heard: Option<(u32, Instant)>,
}

impl Ears {
    fn take(&mut self, media: &Media<'_>, terms: Terms, came: Instant) {
        let bytes = match media {
            Media::Rtp(bytes) => bytes,
            Media::Rtcp(bytes) => {
                for message in Compound::new(bytes).map_while(Result::ok) {
                    if let Message::SenderReport(report) = message {
                        self.heard = Some((report.info.ntp.middle(), came));
                    }
                }
                return;
            }
        };
        let Ok(packet) = Packet::parse(bytes) else {
            self.tally.malformed += 1;
            return;
        };
        self.tally.take(&packet, terms, self.start, came);
        let Some(picture) = &mut self.picture else { return };
        let (marker, payload_type) = (packet.header.marker, packet.header.payload_type);
        if payload_type == terms.vp8 {
            picture.take(packet.header.sequence, Piece::of(packet.payload(), marker), came);
        } else if terms.rtx == Some(payload_type)
            && let Some((original, payload)) = rtx::unwrap(packet.payload())
        {
            self.restored += u64::from(picture.take(original, Piece::of(payload, marker), came));
        }
    }
}

impl Viewer {
    /// `share` spreads the viewers' reports over time.
    pub(crate) fn new(peer: Peer, picture: Option<Picture>, start: Instant, share: f64) -> Self {
        let now = Instant::now();
        Self {
            peer,
            ears: Ears { tally: Tally::default(), picture, restored: 0, start, heard: None },
            feedback_next: now + FEEDBACK_EVERY.mul_f64(share),
            feedback_number: 0,
            report_next: now + REPORT_EVERY.mul_f64(share),
            due: Vec::new(),
        }
    }

    /// Counting begins anew.
    pub(crate) fn forget(&mut self, now: Instant) {
        (self.peer.replayed, self.ears.restored) = (0, 0);
        let since = now.saturating_duration_since(self.ears.start);
        self.ears.tally.forget(since.as_nanos() as u64);
        if let Some(path) = &mut self.peer.path {
            path.lost = 0;
        }
        if let Some(picture) = &mut self.ears.picture {
            picture.forget(now);
        }
    }

    pub(crate) fn read(&mut self, received: &mut Received, now: Instant) -> anyhow::Result<()> {
        let Self { peer, ears, .. } = self;
        let terms = peer.terms;
        peer.read(received, now, |media, came| ears.take(&media, terms, came))?;
        self.answer(now);
        Ok(())
    }

    /// To what was taken.
    fn answer(&mut self, now: Instant) {
        self.peer.faults += std::mem::take(&mut self.ears.tally.malformed);
        if let Some((number, time)) = self.ears.tally.left_over.take() {
            self.tell_feedback();
            self.ears.tally.feedback.begin(number, time);
            let _ = self.ears.tally.feedback.push(number, time);
        }
        self.ask(now);
    }

    pub(crate) fn tick(&mut self, now: Instant) {
        let Self { peer, ears, .. } = self;
        let terms = peer.terms;
        peer.tick(now);
        if peer.path.is_some() {
            peer.read_late(now, |media, came| ears.take(&media, terms, came));
            self.answer(now);
        }
        if self.ears.tally.ssrc == 0 {
            return;
        }
        if let Some(picture) = &mut self.ears.picture {
            picture.tick(now);
            self.ask(now);
        }
        if now >= self.feedback_next && !self.ears.tally.feedback.is_empty() {
            self.feedback_next = now + FEEDBACK_EVERY;
            self.tell_feedback();
        }
        if now >= self.report_next {
            self.report_next = now + REPORT_EVERY;
            self.tell_report(now);
        }
    }

    /// For what is missing, and for a picture.
    fn ask(&mut self, now: Instant) {
        let Self { peer, ears: Ears { tally, picture, .. }, due, .. } = self;
        let Some(picture) = picture else { return };
        picture.missing.due(now, due);
        let asks = picture.asks_for_keyframe(now);
        if due.is_empty() && !asks {
            return;
        }
        peer.send_rtcp(FEEDBACK_BYTES_MAX, |buffer| {
            let mut writer = Writer::new(buffer);
            // What does not fit is asked for again a little later.
            let _ = writer.nack(SSRC, tally.ssrc, nack_entries(due.iter().copied()));
            if asks {
                let _ = writer.pli(SSRC, tally.ssrc);
            }
            writer.len()
        });
    }

    fn tell_feedback(&mut self) {
        let Self { peer, ears: Ears { tally, .. }, feedback_number, .. } = self;
        peer.send_rtcp(FEEDBACK_BYTES_MAX, |buffer| {
            let mut writer = Writer::new(buffer);
            let written = tally.feedback.finish(&mut writer, SSRC, tally.ssrc, *feedback_number);
            *feedback_number = feedback_number.wrapping_add(1);
            if written.is_ok() { writer.len() } else { 0 }
        });
    }

    fn tell_report(&mut self, now: Instant) {
        let Ears { tally, heard, .. } = &mut self.ears;
        let (ssrc, highest, fraction_lost) = (tally.ssrc, tally.highest as u32, tally.fraction_lost());
        let (last_report, since_last_report) = heard.map_or((0, 0), |(middle, came)| {
            (middle, (now.saturating_duration_since(came).as_secs_f64() * 65_536.0) as u32)
        });
        self.peer.send_rtcp(FEEDBACK_BYTES_MAX, |buffer| {
            let mut writer = Writer::new(buffer);
            let block = ReportBlock {
                ssrc,
                fraction_lost,
                highest,
                last_report,
                since_last_report,
                ..ReportBlock::default()
            };
            if writer.receiver_report(SSRC, &[block]).is_ok() { writer.len() } else { 0 }
        });
    }
}
