//! Answers to viewers.

use turnpike_sdp::{Codec, Direction, Extension, H264, Rules, SdpError, SdpFault, Watched, answer_viewer};

use crate::offers::{
    CHROMIUM, FIREFOX_WATCH, H264_BASELINE, OBS, OPUS, SAFARI_WATCH, available, chance, is_sound, local,
    section, track,
};

fn watch(offer: &str, codecs: &[Codec]) -> Result<(String, Watched), SdpError> {
    let tracks = codecs.iter().enumerate().map(|(key, codec)| track(key, *codec)).collect();
    let (text, watched) = answer_viewer(offer, &local(), &available(tracks), &Rules::WHEP, &mut chance())?;
    let answer = is_sound(&text);
    assert!(answer.media.iter().all(|media| media.direction == Direction::SendOnly));
    Ok((text, watched))
}

#[test]
fn safari_gets_its_own_numbers() {
    let (text, watched) = watch(SAFARI_WATCH, &[OPUS, H264_BASELINE]).unwrap();
    let tracks: Vec<_> = watched.tracks().collect();
    let [audio, video] = &*tracks else { panic!() };
    assert_eq!((audio.key, video.key), (Some(0), Some(1)));
    assert_eq!((audio.ssrc, audio.rtx, video.ssrc, video.rtx), (1, None, 2, Some(3)));
    assert_eq!(video.codecs[0].payload_type, 98, "not 96, which is High");
    assert_eq!(video.codecs[0].rtx, Some(99));
    assert_eq!(video.payload_for(&Codec::Vp8).unwrap().payload_type, 100, "for a change of source");
    assert_eq!(video.payload_for(&Codec::H264(H264::HIGH)).unwrap().payload_type, 96);
    assert_eq!(video.payload_for(&Codec::Vp9 { profile: 0 }), None);
    assert_eq!(video.extensions.id(Extension::VideoOrientation), Some(13));
    assert!(video.has_transport_cc());
    insta::assert_snapshot!(section(&text, "1"), @"
    m=video 9 UDP/TLS/RTP/SAVPF 98 99 96 97 100 101
    c=IN IP4 0.0.0.0
    a=mid:1
    a=sendonly
    a=ice-ufrag:OurUfrag
    a=ice-pwd:OurPasswordOf24LettersXX
    a=fingerprint:sha-256 5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A
    a=setup:passive
    a=rtcp-mux
    a=rtcp-mux-only
    a=rtcp-rsize
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
    a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
    a=extmap:13 urn:3gpp:video-orientation
    a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay
    a=rtpmap:98 H264/90000
    a=rtcp-fb:98 transport-cc
    a=rtcp-fb:98 ccm fir
    a=rtcp-fb:98 nack
    a=rtcp-fb:98 nack pli
    a=fmtp:98 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
    a=rtpmap:99 rtx/90000
    a=fmtp:99 apt=98
    a=rtpmap:96 H264/90000
    a=rtcp-fb:96 transport-cc
    a=rtcp-fb:96 ccm fir
    a=rtcp-fb:96 nack
    a=rtcp-fb:96 nack pli
    a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f
    a=rtpmap:97 rtx/90000
    a=fmtp:97 apt=96
    a=rtpmap:100 VP8/90000
    a=rtcp-fb:100 transport-cc
    a=rtcp-fb:100 ccm fir
    a=rtcp-fb:100 nack
    a=rtcp-fb:100 nack pli
    a=rtpmap:101 rtx/90000
    a=fmtp:101 apt=100
    a=msid:stream track1
    a=ssrc-group:FID 2 3
    a=ssrc:2 cname:cname
    a=ssrc:3 cname:cname
    ");
    assert!(section(&text, "0").contains("a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1\n"));
}

#[test]
fn firefox() {
    let (_, watched) = watch(FIREFOX_WATCH, &[OPUS, Codec::Vp8]).unwrap();
    let tracks: Vec<_> = watched.tracks().collect();
    let [audio, video] = &*tracks else { panic!() };
    assert_eq!(audio.codecs[0].payload_type, 109);
    assert_eq!((video.codecs[0].payload_type, video.codecs[0].rtx), (120, Some(124)));
    assert_eq!(video.extensions.id(Extension::PlayoutDelay), Some(6));
    assert_eq!(video.extensions.id(Extension::TransportCc), Some(7));
}

#[test]
fn no_codec_in_common_names_both() {
    for (offer, codec) in [
        (SAFARI_WATCH, Codec::Vp9 { profile: 0 }),
        (FIREFOX_WATCH, Codec::Av1(turnpike_sdp::Av1::default())),
        (FIREFOX_WATCH, Codec::H264(H264::HIGH)),
    ] {
        let error = watch(offer, &[OPUS, codec]).unwrap_err();
        assert_eq!(error.fault(), SdpFault::Codec);
        assert!(error.to_string().contains(&format!("taken {codec}")), "{error}");
    }
}

#[test]
fn what_is_not_there_yet_can_come_later() {
    let (_, watched) = watch(SAFARI_WATCH, &[Codec::Vp8]).unwrap();
    let keys: Vec<_> = watched.tracks().map(|track| track.key).collect();
    assert_eq!(keys, [None, Some(0)]);
    let (_, watched) = watch(SAFARI_WATCH, &[]).unwrap();
    assert!(watched.tracks().all(|track| track.key.is_none()));
}

#[test]
fn what_is_refused() {
    assert!(matches!(watch(CHROMIUM, &[OPUS]), Err(SdpError::Direction { .. })));
    assert!(watch(&OBS.replace("sendonly", "sendrecv"), &[OPUS, H264_BASELINE]).is_ok());
    let audio_alone = SAFARI_WATCH.split("m=video").next().unwrap().replace("BUNDLE 0 1", "BUNDLE 0");
    assert_eq!(watch(&audio_alone, &[Codec::Vp8]).unwrap_err(), SdpError::Nothing);
    let second = SAFARI_WATCH.split("m=video").nth(1).unwrap().replace("a=mid:1", "a=mid:2");
    let two = format!("{SAFARI_WATCH}m=video{second}").replace("BUNDLE 0 1", "BUNDLE 0 1 2");
    assert!(matches!(watch(&two, &[Codec::Vp8]), Err(SdpError::TooManyTracks { .. })));
    let tracks = vec![track(7, Codec::Vp8), track(9, H264_BASELINE)];
    let (_, watched) =
        answer_viewer(&two, &local(), &available(tracks), &Rules::SIGNALING, &mut chance()).unwrap();
    let keys: Vec<_> = watched.tracks().map(|track| track.key).collect();
    assert_eq!(keys, [None, Some(7), Some(9)]);
}

#[test]
fn sources_never_collide() {
    let tracks = vec![track(0, OPUS), track(1, Codec::Vp8)];
    let (_, watched) =
        answer_viewer(SAFARI_WATCH, &local(), &available(tracks), &Rules::WHEP, &mut || 0).unwrap();
    let mut all: Vec<u32> =
        watched.tracks().flat_map(|track| [Some(track.ssrc), track.rtx]).flatten().collect();
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3]);
}

#[test]
fn another_offer_of_the_viewers_keeps_what_there_is() {
    let mut chance = chance();
    let there = available(vec![track(0, OPUS), track(1, H264_BASELINE)]);
    let first = SAFARI_WATCH.split("m=video").next().unwrap().replace("BUNDLE 0 1", "BUNDLE 0");
    let (_, watched) = answer_viewer(&first, &local(), &there, &Rules::SIGNALING, &mut chance).unwrap();
    let (text, second) =
        watched.answer(SAFARI_WATCH, &local(), &there, &Rules::SIGNALING, &mut chance).unwrap();
    assert_eq!(is_sound(&text).version, 2);
    let (before, after) = (watched.tracks().next().unwrap(), second.tracks().next().unwrap());
    assert_eq!(before, after);
    assert_eq!(second.tracks().nth(1).unwrap().key, Some(1));
    // ICE anew, again and again: nothing else becomes new by that.
    let mut latest = second.clone();
    for number in 0..50 {
        let offer = SAFARI_WATCH.replace("ufrag:q8Rp", &format!("ufrag:anew{number}"));
        latest = latest.answer(&offer, &local(), &there, &Rules::SIGNALING, &mut chance).unwrap().1;
    }
    assert_eq!(latest.tracks().collect::<Vec<_>>(), second.tracks().collect::<Vec<_>>());
    assert_ne!(latest.peer.credentials, second.peer.credentials);
    // One that is hidden for a while has the same source when it is shown again.
    let hidden = SAFARI_WATCH.replacen("a=recvonly", "a=inactive", 1);
    let (_, hidden) = latest.answer(&hidden, &local(), &there, &Rules::SIGNALING, &mut chance).unwrap();
    assert_eq!(hidden.tracks().map(|track| track.key).collect::<Vec<_>>(), [None, Some(1)]);
    let (_, shown) = hidden.answer(SAFARI_WATCH, &local(), &there, &Rules::SIGNALING, &mut chance).unwrap();
    assert_eq!(shown.tracks().collect::<Vec<_>>(), second.tracks().collect::<Vec<_>>());
    let fewer = second.answer(&first, &local(), &there, &Rules::SIGNALING, &mut chance);
    assert!(matches!(fewer, Err(SdpError::Mismatch(_))));
}
