//! A packet that has come of a published layer, from its publisher or through a pipe: it gets its number in full, is
//! looked into once, and is kept for everyone who watches.
//!
//! It does not know what is done with it.

use std::time::Instant;

use turnpike_rtp::ExtensionKind;
use turnpike_rtp::codec::dependency::Descriptor;
use turnpike_rtp::extension::AudioLevel;

use super::counters::{Counters, Ignored};
use super::receiver::Placed;
use super::send_cache::Cached;
use super::track::{Facts, Fresh, Track};

/// A packet without what belongs to the way it came.
pub(crate) struct Arriving<'p> {
    pub(crate) layer: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) is_repair: bool,
    /// Kind, length, bytes, one behind the other.
    pub(crate) extensions: &'p [u8],
    pub(crate) payload: &'p [u8],
    /// Of all of it, for what flows.
    pub(crate) bytes: usize,
}

impl Track {
    /// Takes a packet. None if it is of no use, or was there before.
    pub(crate) fn arrive(
        &mut self,
        now: Instant,
        packet: &Arriving<'_>,
        counters: &Counters,
    ) -> Option<Fresh> {
        let index = usize::from(packet.layer);
        let receiver = &mut self.layers.get_mut(index)?.receiver;
        let placed = receiver.packet(now, packet.sequence, packet.timestamp, packet.is_repair);
        // Of a pipe: a picture of before, sent so that there is one.
        let stands_alone = packet.is_repair && receiver.leaps();
        let (seq, is_late) = match placed {
            Placed::Newest(seq) => (seq, false),
            Placed::Late(seq) => (seq, true),
            Placed::Restarted(seq) => {
                self.restart(index);
                (seq, false)
            }
            Placed::Doubtful => {
                counters.ignore(Ignored::Doubtful);
                return None;
            }
        };
        let codec = self.codec;
        let layer = &mut self.layers[index];
        let mut frame = codec.frame(packet.payload, packet.marker);
        if let Some(value) = extension(packet.extensions, ExtensionKind::DependencyDescriptor) {
            let structure = layer.structure.get_or_insert_with(Box::default);
            // It knows better than the payload.
            frame = Descriptor::parse(value, structure).map(|descriptor| descriptor.frame()).or(frame);
        }
        let (mut extensions, mut payload) = layer.cache.buffers();
        extensions.extend_from_slice(packet.extensions);
        payload.extend_from_slice(packet.payload);
        let cached = Cached {
            seq,
            timestamp: packet.timestamp,
            marker: packet.marker,
            arrived: now,
            facts: Facts { frame },
            extensions,
            payload,
        };
        if layer.cache.insert(cached).is_err() {
            counters.ignore(Ignored::Repeated);
            return None;
        }
        if let Some(level) =
            extension(packet.extensions, ExtensionKind::AudioLevel).and_then(AudioLevel::parse)
        {
            layer.voice.heard(now, level.below_full_db);
        }
        if frame.is_some_and(|frame| frame.keyframe && frame.starts_frame) {
            layer.look_at_size(codec, packet.payload);
            layer.begins_at(seq, stands_alone);
        }
        layer.keep_still(seq);
        if !stands_alone {
            layer.latest = Some(now);
            let (spatial, temporal) = frame.map_or((0, 0), |frame| (frame.spatial, frame.temporal));
            if layer.flow.add(now, packet.bytes, spatial, temporal) {
                self.put_in_order();
            }
        }
        Some(Fresh { layer: packet.layer, seq, is_late, stands_alone })
    }
}

fn extension(mut carried: &[u8], wanted: ExtensionKind) -> Option<&[u8]> {
    while let [kind, len, tail @ ..] = carried {
        let (value, tail) = tail.split_at_checked(usize::from(*len))?;
        if *kind == wanted as u8 {
            return Some(value);
        }
        carried = tail;
    }
    None
}
