//! One end of a path: an offer, the answer to it, and whether media can flow. It must not know what a frame is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use rtc::{
    peer_connection::configuration::media_engine::MIME_TYPE_VP8, rtp,
    rtp_transceiver::rtp_sender::RtpCodecKind,
};
use tokio::sync::watch;
use webrtc::{
    media_stream::{
        track_local::{TrackLocal, TrackLocalEvent, static_rtp::TrackLocalStaticRTP},
        track_remote::{TrackRemote, TrackRemoteEvent},
    },
    peer_connection::{
        PeerConnection, PeerConnectionEventHandler, RTCIceGatheringState, RTCPeerConnectionState,
        RTCSessionDescription,
    },
    rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit, RtpSender},
};

/// What is done with each payload that comes.
pub(super) type Sink = Arc<dyn Fn(&[u8]) + Send + Sync>;

pub(super) struct Peer {
    connection: Arc<dyn PeerConnection>,
    state: watch::Receiver<State>,
    /// Of a publisher.
    sends: Option<Sends>,
    pub(super) wants_keyframe: Arc<AtomicBool>,
}

struct Sends {
    track: Arc<TrackLocalStaticRTP>,
    sender: Arc<dyn RtpSender>,
    ssrc: u32,
    /// Agreed in the answer.
    payload_type: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    is_gathered: bool,
    is_connected: bool,
    has_failed: bool,
}

/// Gathering on one machine takes milliseconds.
const GATHER_MAX: Duration = Duration::from_secs(10);
/// ICE and DTLS of a server with work to do.
const CONNECT_MAX: Duration = Duration::from_secs(20);

impl Peer {
    /// Sends video, with this name for its packets.
    pub(super) async fn publisher(address: &str, ssrc: u32) -> anyhow::Result<Self> {
        let mut peer = Self::new(address, None).await?;
        let track = turnpike_peer::video(ssrc);
        let added = peer.connection.add_track(Arc::clone(&track) as Arc<dyn TrackLocal>).await;
        let sender = added.context("track")?;
        let (reports, wants) = (Arc::clone(&track), Arc::clone(&peer.wants_keyframe));
        tokio::spawn(async move {
            while let Some(event) = reports.poll().await {
                if matches!(event, TrackLocalEvent::OnRtcpPacket(_)) {
                    wants.store(true, Ordering::Relaxed);
                }
            }
        });
        peer.sends = Some(Sends { track, sender, ssrc, payload_type: 0 });
        Ok(peer)
    }

    /// Receives video.
    pub(super) async fn viewer(address: &str, sink: Sink) -> anyhow::Result<Self> {
        let peer = Self::new(address, Some(sink)).await?;
        let receives =
            RTCRtpTransceiverInit { direction: RTCRtpTransceiverDirection::Recvonly, ..Default::default() };
        let kind = RtpCodecKind::Video;
        peer.connection.add_transceiver_from_kind(kind, Some(receives)).await.context("transceiver")?;
        Ok(peer)
    }

    async fn new(address: &str, sink: Option<Sink>) -> anyhow::Result<Self> {
        let (tell, state) = watch::channel(State::default());
        let connection = turnpike_peer::connection(address, Arc::new(Handler { tell, sink })).await?;
        let wants_keyframe = Arc::new(AtomicBool::new(true));
        Ok(Self { connection, state, sends: None, wants_keyframe })
    }

    /// With all candidates.
    pub(super) async fn offer(&mut self) -> anyhow::Result<String> {
        let offer = self.connection.create_offer(None).await.context("offer")?;
        self.connection.set_local_description(offer).await.context("own description")?;
        let gathered = self.state.wait_for(|state| state.is_gathered);
        tokio::time::timeout(GATHER_MAX, gathered).await.context("gathering")?.context("gathering")?;
        Ok(self.connection.local_description().await.context("no description of our own")?.sdp)
    }

    /// Until media can flow.
    pub(super) async fn connect(&mut self, answer: String) -> anyhow::Result<()> {
        let answer = RTCSessionDescription::answer(answer).context("answer")?;
        self.connection.set_remote_description(answer).await.context("answer")?;
        if let Some(sends) = &mut self.sends {
            // Packets of any other number are thrown away without a word.
            let agreed = sends.sender.get_parameters().await.context("parameters")?.rtp_parameters.codecs;
            let agreed =
                agreed.iter().find(|codec| codec.rtp_codec.mime_type.eq_ignore_ascii_case(MIME_TYPE_VP8));
            sends.payload_type = agreed.context("no VP8 in the answer")?.payload_type;
        }
        let connected = self.state.wait_for(|state| state.is_connected || state.has_failed);
        let state =
            *tokio::time::timeout(CONNECT_MAX, connected).await.context("no path")?.context("closed")?;
        anyhow::ensure!(state.is_connected, "no path");
        Ok(())
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state.borrow().has_failed
    }

    pub(super) async fn send(&self, sequence_number: u16, timestamp: u32, marker: bool, payload: Vec<u8>) {
        let Some(sends) = &self.sends else { return };
        let header = rtp::Header {
            version: 2,
            marker,
            payload_type: sends.payload_type,
            sequence_number,
            timestamp,
            ssrc: sends.ssrc,
            ..Default::default()
        };
        // What a path does not take is lost, as with any other sender.
        let _ = sends.track.write_rtp(rtp::Packet { header, payload: payload.into() }).await;
    }

    pub(super) async fn close(self) {
        let _ = self.connection.close().await;
    }
}

struct Handler {
    tell: watch::Sender<State>,
    sink: Option<Sink>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.tell.send_modify(|state| state.is_gathered = true);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Connected => self.tell.send_modify(|state| state.is_connected = true),
            RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => {
                self.tell.send_modify(|state| state.has_failed = true);
            }
            _ => {}
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let Some(sink) = self.sink.clone() else { return };
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    sink(&packet.payload);
                }
            }
        });
    }
}
