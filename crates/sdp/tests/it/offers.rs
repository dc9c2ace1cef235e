//! Offers in the form of the clients that make them, and what every test needs of our side.

use turnpike_sdp::{
    Available, AvailableTrack, Candidate, CandidateProtocol, Codec, Credentials, Description, Fingerprint,
    H264, Local, Opus, Word,
};

pub(crate) const CHROMIUM: &str = include_str!("../offers/chromium-publish.sdp");
pub(crate) const FIREFOX_WATCH: &str = include_str!("../offers/firefox-watch.sdp");
pub(crate) const SAFARI_WATCH: &str = include_str!("../offers/safari-watch.sdp");
pub(crate) const OBS: &str = include_str!("../offers/obs-publish.sdp");
pub(crate) const GSTREAMER: &str = include_str!("../offers/gstreamer-publish.sdp");
pub(crate) const AIORTC: &str = include_str!("../offers/aiortc-publish.sdp");
pub(crate) const FFMPEG: &str = include_str!("../offers/ffmpeg-publish.sdp");

pub(crate) const ALL: [&str; 7] = [CHROMIUM, FIREFOX_WATCH, SAFARI_WATCH, OBS, GSTREAMER, AIORTC, FFMPEG];

pub(crate) fn local() -> Local {
    Local {
        session_id: 1 << 63,
        credentials: Credentials::new("OurUfrag", "OurPasswordOf24LettersXX").unwrap(),
        fingerprint: Fingerprint::parse(&format!("sha-256 {}", ["5A"; 32].join(":"))).unwrap(),
        candidates: vec![Candidate::host(
            "198.51.100.9:7000".parse().unwrap(),
            CandidateProtocol::Udp,
            65_535,
        )],
        ice_lite: false,
    }
}

pub(crate) fn track(key: usize, codec: Codec) -> AvailableTrack {
    AvailableTrack { key, id: Word::parse(&format!("track{key}")).unwrap(), codec }
}

pub(crate) fn available(tracks: Vec<AvailableTrack>) -> Available {
    Available { stream: Word::parse("stream").unwrap(), cname: Word::parse("cname").unwrap(), tracks }
}

pub(crate) const OPUS: Codec = Codec::Opus(Opus {
    stereo: false,
    sends_stereo: true,
    dtx: false,
    fec: true,
    min_packet_ms: None,
    bits_per_second_max: None,
});

pub(crate) const H264_BASELINE: Codec = Codec::H264(H264::CONSTRAINED_BASELINE);

/// 1, 2, 3 ...
pub(crate) fn chance() -> impl FnMut() -> u32 {
    let mut last = 0;
    move || {
        last += 1;
        last
    }
}

/// What stands in one section of our text, by its mid, without CR.
pub(crate) fn section(text: &str, mid: &str) -> String {
    let wanted = format!("a=mid:{mid}\r\n");
    let mut sections = text.split("\r\nm=").skip(1);
    let section =
        sections.find(|section| format!("{section}\r\n").contains(&wanted)).expect("the section is there");
    format!("m={section}").replace('\r', "")
}

/// What each answer and offer of ours has to be.
pub(crate) fn is_sound(text: &str) -> Description {
    assert!(text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']));
    let read = Description::parse(text).expect("we read what we write");
    assert_eq!(read.to_string(), text, "and write it again");
    let used: Vec<_> = read.media.iter().filter(|media| !media.is_rejected()).collect();
    assert_eq!(read.bundle, used.iter().filter_map(|media| media.mid.clone()).collect::<Vec<_>>());
    for (index, media) in used.iter().enumerate() {
        assert!(media.rtcp_mux && media.rtcp_mux_only, "one transport");
        assert_eq!(media.candidates.is_empty(), index != 0, "candidates stand in the first");
        assert_eq!(media.credentials.as_ref().unwrap().ufrag(), "OurUfrag");
        assert_eq!(media.fingerprints.len(), 1);
    }
    read
}
