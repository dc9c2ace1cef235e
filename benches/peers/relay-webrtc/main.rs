//! A relay as one would write it with the `webrtc` crate in an afternoon: a peer connection for each publisher and viewer
//! with the crate's default interceptors, and a task a viewer that writes what the publisher sent, as in the crate's own
//! `broadcast` example. It speaks WHIP and WHEP without authentication, so that the same load drives it.

#![allow(clippy::print_stdout, reason = "the address goes to stdout, as the driver expects of every server")]

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    net::Ipv4Addr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use rtc::{
    rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication, rtp,
    rtp_transceiver::rtp_sender::RtpCodecKind,
};
use webrtc::{
    media_stream::{
        track_local::{TrackLocal, TrackLocalEvent},
        track_remote::{TrackRemote, TrackRemoteEvent},
    },
    peer_connection::{
        PeerConnection, PeerConnectionEventHandler, RTCIceGatheringState, RTCSessionDescription,
    },
    rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit},
    runtime::{BroadcastRecvError, BroadcastSender, Sender, broadcast_channel, channel},
};

/// Packets that wait for the slowest viewer, as in the crate's example; it then misses the oldest.
const BACKLOG_PACKETS: usize = 256;

#[derive(Clone, Default)]
struct Relay {
    streams: Arc<Mutex<HashMap<String, Arc<Stream>>>>,
    /// Nothing ends here before the process does.
    peers: Arc<Mutex<Vec<Arc<dyn PeerConnection>>>>,
}

struct Stream {
    packets: BroadcastSender<rtp::Packet>,
    source: OnceLock<Arc<dyn TrackRemote>>,
}

impl Stream {
    async fn ask_for_keyframe(&self) {
        let Some(source) = self.source.get() else { return };
        let Some(media_ssrc) = source.ssrcs().await.first().copied() else { return };
        // A publisher that has gone answers nothing.
        let _ = source.write_rtcp(vec![Box::new(PictureLossIndication { sender_ssrc: 0, media_ssrc })]).await;
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{{\"listening\":{{\"gateway\":\"http://{}\"}}}}", listener.local_addr()?);
    let router = Router::new()
        .route("/whip/{stream}", post(publish))
        .route("/whep/{stream}", post(watch))
        .with_state(Relay::default());
    axum::serve(listener, router).await?;
    Ok(())
}

type Answer = Result<(StatusCode, String), (StatusCode, String)>;

async fn publish(State(relay): State<Relay>, Path(stream): Path<String>, offer: String) -> Answer {
    answered(relay.publish(stream, offer).await)
}

async fn watch(State(relay): State<Relay>, Path(stream): Path<String>, offer: String) -> Answer {
    answered(relay.watch(&stream, offer).await)
}

fn answered(answer: anyhow::Result<String>) -> Answer {
    match answer {
        Ok(sdp) => Ok((StatusCode::CREATED, sdp)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"))),
    }
}

impl Relay {
    async fn publish(&self, name: String, offer: String) -> anyhow::Result<String> {
        let packets = broadcast_channel(BACKLOG_PACKETS);
        let stream = Arc::new(Stream { packets, source: OnceLock::new() });
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::clone(&stream));
        let (gathered, mut is_gathered) = channel(1);
        let peer = self.peer(Arc::new(Handler { gathered, stream: Some(stream) })).await?;
        let receives =
            RTCRtpTransceiverInit { direction: RTCRtpTransceiverDirection::Recvonly, ..Default::default() };
        peer.add_transceiver_from_kind(RtpCodecKind::Video, Some(receives)).await?;
        answer(&*peer, offer, async { is_gathered.recv().await }).await
    }

    async fn watch(&self, name: &str, offer: String) -> anyhow::Result<String> {
        let stream = self.streams.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let stream = stream.context("no such stream")?;
        let (gathered, mut is_gathered) = channel(1);
        let peer = self.peer(Arc::new(Handler { gathered, stream: None })).await?;
        // A stream with a name of its own for each viewer.
        let ssrc = RandomState::new().hash_one(0_u8) as u32;
        let track = turnpike_peer::video(ssrc);
        peer.add_track(Arc::clone(&track) as Arc<dyn TrackLocal>).await?;
        let sdp = answer(&*peer, offer, async { is_gathered.recv().await }).await?;

        let mut packets = stream.packets.subscribe();
        let writes_to = Arc::clone(&track);
        tokio::spawn(async move {
            loop {
                match packets.recv().await {
                    Ok(mut packet) => {
                        packet.header.ssrc = ssrc;
                        // Before it is connected nobody misses it.
                        let _ = writes_to.write_rtp(packet).await;
                    }
                    Err(BroadcastRecvError::Lagged(_)) => {}
                    Err(_) => break,
                }
            }
        });
        tokio::spawn(async move {
            while let Some(TrackLocalEvent::OnRtcpPacket(_)) = track.poll().await {
                stream.ask_for_keyframe().await;
            }
        });
        Ok(sdp)
    }

    async fn peer(&self, handler: Arc<Handler>) -> anyhow::Result<Arc<dyn PeerConnection>> {
        let peer = turnpike_peer::connection("127.0.0.1:0", handler).await?;
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&peer));
        Ok(peer)
    }
}

async fn answer<T>(
    peer: &dyn PeerConnection,
    offer: String,
    gathered: impl Future<Output = T>,
) -> anyhow::Result<String> {
    peer.set_remote_description(RTCSessionDescription::offer(offer)?).await?;
    let answer = peer.create_answer(None).await?;
    peer.set_local_description(answer).await?;
    gathered.await;
    Ok(peer.local_description().await.context("no description of our own")?.sdp)
}

struct Handler {
    gathered: Sender<()>,
    /// What a publisher sends to.
    stream: Option<Arc<Stream>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            // Whoever waits for it waits once.
            let _ = self.gathered.try_send(());
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let Some(stream) = self.stream.clone() else { return };
        // A second track of the same publisher is not what the load sends.
        let _ = stream.source.set(Arc::clone(&track));
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    // Without a viewer nobody takes it.
                    let _ = stream.packets.send(packet);
                }
            }
        });
    }
}
