//! The publisher: frames of VP8 in packets of one size, a burst at a time, each with the time at which it was sent.

use std::time::{Duration, Instant};

use turnpike_rtp::{
    Element, Fields,
    rtcp::{Compound, Message},
    write_header,
};
use turnpike_udp::Received;

use super::{
    command::Rate,
    description::{EXTENSION_MID, EXTENSION_TWCC, Role, SSRC, VP8},
    peer::{Door, Media, Peer},
};

/// With the tag of AES-GCM 1,200 bytes, which is what browsers fill a packet with.
pub(crate) const PACKET_BYTES: usize = 1_184;
const FRAME: Duration = Duration::from_nanos(33_333_333);
const TICKS_PER_FRAME: u32 = 3_000;
/// A keyframe is so many times the size of another frame, or a little less.
const KEYFRAME_TIMES: f64 = 4.0;
/// Two requests a second apart at the relay may come a little closer to each other than that.
const SECOND: Duration = Duration::from_millis(980);
/// Between two bursts of a frame, as libwebrtc's pacer has it.
const BURST_PAUSE: Duration = Duration::from_millis(5);

pub(crate) struct Publisher {
    pub(crate) peer: Peer,
    start: Instant,
    sequence: u16,
    twcc: u16,
    timestamp: u32,
    picture: u16,
    wants_keyframe: bool,
    /// The present frame is one.
    is_keyframe: bool,
    pub(crate) keyframe_requests: Vec<Instant>,
    pub(crate) published: u64,
    pub(crate) frames: u64,
}

/// A stretch of sending.
pub(crate) struct Pace {
    frame_at: Instant,
    burst_at: Instant,
    /// Packets of the present frame that are still to be sent, and how many it has.
    left: u32,
    count: u32,
    /// Of packets, that frames of whole packets leave over.
    owed: f64,
    packets_per_frame: f64,
    burst: u32,
}

impl Pace {
    /// `share` of a frame's time later than others.
    pub(crate) fn new(now: Instant, rate: Rate, share: f64) -> Self {
        let now = now + FRAME.mul_f64(share);
        let burst = rate.burst;
        let bytes_per_frame = f64::from(rate.kbps) * 125.0 * FRAME.as_secs_f64();
        let packets_per_frame = bytes_per_frame / (PACKET_BYTES as f64 + 16.0);
        Self { frame_at: now, burst_at: now, left: 0, count: 0, owed: 0.0, packets_per_frame, burst }
    }
}

impl Publisher {
    pub(crate) fn open(door: &mut Door, stream: u32, start: Instant) -> anyhow::Result<Self> {
        Ok(Self {
            peer: Peer::open(door, Role::Publisher, stream)?,
            start,
            sequence: 1_000,
            twcc: 0,
            timestamp: 90_000,
            picture: 0,
            wants_keyframe: true,
            is_keyframe: false,
            keyframe_requests: Vec::new(),
            published: 0,
            frames: 0,
        })
    }

    pub(crate) fn read(&mut self, received: &mut Received, now: Instant) -> anyhow::Result<()> {
        let mut requests = 0;
        self.peer.read(received, now, |media, _| {
            let Media::Rtcp(bytes) = media else { return };
            let messages = Compound::new(bytes).map_while(Result::ok);
            requests += messages.filter(|it| matches!(it, Message::Pli(_) | Message::Fir(_))).count() as u64;
        })?;
        self.keyframe_requests.extend((0..requests).map(|_| now));
        self.wants_keyframe |= requests > 0;
        Ok(())
    }

    /// Sends what is due.
    pub(crate) fn play(&mut self, pace: &mut Pace, now: Instant) {
        if pace.left == 0 && now >= pace.frame_at {
            pace.frame_at += FRAME;
            self.is_keyframe = std::mem::take(&mut self.wants_keyframe);
            pace.owed += pace.packets_per_frame * if self.is_keyframe { KEYFRAME_TIMES } else { 1.0 };
            pace.count = pace.owed as u32;
            pace.owed -= f64::from(pace.count);
            pace.left = pace.count;
            pace.burst_at = now;
            self.timestamp = self.timestamp.wrapping_add(TICKS_PER_FRAME);
            self.picture = self.picture.wrapping_add(1) & 0x7fff;
            self.frames += u64::from(pace.count > 0);
        }
        if pace.left == 0 || now < pace.burst_at {
            return;
        }
        pace.burst_at += BURST_PAUSE;
        for _ in 0..pace.burst.min(pace.left) {
            self.packet(pace.left == pace.count, pace.left == 1);
            pace.left -= 1;
        }
        self.peer.flush();
    }

    /// Of those since `begun`, as many as came within one second at most.
    pub(crate) fn keyframe_requests_in_a_second(&self, begun: Instant) -> u64 {
        let requests: Vec<Instant> =
            self.keyframe_requests.iter().copied().filter(|at| *at >= begun).collect();
        let within =
            |from: &Instant| requests.iter().filter(|at| **at >= *from && **at < *from + SECOND).count();
        requests.iter().map(within).max().unwrap_or(0) as u64
    }

    fn packet(&mut self, is_first: bool, is_last: bool) {
        let fields = Fields {
            marker: is_last,
            payload_type: VP8,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: SSRC,
        };
        let twcc = self.twcc.to_be_bytes();
        let is_keyframe = self.is_keyframe;
        let (picture, start) = (self.picture.to_be_bytes(), self.start);
        self.peer.send_rtp(PACKET_BYTES, |packet| {
            let extensions =
                [Element { id: EXTENSION_MID, value: b"0" }, Element { id: EXTENSION_TWCC, value: &twcc }];
            let header = write_header(packet, &fields, &extensions).unwrap_or_default();
            let payload = &mut packet[header..];
            // RFC 7741 4.2: extended, and where a frame begins; then a picture id of 15 bits.
            payload[0] = if is_first { 0x90 } else { 0x80 };
            payload[1] = 0x80;
            payload[2] = picture[0] | 0x80;
            payload[3] = picture[1];
            if is_first {
                // RFC 6386 9.1: the lowest bit tells a keyframe; its start code and 1280 x 720.
                payload[4] = u8::from(!is_keyframe) | 0x10;
                payload[7..14].copy_from_slice(&[0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x02]);
            }
            let sent = start.elapsed().as_nanos() as u64;
            payload[16..24].copy_from_slice(&sent.to_be_bytes());
            packet.len()
        });
        self.sequence = self.sequence.wrapping_add(1);
        self.twcc = self.twcc.wrapping_add(1);
        self.published += 1;
    }
}
