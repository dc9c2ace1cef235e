//! What a publisher publishes: a track, of one or more layers, and who watches it. It comes from the publisher itself or
//! through a pipe.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use turnpike_rtp::codec::dependency::Structure;
use turnpike_rtp::rewriter::Source;
use turnpike_rtp::{ClockMapping, Codec, Frame};
use turnpike_wire::UserId;
use turnpike_wire::media::{Kind, Rid};

use super::flow::Flow;
use super::forwarder::Passing;
use super::keyframe::Keyframe;
use super::receiver::Receiver;
use super::send_cache::{Cached, SendCache};
use super::speaker::Voice;
use crate::record::size_of;

/// A layer from which nothing came for so long is not there.
const QUIET: Duration = Duration::from_millis(1_500);

/// No keyframe has more packets.
const STILL_PACKETS_MAX: u64 = 1_024;

/// Index into [`super::Sfu`]'s tracks.
pub(crate) type TrackKey = usize;

/// Where a track comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// That peer publishes it.
    Peer(usize),
    /// Its stream's feed brings it.
    Feed,
}

pub(crate) struct Track {
    pub(crate) stream: usize,
    pub(crate) origin: Origin,
    /// In its stream, at all relays that have it.
    pub(crate) number: u16,
    /// Whose clock its times are of; the same at all relays.
    pub(crate) publisher: u32,
    pub(crate) user: UserId,
    /// In the publisher's description.
    pub(crate) mid: String,
    pub(crate) kind: Kind,
    pub(crate) codec: Codec,
    /// The same with all of its parameters.
    pub(crate) sent: turnpike_sdp::Codec,
    /// Another codec than before: viewers have to be told by another payload type.
    pub(crate) is_other: bool,
    /// Those that it is handed on to have to be told of it before they get another packet.
    pub(crate) is_news: bool,
    pub(crate) clock_hz: u32,
    pub(crate) muted: bool,
    pub(crate) layers: Vec<Layer>,
    /// Indices of layers, the least first.
    pub(crate) order: Vec<u8>,
    /// Peers, and which of their tracks this is.
    pub(crate) viewers: Vec<(usize, usize)>,
    /// What came in this round.
    pub(crate) fresh: Vec<Fresh>,
}

/// A packet that has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fresh {
    pub(crate) layer: u8,
    pub(crate) seq: u64,
    /// Newer ones were there before.
    pub(crate) is_late: bool,
    /// Of a picture of before, on which nothing that follows builds.
    pub(crate) stands_alone: bool,
}

/// What is known of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// None: it carries nothing.
    pub(crate) frame: Option<Frame>,
}

pub(crate) struct Layer {
    /// What viewers' numbers are written against. Another after a restart.
    pub(crate) source: Source,
    /// Counts how often the publisher's numbers have begun anew.
    pub(crate) life: u8,
    /// What is known of it from where it comes from, if that is a pipe.
    pub(crate) told: Option<Told>,
    /// None: the only one.
    pub(crate) rid: Option<Rid>,
    pub(crate) ssrc: Option<u32>,
    pub(crate) repair_ssrc: Option<u32>,
    pub(crate) receiver: Receiver,
    pub(crate) cache: SendCache<Facts>,
    pub(crate) keyframe: Keyframe,
    /// Where the latest keyframe begins.
    beginning: Option<u64>,
    /// The packets of that keyframe, for as long as it is the latest: a picture for whoever comes until there is a new one.
    still: Vec<Cached<Facts>>,
    /// That keyframe came alone, and what follows does not build on it.
    stands_alone: bool,
    /// What came while the track was muted the last time.
    unheard: Option<RangeInclusive<u64>>,
    /// As the latest sender report says, and when that came.
    pub(crate) clock: Option<(ClockMapping, Instant)>,
    /// Of a stream whose frames say what they depend on.
    pub(crate) structure: Option<Box<Structure>>,
    pub(crate) flow: Flow,
    pub(crate) latest: Option<Instant>,
    pub(crate) size: Option<(u16, u16)>,
    pub(crate) voice: Voice,
}

/// How a layer is where it comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) is_active: bool,
    pub(crate) rungs: Vec<(u8, u8, u64)>,
}

impl Layer {
    pub(crate) fn new(source: Source, rid: Option<Rid>, clock_hz: u32, is_video: bool) -> Self {
        Self {
            source,
            life: 0,
            told: None,
            rid,
            ssrc: None,
            repair_ssrc: None,
            // A voice is not asked for again: it would come too late.
            receiver: Receiver::new(clock_hz, is_video),
            cache: SendCache::new(),
            keyframe: Keyframe::default(),
            beginning: None,
            still: Vec::new(),
            stands_alone: false,
            unheard: None,
            clock: None,
            structure: None,
            flow: Flow::default(),
            latest: None,
            size: None,
            voice: Voice::default(),
        }
    }

    /// It is published now, whether or not it comes here.
    pub(crate) fn is_active(&self, now: Instant) -> bool {
        self.latest.is_some_and(|latest| now.saturating_duration_since(latest) < QUIET)
            || self.told.as_ref().is_some_and(|told| told.is_active)
    }

    /// Spatial and temporal layers within it, and what each costs.
    pub(crate) fn rungs(&self) -> SmallVec<[(u8, u8, u64); 4]> {
        // What does not come here cannot be measured here.
        match &self.told {
            Some(told) => told.rungs.iter().copied().collect(),
            None => self.flow.rungs().collect(),
        }
    }

    pub(crate) fn bits_per_second(&self) -> u64 {
        match &self.told {
            Some(told) => told.rungs.last().map_or(0, |(_, _, bits)| *bits),
            None => self.flow.bits_per_second(),
        }
    }

    /// A keyframe begins: it says how large the picture is.
    pub(crate) fn look_at_size(&mut self, codec: Codec, payload: &[u8]) {
        let described = self.structure.as_ref().map(|structure| structure.largest());
        let size = match described {
            Some(largest) => largest.and_then(|(w, h)| Some((w.try_into().ok()?, h.try_into().ok()?))),
            // Of several layers in one, a frame only tells of the least.
            None if self.flow.is_spatial() => None,
            None => size_of(codec, payload),
        };
        self.size = size.or(self.size);
    }

    /// A keyframe begins; `stands_alone`: what follows does not build on it.
    pub(crate) fn begins_at(&mut self, seq: u64, stands_alone: bool) {
        let time = |seq| self.cache.get(seq).map(|packet| packet.timestamp);
        // Of H.264, parameter sets begin the frame, and then its first slice does.
        let is_same = self.beginning.is_some_and(|known| known < seq && time(known) == time(seq));
        // A repair may bring an older one.
        if !is_same && self.beginning.is_none_or(|known| known < seq) {
            self.beginning = Some(seq);
            self.still.clear();
            self.stands_alone = stands_alone;
            if !stands_alone {
                self.keyframe.came();
            }
        }
    }

    /// The track is muted from now on, or not any more: nobody begins with what has come so far, and what comes meanwhile
    /// is nobody's business, also not later.
    pub(crate) fn mute(&mut self, is_muted: bool) {
        self.beginning = None;
        self.still.clear();
        let newest = self.cache.newest();
        self.unheard = match (is_muted, &self.unheard) {
            (true, _) => Some(newest.map_or(0, |newest| newest + 1)..=u64::MAX),
            (false, Some(unheard)) => newest.map(|newest| *unheard.start()..=newest),
            (false, None) => None,
        };
    }

    /// A packet that may be given to whoever missed it.
    pub(crate) fn again(&self, sequence: u16) -> Option<&Cached<Facts>> {
        let seq = self.full_number(sequence)?;
        let is_unheard = self.unheard.as_ref().is_some_and(|unheard| unheard.contains(&seq));
        if is_unheard { None } else { self.packet(seq) }
    }

    /// A packet has come, as it is in the cache. What belongs to the latest keyframe is kept.
    pub(crate) fn keep_still(&mut self, seq: u64) {
        let Some(first) = self.beginning.filter(|first| (*first..*first + STILL_PACKETS_MAX).contains(&seq))
        else {
            return;
        };
        let Some(packet) = self.cache.get(seq) else { return };
        let timestamp = match self.still.first() {
            Some(first) => first.timestamp,
            None if seq == first => packet.timestamp,
            None => return,
        };
        if packet.timestamp == timestamp {
            let at = self.still.partition_point(|known| known.seq < seq);
            self.still.insert(at, packet.clone());
        }
    }

    /// The latest keyframe, whole.
    pub(crate) fn still(&self) -> Option<&[Cached<Facts>]> {
        let is_whole = self.still.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq);
        let ends = self.still.last().is_some_and(|last| last.marker);
        (is_whole && ends).then_some(&self.still[..])
    }

    /// A packet of lately, or of the latest keyframe.
    pub(crate) fn packet(&self, seq: u64) -> Option<&Cached<Facts>> {
        self.cache.get(seq).or_else(|| self.still.iter().find(|packet| packet.seq == seq))
    }

    /// Its numbers begin anew.
    pub(crate) fn restart(&mut self) {
        // The upper bits count lives, the lower ones layers.
        self.source = Source(self.source.0.wrapping_add(1 << 24));
        self.cache.clear();
        self.beginning = None;
        self.still.clear();
        self.unheard = None;
        self.clock = None;
        self.structure = None;
    }

    /// The number in full of a packet that was sent lately.
    pub(crate) fn full_number(&self, sequence: u16) -> Option<u64> {
        let newest = self.cache.newest()?;
        newest.checked_sub(u64::from((newest as u16).wrapping_sub(sequence)))
    }

    /// When the keyframe came with which somebody who comes now can begin, if it is no older than that.
    pub(crate) fn began(&self, now: Instant, age_max: Duration) -> Option<Instant> {
        let first = *self.beginning(now, age_max)?.start();
        self.cache.get(first).map(|packet| packet.arrived)
    }

    /// The numbers with which somebody who comes now can begin: a keyframe and all that came since, without a gap.
    pub(crate) fn beginning(&self, now: Instant, age_max: Duration) -> Option<RangeInclusive<u64>> {
        let first = self.beginning.filter(|_| !self.stands_alone)?;
        let newest = self.cache.newest()?;
        let keyframe = self.cache.get(first)?;
        let is_fresh = now.saturating_duration_since(keyframe.arrived) <= age_max;
        (is_fresh && (first..=newest).all(|seq| self.cache.get(seq).is_some())).then_some(first..=newest)
    }
}

impl Track {
    pub(crate) fn layer_of(&self, rid: Option<&str>) -> Option<usize> {
        let wanted = |layer: &Layer| layer.rid.as_ref().map(Rid::as_str) == rid;
        self.layers.iter().position(wanted)
    }

    /// Where it stands among the qualities.
    pub(crate) fn rank_of(&self, rid: &str) -> Option<u8> {
        let index = self.layer_of(Some(rid))?;
        let rank = self.order.iter().position(|ranked| usize::from(*ranked) == index)?;
        u8::try_from(rank).ok()
    }

    /// What passes, if it is still there and the place is not another's by now.
    pub(crate) fn packet(&self, passing: &Passing) -> Option<&Cached<Facts>> {
        let layer = self.layers.get(usize::from(passing.layer))?;
        (layer.source == passing.source).then(|| layer.packet(passing.seq)).flatten()
    }

    /// A layer's numbers begin anew.
    pub(crate) fn restart(&mut self, layer: usize) {
        let Some(layer) = self.layers.get_mut(layer) else { return };
        layer.restart();
        if matches!(self.origin, Origin::Peer(_)) {
            layer.life = layer.life.wrapping_add(1);
            self.is_news = true;
        }
    }

    /// It comes in another codec from now on.
    pub(crate) fn recode(&mut self, codec: Codec, sent: turnpike_sdp::Codec) {
        (self.codec, self.sent, self.is_other, self.is_news) = (codec, sent, true, true);
        (0..self.layers.len()).for_each(|layer| self.restart(layer));
    }

    /// Whether its publisher can be asked for a keyframe of the layer: it sends it now, and is seen.
    pub(crate) fn can_ask(&self, layer: &Layer, now: Instant) -> bool {
        !self.muted && layer.is_active(now)
    }

    /// Something comes.
    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        self.layers.iter().any(|layer| layer.is_active(now))
    }

    /// Something came, and nothing comes any more.
    pub(crate) fn is_dead(&self, now: Instant) -> bool {
        !self.muted && self.layers.iter().any(|layer| layer.latest.is_some()) && !self.is_alive(now)
    }

    /// Orders the layers by their pictures and by what flows in them: nobody says which of its names is which quality. One of
    /// which nothing has come says nothing of itself, and keeps its place.
    pub(crate) fn put_in_order(&mut self) {
        let Self { layers, order, .. } = self;
        let known = |index: &u8| {
            let layer = layers.get(usize::from(*index)).filter(|layer| layer.bits_per_second() > 0)?;
            let pixels = layer.size.map(|(width, height)| u32::from(width) * u32::from(height));
            Some((*index, pixels, layer.bits_per_second()))
        };
        let mut known: SmallVec<[(u8, Option<u32>, u64); 4]> = order.iter().filter_map(known).collect();
        // How much flows wavers, most of all while a layer begins; how large its picture is does not.
        if known.iter().any(|(_, pixels, _)| pixels.is_none()) {
            known.iter_mut().for_each(|(_, pixels, _)| *pixels = None);
        }
        let is_wrong = known.windows(2).any(|pair| {
            let ((_, less, less_bits), (_, more, more_bits)) = (pair[0], pair[1]);
            // A layer that is there twice as much is another quality.
            less > more || (less == more && less_bits > 2 * more_bits)
        });
        if is_wrong {
            let is_known = |index: &&mut u8| known.iter().any(|(known, _, _)| *known == **index);
            let places: SmallVec<[&mut u8; 4]> = order.iter_mut().filter(is_known).collect();
            known.sort_by_key(|(_, pixels, bits)| (*pixels, *bits));
            places.into_iter().zip(known).for_each(|(place, (index, _, _))| *place = index);
        }
    }

    pub(crate) fn is_video(&self) -> bool {
        self.kind == Kind::Video
    }
}
