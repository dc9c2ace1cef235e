//! One viewer's track as one stream: numbers without gaps and times without jumps, whatever happens to the sources.
//!
//! A viewer's track shows one source at a time: a layer of a publisher, later another layer, another publisher, or the same
//! one after a pause. Whoever forwards decides which ([`Rewriter::start`], at a frame that stands alone), what of it the
//! viewer gets ([`Rewriter::forward`]) and what not ([`Rewriter::skip`]); this gives what is forwarded its numbers.
//!
//! * What was lost on the way to us keeps its place, so that it fits in when it comes after all; what is left out on
//!   purpose closes up.
//! * Timestamps go on across sources by their sender reports, where both are of one device, otherwise by the time
//!   that passed. They never go back.
//! * A bounded history says of each number what it was ([`Rewriter::origin`]), for answering a NACK.
//!
//! It has no clock, knows no bytes, allocates nothing, and takes less than 4 KB. It does not choose layers.

mod history;
mod pictures;
mod timeline;

use history::{History, Place};
use pictures::Pictures;
use timeline::{Step, Timeline};

use crate::codec::{Codec, Picture, mask};
use crate::ntp::ClockMapping;
use crate::sequence::distance;

/// So many lost packets in a row still keep their places. A browser gives up a stream at a thousand.
pub const GAP_PACKETS_MAX: u16 = 1_024;
const GAP_MAX: i16 = GAP_PACKETS_MAX.cast_signed();
const BEHIND_MIN: i16 = -history::WINDOW_PACKETS.cast_signed();

/// A published layer, named by whoever forwards. A publisher that comes back is another source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Source(pub u32);

/// What counts of a packet of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incoming {
    pub source: Source,
    pub sequence: u16,
    pub timestamp: u32,
    /// The frame's number, from where it will be rewritten: the payload of VP8 and VP9, or the dependency descriptor.
    pub picture: Option<Picture>,
    /// From any moment that stays the same.
    pub arrival_ms: u64,
}

/// What the viewer's packet bears. The last two mean something if the packet had a [`Picture`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    pub sequence: u16,
    pub timestamp: u32,
    pub picture_id: u16,
    pub tl0: u8,
}

/// Why a packet has no place in the viewer's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the source is not the one that is forwarded")]
    NotForwarded,
    #[error("the packet was forwarded before")]
    Duplicate,
    #[error("the packet is too late: its place is gone, or never was")]
    Late,
    #[error("the packet is far from all others of its source")]
    Stray,
    /// Nothing more is taken of the source until it is started again, for video at a keyframe.
    #[error("the source goes on elsewhere: its numbers or times have jumped")]
    Restarted,
}

/// Where the viewer's numbers begin. They should not be guessable (RFC 3550, 5.1), so they are drawn by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeds {
    pub sequence: u16,
    pub timestamp: u32,
    pub picture_id: u16,
    pub tl0: u8,
}

/// The last sender reports of the source before and of the one that is started, if one device sent both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    pub from: ClockMapping,
    pub to: ClockMapping,
}

/// What a number of the viewer's stream was at its source, and how that packet is written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub source: Source,
    pub sequence: u16,
    /// Whether the viewer was sent something under this number. If not, it was lost before it came to us.
    pub sent: bool,
    output_sequence: u16,
    timestamp_offset: u32,
    picture_offset: u16,
    tl0_offset: u8,
}

impl Origin {
    /// What the packet bears for the viewer, from what it bore at its source.
    pub fn output(&self, timestamp: u32, picture: Option<Picture>) -> Output {
        let (picture_id, tl0) = match picture {
            Some(picture) => (
                picture.id.wrapping_add(self.picture_offset) & mask(picture.bits),
                picture.tl0.unwrap_or(0).wrapping_add(self.tl0_offset),
            ),
            None => (0, 0),
        };
        let timestamp = timestamp.wrapping_add(self.timestamp_offset);
        Output { sequence: self.output_sequence, timestamp, picture_id, tl0 }
    }
}

#[derive(Debug, Clone)]
pub struct Rewriter {
    /// Also in a pause; none before the first start.
    source: Option<Source>,
    /// Whether anything new of the source is taken.
    active: bool,
    /// The highest number of the source that was forwarded or skipped.
    newest: u16,
    /// The last packet that was far off. Two in a row are a restart (RFC 3550, A.1).
    stray: Option<u16>,
    history: History,
    timeline: Timeline,
    pictures: Pictures,
}

impl Rewriter {
    pub fn new(codec: Codec, seeds: &Seeds) -> Self {
        Self {
            source: None,
            active: false,
            newest: 0,
            stray: None,
            history: History::new(seeds.sequence),
            timeline: Timeline::new(codec.clock_hz(), seeds.timestamp),
            pictures: Pictures::new(closes_pictures(codec), seeds.picture_id, seeds.tl0),
        }
    }

    /// What is started next is of this codec. Its numbers go on where those of the codec before ended.
    pub fn set_codec(&mut self, codec: Codec) {
        self.timeline.set_clock(codec.clock_hz());
        self.pictures.set_closes(closes_pictures(codec));
    }

    /// The source that is forwarded; none before the first start, in a pause, and after a restart was noticed.
    pub fn source(&self) -> Option<Source> {
        self.source.filter(|_| self.active)
    }

    /// From this packet on its source is forwarded, right behind what the viewer has. It begins a frame that stands alone
    /// (any packet of audio). This is also how a pause ends, and how a source goes on that has jumped. Refused is a packet
    /// that comes late from a time of which the viewer has seen something; it can still be forwarded.
    pub fn start(&mut self, packet: &Incoming, clocks: Option<&Clocks>) -> Result<Output, Refused> {
        // What was skipped last is in no history.
        let behind = Some(packet.source) == self.source
            && (BEHIND_MIN..=0).contains(&distance(packet.sequence, self.newest))
            && self.timeline.is_near(packet.timestamp);
        if behind || self.history.is_passed(packet) {
            return Err(Refused::Late);
        }
        self.timeline.start(packet, Some(packet.source) == self.source, clocks);
        self.pictures.start(packet.picture);
        self.source = Some(packet.source);
        self.active = true;
        self.stray = None;
        self.newest = packet.sequence.wrapping_sub(1);
        self.begin_epoch(packet.source);
        Ok(self.append(packet, 1))
    }

    /// Nothing new is taken until the next start. What is late still has its place.
    pub fn pause(&mut self) {
        self.active = false;
    }

    /// A packet that the viewer is to get.
    pub fn forward(&mut self, packet: &Incoming) -> Result<Output, Refused> {
        let ahead = self.ahead(packet)?;
        if ahead <= 0 {
            return self.late(packet);
        }
        let ahead = ahead.unsigned_abs();
        self.stray = None;
        self.pictures.forward(packet.picture);
        if packet.timestamp != self.timeline.newest() {
            // What is missing before belongs to what was.
            if ahead > 1 {
                self.reserve(ahead - 1);
            }
            if self.timeline.step(packet, ahead == 1) == Step::Moved {
                self.begin_epoch(packet.source);
            }
            self.history.set_newest_timestamp(self.timeline.newest());
            return Ok(self.append(packet, 1));
        }
        Ok(self.append(packet, ahead))
    }

    /// A packet that the viewer is not to get: the stream closes over it. If a place was kept for it, because it comes
    /// late, the answer says what fills it: a packet of padding under this number, so that nobody asks for it for ever.
    #[must_use]
    pub fn skip(&mut self, packet: &Incoming) -> Option<Output> {
        let ahead = self.ahead(packet).ok()?;
        if ahead <= 0 {
            return self.late(packet).ok();
        }
        self.stray = None;
        if ahead > 1 {
            // What is missing may have any time up to this one's: what is started next must come behind it.
            self.timeline.pass(packet);
            self.history.set_newest_timestamp(self.timeline.newest());
            self.reserve(ahead.unsigned_abs() - 1);
        }
        self.newest = packet.sequence;
        self.pictures.skip(packet.picture);
        self.history.close();
        None
    }

    /// What a number of the viewer's stream was. `None` when that is too long ago.
    pub fn origin(&self, output_sequence: u16) -> Option<Origin> {
        let place = self.history.find_output(output_sequence)?;
        Some(self.origin_at(&place))
    }

    /// What is added to a timestamp of the source to get the viewer's. Sender reports of the source are for the viewer by
    /// this: same NTP time, this much added to the RTP time; then sound and picture stay together.
    pub fn timestamp_offset(&self, source: Source) -> Option<u32> {
        (self.source() == Some(source)).then(|| self.timeline.report_offset())
    }

    /// How the viewer's timestamps lie in the publisher's time.
    pub fn mapping(&self, source: Source, report: ClockMapping) -> Option<ClockMapping> {
        let offset = self.timestamp_offset(source)?;
        Some(ClockMapping { ntp: report.ntp, rtp: report.rtp.wrapping_add(offset) })
    }

    /// The newest number and timestamp that the viewer was sent, for padding that probes.
    pub fn newest_output(&self) -> (u16, u32) {
        (self.history.newest(), self.timeline.newest_output())
    }

    /// A number of its own for a packet of padding behind what was sent, where no RTX stream can carry it.
    pub fn pad(&mut self) -> Output {
        let sequence = self.history.pad();
        Output { sequence, timestamp: self.timeline.newest_output(), picture_id: 0, tl0: 0 }
    }

    /// How far the packet is ahead of the newest of its source; at most zero when it can only fill a place.
    fn ahead(&mut self, packet: &Incoming) -> Result<i16, Refused> {
        if !self.active || Some(packet.source) != self.source {
            return Ok(0);
        }
        let ahead = distance(packet.sequence, self.newest);
        let fits = match ahead {
            // Even if its time has jumped: it goes on there, without a frame missing.
            1 => self.stray.is_none() || !self.timeline.jumps(packet),
            2..=GAP_MAX => !self.timeline.jumps(packet),
            BEHIND_MIN..=0 => self.timeline.is_near(packet.timestamp),
            _ => false,
        };
        if fits {
            return Ok(ahead);
        }
        if self.stray == Some(packet.sequence.wrapping_sub(1)) {
            self.active = false;
            return Err(Refused::Restarted);
        }
        self.stray = Some(packet.sequence);
        Err(Refused::Stray)
    }

    fn late(&mut self, packet: &Incoming) -> Result<Output, Refused> {
        let current = Some(packet.source) == self.source && self.active;
        let unknown = if current { Refused::Late } else { Refused::NotForwarded };
        let place = self.history.find_input(packet).ok_or(unknown)?;
        if self.history.mark(place.output) {
            return Err(Refused::Duplicate);
        }
        Ok(self.origin_at(&place).output(packet.timestamp, packet.picture))
    }

    /// Keeps places for what is missing.
    fn reserve(&mut self, count: u16) {
        self.history.extend(self.newest, count, self.pictures.offset());
        self.newest = self.newest.wrapping_add(count);
    }

    /// Takes `count` numbers, the last of which is the packet's.
    fn append(&mut self, packet: &Incoming, count: u16) -> Output {
        self.reserve(count);
        self.history.mark(self.history.newest());
        let (picture_id, tl0) = self.pictures.output(packet.picture);
        Output {
            sequence: self.history.newest(),
            timestamp: self.timeline.output(packet.timestamp),
            picture_id,
            tl0,
        }
    }

    fn begin_epoch(&mut self, source: Source) {
        self.history.begin_epoch(history::Epoch {
            source,
            timestamp_offset: self.timeline.offset(),
            newest_timestamp: self.timeline.newest(),
            tl0_offset: self.pictures.tl0_offset(),
        });
    }

    fn origin_at(&self, place: &Place) -> Origin {
        Origin {
            source: place.epoch.source,
            sequence: place.input,
            sent: self.history.is_marked(place.output),
            output_sequence: place.output,
            timestamp_offset: place.epoch.timestamp_offset,
            picture_offset: place.picture_offset,
            tl0_offset: place.epoch.tl0_offset,
        }
    }
}

/// VP8's decoders take a missing number for a missing frame. VP9 derives from a number which references a frame has, and a
/// dependency descriptor says what each depends on, so with these a number that is left out stays out.
fn closes_pictures(codec: Codec) -> bool {
    codec == Codec::Vp8
}
