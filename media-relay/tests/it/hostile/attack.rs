//! What is sent, by kind. Half of most kinds comes from addresses that the relay knows as a peer's.

use std::net::UdpSocket;
use std::sync::atomic::Ordering;

use turnpike_rtp::rtcp::{FirEntry, NackEntry, ReportBlock, SenderInfo, TwccBuilder, Writer};
use turnpike_rtp::{Fields, Packet, write_header};
use turnpike_transport::demux;
use turnpike_wire::media::MediaSession;

use super::{Scene, UNREAD_MAX};
use crate::chance::Chance;
use crate::honest::{PICTURE, VOICE};
use crate::peer::{OBS, Peer, SOURCES_MAX, plain_watch};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes by chance, behind an honest head or none.
    Noise,
    /// Honest datagrams whose end is missing.
    Cut,
    /// Checks that were captured, from elsewhere.
    ReplayedChecks,
    /// Of handshakes that never end.
    Fragments,
    /// Media of others' sources, or of nobody's.
    WrongSources,
    /// What a viewer may say, and far too much of it.
    Storm(Say),
    /// Any of these, from a publisher.
    PublishersStorm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Say {
    /// That packets are missing.
    Missing,
    /// That it needs a keyframe.
    Keyframe,
    /// How the path is, and what it sends itself.
    Reports,
    /// When each packet came, as much in a datagram as can be said.
    Feedback,
}

pub(crate) const KINDS: [Kind; 10] = [
    Kind::Noise,
    Kind::Cut,
    Kind::ReplayedChecks,
    Kind::Fragments,
    Kind::WrongSources,
    Kind::Storm(Say::Missing),
    Kind::Storm(Say::Keyframe),
    Kind::Storm(Say::Reports),
    Kind::Storm(Say::Feedback),
    Kind::PublishersStorm,
];

/// As many as the relay lets a handshake have, and some more.
const FRAGMENTS_A_SESSION: u64 = 150;
const BURST: u64 = 64;
const FEEDBACKS: usize = 40;
const RTCP_BYTES_MAX: usize = 1_180;

pub(crate) struct Attack {
    strangers: Vec<UdpSocket>,
    /// Of honest peers.
    captured: Vec<Vec<u8>>,
    /// Of a session of our own, from the first check to media.
    own: Vec<Vec<u8>>,
    /// Publishes a stream of its own.
    publisher: Peer,
    /// Watches the honest publisher.
    viewer: Peer,
    /// Is at its handshake.
    shaking: Option<(Peer, MediaSession)>,
    feedbacks: Vec<Vec<u8>>,
    chance: Chance,
    /// What the viewer was sent last.
    newest: u16,
    sequence: u16,
    records: u16,
}

impl Attack {
    pub(crate) fn new(
        scene: &mut Scene,
        strangers: Vec<UdpSocket>,
        captured: Vec<Vec<u8>>,
        chance: Chance,
    ) -> Self {
        let mut publisher = scene.peer();
        publisher.log = Some(Vec::new());
        scene.open("live:bad", &mut publisher, OBS, true);
        publisher.connects();
        publisher.send_rtp(&crate::honest::packet(PICTURE, 1));
        let own = publisher.log.take().unwrap();
        let mut viewer = scene.peer();
        scene.open("live:good", &mut viewer, &plain_watch(), false);
        viewer.connects();
        Self {
            strangers,
            captured,
            own,
            publisher,
            viewer,
            shaking: None,
            feedbacks: Vec::new(),
            chance,
            newest: 0,
            sequence: 1,
            records: 0,
        }
    }

    pub(crate) fn run(&mut self, scene: &mut Scene, kind: Kind, count: u64) {
        for number in 0..count {
            if number % BURST == 0 {
                scene.wait(UNREAD_MAX - BURST);
                self.keep_up();
            }
            if kind == Kind::Fragments && number % FRAGMENTS_A_SESSION == 0 {
                self.begin_handshake(scene);
            }
            self.one(scene, kind);
        }
        self.keep_up();
        assert_eq!((&self.publisher.closed, &self.viewer.closed), (&None, &None), "{kind:?}");
    }

    /// What keeps their sessions alive.
    fn keep_up(&mut self) {
        self.publisher.turn();
        self.viewer.turn();
        for bytes in std::mem::take(&mut self.viewer.rtp) {
            let header = Packet::parse(&bytes).unwrap().header;
            if self.viewer.ssrcs.last() == Some(&header.ssrc) || header.payload_type != VOICE.1 {
                self.newest = header.sequence;
            }
        }
        self.publisher.rtcp.clear();
        self.viewer.rtcp.clear();
    }

    fn one(&mut self, scene: &Scene, kind: Kind) {
        match kind {
            Kind::Noise => {
                let mut datagram = self.some();
                let kept = if self.chance.below(2) == 0 { 0 } else { self.chance.below(26) };
                datagram.resize(1 + self.chance.below(1_400), 0);
                let kept = kept.min(datagram.len());
                self.chance.fill(&mut datagram[kept..]);
                self.send_from_anywhere(scene, &datagram);
            }
            Kind::Cut => {
                let mut datagram = self.some();
                datagram.truncate(self.chance.below(datagram.len()));
                self.send_from_anywhere(scene, &datagram);
            }
            Kind::ReplayedChecks => {
                let datagram = loop {
                    let datagram = self.some();
                    if demux::classify(&datagram) == demux::Kind::Stun {
                        break datagram;
                    }
                };
                self.send_from_anywhere(scene, &datagram);
            }
            Kind::Fragments => {
                let datagram = self.fragment();
                if self.chance.below(4) == 0 {
                    self.send_from_anywhere(scene, &datagram);
                } else if let Some((peer, _)) = &mut self.shaking {
                    peer.send(&datagram);
                }
            }
            Kind::WrongSources => {
                let packet = self.packet();
                match self.chance.below(8) {
                    // Unsealed: nobody's.
                    0 => self.send_from_anywhere(scene, &packet),
                    1 => self.viewer.send_rtp(&packet),
                    _ => self.publisher.send_rtp(&packet),
                }
            }
            Kind::Storm(say) => {
                let compound = self.said(say);
                self.viewer.send_rtcp(&compound);
            }
            Kind::PublishersStorm => {
                let say = [Say::Missing, Say::Keyframe, Say::Reports, Say::Feedback][self.chance.below(4)];
                let compound = self.said(say);
                self.publisher.send_rtcp(&compound);
            }
        }
    }

    /// An honest datagram.
    fn some(&mut self) -> Vec<u8> {
        let from = if self.chance.below(2) == 0 { &self.own } else { &self.captured };
        from[self.chance.below(from.len())].clone()
    }

    fn send_from_anywhere(&mut self, scene: &Scene, datagram: &[u8]) {
        match self.chance.below(4) {
            0 => self.publisher.send(datagram),
            1 => self.viewer.send(datagram),
            _ => {
                scene.sent.fetch_add(1, Ordering::Relaxed);
                let stranger = &self.strangers[self.chance.below(self.strangers.len())];
                stranger.send_to(datagram, scene.address()).unwrap();
            }
        }
    }

    /// One that has shown by a check that it is who was announced, and goes no further.
    fn begin_handshake(&mut self, scene: &mut Scene) {
        if let Some((_, session)) = self.shaking.take() {
            scene.stop(session);
        }
        let mut peer = scene.peer();
        let session = scene.open("live:never", &mut peer, OBS, true);
        self.shaking = Some((peer, session));
    }

    /// Records of DTLS, one of them or two, which tell of messages in pieces.
    fn fragment(&mut self) -> Vec<u8> {
        let mut datagram = Vec::new();
        for _ in 0..=self.chance.below(2) {
            let len = [0, 1, 30, 64, 200, 1_000][self.chance.below(6)];
            let mut body = vec![0; len];
            self.chance.fill(&mut body);
            let kind = if self.chance.below(8) == 0 { self.chance.next() as u8 } else { 1 };
            // A message that says to be this long, of which this is a part that says to be there.
            let whole = [len, 300, 4_000, 16_000, 16_777_215][self.chance.below(5)] as u32;
            let number = [0, 0, 0, 1, 2, 9, 65_535][self.chance.below(7)] as u16;
            let at = if self.chance.below(2) == 0 { 0 } else { self.chance.below(whole as usize + 1) as u32 };
            let part = if self.chance.below(8) == 0 { self.chance.next() as u32 } else { len as u32 };
            let mut message = vec![kind];
            message.extend_from_slice(&whole.to_be_bytes()[1..]);
            message.extend_from_slice(&number.to_be_bytes());
            message.extend_from_slice(&at.to_be_bytes()[1..]);
            message.extend_from_slice(&part.to_be_bytes()[1..]);
            message.extend_from_slice(&body);
            let content = [22, 22, 22, 22, 20, 21, 23][self.chance.below(7)];
            let epoch = u16::from(self.chance.below(8) == 0);
            self.records = self.records.wrapping_add(1);
            datagram.extend_from_slice(&[content, 0xfe, 0xfd]);
            datagram.extend_from_slice(&epoch.to_be_bytes());
            datagram.extend_from_slice(&[0; 4]);
            datagram.extend_from_slice(&self.records.to_be_bytes());
            let len =
                if self.chance.below(16) == 0 { self.chance.next() as u16 } else { message.len() as u16 };
            datagram.extend_from_slice(&len.to_be_bytes());
            datagram.extend_from_slice(&message);
        }
        datagram
    }

    fn packet(&mut self) -> Vec<u8> {
        let ssrc = match self.chance.below(4) {
            0 => VOICE.0,
            1 => PICTURE.0,
            _ => 0x7000_0000 + self.chance.below(SOURCES_MAX as usize) as u32,
        };
        self.sequence = self.sequence.wrapping_add(1);
        let fields = Fields {
            marker: self.chance.below(2) == 0,
            payload_type: [VOICE.1, PICTURE.1, 97, 0][self.chance.below(4)],
            // It is sealed, and what was there once is not sealed again.
            sequence: self.sequence,
            timestamp: self.chance.next() as u32,
            ssrc,
        };
        let mut bytes = vec![0; 12 + self.chance.below(400)];
        self.chance.fill(&mut bytes);
        write_header(&mut bytes, &fields, &[]).unwrap();
        bytes
    }

    /// What takes long to write is written a few times only; sealed it is another datagram each time.
    fn said(&mut self, say: Say) -> Vec<u8> {
        if say != Say::Feedback {
            return self.compound(say);
        }
        if self.feedbacks.len() < FEEDBACKS {
            let feedback = self.compound(say);
            self.feedbacks.push(feedback);
        }
        self.feedbacks[self.chance.below(self.feedbacks.len())].clone()
    }

    /// A compound that is full, mostly of one kind of message.
    fn compound(&mut self, say: Say) -> Vec<u8> {
        let mut buffer = [0; RTCP_BYTES_MAX];
        let mut out = Writer::new(&mut buffer);
        let chance = &mut self.chance;
        let known = self.viewer.ssrcs.clone();
        let kind = chance.below(4);
        let newest = self.newest;
        loop {
            let media =
                if chance.below(8) == 0 { chance.next() as u32 } else { known[chance.below(known.len())] };
            let written = match (say, kind) {
                // Packets that there are, again and again.
                (Say::Missing, 0 | 1) => out
                    .nack(
                        1,
                        media,
                        (0..20).map(|at| NackEntry { first: newest.wrapping_sub(at * 17), behind: !0 }),
                    )
                    .map(drop),
                (Say::Missing, _) => {
                    let first = chance.next() as u16;
                    out.nack(
                        1,
                        media,
                        (0..60).map(|at| NackEntry { first: first.wrapping_add(at), behind: 1 }),
                    )
                    .map(drop)
                }
                (Say::Keyframe, 0 | 1) => out.pli(1, media),
                (Say::Keyframe, _) => {
                    let entries: Vec<_> = (0..30).map(|at| FirEntry { ssrc: media, number: at }).collect();
                    out.fir(1, &entries)
                }
                (Say::Reports, 0) => out.remb(1, chance.next() >> chance.below(60), &[media]),
                (Say::Reports, 1) => {
                    let block = ReportBlock {
                        ssrc: media,
                        fraction_lost: chance.next() as u8,
                        lost: chance.next() as i32 >> 8,
                        highest: chance.next() as u32,
                        jitter: chance.next() as u32,
                        last_report: chance.next() as u32,
                        since_last_report: chance.next() as u32,
                    };
                    out.receiver_report(1, &[block; 31])
                }
                // As much as one feedback can say in the fewest bytes, many times over.
                (Say::Feedback, _) => {
                    let mut feedback = TwccBuilder::default();
                    let base = chance.next() as u16;
                    feedback.begin(base, 0);
                    let _ = feedback.push(base, 0);
                    let _ = feedback.push(base.wrapping_add(4_000), 1);
                    feedback.finish(&mut out, 1, media, chance.next() as u8)
                }
                (Say::Reports, 2) => {
                    let info = SenderInfo {
                        ssrc: media,
                        ntp: turnpike_rtp::NtpTime(chance.next()),
                        rtp: chance.next() as u32,
                        packets: chance.next() as u32,
                        octets: chance.next() as u32,
                    };
                    out.sender_report(&info, &[])
                }
                (Say::Reports, _) => out.bye(&[media, 1, 2, 3]),
            };
            if written.is_err() || (chance.below(50) == 0 && !out.is_empty()) {
                break;
            }
        }
        let mut compound = out.written().to_vec();
        if self.chance.below(8) == 0 {
            let at = 4 + self.chance.below(compound.len() - 4);
            compound[at] = self.chance.next() as u8;
        }
        compound
    }
}
