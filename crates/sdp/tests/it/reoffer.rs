//! Offers of our own: the first, and those that follow when tracks come and go.

use turnpike_sdp::{Codec, Description, Direction, DtlsRole, Offer, SdpError, SdpFault, Setup};

use crate::offers::{H264_BASELINE, OPUS, available, chance, is_sound, local, section, track};

/// What a browser answers that takes every codec of `names`.
fn answer(offer: &str, names: &[&str]) -> String {
    let mut answer = Description::parse(offer).unwrap();
    for media in &mut answer.media {
        media.direction = match media.direction {
            Direction::SendOnly => Direction::RecvOnly,
            other => other,
        };
        media.setup = Some(Setup::Active);
        media.sources.clear();
        media.groups.clear();
        media.msids.clear();
        let numbers: Vec<u8> = media
            .formats
            .iter()
            .filter(|format| format.codec().is_some_and(|codec| names.contains(&codec.name())))
            .map(|format| format.payload_type)
            .collect();
        media.formats.retain(|format| match format.encoding {
            turnpike_sdp::Encoding::Rtx { apt: Some(apt), .. } => numbers.contains(&apt),
            _ => numbers.contains(&format.payload_type),
        });
        if media.formats.is_empty() {
            media.port = 0;
        }
    }
    let used = |mid: &turnpike_sdp::Mid| {
        answer.media.iter().any(|media| media.mid.as_ref() == Some(mid) && !media.is_rejected())
    };
    answer.bundle = answer.bundle.iter().filter(|mid| used(mid)).cloned().collect();
    answer.to_string()
}

const ALL: &[&str] = &["opus", "VP8", "VP9", "H264", "AV1"];

#[test]
fn the_first() {
    let there = available(vec![track(0, OPUS), track(1, H264_BASELINE)]);
    let offer = Offer::new(&local(), &there, &mut chance());
    is_sound(offer.text());
    insta::assert_snapshot!(section(offer.text(), "0"), @"
    m=audio 9 UDP/TLS/RTP/SAVPF 111 63
    c=IN IP4 0.0.0.0
    a=mid:0
    a=sendonly
    a=ice-ufrag:OurUfrag
    a=ice-pwd:OurPasswordOf24LettersXX
    a=fingerprint:sha-256 5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A:5A
    a=setup:actpass
    a=rtcp-mux
    a=rtcp-mux-only
    a=rtcp-rsize
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
    a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
    a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
    a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
    a=extmap:7 http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time
    a=rtpmap:111 opus/48000/2
    a=rtcp-fb:111 transport-cc
    a=rtcp-fb:111 nack
    a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1
    a=rtpmap:63 red/48000/2
    a=fmtp:63 111/111
    a=msid:stream track0
    a=ssrc:1 cname:cname
    a=candidate:1 1 udp 2130706431 198.51.100.9 7000 typ host
    a=end-of-candidates
    ");
    assert!(offer.text().contains("m=video 9 UDP/TLS/RTP/SAVPF 108 109 96 97"), "what is sent comes first");
    assert!(offer.text().contains("a=setup:actpass\r\n"));
    let watched = offer.answered(&answer(offer.text(), ALL)).unwrap();
    assert_eq!(watched.peer.role, DtlsRole::Server);
    let video = watched.tracks().nth(1).unwrap();
    assert_eq!((video.key, video.codecs[0].payload_type, video.codecs[0].rtx), (Some(1), 108, Some(109)));
    assert!(video.has_transport_cc() && video.codecs[0].feedback.pli);
}

#[test]
fn an_answer_without_the_codec() {
    let there = available(vec![track(0, OPUS), track(1, H264_BASELINE)]);
    let offer = Offer::new(&local(), &there, &mut chance());
    let error = offer.answered(&answer(offer.text(), &["opus", "VP8"])).unwrap_err();
    assert_eq!(error.fault(), SdpFault::Codec);
    assert!(error.to_string().contains("H264 (42e01f, mode 1)"), "{error}");
    // No codec at all: browsers refuse the section, and the rest goes on.
    let watched = offer.answered(&answer(offer.text(), &["opus"])).unwrap();
    assert_eq!(watched.tracks().count(), 1);
    assert_eq!(offer.answered(&answer(offer.text(), &[])), Err(SdpError::Nothing));
}

#[test]
fn answers_that_do_not_fit() {
    let there = available(vec![track(0, OPUS), track(1, Codec::Vp8)]);
    let offer = Offer::new(&local(), &there, &mut chance());
    let good = answer(offer.text(), ALL);
    for bad in [
        String::new(),
        good.replace("a=mid:1\r\n", "a=mid:7\r\n").replace("BUNDLE 0 1", "BUNDLE 0 7"),
        good.replace("m=audio", "m=video"),
        good.replace("a=recvonly", "a=sendonly"),
        good.replace("a=setup:active", "a=setup:actpass"),
        good.split("m=video").next().unwrap().replace("BUNDLE 0 1", "BUNDLE 0"),
        good.replace("a=group:BUNDLE 0 1\r\n", ""),
    ] {
        assert!(offer.answered(&bad).is_err(), "{bad}");
    }
    assert!(offer.answered(&good).is_ok(), "a bad answer spoils nothing");
}

#[test]
fn tracks_come_and_go() {
    let mut chance = chance();
    let offer = Offer::new(&local(), &available(vec![track(0, OPUS), track(1, Codec::Vp8)]), &mut chance);
    let watched = offer.answered(&answer(offer.text(), ALL)).unwrap();

    // A screen comes.
    let more = available(vec![track(0, OPUS), track(1, Codec::Vp8), track(2, Codec::Vp9 { profile: 0 })]);
    let offer = watched.offer(&local(), &more, &mut chance);
    let text = is_sound(offer.text());
    assert_eq!((text.media.len(), text.version), (3, 2));
    assert!(section(offer.text(), "2").starts_with("m=video 9 UDP/TLS/RTP/SAVPF 98 99 96 97"));
    let second = offer.answered(&answer(offer.text(), ALL)).unwrap();
    let before: Vec<_> = watched.tracks().cloned().collect();
    let after: Vec<_> = second.tracks().cloned().collect();
    assert_eq!(before, after[..2], "what was there is as it was");

    // The camera goes: its place stays.
    let fewer = available(vec![track(0, OPUS), track(2, Codec::Vp9 { profile: 0 })]);
    let offer = second.offer(&local(), &fewer, &mut chance);
    let text = is_sound(offer.text());
    assert_eq!(text.media.len(), 3);
    assert_eq!(text.media[1].direction, Direction::Inactive);
    assert!(text.media[1].sources.is_empty());
    let third = offer.answered(&answer(offer.text(), ALL)).unwrap();
    assert_eq!(third.tracks().map(|track| track.key).collect::<Vec<_>>(), [Some(0), None, Some(2)]);

    // Another comes into the empty place, as another source.
    let again = available(vec![track(0, OPUS), track(2, Codec::Vp9 { profile: 0 }), track(3, H264_BASELINE)]);
    let offer = third.offer(&local(), &again, &mut chance);
    assert_eq!(is_sound(offer.text()).media.len(), 3);
    let fourth = offer.answered(&answer(offer.text(), ALL)).unwrap();
    let camera = fourth.tracks().nth(1).unwrap();
    assert_eq!((camera.key, &*camera.mid), (Some(3), "1"));
    assert_ne!(camera.ssrc, after[1].ssrc);
    assert_eq!(camera.codecs[0].payload_type, 108);
}

#[test]
fn no_number_means_two_things() {
    let mut chance = chance();
    let mut tracks = vec![track(0, OPUS)];
    let mut offer = Offer::new(&local(), &available(tracks.clone()), &mut chance);
    for key in 1..40 {
        tracks.push(track(key, if key % 3 == 0 { OPUS } else { Codec::Vp9 { profile: (key % 5) as u8 } }));
        let watched = offer.answered(&answer(offer.text(), ALL)).unwrap();
        offer = watched.offer(&local(), &available(tracks.clone()), &mut chance);
        let text = is_sound(offer.text());
        let mut meanings = std::collections::HashMap::new();
        for media in &text.media {
            for format in &media.formats {
                let known = meanings.entry(format.payload_type).or_insert_with(|| format.encoding.clone());
                let same = match (&*known, &format.encoding) {
                    // How many channels somebody sends is not what the number stands for.
                    (turnpike_sdp::Encoding::Codec(one), turnpike_sdp::Encoding::Codec(other)) => {
                        one.name() == other.name()
                    }
                    (one, other) => one == other,
                };
                assert!(same, "{} is {known:?} and {:?}", format.payload_type, format.encoding);
            }
        }
        assert!(text.media.len() <= turnpike_sdp::limits::SECTIONS_MAX);
    }
}
