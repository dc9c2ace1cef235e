//! Clients of WHIP and WHEP without a browser: their offers, their sockets, and the time at which each frame was there.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use turnpike_rtp::rtcp::{Compound, Message};
use turnpike_rtp::{Element, Fields, write_header};
use turnpike_transport::srtp::OVERHEAD_BYTES_MAX;
use turnpike_transport::stun::{Class, Writer};
use turnpike_transport::{
    Certificate, Credentials, DTLS_MTU_BYTES_DEFAULT, DtlsRole, Event, Fingerprint, IceMode, Input, Path,
    RANDOM_BYTES, Remote, Setup, Transport, TransportConfig,
};

const VP8: u8 = 96;
const RTX: u8 = 97;
const EXTENSION_MID: u8 = 1;
const SSRC: u32 = 0x1234_5678;
const PRIORITY: u32 = 2_130_706_431;
const DATAGRAM_BYTES_MAX: usize = 2_048;
const PACKET_BYTES: usize = 1_000;
const TICK: Duration = Duration::from_millis(20);
const FRAME: Duration = Duration::from_nanos(33_333_333);

/// When this viewer's picture last moved, over all of its sessions, and how long it stood still at most.
#[derive(Default)]
pub struct Picture(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    frame: u64,
    at: Option<Instant>,
    longest: Duration,
}

impl Picture {
    fn show(&self, frame: u64) {
        let (now, mut seen) = (Instant::now(), self.0.lock().unwrap());
        if frame <= seen.frame {
            return;
        }
        if let Some(at) = seen.at {
            seen.longest = seen.longest.max(now - at);
        }
        (seen.frame, seen.at) = (frame, Some(now));
    }

    /// The longest time without anything new since this was last asked.
    pub fn longest(&self) -> Duration {
        let mut seen = self.0.lock().unwrap();
        let still = seen.at.map_or(Duration::ZERO, |at| at.elapsed());
        std::mem::take(&mut seen.longest).max(still)
    }
}

/// One session's path. It ends with its value.
pub struct Peer {
    pub has_media: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Before the answer has come.
pub struct Offered {
    socket: UdpSocket,
    ours: Credentials,
    pub sdp: String,
}

fn config() -> &'static Arc<TransportConfig> {
    static CONFIG: OnceLock<Arc<TransportConfig>> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let certificate = Certificate::generate("test").unwrap();
        Arc::new(TransportConfig::new(IceMode::Full, certificate, DTLS_MTU_BYTES_DEFAULT).unwrap())
    })
}

pub async fn offer(is_publisher: bool) -> Offered {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut chance = [0; RANDOM_BYTES];
    chance.fill_with(random);
    let ours = Credentials::from_random(&chance);
    let (ufrag, pwd, fingerprint) = (ours.ufrag(), ours.pwd(), config().certificate().fingerprint());
    let direction = if is_publisher { "sendonly" } else { "recvonly" };
    let mut sdp = format!(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\nm=video 9 UDP/TLS/RTP/SAVPF {VP8} {RTX}\r\n\
         c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n\
         a=ice-options:trickle\r\na=fingerprint:{fingerprint}\r\na=setup:actpass\r\na=mid:0\r\n\
         a=extmap:{EXTENSION_MID} urn:ietf:params:rtp-hdrext:sdes:mid\r\na={direction}\r\na=rtcp-mux\r\n\
         a=rtcp-rsize\r\na=rtpmap:{VP8} VP8/90000\r\na=rtcp-fb:{VP8} ccm fir\r\na=rtcp-fb:{VP8} nack\r\n\
         a=rtcp-fb:{VP8} nack pli\r\na=rtpmap:{RTX} rtx/90000\r\na=fmtp:{RTX} apt={VP8}\r\n"
    );
    if is_publisher {
        use std::fmt::Write as _;
        let _ = write!(sdp, "a=msid:test video\r\na=ssrc:{SSRC} cname:test\r\n");
    }
    Offered { socket, ours, sdp }
}

struct Way {
    socket: UdpSocket,
    transport: Transport,
    path: Path,
    is_connected: bool,
}

impl Offered {
    fn begin(self, answer: &str) -> Way {
        let attribute = |name: &str| {
            let prefix = format!("a={name}:");
            let found =
                answer.lines().find_map(|line| Some(line.trim_end().strip_prefix(&prefix)?.to_owned()));
            found.unwrap_or_else(|| panic!("no {name} in {answer}"))
        };
        let theirs = Credentials::new(&attribute("ice-ufrag"), &attribute("ice-pwd")).unwrap();
        let fingerprints = vec![Fingerprint::parse(&attribute("fingerprint")).unwrap()];
        let mut candidates = answer.lines().filter_map(|line| line.trim_end().strip_prefix("a=candidate:"));
        let udp = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let is_udp = words[2].eq_ignore_ascii_case("udp");
            is_udp.then(|| format!("{}:{}", words[4], words[5]).parse().ok()).flatten()
        };
        let remote: SocketAddr = candidates.find_map(udp).expect("an address over UDP");
        let now = Instant::now();
        let mut transaction = [0; 12];
        transaction.fill_with(random);
        // A transport waits for a check before it sends one. What it would hear it is told here.
        let mut heard = Writer::new(Class::Request, &transaction)
            .username(self.ours.ufrag(), theirs.ufrag())
            .priority(PRIORITY)
            .controlled(0)
            .finish(self.ours.pwd());
        let setup = Setup {
            local: self.ours,
            remote: Some(Remote { credentials: theirs, fingerprints }),
            dtls: DtlsRole::Client,
            controlling: true,
        };
        let mut transport = Transport::new(config(), setup, now);
        transport.add_remote_candidate(remote, PRIORITY);
        let path = Path { local: self.socket.local_addr().unwrap(), remote };
        assert!(matches!(transport.handle(now, path, &mut heard), Input::Consumed));
        Way { socket: self.socket, transport, path, is_connected: false }
    }

    /// Watches from here on.
    pub fn watch(self, answer: &str, picture: Arc<Picture>) -> Peer {
        let mut path = self.begin(answer);
        let has_media = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&has_media);
        let task = tokio::spawn(async move {
            let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
            loop {
                path.settle();
                let Ok(received) = tokio::time::timeout(TICK, path.socket.recv_from(&mut bytes)).await else {
                    path.tick();
                    continue;
                };
                let (len, from) = received.unwrap();
                let from_there = Path { remote: from, ..path.path };
                if let Input::Rtp(packet) =
                    path.transport.handle(Instant::now(), from_there, &mut bytes[..len])
                    && let Some(frame) = frame_of(packet)
                {
                    told.store(true, Ordering::Relaxed);
                    picture.show(frame);
                }
            }
        });
        Peer { has_media, task }
    }

    /// Publishes from here on: a packet a frame.
    pub fn publish(self, answer: &str) -> Peer {
        self.publish_but(answer, |_| false)
    }

    /// The same over a way on which some frames are lost.
    pub fn publish_but(self, answer: &str, is_lost: fn(u64) -> bool) -> Peer {
        let mut path = self.begin(answer);
        let has_media = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(async move {
            let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
            let (mut next, mut frame, mut wants_keyframe) = (Instant::now(), 0_u64, true);
            loop {
                path.settle();
                let now = Instant::now();
                if path.is_connected && now >= next {
                    next = now.max(next + FRAME);
                    frame += 1;
                    if !is_lost(frame) {
                        path.send(frame, std::mem::take(&mut wants_keyframe)).await;
                    }
                }
                let pause = if path.is_connected { next.saturating_duration_since(now) } else { TICK };
                let received = tokio::time::timeout(pause.min(TICK), path.socket.recv_from(&mut bytes)).await;
                let Ok(received) = received else {
                    path.tick();
                    continue;
                };
                let (len, from) = received.unwrap();
                let from_there = Path { remote: from, ..path.path };
                if let Input::Rtcp(packet) =
                    path.transport.handle(Instant::now(), from_there, &mut bytes[..len])
                {
                    let mut messages = Compound::new(packet).map_while(Result::ok);
                    wants_keyframe |= messages.any(|word| matches!(word, Message::Pli(_) | Message::Fir(_)));
                }
            }
        });
        Peer { has_media, task }
    }
}

impl Way {
    fn tick(&mut self) {
        let now = Instant::now();
        if self.transport.due().is_some_and(|due| due <= now) {
            self.transport.tick(now);
        }
    }

    /// What the kernel does not take is lost, as on any way.
    fn settle(&mut self) {
        while let Some(transmit) = self.transport.poll_transmit() {
            let _ = self.socket.try_send_to(&transmit.data, transmit.to);
        }
        while let Some(event) = self.transport.poll_event() {
            if let Event::Connected { .. } = event {
                self.is_connected = true;
            }
        }
    }

    async fn send(&mut self, frame: u64, is_keyframe: bool) {
        let mut packet = vec![0; PACKET_BYTES + OVERHEAD_BYTES_MAX];
        let fields = Fields {
            marker: true,
            payload_type: VP8,
            sequence: frame as u16,
            timestamp: (frame as u32).wrapping_mul(3_000),
            ssrc: SSRC,
        };
        let extensions = [Element { id: EXTENSION_MID, value: b"0" }];
        let header = write_header(&mut packet[..PACKET_BYTES], &fields, &extensions).unwrap_or_default();
        let payload = &mut packet[header..PACKET_BYTES];
        // RFC 7741 4.2: extended, the beginning of a frame, and a picture id of 15 bits.
        let picture = ((frame as u16) & 0x7fff).to_be_bytes();
        payload[..4].copy_from_slice(&[0x90, 0x80, picture[0] | 0x80, picture[1]]);
        // RFC 6386 9.1: the lowest bit tells a keyframe; its start code and 1280 x 720.
        payload[4] = u8::from(!is_keyframe) | 0x10;
        payload[7..14].copy_from_slice(&[0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x02]);
        payload[16..24].copy_from_slice(&frame.to_be_bytes());
        if let Ok(sealed) = self.transport.seal_rtp(&mut packet, PACKET_BYTES) {
            let _ = self.socket.send_to(&packet[..sealed], self.path.remote).await;
        }
    }
}

/// The number that the publisher wrote into the packet.
fn frame_of(packet: &[u8]) -> Option<u64> {
    let has_extension = packet.first()? & 0x10 != 0;
    let mut at = 12 + usize::from(packet[0] & 0x0f) * 4;
    if has_extension {
        let words = u16::from_be_bytes(*packet.get(at + 2..)?.first_chunk()?);
        at += 4 + usize::from(words) * 4;
    }
    if packet.get(1)? & 0x7f == RTX {
        at += 2;
    }
    Some(u64::from_be_bytes(*packet.get(at + 16..)?.first_chunk()?))
}

/// Of the standard library's own making; nothing here is a secret of anybody.
pub fn random() -> u8 {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(DRAWN.fetch_add(1, Ordering::Relaxed)) as u8
}
