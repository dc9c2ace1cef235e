//! What forwards to one viewer, simply, and notes all that comes of it.

use std::collections::{HashMap, HashSet};

use turnpike_rtp::rewriter::{Clocks, Incoming, Output, Refused, Rewriter, Seeds, Source};
use turnpike_rtp::sequence::Unwrapper;
use turnpike_rtp::{ClockMapping, Codec};

use super::publisher::{Device, Packet};
use crate::chance::Chance;

/// What one number of the viewer's stream was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Packet(Packet, Output),
    /// Padding in place of something that was left out.
    Filler,
    /// Padding of our own.
    Padding,
}

/// A place that was kept for something missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) source: Source,
    pub(crate) sequence: u16,
}

pub(crate) struct Viewer {
    pub(crate) rewriter: Rewriter,
    pub(crate) codec: Codec,
    unwrapper: Unwrapper,
    pub(crate) sent: HashMap<u64, Sent>,
    pub(crate) holes: HashMap<u64, Hole>,
    /// The first number of each start, with the arrival, and whether both clocks were known.
    pub(crate) starts: Vec<(u64, u64, bool)>,
    /// How the viewer's time lies in the device's, as a report of ours would say: number, mapping, device.
    pub(crate) mappings: Vec<(u64, ClockMapping, u32)>,
    newest: u64,
    accepted: HashSet<Packet>,
    /// Once for each frame: whether the viewer gets it.
    choices: HashMap<u64, bool>,
    began: Option<(u16, Source)>,
    clock: Option<(u32, ClockMapping)>,
    wanted: usize,
    temporal_max: u8,
    paused: bool,
    last_ended: bool,
    newest_ms: u64,
    pub(crate) refused_restarts: usize,
}

impl Viewer {
    pub(crate) fn new(chance: &mut Chance, codec: Codec) -> Self {
        let seeds = Seeds {
            sequence: (65_536 - chance.below(2_000)) as u16,
            timestamp: u32::MAX - chance.below(900_000) as u32,
            picture_id: (32_768 - chance.below(200)) as u16,
            tl0: chance.next() as u8,
        };
        Self {
            rewriter: Rewriter::new(codec, &seeds),
            codec,
            unwrapper: Unwrapper::default(),
            sent: HashMap::new(),
            holes: HashMap::new(),
            starts: Vec::new(),
            mappings: Vec::new(),
            newest: 0,
            accepted: HashSet::new(),
            choices: HashMap::new(),
            began: None,
            clock: None,
            wanted: 0,
            temporal_max: 2,
            paused: false,
            last_ended: true,
            newest_ms: 0,
            refused_restarts: 0,
        }
    }

    pub(crate) fn want(&mut self, layer: usize) {
        self.wanted = layer;
    }

    pub(crate) fn limit_temporal(&mut self, temporal: u8) {
        self.temporal_max = temporal;
    }

    /// Whatever happened: a keyframe was asked for, so there is a picture soon.
    pub(crate) fn must_be_alive(&mut self, now_ms: u64) {
        if self.paused {
            self.newest_ms = now_ms;
        }
        assert!(now_ms - self.newest_ms < 1_500, "nothing since {} ms", self.newest_ms);
    }

    pub(crate) fn toggle_pause(&mut self) {
        self.paused = !self.paused;
        if self.paused {
            self.rewriter.pause();
        }
    }

    /// Which layer has to begin anew.
    pub(crate) fn keyframe_wanted(&self, device: &Device) -> Option<usize> {
        let there = self.rewriter.source() == Some(device.source(self.wanted));
        (!there && !self.paused).then_some(self.wanted)
    }

    pub(crate) fn receive(&mut self, chance: &mut Chance, device: &Device, packet: &Packet, now_ms: u64) {
        let incoming = Incoming {
            source: Source(packet.source),
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            picture: Some(packet.picture()),
            arrival_ms: now_ms,
        };
        let current = self.rewriter.source();
        let own = packet.device == device.id && packet.layer == self.wanted;
        let begins = packet.keyframe && packet.starts() && !self.paused && !self.accepted.contains(packet);
        // After a jump in place older keyframes of the same name may still come.
        let fresh = packet.captured_ms >= device.restarted_ms;
        let begins = begins && fresh && own && current != Some(incoming.source);
        if begins && self.start(device, packet, &incoming, now_ms) {
            return;
        }
        let temporal_max = self.temporal_max;
        let wanted = *self.choices.entry(packet.frame).or_insert(packet.temporal <= temporal_max);
        let (before, _) = self.rewriter.newest_output();
        if wanted {
            let answer = self.rewriter.forward(&incoming);
            match answer {
                Ok(output) => {
                    self.newest_ms = now_ms;
                    self.accept(packet, output);
                }
                Err(refused) => self.refusal(packet, current, refused),
            }
        } else if let Some(output) = self.rewriter.skip(&incoming) {
            self.put(output.sequence, Sent::Filler);
        }
        self.note_holes(before);
        if self.last_ended && chance.of_thousand(5) && self.rewriter.source().is_some() {
            let output = self.rewriter.pad();
            self.put(output.sequence, Sent::Padding);
        }
        if chance.of_thousand(50) {
            self.note_mapping(device, now_ms);
        }
    }

    fn start(&mut self, device: &Device, packet: &Packet, incoming: &Incoming, now_ms: u64) -> bool {
        let to = device.mapping(packet.layer, now_ms);
        let clocks = match (self.clock, to) {
            (Some((id, from)), Some(to)) if id == device.id => Some(Clocks { from, to }),
            _ => None,
        };
        let same = self.began.is_some_and(|(_, source)| source == incoming.source);
        let Ok(output) = self.rewriter.start(incoming, clocks.as_ref()) else { return false };
        self.newest_ms = now_ms;
        self.choices.insert(packet.frame, true);
        self.began = Some((packet.sequence, incoming.source));
        self.clock = to.map(|to| (device.id, to));
        self.accept(packet, output);
        self.starts.push((self.newest, now_ms, clocks.is_some() && !same));
        true
    }

    fn accept(&mut self, packet: &Packet, output: Output) {
        assert!(self.accepted.insert(*packet), "forwarded twice: {packet:?}");
        let at = self.put(output.sequence, Sent::Packet(*packet, output));
        if at == self.newest {
            self.last_ended = packet.ends();
        }
    }

    fn put(&mut self, sequence: u16, sent: Sent) -> u64 {
        let at = self.unwrapper.unwrap(sequence);
        self.newest = self.newest.max(at);
        if let Some(before) = self.sent.insert(at, sent) {
            panic!("number {at} was sent twice: {before:?} and {sent:?}");
        }
        self.holes.remove(&at);
        at
    }

    fn note_holes(&mut self, before: u16) {
        let (now, _) = self.rewriter.newest_output();
        for back in 0..now.wrapping_sub(before) {
            let sequence = now.wrapping_sub(back);
            let at = self.unwrapper.unwrap(sequence);
            self.newest = self.newest.max(at);
            if !self.sent.contains_key(&at) {
                let origin = self.rewriter.origin(sequence).expect("a number just taken is known");
                assert!(!origin.sent);
                self.holes.insert(at, Hole { source: origin.source, sequence: origin.sequence });
            }
        }
    }

    /// What may be refused, and why.
    fn refusal(&mut self, packet: &Packet, current: Option<Source>, refused: Refused) {
        let source = Source(packet.source);
        match refused {
            Refused::Duplicate => assert!(self.accepted.contains(packet), "not forwarded before: {packet:?}"),
            Refused::NotForwarded => assert_ne!(current, Some(source), "{packet:?}"),
            Refused::Late => {
                let (began, _) = self.began.expect("something was started");
                let before = began.wrapping_sub(packet.sequence);
                assert!(before < 2_048, "not before the start: {packet:?} {began}");
            }
            Refused::Stray | Refused::Restarted => self.refused_restarts += 1,
        }
    }

    fn note_mapping(&mut self, device: &Device, now_ms: u64) {
        let Some(source) = self.rewriter.source() else { return };
        let Some(layer) = device.layer_of(source) else { return };
        if self.refused_restarts == 0
            && let Some(report) = device.mapping(layer, now_ms)
        {
            self.clock = Some((device.id, report));
            let mapping = self.rewriter.mapping(source, report).expect("the source is forwarded");
            self.mappings.push((self.newest, mapping, device.id));
        }
    }

    /// A NACK for something at random.
    pub(crate) fn look_back(&mut self, chance: &mut Chance) {
        if self.sent.is_empty() {
            return;
        }
        let back = chance.below(1_500);
        let (newest, _) = self.rewriter.newest_output();
        let at = self.newest.saturating_sub(back);
        let origin = self.rewriter.origin(newest.wrapping_sub(back as u16));
        match (self.sent.get(&at), origin) {
            (Some(Sent::Packet(packet, output)), Some(origin)) => {
                assert_eq!((origin.source.0, origin.sequence), (packet.source, packet.sequence));
                assert!(origin.sent);
                assert_eq!(origin.output(packet.timestamp, Some(packet.picture())), *output);
            }
            (Some(Sent::Packet(packet, _)), None) => {
                // At fifteen dropped frames a second the stretches last for longer than this.
                assert!(back > 200, "forgotten after {back}: {packet:?}");
            }
            (Some(Sent::Filler), origin) => assert!(origin.is_none_or(|origin| origin.sent)),
            (Some(Sent::Padding), origin) => assert_eq!(origin, None),
            (None, origin) => assert!(origin.is_none_or(|origin| !origin.sent)),
        }
    }
}
