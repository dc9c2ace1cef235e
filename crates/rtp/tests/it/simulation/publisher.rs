//! A device that publishes three simulcast layers of three temporal layers each.

use turnpike_rtp::rewriter::Source;
use turnpike_rtp::{ClockMapping, Codec, NtpTime, Picture};

use crate::chance::Chance;

pub(crate) const LAYERS: usize = 3;
const TEMPORAL: [u8; 4] = [0, 2, 1, 2];
/// What the device calls zero.
const NTP_ZERO: u64 = 3_900_000_000 << 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Packet {
    pub(crate) device: u32,
    pub(crate) source: u32,
    pub(crate) layer: usize,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) captured_ms: u64,
    /// Counts all frames of all sources.
    pub(crate) frame: u64,
    pub(crate) index: u16,
    pub(crate) count: u16,
    pub(crate) keyframe: bool,
    pub(crate) temporal: u8,
    pub(crate) picture_id: u16,
    pub(crate) picture_bits: u8,
    pub(crate) tl0: u8,
}

impl Packet {
    pub(crate) fn picture(&self) -> Picture {
        Picture { id: self.picture_id, bits: self.picture_bits, tl0: Some(self.tl0) }
    }

    pub(crate) fn starts(&self) -> bool {
        self.index == 0
    }

    pub(crate) fn ends(&self) -> bool {
        self.index + 1 == self.count
    }
}

#[derive(Debug, Clone)]
struct Layer {
    source: u32,
    sequence: u16,
    /// What the device's zero is here.
    timestamp_zero: u32,
    picture_id: u16,
    tl0: u8,
    keyframe: bool,
    in_group: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) id: u32,
    pub(crate) reports: bool,
    pub(crate) restarted_ms: u64,
    picture_bits: u8,
    layers: Vec<Layer>,
    frames: u64,
}

impl Device {
    pub(crate) fn new(chance: &mut Chance, codec: Codec, id: u32, now_ms: u64) -> Self {
        let layer = |index: usize| Layer {
            source: id * 10 + index as u32,
            // All near their ends.
            sequence: (65_536 - chance.below(1_500)) as u16,
            timestamp_zero: u32::MAX
                .wrapping_sub((now_ms * 90) as u32)
                .wrapping_sub(chance.below(900_000) as u32),
            picture_id: (32_768 - chance.below(300)) as u16,
            tl0: chance.next() as u8,
            keyframe: true,
            in_group: 0,
        };
        let layers = (0..LAYERS).map(layer).collect();
        // The width is the encoder's, and a viewer's track is not moved between encoders of different habits.
        let picture_bits = if codec == Codec::Vp8 { 15 } else { 7 };
        Self { id, reports: true, restarted_ms: 0, picture_bits, layers, frames: u64::from(id) << 32 }
    }

    /// The same layers go on with numbers from nowhere, as after a crash of an encoder behind a gateway.
    pub(crate) fn restart_in_place(&mut self, chance: &mut Chance, now_ms: u64) {
        self.restarted_ms = now_ms;
        for layer in &mut self.layers {
            // Now and then where late packets are expected.
            let apart = if chance.of_thousand(300) {
                65_536 - chance.below(2_000)
            } else {
                1_100 + chance.below(62_000)
            };
            layer.sequence = layer.sequence.wrapping_add(apart as u16);
            // Not within 20 seconds of where it was.
            layer.timestamp_zero =
                layer.timestamp_zero.wrapping_add(1_800_000 + chance.below((1 << 32) - 3_600_000) as u32);
            layer.picture_id = chance.next() as u16;
            layer.keyframe = true;
        }
    }

    pub(crate) fn source(&self, layer: usize) -> Source {
        Source(self.layers[layer].source)
    }

    pub(crate) fn request_keyframe(&mut self, layer: usize) {
        self.layers[layer].keyframe = true;
    }

    pub(crate) fn layer_of(&self, source: Source) -> Option<usize> {
        self.layers.iter().position(|layer| layer.source == source.0)
    }

    /// As the last sender report would say, if the device sends any.
    pub(crate) fn mapping(&self, layer: usize, now_ms: u64) -> Option<ClockMapping> {
        let seconds_ago = now_ms - now_ms % 1_000;
        let zero = self.layers[layer].timestamp_zero;
        self.reports.then(|| ClockMapping {
            ntp: ntp(seconds_ago),
            rtp: zero.wrapping_add((seconds_ago * 90) as u32),
        })
    }

    pub(crate) fn frame(&mut self, chance: &mut Chance, now_ms: u64) -> Vec<Packet> {
        let mut packets = Vec::new();
        for index in 0..LAYERS {
            self.frames += 1;
            let layer = &mut self.layers[index];
            let keyframe = std::mem::take(&mut layer.keyframe);
            layer.in_group = if keyframe { 0 } else { (layer.in_group + 1) % TEMPORAL.len() };
            let temporal = TEMPORAL[layer.in_group];
            layer.picture_id = layer.picture_id.wrapping_add(1) & (u16::MAX >> (16 - self.picture_bits));
            if temporal == 0 {
                layer.tl0 = layer.tl0.wrapping_add(1);
            }
            let count = 1 + index as u16 + if keyframe { 6 } else { chance.below(3) as u16 };
            for number in 0..count {
                layer.sequence = layer.sequence.wrapping_add(1);
                packets.push(Packet {
                    device: self.id,
                    source: layer.source,
                    layer: index,
                    sequence: layer.sequence,
                    timestamp: layer.timestamp_zero.wrapping_add((now_ms * 90) as u32),
                    captured_ms: now_ms,
                    frame: self.frames,
                    index: number,
                    count,
                    keyframe,
                    temporal,
                    picture_id: layer.picture_id,
                    picture_bits: self.picture_bits,
                    tl0: layer.tl0,
                });
            }
        }
        packets
    }
}

pub(crate) fn ntp(ms: u64) -> NtpTime {
    NtpTime(NTP_ZERO + ((u128::from(ms) << 32) / 1_000) as u64)
}
