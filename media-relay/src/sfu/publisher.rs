//! A peer that publishes: which of its packets belongs to which layer of which track, and what it is told about them.
//!
//! It knows nothing of viewers.

use std::time::{Duration, Instant};

use slab::Slab;
use smallvec::SmallVec;
use turnpike_congestion::twcc::Arrivals;
use turnpike_rtp::extension::{identifier, transport_sequence};
use turnpike_rtp::rtcp::{Compound, Message, ReportBlock, TwccBuilder, Writer, nack_entries};
use turnpike_rtp::{Codec, ExtensionKind, ExtensionMap, Header, Packet, rtx};
use turnpike_wire::media::Kind;

use super::arrival::Arriving;
use super::counters::{Counters, Ignored};
use super::receiver::Receiver;
use super::track::{Track, TrackKey};

/// Of one peer: three layers with repairs for each of ten pictures.
const SOURCES_MAX: usize = 64;
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// What a compound packet may be.
const RTCP_BYTES_MAX: usize = 1_200;
/// Four bytes each at the worst; a keyframe request fits in behind.
const NACKS_PER_COMPOUND: usize = 256;
/// Kind, length and value of all extensions that are handed on.
const EXTENSIONS_BYTES_MAX: usize = 256;

pub(crate) struct Publisher {
    pub(crate) tracks: Vec<TrackKey>,
    pub(crate) extensions: ExtensionMap,
    /// What payload types mean in its description.
    pub(crate) payloads: Vec<Payload>,
    sources: Vec<Source>,
    arrivals: Arrivals,
    feedback: Box<TwccBuilder>,
    feedback_number: u8,
    /// In what it is told, and the name of its clock among those of a stream's publishers.
    pub(crate) own_ssrc: u32,
    report_due: Instant,
}

/// A payload type of one of the tracks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payload {
    pub(crate) number: u8,
    /// That of its repairs.
    pub(crate) repair: Option<u8>,
    pub(crate) track: TrackKey,
    pub(crate) codec: Codec,
    pub(crate) sent: turnpike_sdp::Codec,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: u32,
    track: TrackKey,
    layer: u8,
    is_repair: bool,
}

impl Publisher {
    pub(crate) fn new(now: Instant, own_ssrc: u32) -> Self {
        Self {
            tracks: Vec::new(),
            extensions: ExtensionMap::default(),
            payloads: Vec::new(),
            sources: Vec::new(),
            arrivals: Arrivals::new(now),
            feedback: Box::default(),
            feedback_number: 0,
            own_ssrc,
            report_due: now + REPORT_INTERVAL,
        }
    }

    /// Header extensions of another section; within a session an id means one thing.
    pub(crate) fn know(&mut self, extensions: ExtensionMap) {
        for (id, kind) in extensions.iter() {
            self.extensions.insert(id, kind);
        }
    }

    /// The description names the source.
    pub(crate) fn announce(&mut self, ssrc: u32, track: TrackKey, layer: u8, is_repair: bool) {
        if self.sources.len() < SOURCES_MAX && self.source(ssrc).is_none() {
            self.sources.push(Source { ssrc, track, layer, is_repair });
        }
    }

    pub(crate) fn forget(&mut self, track: TrackKey) {
        self.tracks.retain(|own| *own != track);
        self.payloads.retain(|payload| payload.track != track);
        self.sources.retain(|source| source.track != track);
    }

    /// A packet that has been opened; `came` is for what the publisher is told of its path. Gives the track if it brought it something new.
    pub(crate) fn packet(
        &mut self,
        now: Instant,
        came: Instant,
        tracks: &mut Slab<Track>,
        bytes: &mut [u8],
        counters: &Counters,
    ) -> Option<TrackKey> {
        let Ok(packet) = Packet::parse(bytes) else {
            counters.ignore(Ignored::Malformed);
            return None;
        };
        if let Some(sequence) =
            self.value(&packet, ExtensionKind::TransportSequence).and_then(transport_sequence)
        {
            self.arrivals.record(sequence, came);
        }
        let Some(source) = self.source(packet.header.ssrc).or_else(|| self.learn(&packet, tracks)) else {
            counters.ignore(Ignored::UnknownSource);
            return None;
        };
        if !source.is_repair {
            return self.media(now, tracks, source, packet, false, counters);
        }
        let payload_type = packet.header.payload_type;
        let original = self
            .payloads
            .iter()
            .find(|payload| payload.track == source.track && payload.repair == Some(payload_type))?;
        let ssrc = tracks.get(source.track)?.layers.get(usize::from(source.layer))?.ssrc?;
        let header: Header = packet.header;
        // None: it only probes the path.
        let restored = rtx::restore(bytes, &header, original.number, ssrc)?;
        let packet = Packet::parse(restored).ok()?;
        self.media(now, tracks, source, packet, true, counters)
    }

    /// Reports and byes.
    pub(crate) fn rtcp(&mut self, now: Instant, tracks: &mut Slab<Track>, bytes: &[u8], counters: &Counters) {
        for message in Compound::new(bytes) {
            match message {
                Ok(Message::SenderReport(report)) => {
                    let Some(source) = self.source(report.info.ssrc).filter(|source| !source.is_repair)
                    else {
                        continue;
                    };
                    let track = tracks.get_mut(source.track);
                    if let Some(layer) =
                        track.and_then(|track| track.layers.get_mut(usize::from(source.layer)))
                    {
                        layer.clock = Some((report.info.mapping(), now));
                        layer.receiver.sender_report(now, report.info.ntp.middle());
                    }
                }
                Ok(_) => {}
                Err(_) => counters.ignore(Ignored::Malformed),
            }
        }
    }

    /// When [`Self::tell`] has something to say.
    pub(crate) fn due(&self, now: Instant, tracks: &Slab<Track>) -> Option<Instant> {
        let own = || self.tracks.iter().filter_map(|key| tracks.get(*key));
        let nacks = own().flat_map(|track| &track.layers).filter_map(|layer| layer.receiver.due());
        let keyframes = own().flat_map(|track| {
            track
                .layers
                .iter()
                .filter(|layer| track.can_ask(layer, now))
                .filter_map(|layer| layer.keyframe.due())
        });
        let feedback = self.arrivals.next_due();
        nacks.chain(keyframes).chain(feedback).chain([self.report_due]).min()
    }

    /// Gives every compound packet that is due to `send`.
    pub(crate) fn tell(
        &mut self,
        now: Instant,
        tracks: &mut Slab<Track>,
        counters: &Counters,
        mut send: impl FnMut(&[u8]),
    ) {
        let mut buffer = [0; RTCP_BYTES_MAX];
        let own = self.own_ssrc;
        if now >= self.report_due {
            self.report_due = now + REPORT_INTERVAL;
            let blocks = self.blocks(now, tracks, counters);
            let mut out = Writer::new(&mut buffer);
            // A compound packet has at most 31, and so has what we take from one peer, nearly always.
            if out.receiver_report(own, &blocks[..blocks.len().min(31)]).is_ok() {
                send(out.written());
            }
        }
        while let Some((reference, base, arrivals)) = self.arrivals.poll(now).map(|feedback| {
            let reference = i64::from(feedback.reference_time) * 256;
            (reference, feedback.base_sequence, feedback.iter().collect::<SmallVec<[_; 128]>>())
        }) {
            let mut time = reference;
            self.feedback.begin(base, reference);
            let mut out = Writer::new(&mut buffer);
            for (sequence, delta) in arrivals {
                let Some(delta) = delta else { continue };
                time += i64::from(delta);
                if self.feedback.push(sequence, time).is_err() {
                    self.finish_feedback(&mut out);
                    send(out.written());
                    out = Writer::new(&mut buffer);
                    self.feedback.begin(sequence, time);
                    let _ = self.feedback.push(sequence, time);
                }
            }
            self.finish_feedback(&mut out);
            if !out.is_empty() {
                send(out.written());
            }
        }
        let mut lost = Vec::new();
        for key in &self.tracks {
            let Some(track) = tracks.get_mut(*key) else { continue };
            let (has_repairs, is_muted) = (track.is_video(), track.muted);
            for layer in &mut track.layers {
                let Some(ssrc) = layer.ssrc else { continue };
                let mut out = Writer::new(&mut buffer);
                if has_repairs {
                    lost.clear();
                    if layer.receiver.nacks(now, &mut lost) && layer.is_active(now) {
                        layer.keyframe.want();
                    }
                    counters.nacks_sent(lost.len());
                    for lost in lost.chunks(NACKS_PER_COMPOUND) {
                        if !out.is_empty() {
                            send(out.written());
                            out = Writer::new(&mut buffer);
                        }
                        let _ = out.nack(own, ssrc, nack_entries(lost.iter().copied()));
                    }
                }
                if !is_muted && layer.is_active(now) && layer.keyframe.ask(now) {
                    counters.keyframe_asked();
                    let _ = out.pli(own, ssrc);
                }
                if !out.is_empty() {
                    send(out.written());
                }
            }
        }
    }

    fn finish_feedback(&mut self, out: &mut Writer<'_>) {
        let number = self.feedback_number;
        // Browsers take only what names a source of theirs.
        let media =
            self.sources.iter().find(|source| !source.is_repair).map_or(self.own_ssrc, |source| source.ssrc);
        if !self.feedback.is_empty() && self.feedback.finish(out, self.own_ssrc, media, number).is_ok() {
            self.feedback_number = number.wrapping_add(1);
        }
    }

    fn blocks(&self, now: Instant, tracks: &mut Slab<Track>, counters: &Counters) -> Vec<ReportBlock> {
        let mut blocks = Vec::new();
        for key in &self.tracks {
            let Some(track) = tracks.get_mut(*key) else { continue };
            for layer in &mut track.layers {
                let (Some(ssrc), Some(report)) = (layer.ssrc, layer.receiver.report(now)) else { continue };
                counters.lost_in(layer.receiver.lost_lately);
                blocks.push(ReportBlock {
                    ssrc,
                    fraction_lost: report.fraction_lost,
                    lost: report.lost,
                    highest: report.highest,
                    jitter: report.jitter,
                    last_report: report.heard,
                    since_last_report: report.delay,
                });
            }
        }
        blocks
    }

    fn source(&self, ssrc: u32) -> Option<Source> {
        self.sources.iter().find(|source| source.ssrc == ssrc).copied()
    }

    fn value<'p>(&self, packet: &Packet<'p>, kind: ExtensionKind) -> Option<&'p [u8]> {
        packet.extension(self.extensions.id(kind)?)
    }

    /// Whose packet it is, by what its header says (RFC 8843 9.2), and otherwise by its payload type.
    fn learn(&mut self, packet: &Packet<'_>, tracks: &mut Slab<Track>) -> Option<Source> {
        if self.sources.len() >= SOURCES_MAX {
            return None;
        }
        let text = |kind| self.value(packet, kind).and_then(identifier);
        let payload_type = packet.header.payload_type;
        let fits = |payload: &&Payload| {
            let mid = text(ExtensionKind::Mid);
            let is_named =
                mid.is_none_or(|mid| tracks.get(payload.track).is_some_and(|track| track.mid == mid));
            is_named && (payload.number == payload_type || payload.repair == Some(payload_type))
        };
        let mut fitting = self.payloads.iter().filter(fits);
        let payload = *fitting.next()?;
        // Without a name, a payload type that several tracks have tells nothing.
        if text(ExtensionKind::Mid).is_none() && fitting.any(|other| other.track != payload.track) {
            return None;
        }
        let is_repair = payload.number != payload_type;
        let rid = if is_repair { text(ExtensionKind::RepairedRid) } else { text(ExtensionKind::Rid) };
        let track = tracks.get_mut(payload.track)?;
        let index = track.layer_of(rid)?;
        let source = Source {
            ssrc: packet.header.ssrc,
            track: payload.track,
            layer: u8::try_from(index).ok()?,
            is_repair,
        };
        let layer = &mut track.layers[index];
        let known = if is_repair { &mut layer.repair_ssrc } else { &mut layer.ssrc };
        // A second source that says the same is a publisher that began anew, as after a reload of its encoder.
        if let Some(old) = known.replace(source.ssrc) {
            self.sources.retain(|source| source.ssrc != old);
            if !is_repair {
                layer.receiver = Receiver::new(track.clock_hz, track.kind == Kind::Video);
                track.restart(index);
            }
        }
        self.sources.push(source);
        Some(source)
    }

    fn media(
        &self,
        now: Instant,
        tracks: &mut Slab<Track>,
        source: Source,
        packet: Packet<'_>,
        is_repair: bool,
        counters: &Counters,
    ) -> Option<TrackKey> {
        let track = tracks.get_mut(source.track)?;
        let header = packet.header;
        let is_ours =
            |payload: &&Payload| payload.track == source.track && payload.number == header.payload_type;
        let Some(payload) = self.payloads.iter().find(is_ours) else {
            counters.ignore(Ignored::UnknownPayload);
            return None;
        };
        // Which of the codecs that were agreed on is sent shows here.
        if track.sent != payload.sent {
            track.recode(payload.codec, payload.sent);
        }
        let extensions = self.carried(&packet);
        let arriving = Arriving {
            layer: source.layer,
            sequence: header.sequence,
            timestamp: header.timestamp,
            marker: header.marker,
            is_repair,
            extensions: &extensions,
            payload: packet.payload(),
            bytes: packet.bytes().len(),
        };
        let arrived = track.arrive(now, &arriving, counters)?;
        track.fresh.push(arrived);
        Some(source.track)
    }

    /// The extensions that viewers get as well.
    fn carried(&self, packet: &Packet<'_>) -> SmallVec<[u8; EXTENSIONS_BYTES_MAX]> {
        let mut to = SmallVec::new();
        for (id, value) in packet.extensions() {
            let is_for_viewers = matches!(
                self.extensions.kind(id),
                Some(
                    ExtensionKind::AudioLevel
                        | ExtensionKind::AbsCaptureTime
                        | ExtensionKind::VideoOrientation
                        | ExtensionKind::PlayoutDelay
                        | ExtensionKind::DependencyDescriptor
                )
            );
            if is_for_viewers && to.len() + 2 + value.len() <= EXTENSIONS_BYTES_MAX {
                // Their kind by our own number, since viewers have ids of their own.
                to.extend_from_slice(&[
                    self.extensions.kind(id).map_or(0, |kind| kind as u8),
                    value.len() as u8,
                ]);
                to.extend_from_slice(value);
            }
        }
        to
    }
}
