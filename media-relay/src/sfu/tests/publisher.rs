//! Who publishes: frames of VP8 in layers, a voice, and packets again when they are asked for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use turnpike_rtp::rtcp::{Compound, Message};
use turnpike_rtp::{Element, Fields, rtx, write_header};

use super::description::{LEVEL, MID, OPUS, REPAIRED_RID, RID, RIDS, RTX, TWCC, VP8, VP9, Wish};

const FRAME: Duration = Duration::from_millis(33);
const VOICE: Duration = Duration::from_millis(20);
const PAYLOAD_BYTES: usize = 300;
/// Where a test's own words begin in a payload.
const MARK_AT: usize = 14;

/// What a test writes into a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) publisher: u8,
    pub(super) layer: u8,
    pub(super) frame: u32,
    pub(super) index: u8,
    pub(super) count: u8,
    pub(super) keyframe: bool,
}

impl Mark {
    fn write(self, payload: &mut [u8]) {
        let frame = self.frame.to_be_bytes();
        let bytes = [self.publisher, self.layer, self.index, self.count, u8::from(self.keyframe)];
        payload[MARK_AT..MARK_AT + 4].copy_from_slice(&frame);
        payload[MARK_AT + 4..MARK_AT + 9].copy_from_slice(&bytes);
    }

    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let mark = payload.get(MARK_AT..MARK_AT + 9)?;
        let (frame, rest) = mark.split_first_chunk()?;
        Some(Self {
            publisher: rest[0],
            layer: rest[1],
            frame: u32::from_be_bytes(*frame),
            index: rest[2],
            count: rest[3],
            keyframe: rest[4] == 1,
        })
    }
}

pub(super) struct Layer {
    pub(super) ssrc: u32,
    rtx_ssrc: u32,
    rid: Option<&'static str>,
    pub(super) sequence: u16,
    rtx_sequence: u16,
    timestamp: u32,
    picture: u16,
    /// Of each frame.
    pub(super) packets: u8,
    size: (u16, u16),
    wants_keyframe: bool,
    /// By number: timestamp, marker and payload.
    sent: HashMap<u16, (u32, bool, Vec<u8>)>,
    pub(super) is_on: bool,
    /// As VP9 instead of VP8.
    pub(super) is_vp9: bool,
}

pub(super) struct Publisher {
    number: u8,
    pub(super) layers: Vec<Layer>,
    voice: Option<(u32, u16, u32)>,
    frame: u32,
    frame_at: Instant,
    voice_at: Instant,
    twcc: u16,
    /// When it was asked for a keyframe, of each layer.
    pub(super) asked: Vec<(Instant, u8)>,
    pub(super) resent: u64,
    pub(super) is_silent: bool,
    /// How far its voice is below the loudest, in decibels.
    pub(super) level: u8,
    /// Answers to keyframe requests.
    pub(super) obeys: bool,
}

impl Publisher {
    pub(super) fn new(now: Instant, number: u8, wish: Wish) -> Self {
        let base = 0x1000_0000 + (u32::from(number) << 16);
        let layer = |index: usize| Layer {
            ssrc: base + index as u32 * 2,
            rtx_ssrc: base + index as u32 * 2 + 1,
            rid: (wish.layers > 1).then_some(RIDS[index]),
            sequence: 65_400 + u16::from(number),
            rtx_sequence: 10,
            timestamp: 90_000 * u32::from(number),
            picture: 32_700,
            packets: 1 << index,
            size: (1_280 >> (wish.layers - 1 - index), 720 >> (wish.layers - 1 - index)),
            wants_keyframe: true,
            sent: HashMap::new(),
            is_on: true,
            is_vp9: false,
        };
        Self {
            number,
            layers: (0..wish.layers).map(layer).collect(),
            voice: wish.audio.then_some((base + 0x8000, 65_500, 7)),
            frame: 0,
            frame_at: now,
            voice_at: now,
            twcc: 0,
            asked: Vec::new(),
            resent: 0,
            is_silent: false,
            level: 127,
            obeys: true,
        }
    }

    /// Packets that are due.
    pub(super) fn play(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let is_silent = self.is_silent;
        if now >= self.frame_at {
            self.frame_at += FRAME;
            self.frame += 1;
            let (frame, number, twcc) = (self.frame, self.number, &mut self.twcc);
            for (index, layer) in self.layers.iter_mut().enumerate() {
                layer.timestamp = layer.timestamp.wrapping_add(2_970);
                if layer.is_on && !is_silent {
                    layer.play(number, index as u8, frame, twcc, &mut out);
                }
            }
        }
        if now >= self.voice_at {
            self.voice_at += VOICE;
            if let Some((ssrc, sequence, timestamp)) = self.voice.as_mut().filter(|_| !is_silent) {
                *sequence = sequence.wrapping_add(1);
                *timestamp = timestamp.wrapping_add(960);
                let fields = Fields {
                    marker: false,
                    payload_type: OPUS,
                    sequence: *sequence,
                    timestamp: *timestamp,
                    ssrc: *ssrc,
                };
                let mut payload = vec![0; 60];
                let mark =
                    Mark { publisher: self.number, layer: 9, frame: 0, index: 0, count: 1, keyframe: false };
                mark.write(&mut payload);
                self.twcc = self.twcc.wrapping_add(1);
                let mid: &[u8] = if self.layers.is_empty() { b"0" } else { b"1" };
                let level = [self.level];
                out.push(packet(&fields, mid, self.twcc, Some((LEVEL, &level)), None, &payload));
            }
        }
        out
    }

    /// Takes what it is told, and gives packets again.
    pub(super) fn told(&mut self, now: Instant, compound: &[u8]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for message in Compound::new(compound).map_while(Result::ok) {
            match message {
                Message::Pli(pli) => {
                    if let Some(index) = self.layers.iter().position(|layer| layer.ssrc == pli.media) {
                        self.asked.push((now, index as u8));
                        self.layers[index].wants_keyframe |= self.obeys;
                    }
                }
                Message::Nack(nack) => {
                    let Some(layer) = self.layers.iter_mut().find(|layer| layer.ssrc == nack.media) else {
                        continue;
                    };
                    for sequence in nack.sequences() {
                        let Some((timestamp, marker, payload)) = layer.sent.get(&sequence) else { continue };
                        layer.rtx_sequence = layer.rtx_sequence.wrapping_add(1);
                        let fields = Fields {
                            marker: *marker,
                            payload_type: RTX,
                            sequence: layer.rtx_sequence,
                            timestamp: *timestamp,
                            ssrc: layer.rtx_ssrc,
                        };
                        self.twcc = self.twcc.wrapping_add(1);
                        self.resent += 1;
                        let rid = layer.rid.map(|rid| (REPAIRED_RID, rid.as_bytes()));
                        out.push(packet(&fields, b"0", self.twcc, rid, Some(sequence), payload));
                    }
                }
                _ => {}
            }
        }
        out
    }

    /// Its encoder begins anew: other numbers, and other sources where `is_other`.
    pub(super) fn restart(&mut self, is_other: bool) {
        for layer in &mut self.layers {
            layer.sequence = layer.sequence.wrapping_add(20_000);
            layer.timestamp = layer.timestamp.wrapping_add(0x4000_0000);
            layer.picture = 5;
            layer.wants_keyframe = true;
            layer.sent.clear();
            if is_other {
                layer.ssrc += 0x100;
                layer.rtx_ssrc += 0x100;
            }
        }
    }

    pub(super) fn want_keyframe(&mut self) {
        self.layers.iter_mut().for_each(|layer| layer.wants_keyframe = true);
    }
}

impl Layer {
    fn play(&mut self, number: u8, index: u8, frame: u32, twcc: &mut u16, out: &mut Vec<Vec<u8>>) {
        let keyframe = std::mem::take(&mut self.wants_keyframe);
        let count = if keyframe { self.packets * 3 } else { self.packets };
        self.picture = self.picture.wrapping_add(1) & 0x7fff;
        for at in 0..count {
            let mut payload = vec![0; PAYLOAD_BYTES];
            let picture = self.picture.to_be_bytes();
            // RFC 7741 4.2: extended, where a frame begins, a picture id of 15 bits.
            payload[..4].copy_from_slice(&[
                if at == 0 { 0x90 } else { 0x80 },
                0x80,
                picture[0] | 0x80,
                picture[1],
            ]);
            if at == 0 {
                payload[4] = u8::from(!keyframe) | 0x10;
                payload[7..10].copy_from_slice(&[0x9d, 0x01, 0x2a]);
                payload[10..12].copy_from_slice(&self.size.0.to_le_bytes());
                payload[12..14].copy_from_slice(&self.size.1.to_le_bytes());
            }
            if self.is_vp9 {
                // RFC 9628 4.2: a picture id, whether it depends on others, and where the frame begins and ends.
                let begins = if at == 0 { 0x08 } else { 0 } | if at + 1 == count { 0x04 } else { 0 };
                let depends = if keyframe { 0 } else { 0x40 };
                payload[..3].copy_from_slice(&[0x80 | begins | depends, picture[0] | 0x80, picture[1]]);
            }
            Mark { publisher: number, layer: index, frame, index: at, count, keyframe }.write(&mut payload);
            self.sequence = self.sequence.wrapping_add(1);
            let marker = at + 1 == count;
            let fields = Fields {
                marker,
                payload_type: if self.is_vp9 { VP9 } else { VP8 },
                sequence: self.sequence,
                timestamp: self.timestamp,
                ssrc: self.ssrc,
            };
            *twcc = twcc.wrapping_add(1);
            out.push(packet(&fields, b"0", *twcc, self.rid.map(|rid| (RID, rid.as_bytes())), None, &payload));
            self.sent.insert(self.sequence, (self.timestamp, marker, payload));
        }
    }
}

fn packet(
    fields: &Fields,
    mid: &[u8],
    twcc: u16,
    more: Option<(u8, &[u8])>,
    repairs: Option<u16>,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0; 120 + payload.len()];
    let twcc = twcc.to_be_bytes();
    let mut extensions = vec![Element { id: MID, value: mid }, Element { id: TWCC, value: &twcc }];
    extensions.extend(more.map(|(id, value)| Element { id, value }));
    let start = match repairs {
        None => write_header(&mut bytes, fields, &extensions).unwrap(),
        Some(original) => rtx::write_header_for(&mut bytes, fields, &extensions, original).unwrap(),
    };
    bytes[start..start + payload.len()].copy_from_slice(payload);
    bytes.truncate(start + payload.len());
    bytes
}
