//! Answers to publishers.

use turnpike_sdp::{
    Description, Direction, DtlsRole, Extension, Published, Rules, SdpError, SdpFault, answer_publisher,
};

use crate::offers::{AIORTC, CHROMIUM, FFMPEG, GSTREAMER, OBS, SAFARI_WATCH, is_sound, local, section};

fn publish(offer: &str) -> (String, Published) {
    let (text, published) = answer_publisher(offer, &local(), &Rules::WHIP).unwrap();
    let answer = is_sound(&text);
    let offer = Description::parse(offer).unwrap();
    assert_eq!(answer.media.len(), offer.media.len());
    for (answered, offered) in answer.media.iter().zip(&offer.media) {
        assert_eq!(answered.direction, Direction::RecvOnly);
        assert_eq!((answered.kind, &answered.mid), (offered.kind, &offered.mid));
        for format in &answered.formats {
            let same = offered.formats.iter().find(|offered| offered.payload_type == format.payload_type);
            assert!(same.is_some(), "no number that was not offered");
        }
    }
    (text, published)
}

fn refused(offer: &str) -> SdpError {
    answer_publisher(offer, &local(), &Rules::WHIP).unwrap_err()
}

#[test]
fn chromium_with_simulcast() {
    let (text, published) = publish(CHROMIUM);
    assert_eq!(published.peer.role, DtlsRole::Server);
    assert!(published.peer.trickle && published.peer.extmap_allow_mixed);
    let [audio, video] = &*published.tracks else { panic!() };
    assert_eq!((audio.codecs[0].payload_type, audio.red.unwrap().payload_type), (111, 63));
    assert!(!audio.red.unwrap().preferred);
    assert_eq!(audio.sources[0].ssrc, 3_570_614_608);
    let names: Vec<_> = video.layers.iter().map(|layer| layer.rid.as_str()).collect();
    assert_eq!(names, ["q", "h", "f"]);
    let numbers: Vec<_> = video.codecs.iter().map(|codec| (codec.payload_type, codec.rtx)).collect();
    let pairs = [(96, 97), (102, 103), (106, 107), (127, 125), (45, 46), (98, 99), (100, 101), (112, 113)];
    assert_eq!(numbers, pairs.map(|(number, rtx)| (number, Some(rtx))), "mode 0 of H.264 is not taken");
    assert_eq!(video.extensions.id(Extension::RepairedRid), Some(11));
    assert_eq!(video.extensions.id(Extension::DependencyDescriptor), Some(16));
    assert!(!video.extensions.has(Extension::AbsSendTime), "there is feedback for the whole transport");
    assert_eq!(video.stream.as_deref(), Some("5b1f0c9e-7a52-4d3f-9c51-6f3d8d7e1a20"));
    insta::assert_snapshot!(section(&text, "0"), @"
    m=audio 9 UDP/TLS/RTP/SAVPF 111 63
    c=IN IP4 0.0.0.0
    a=mid:0
    a=recvonly
    a=ice-ufrag:OurUfrag
    a=ice-pwd:OurPasswordOf24LettersXX
    a=fingerprint:sha-256 5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A
    a=setup:passive
    a=rtcp-mux
    a=rtcp-mux-only
    a=rtcp-rsize
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
    a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
    a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
    a=rtpmap:111 opus/48000/2
    a=rtcp-fb:111 transport-cc
    a=fmtp:111 minptime=10;useinbandfec=1
    a=rtpmap:63 red/48000/2
    a=fmtp:63 111/111
    a=candidate:1 1 udp 2130706431 198.51.100.9 7000 typ host
    a=end-of-candidates
    ");
    let video = section(&text, "1");
    assert!(video.contains("a=rid:q recv\na=rid:h recv\na=rid:f recv\na=simulcast:recv q;h;f\n"), "{video}");
    assert!(!video.contains("goog-remb") && !video.contains("ulpfec"));
}

#[test]
fn obs() {
    let (text, published) = publish(OBS);
    assert_eq!(published.peer.candidates.len(), 2);
    assert!(published.peer.end_of_candidates && published.peer.trickle);
    let [audio, video] = &*published.tracks else { panic!() };
    assert!(audio.extensions.is_empty() && video.layers.is_empty());
    assert_eq!((video.sources[0].ssrc, video.sources[0].rtx), (1002, None));
    assert!(
        section(&text, "0").contains("a=fmtp:111 minptime=10;useinbandfec=1;stereo=1\n"),
        "stereo is wanted"
    );
    assert!(section(&text, "1").contains("a=rtcp-fb:96 goog-remb\n"), "there is nothing better");
}

#[test]
fn gstreamer() {
    let (_, published) = publish(GSTREAMER);
    let [video, audio] = &*published.tracks else { panic!() };
    assert_eq!((video.section, &*video.mid, &*audio.mid), (0, "video0", "audio1"));
    assert_eq!(video.sources.len(), 1);
    assert_eq!(video.sources[0].rtx, Some(3_405_691_582));
    assert_eq!(video.stream.as_deref(), Some("user1827650123@host-93f2a1"));
    assert!(video.codecs[0].feedback.transport_cc);
}

#[test]
fn aiortc() {
    let (_, published) = publish(AIORTC);
    assert_eq!(published.peer.fingerprints.len(), 3);
    assert_eq!(published.peer.candidates.len(), 2);
    let [_, video] = &*published.tracks else { panic!() };
    assert_eq!(video.extensions.id(Extension::AbsSendTime), Some(3));
    assert!(video.codecs[0].feedback.remb);
    assert_eq!(video.codecs.len(), 3);
}

#[test]
fn ffmpeg_is_passive() {
    let (text, published) = publish(FFMPEG);
    assert_eq!(published.peer.role, DtlsRole::Client);
    assert_eq!(text.matches("a=setup:active\r\n").count(), 2);
    assert_eq!(published.tracks[1].sources[0].rtx, Some(2_963_401_573));
}

#[test]
fn a_lite_host_says_so() {
    let mut local = local();
    local.ice_lite = true;
    let (text, _) = answer_publisher(OBS, &local, &Rules::WHIP).unwrap();
    assert!(text.contains("a=ice-lite\r\n"));
}

#[test]
fn layers_by_source() {
    let offer = OBS.replace(
        "a=ssrc:1002 msid",
        "a=ssrc-group:SIM 1002 1003 1004\na=ssrc-group:FID 1003 2003\na=ssrc:1003 cname:x\na=ssrc:1002 msid",
    );
    let (_, published) = publish(&offer);
    let sources: Vec<_> =
        published.tracks[1].sources.iter().map(|source| (source.ssrc, source.rtx)).collect();
    assert_eq!(sources, [(1002, None), (1003, Some(2003)), (1004, None)]);
}

#[test]
fn layers_without_a_way_to_tell_them_are_one() {
    let offer = CHROMIUM.replace("a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\n", "");
    let (text, published) = publish(&offer);
    assert!(published.tracks[1].layers.is_empty() && !text.contains("simulcast"));
}

#[test]
fn redundancy_that_is_preferred_is_answered_so() {
    let offer = CHROMIUM.replace("SAVPF 111 63", "SAVPF 63 111");
    let (text, published) = publish(&offer);
    assert!(published.tracks[0].red.unwrap().preferred);
    assert!(text.contains("m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\n"));
}

#[test]
fn what_is_refused_says_why() {
    let second_video = OBS.split("m=video").nth(1).unwrap().replace("a=mid:1", "a=mid:2");
    let two_videos = format!("{OBS}m=video{second_video}").replace("BUNDLE 0 1", "BUNDLE 0 1 2");
    let data = format!(
        "{}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:2\n",
        OBS.replace("BUNDLE 0 1", "BUNDLE 0 1 2")
    );
    for (offer, fault, words) in [
        (
            OBS.replace("a=sendonly", "a=recvonly"),
            SdpFault::Unsupported,
            "section 0 is recvonly; who publishes offers sendonly or sendrecv",
        ),
        (OBS.replace("a=sendonly", "a=inactive"), SdpFault::Unsupported, "section 0 is inactive"),
        (two_videos, SdpFault::Unsupported, "2 sections of kind video; at most 1"),
        (
            OBS.replace("msid:cWqAqXlRhx5gBxcX cWqAqXlRhx5gBxcX-video", "msid:other cWqAqXlRhx5gBxcX-video"),
            SdpFault::Unsupported,
            "2 streams",
        ),
        (data, SdpFault::Unsupported, "section 2 of kind application cannot be taken"),
        (
            OBS.replace("H264/90000", "H265/90000"),
            SdpFault::Codec,
            "no codec in common for video (section 1): offered H265; taken VP8, VP9, H264 (mode 1), AV1",
        ),
        (
            OBS.replace("packetization-mode=1", "packetization-mode=0"),
            SdpFault::Codec,
            "offered H264 (42e01f, mode 0)",
        ),
        (OBS.replace("a=group:BUNDLE 0 1\n", ""), SdpFault::Unsupported, "not in the BUNDLE group"),
        (OBS.replace("a=rtcp-mux\n", ""), SdpFault::Unsupported, "no `a=rtcp-mux`"),
        (
            OBS.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-1 "),
            SdpFault::Malformed,
            "no `a=fingerprint`",
        ),
        (
            OBS.replace("a=fingerprint:sha-256 D8", "a=fingerprint:sha-256 D"),
            SdpFault::Malformed,
            "line 12: a fingerprint",
        ),
        (OBS.replace("a=ice-pwd", "a=ice-pwt"), SdpFault::Malformed, "no `a=ice-ufrag` and `a=ice-pwd`"),
        (OBS.replace("a=setup:actpass\n", ""), SdpFault::Malformed, "no `a=setup`"),
        (OBS.replace("a=mid:1", "a=mid:0"), SdpFault::Malformed, "two sections have the mid 0"),
        (OBS.replace("v=0\n", ""), SdpFault::Malformed, "begins with `v=0`"),
        (String::new(), SdpFault::Malformed, "begins with `v=0`"),
        ("v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n".to_owned(), SdpFault::Malformed, "no media section"),
        (OBS.replace("m=audio 50112", "m=audio x"), SdpFault::Malformed, "line 13: `m=` is"),
        (
            OBS.replace("udp 2114977791", "udp").replace("UDP 2114977791", "UDP"),
            SdpFault::Malformed,
            "a candidate is",
        ),
    ] {
        let error = refused(&offer);
        assert_eq!(error.fault(), fault, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_viewers_offer_does_not_publish() {
    assert!(matches!(refused(SAFARI_WATCH), SdpError::Direction { .. }));
}

#[test]
fn one_number_for_two_extensions_is_refused() {
    let offer = CHROMIUM.replace("a=extmap:13 urn:3gpp", "a=extmap:1 urn:3gpp");
    assert_eq!(refused(&offer), SdpError::ExtensionTwice { id: 1 });
}

#[test]
fn by_code_of_ones_own_the_rest_goes_on() {
    let offer = format!(
        "{}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:2\n",
        OBS.replace("BUNDLE 0 1", "BUNDLE 0 1 2")
    );
    let offer = offer.replacen("a=sendonly", "a=inactive", 1);
    let (text, published) = answer_publisher(&offer, &local(), &Rules::SIGNALING).unwrap();
    let answer = is_sound(&text);
    assert_eq!(published.tracks.len(), 1);
    assert_eq!(answer.media[0].direction, Direction::Inactive);
    assert!(!answer.media[0].is_rejected() && answer.media[2].is_rejected());
    assert!(text.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
}

#[test]
fn what_stands_before_the_sections_holds_for_all_if_it_may() {
    let before = "a=recvonly\na=mid:7\na=ssrc:5 cname:x\na=rtcp-mux\na=extmap:9 urn:3gpp:video-orientation\n";
    let offer = OBS.replacen("a=setup", &format!("{before}a=setup"), 1).replacen("a=sendonly\n", "", 1);
    let read = Description::parse(&offer).unwrap();
    assert_eq!(read.media[0].direction, Direction::RecvOnly);
    assert_eq!(read.media[1].direction, Direction::SendOnly);
    assert!(read.media.iter().all(|media| media.extensions.len() == 1 && media.sources.len() == 1));
    let own = "a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF";
    let offer = OBS.replacen("a=mid:1", &format!("a=mid:1\n{own}"), 1);
    let read = Description::parse(&offer).unwrap();
    assert_eq!((read.media[0].fingerprints.len(), read.media[1].fingerprints.len()), (1, 1));
    assert_ne!(read.media[0].fingerprints, read.media[1].fingerprints, "its own takes the place");
}
