//! A viewer's track: which layer of what is published it gets, and as what.
//!
//! It decides packet by packet and gives numbers; it neither holds nor sends anything.

use std::time::Instant;

use turnpike_congestion::Class;
use turnpike_congestion::allocation::{LayerId, Wanted};
use turnpike_rtp::rewriter::{Clocks, Incoming, Output, Refused, Rewriter, Seeds, Source};
use turnpike_rtp::{ClockMapping, Codec};
use turnpike_sdp::{AgreedCodec, WatchedTrack, payload_for};
use turnpike_wire::media::Rid;

use super::send_cache::Cached;
use super::track::{Facts, Layer, Track, TrackKey};

pub(crate) struct Forwarder {
    pub(crate) track: Option<TrackKey>,
    /// In the viewer's description.
    pub(crate) mid: String,
    pub(crate) is_video: bool,
    /// What the viewer can be sent, by its own numbers.
    agreed: Vec<AgreedCodec>,
    /// What it is sent.
    pub(crate) codec: Codec,
    pub(crate) payload_type: u8,
    pub(crate) ssrc: u32,
    repair_ssrc: Option<u32>,
    repair_sequence: u16,
    pub(crate) repair: Option<Repair>,
    pub(crate) rewriter: Box<Rewriter>,
    wanted: Wanted,
    /// The layer that is wanted by its name: which rank it has may change.
    named: Option<Rid>,
    muted: bool,
    /// What the allocation gives: spatial and temporal layer.
    target: Option<(u8, u8)>,
    /// The published layer that is forwarded, by its index.
    current: Option<u8>,
    /// Within it, up to which layers.
    spatial: u8,
    temporal: u8,
    /// It was given the latest keyframe alone, and has nothing behind it yet.
    pub(crate) has_still: bool,
    /// The clock of the layer before, if the same publisher sent it.
    clock_before: Option<(u32, ClockMapping)>,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    /// The middle of the NTP time of the latest sender report, and when it was sent.
    pub(crate) reported: Option<(u32, Instant)>,
    /// Since somebody last counted them: changes of what is shown of one track.
    pub(crate) switches: u32,
}

/// The stream in which packets are sent again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repair {
    pub(crate) payload_type: u8,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
}

/// A packet on its way to a viewer: which it is, and what it becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passing {
    pub(crate) track: u32,
    /// A track's place may have become another's meanwhile.
    pub(crate) source: Source,
    pub(crate) forwarder: u8,
    /// A forwarder's place as well.
    pub(crate) ssrc: u32,
    pub(crate) layer: u8,
    pub(crate) way: Way,
    pub(crate) marker: bool,
    pub(crate) seq: u64,
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    First,
    /// In the stream of repairs.
    Again,
    /// The place of a packet that the viewer does not get.
    Filling,
}

impl Passing {
    pub(crate) fn class(&self, is_video: bool) -> Class {
        match self.way {
            Way::Again => Class::Retransmission,
            _ if is_video => Class::Video,
            _ => Class::Audio,
        }
    }
}

impl Forwarder {
    pub(crate) fn new(watched: &WatchedTrack, seeds: &Seeds) -> Self {
        let agreed = watched.codecs.clone();
        let first =
            agreed.first().and_then(|agreed| Codec::parse(agreed.codec.name())).unwrap_or(Codec::Opus);
        Self {
            track: None,
            mid: watched.mid.as_str().to_owned(),
            is_video: watched.kind == turnpike_sdp::Kind::Video,
            agreed,
            codec: first,
            payload_type: 0,
            ssrc: watched.ssrc,
            repair_ssrc: watched.rtx,
            repair_sequence: seeds.sequence.wrapping_add(0x5a5a),
            repair: None,
            rewriter: Box::new(Rewriter::new(first, seeds)),
            wanted: Wanted::default(),
            named: None,
            muted: false,
            target: None,
            current: None,
            spatial: 0,
            temporal: 0,
            has_still: false,
            clock_before: None,
            packets: 0,
            octets: 0,
            reported: None,
            switches: 0,
        }
    }

    /// Whether it can show what is sent so.
    pub(crate) fn can_show(&self, codec: &turnpike_sdp::Codec) -> bool {
        payload_for(&self.agreed, codec).is_some()
    }

    pub(crate) fn wanted(&self) -> Wanted {
        Wanted { hidden: self.wanted.hidden || self.muted, ..self.wanted }
    }

    pub(crate) fn want(&mut self, wanted: Wanted, named: Option<Rid>) {
        (self.wanted, self.named) = (wanted, named);
    }

    /// What is wanted by its name is wanted as what it is by now.
    pub(crate) fn look_at_order(&mut self, track: &Track) {
        let named = self.named.as_ref().and_then(|named| track.rank_of(named.as_str()));
        if let Some(rank) = named {
            let any = LayerId { spatial: rank, temporal: u8::MAX };
            self.wanted.layer_max.get_or_insert(any).spatial = rank;
        }
    }

    pub(crate) fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// The layer that is forwarded now.
    pub(crate) fn current(&self) -> Option<u8> {
        self.current
    }

    /// It shows another track from now on.
    pub(crate) fn bind(&mut self, key: TrackKey, codec: &turnpike_sdp::Codec) {
        self.unbind();
        let Some(agreed) = payload_for(&self.agreed, codec) else { return };
        let named = Codec::parse(agreed.codec.name()).unwrap_or(self.codec);
        self.codec = named;
        self.rewriter.set_codec(named);
        self.rewriter.set_codec(named);
        self.payload_type = agreed.payload_type;
        let numbers = agreed.rtx.zip(self.repair_ssrc);
        let sequence = self.repair_sequence;
        self.repair = numbers.map(|(payload_type, ssrc)| Repair { payload_type, ssrc, sequence });
        self.track = Some(key);
    }

    /// It shows nothing until it is bound again.
    pub(crate) fn unbind(&mut self) {
        self.pause();
        if let Some(repair) = self.repair.take() {
            self.repair_sequence = repair.sequence;
        }
        self.track = None;
        self.clock_before = None;
        self.has_still = false;
    }

    /// It shows nothing any more.
    pub(crate) fn close(&mut self) {
        self.unbind();
        self.agreed.clear();
    }

    /// Which layer it is to get. True if that is news.
    pub(crate) fn choose(&mut self, target: Option<(u8, u8)>) -> bool {
        let is_news = self.target != target;
        self.target = target;
        match target {
            None => self.pause(),
            Some((_, temporal)) => self.temporal = self.temporal.min(temporal),
        }
        is_news
    }

    /// The published layer that it waits for.
    pub(crate) fn waits_for(&self, track: &Track) -> Option<u8> {
        let wanted = self.wanted_layer(track)?;
        let climbs =
            track.layers.len() == 1 && self.target.is_some_and(|(spatial, _)| spatial > self.spatial);
        (self.current != Some(wanted) || climbs).then_some(wanted)
    }

    /// The published layers that it is given or waits for, a bit each.
    pub(crate) fn layers(&self, track: &Track) -> u8 {
        let bit = |layer: u8| 1_u8.checked_shl(u32::from(layer)).unwrap_or(0);
        self.current.map_or(0, bit) | self.wanted_layer(track).map_or(0, bit)
    }

    /// Whether that layer is less than what it gets now.
    pub(crate) fn falls(&self, track: &Track, to: u8) -> bool {
        let rank = |layer: u8| track.order.iter().position(|ranked| *ranked == layer);
        self.current.is_some_and(|current| rank(to) < rank(current))
    }

    /// What it was given is all that there is for it until the next keyframe.
    pub(crate) fn wait_for_keyframe(&mut self) {
        self.pause();
        self.has_still = true;
    }

    /// Whether it has no picture at all.
    pub(crate) fn is_dark(&self) -> bool {
        self.current.is_none()
    }

    /// What becomes of a packet that has come, if this viewer gets it.
    pub(crate) fn consider(
        &mut self,
        key: TrackKey,
        index: u8,
        track: &Track,
        packet: &Cached<Facts>,
        is_late: bool,
        arrival_ms: u64,
    ) -> Option<Passing> {
        let layer = track.layers.get(usize::from(index))?;
        let frame = packet.facts.frame;
        let incoming = Incoming {
            source: layer.source,
            sequence: packet.seq as u16,
            timestamp: packet.timestamp,
            picture: frame.and_then(|frame| frame.picture),
            arrival_ms,
        };
        let ssrc = self.ssrc;
        let pass = |way, marker, output| {
            Some(Passing {
                track: key as u32,
                source: layer.source,
                forwarder: 0,
                ssrc,
                layer: index,
                way,
                marker,
                seq: packet.seq,
                output,
            })
        };
        if self.current == Some(index) && self.rewriter.source() != Some(layer.source) {
            // The layer has begun anew.
            self.pause();
        }
        if self.current != Some(index) {
            // Of what comes late, what follows it has passed already.
            if self.wanted_layer(track) == Some(index) && !is_late && self.can_start(packet) {
                let clocks = self.clocks(track.publisher, layer);
                let Ok(output) = self.rewriter.start(&incoming, clocks.as_ref()) else {
                    // Behind what the viewer has been shown: it may still fill its place there.
                    let output = self.rewriter.forward(&incoming).ok()?;
                    return pass(Way::First, packet.marker, output);
                };
                self.switches += u32::from(self.is_video && self.current.is_some());
                self.current = Some(index);
                self.has_still = false;
                (self.spatial, self.temporal) = self.target.unwrap_or_default();
                self.remember_clock(track.publisher, layer);
                return pass(Way::First, self.marker(packet), output);
            }
            // Only what fills a place of before is of use.
            let output = is_late.then(|| self.rewriter.forward(&incoming).ok()).flatten()?;
            return pass(Way::First, packet.marker, output);
        }
        self.remember_clock(track.publisher, layer);
        if !self.takes(packet, track.layers.len()) {
            let output = self.rewriter.skip(&incoming)?;
            return pass(Way::Filling, false, output);
        }
        match self.rewriter.forward(&incoming) {
            Ok(output) => pass(Way::First, self.marker(packet), output),
            Err(Refused::Restarted) if !self.is_video => {
                let output = self.rewriter.start(&incoming, None).ok()?;
                pass(Way::First, packet.marker, output)
            }
            Err(Refused::Restarted) => {
                self.current = None;
                None
            }
            Err(_) => None,
        }
    }

    /// Nothing is sent until it is started again.
    pub(crate) fn pause(&mut self) {
        if self.current.take().is_some() {
            self.rewriter.pause();
        }
    }

    fn wanted_layer(&self, track: &Track) -> Option<u8> {
        let (spatial, _) = self.target?;
        if track.layers.len() > 1 { track.order.get(usize::from(spatial)).copied() } else { Some(0) }
    }

    fn can_start(&self, packet: &Cached<Facts>) -> bool {
        !self.is_video || packet.facts.frame.is_some_and(|frame| frame.keyframe && frame.starts_frame)
    }

    /// Whether the packet is of the layers that it gets. What it did not get before, it can only take up where that is
    /// possible.
    fn takes(&mut self, packet: &Cached<Facts>, layers: usize) -> bool {
        let Some(frame) = packet.facts.frame else { return false };
        let Some((spatial_max, temporal_max)) = self.target else { return true };
        let before = (self.spatial, self.temporal);
        if frame.keyframe {
            self.temporal = temporal_max;
            if layers == 1 {
                self.spatial = spatial_max;
            }
        } else if frame.temporal > self.temporal
            && frame.temporal <= temporal_max
            && frame.starts_frame
            && frame.switch_up
        {
            self.temporal = frame.temporal;
        }
        if layers == 1 && spatial_max < self.spatial && frame.starts_frame {
            self.spatial = spatial_max;
        }
        self.switches += u32::from(before != (self.spatial, self.temporal));
        frame.temporal <= self.temporal && (layers > 1 || frame.spatial <= self.spatial)
    }

    /// Where higher spatial layers are left out, the picture ends earlier.
    fn marker(&self, packet: &Cached<Facts>) -> bool {
        let ends = packet.facts.frame.is_some_and(|frame| frame.ends_frame && frame.spatial == self.spatial);
        packet.marker || (self.is_video && ends && self.spatial > 0)
    }

    fn clocks(&self, publisher: u32, layer: &Layer) -> Option<Clocks> {
        let (_, from) = self.clock_before.filter(|(before, _)| *before == publisher)?;
        Some(Clocks { from, to: layer.clock?.0 })
    }

    fn remember_clock(&mut self, publisher: u32, layer: &Layer) {
        if let Some((clock, _)) = layer.clock {
            self.clock_before = Some((publisher, clock));
        }
    }
}

/// The best that a wish asks for.
pub(crate) fn wanted_of(
    spatial: Option<u8>,
    temporal: Option<u8>,
    height: Option<u16>,
    hidden: bool,
) -> Wanted {
    let layer_max = (spatial.is_some() || temporal.is_some())
        .then(|| LayerId { spatial: spatial.unwrap_or(u8::MAX), temporal: temporal.unwrap_or(u8::MAX) });
    Wanted { hidden, layer_max, height }
}
