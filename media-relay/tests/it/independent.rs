//! Against str0m, which shares nothing with us but the standards: it publishes by WHIP and watches by WHEP, and what is
//! watched is, byte by byte, what was published, also where datagrams are lost on either way.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, Frequency, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};

use crate::whip::house::{House, PATIENCE, header};

const FRAME: Duration = Duration::from_millis(33);
const VOICE: Duration = Duration::from_millis(20);
/// Several packets, and in all well below what a viewer's path is taken for at first: nothing is left out of it.
const FRAME_BYTES: usize = 2_500;
const VOICE_BYTES: usize = 90;
/// Every so many datagrams of those that carry media, one is lost.
const LOST_EVERY: usize = 25;

struct Client {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    audio: Mid,
    video: Mid,
    session: String,
    is_connected: bool,
    /// Whole frames as they came.
    pictures: Vec<Arc<[u8]>>,
    voices: Vec<Arc<[u8]>>,
    keyframes_asked: usize,
    /// Datagrams of media that came, for what is lost of them.
    media_in: usize,
    loses: bool,
    frame_bytes: usize,
}

impl Client {
    async fn begin(house: &House, path: &str, direction: Direction) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let local = socket.local_addr().unwrap();
        let mut rtc = Rtc::builder()
            .set_crypto_provider(Arc::new(str0m::crypto::from_feature_flags()))
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, "udp").unwrap());
        let mut changes = rtc.sdp_api();
        let stream = || Some("stream".to_owned());
        let audio = changes.add_media(MediaKind::Audio, direction, stream(), None, None);
        let video = changes.add_media(MediaKind::Video, direction, stream(), None, None);
        let (offer, pending) = changes.apply().unwrap();
        let response = house.post(path, &offer.to_sdp_string()).await;
        let status = response.status();
        let session = (status == 201).then(|| header(&response, "location"));
        let answer = response.text().await.unwrap();
        let session = session.unwrap_or_else(|| panic!("{status} {answer}"));
        rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer).unwrap()).unwrap();
        Self {
            rtc,
            socket,
            local,
            audio,
            video,
            session,
            is_connected: false,
            pictures: Vec::new(),
            voices: Vec::new(),
            keyframes_asked: 0,
            media_in: 0,
            loses: false,
            frame_bytes: FRAME_BYTES,
        }
    }

    /// Takes what has come in, sends what is due, and keeps what is told.
    fn turn(&mut self) {
        let mut buffer = [0; 2_048];
        loop {
            let (len, from) = match self.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            };
            // RFC 7983, and RTCP by its types.
            if (128..192).contains(&buffer[0]) && !(192..224).contains(&buffer[1]) {
                self.media_in += 1;
                if self.loses && self.media_in.is_multiple_of(LOST_EVERY) {
                    continue;
                }
            }
            let received = Receive::new(Protocol::Udp, from, self.local, &buffer[..len]).unwrap();
            self.rtc.handle_input(Input::Receive(Instant::now(), received)).unwrap();
            self.poll();
        }
        self.rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
        self.poll();
    }

    fn poll(&mut self) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => {
                    let _ = self.socket.send_to(&transmit.contents, transmit.destination);
                }
                Output::Event(event) => self.told(event),
            }
        }
    }

    fn told(&mut self, event: Event) {
        match event {
            Event::Connected => self.is_connected = true,
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => panic!("it is disconnected"),
            Event::MediaData(data) if data.mid == self.audio => self.voices.push(data.data),
            Event::MediaData(data) => self.pictures.push(data.data),
            Event::KeyframeRequest(_) => self.keyframes_asked += 1,
            _ => {}
        }
    }

    fn write(&mut self, mid: Mid, number: u32, data: &[u8]) {
        let writer = self.rtc.writer(mid).unwrap();
        let payload_type = writer.payload_params().next().unwrap().pt();
        let (every, clock) = if mid == self.audio {
            (960, Frequency::FORTY_EIGHT_KHZ)
        } else {
            (2_970, Frequency::NINETY_KHZ)
        };
        let time = MediaTime::new(u64::from(number) * every, clock);
        writer.write(payload_type, Instant::now(), time, data).unwrap();
        self.poll();
    }
}

/// A frame of VP8 as far as anybody on the way looks at it (RFC 6386 9.1): whether it is a keyframe, and of what size.
fn picture(number: u32, is_keyframe: bool, bytes: usize) -> Vec<u8> {
    let mut frame = vec![number as u8; bytes];
    frame[..3].copy_from_slice(&[0x10 | u8::from(!is_keyframe), 0, 0]);
    if is_keyframe {
        frame[3..10].copy_from_slice(&[0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00]);
    }
    frame[10..14].copy_from_slice(&number.to_be_bytes());
    frame
}

fn voice(number: u32) -> Vec<u8> {
    let mut packet = vec![0xfc; VOICE_BYTES];
    packet[1..5].copy_from_slice(&number.to_be_bytes());
    packet
}

fn number(frame: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(frame[at..at + 4].try_into().unwrap())
}

/// Publishes and watches for so many frames; then all of them have come.
fn play(publisher: &mut Client, viewer: &mut Client, frames: u32) {
    let connected = Instant::now() + PATIENCE;
    while !(publisher.is_connected && viewer.is_connected) {
        assert!(Instant::now() < connected, "{} {}", publisher.is_connected, viewer.is_connected);
        publisher.turn();
        viewer.turn();
        std::thread::sleep(Duration::from_millis(2));
    }
    let (audio, video) = (publisher.audio, publisher.video);
    let (mut pictures, mut voices, mut keyframes) = (0, 0, 0);
    let (mut picture_at, mut voice_at) = (Instant::now(), Instant::now());
    let mut end = None;
    let is_there =
        |viewer: &Client, last: u32| viewer.pictures.last().is_some_and(|frame| number(frame, 10) == last);
    while !(pictures == frames && is_there(viewer, frames)) {
        let now = Instant::now();
        if now >= picture_at && pictures < frames {
            (picture_at, pictures) = (picture_at + FRAME, pictures + 1);
            let is_keyframe = pictures == 1 || publisher.keyframes_asked > keyframes;
            keyframes = publisher.keyframes_asked;
            publisher.write(video, pictures, &picture(pictures, is_keyframe, publisher.frame_bytes));
        }
        if now >= voice_at && pictures < frames {
            (voice_at, voices) = (voice_at + VOICE, voices + 1);
            publisher.write(audio, voices, &voice(voices));
        }
        publisher.turn();
        viewer.turn();
        if pictures == frames {
            let end = *end.get_or_insert_with(|| Instant::now() + PATIENCE);
            let last = viewer.pictures.last().map(|frame| number(frame, 10));
            assert!(Instant::now() < end, "the last is {last:?} of {frames}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn check(viewer: &Client, frames: u32) {
    let numbers: Vec<u32> = viewer.pictures.iter().map(|frame| number(frame, 10)).collect();
    println!("{} pictures from {:?}, {} voices", numbers.len(), numbers.first(), viewer.voices.len());
    let first = numbers[0];
    assert_eq!(viewer.pictures[0][0] & 1, 0, "it begins with a keyframe");
    assert!(first < frames / 2, "{first}");
    assert_eq!(numbers, (first..=frames).collect::<Vec<_>>(), "each once, and in order");
    for (frame, number) in viewer.pictures.iter().zip(numbers) {
        let is_keyframe = frame[0] & 1 == 0;
        assert!(**frame == *picture(number, is_keyframe, FRAME_BYTES), "{number} is another");
    }
    let voices: Vec<u32> = viewer.voices.iter().map(|packet| number(packet, 1)).collect();
    assert!(voices.len() > 20 && voices.is_sorted(), "{voices:?}");
    assert!(viewer.voices.iter().zip(&voices).all(|(packet, number)| **packet == *voice(*number)));
}

async fn leave(house: &House, client: &Client) {
    assert_eq!(house.ask(Method::DELETE, &client.session).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_str0m_publishes_str0m_watches() {
    let house = House::build().await;
    let mut publisher = Client::begin(&house, "/whip/live:a", Direction::SendOnly).await;
    let mut viewer = Client::begin(&house, "/whep/live:a", Direction::RecvOnly).await;
    play(&mut publisher, &mut viewer, 90);
    check(&viewer, 90);
    leave(&house, &viewer).await;
    leave(&house, &publisher).await;
    house.settles_at((0, 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_viewer_loses_it_gets_again() {
    let house = House::build().await;
    let mut publisher = Client::begin(&house, "/whip/live:a", Direction::SendOnly).await;
    let mut viewer = Client::begin(&house, "/whep/live:a", Direction::RecvOnly).await;
    viewer.loses = true;
    play(&mut publisher, &mut viewer, 120);
    check(&viewer, 120);
    let (asked, again) = (house.metric("nacks_received_total"), house.metric("retransmissions_total"));
    println!("{} of media came, {asked} asked for again, {again} sent again", viewer.media_in);
    assert!(asked >= 10 && again >= 10);
    leave(&house, &viewer).await;
    leave(&house, &publisher).await;
}

/// The only layer that there is does not fit into what the path is taken for at first. A probe finds that it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_that_was_left_out_comes_back() {
    let house = House::build().await;
    let mut publisher = Client::begin(&house, "/whip/live:a", Direction::SendOnly).await;
    publisher.frame_bytes = 2 * FRAME_BYTES;
    let mut viewer = Client::begin(&house, "/whep/live:a", Direction::RecvOnly).await;
    play(&mut publisher, &mut viewer, 400);
    let numbers: Vec<u32> = viewer.pictures.iter().map(|frame| number(frame, 10)).collect();
    let dark = numbers.windows(2).map(|pair| pair[1] - pair[0]).max();
    println!("{} pictures, at most {dark:?} left out", numbers.len());
    assert!(numbers.is_sorted() && numbers.len() > 200, "{numbers:?}");
}
