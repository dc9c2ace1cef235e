//! A publisher and a viewer who do nothing but what they should, each on a thread of its own, and what the viewer misses.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use turnpike_rtp::rtcp::{Compound, Message};
use turnpike_rtp::{Fields, Packet, write_header};

use crate::peer::Peer;

/// Of the offer of OBS: sources and payload types of voice and picture.
pub(crate) const VOICE: (u32, u8) = (1001, 111);
pub(crate) const PICTURE: (u32, u8) = (1002, 96);
const EVERY: Duration = Duration::from_millis(20);
/// Where the test's own number stands in a payload: behind what tells of a keyframe.
const NUMBER_AT: usize = 8;
/// What is on its way when the publisher ends has arrived by then, or never will.
const LINGER: Duration = Duration::from_secs(20);

pub(crate) struct Honest {
    stop: Arc<AtomicBool>,
    publisher: JoinHandle<(Peer, Published)>,
    viewer: JoinHandle<(Peer, BTreeSet<(u8, u32)>)>,
    /// Packets of each kind that were sent; told to the viewer at the end.
    sent: Arc<std::sync::atomic::AtomicU32>,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Published {
    pub(crate) packets: u32,
    /// For a keyframe.
    pub(crate) asked: u32,
}

/// What came of it all.
pub(crate) struct Outcome {
    pub(crate) published: Published,
    pub(crate) heard: usize,
    pub(crate) seen: usize,
    /// From the first that came to the last that was sent.
    pub(crate) missing: Vec<(u8, u32)>,
    pub(crate) publisher: Peer,
    pub(crate) viewer: Peer,
}

/// A packet of voice or picture; each of a picture is a keyframe of its own.
pub(crate) fn packet((ssrc, payload_type): (u32, u8), number: u32) -> Vec<u8> {
    let is_voice = ssrc == VOICE.0;
    let fields = Fields {
        marker: !is_voice,
        payload_type,
        sequence: number as u16,
        timestamp: number.wrapping_mul(if is_voice { 960 } else { 1_800 }),
        ssrc,
    };
    let mut bytes = vec![7; if is_voice { 92 } else { 312 }];
    let start = write_header(&mut bytes, &fields, &[]).unwrap();
    // RFC 6184: an IDR slice whose first macroblock is the first.
    bytes[start..start + 2].copy_from_slice(&[0x65, 0x88]);
    bytes[start + NUMBER_AT..start + NUMBER_AT + 4].copy_from_slice(&number.to_be_bytes());
    bytes
}

impl Honest {
    /// Both are connected.
    pub(crate) fn begin(mut publisher: Peer, mut viewer: Peer) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(std::sync::atomic::AtomicU32::new(u32::MAX));
        let (stopped, told) = (Arc::clone(&stop), Arc::clone(&sent));
        let publisher = std::thread::spawn(move || {
            let mut published = Published::default();
            let mut due = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                due += EVERY;
                published.packets += 1;
                publisher.send_rtp(&packet(VOICE, published.packets));
                publisher.send_rtp(&packet(PICTURE, published.packets));
                publisher.turn();
                for compound in std::mem::take(&mut publisher.rtcp) {
                    let pli = |message: &Result<Message<'_>, _>| {
                        matches!(message, Ok(Message::Pli(_) | Message::Fir(_)))
                    };
                    published.asked += Compound::new(&compound).filter(pli).count() as u32;
                }
            }
            told.store(published.packets, Ordering::Relaxed);
            (publisher, published)
        });
        let told = Arc::clone(&sent);
        let viewer = std::thread::spawn(move || {
            let mut got = BTreeSet::new();
            let mut end = None;
            loop {
                viewer.run(Duration::from_millis(10));
                for bytes in std::mem::take(&mut viewer.rtp) {
                    let packet = Packet::parse(&bytes).unwrap();
                    let payload = packet.payload();
                    let Some(number) = payload.get(NUMBER_AT..NUMBER_AT + 4) else { continue };
                    let kind = u8::from(payload.len() > 100);
                    got.insert((kind, u32::from_be_bytes(number.try_into().unwrap())));
                }
                viewer.rtcp.clear();
                let last = told.load(Ordering::Relaxed);
                if last == u32::MAX {
                    continue;
                }
                let end = *end.get_or_insert_with(|| Instant::now() + LINGER);
                let is_whole = got.contains(&(0, last)) && got.contains(&(1, last));
                if is_whole || Instant::now() > end {
                    return (viewer, got);
                }
            }
        });
        Self { stop, publisher, viewer, sent }
    }

    pub(crate) fn end(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let (publisher, published) = self.publisher.join().unwrap();
        let (viewer, got) = self.viewer.join().unwrap();
        let last = self.sent.load(Ordering::Relaxed);
        let mut missing = Vec::new();
        for kind in 0..2 {
            let first = got.range((kind, 0)..(kind + 1, 0)).next().map_or(1, |(_, number)| *number);
            missing.extend((first..=last).map(|number| (kind, number)).filter(|key| !got.contains(key)));
        }
        let of = |kind| got.iter().filter(|(known, _)| *known == kind).count();
        Outcome { published, heard: of(0), seen: of(1), missing, publisher, viewer }
    }
}
