//! Peer connections of the `webrtc` crate with a video track, for load and for what Turnpike is compared with. Ships with
//! nothing; it must not know what is sent over them.

mod keyframes;

use std::sync::Arc;

use anyhow::Context as _;
use rtc::interceptor::Slot;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::MIME_TYPE_VP8;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, Registry,
    register_default_interceptors,
};
use webrtc::runtime::TokioRuntime;

use self::keyframes::KeyframeRequests;

/// At a UDP address of its own, with the crate's default codecs and interceptors. Whoever sends is told when a keyframe is
/// wanted.
pub async fn connection(
    address: &str,
    handler: Arc<dyn PeerConnectionEventHandler>,
) -> anyhow::Result<Arc<dyn PeerConnection>> {
    let mut media = MediaEngine::default();
    media.register_default_codecs().context("codecs")?;
    let registry = register_default_interceptors(Registry::new(), &mut media).context("interceptors")?;
    let registry = registry.with(Slot::from(keyframes::SLOT), KeyframeRequests::default());
    let builder = PeerConnectionBuilder::new()
        .with_media_engine(media)
        .with_interceptor_registry(registry)
        .with_handler(handler)
        .with_runtime(Arc::new(TokioRuntime))
        .with_udp_addrs(vec![address.to_owned()]);
    // The future is large, and lives only here.
    let connection = Box::pin(builder.build()).await.context("peer connection")?;
    Ok(Arc::new(connection))
}

/// To send VP8 on, with this name for its packets.
pub fn video(ssrc: u32) -> Arc<TrackLocalStaticRTP> {
    let codec =
        RTCRtpCodec { mime_type: MIME_TYPE_VP8.to_owned(), clock_rate: 90_000, ..RTCRtpCodec::default() };
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
        codec,
        ..Default::default()
    };
    let name = ssrc.to_string();
    let track = MediaStreamTrack::new(name.clone(), name.clone(), name, RtpCodecKind::Video, vec![encoding]);
    Arc::new(TrackLocalStaticRTP::new(track))
}
