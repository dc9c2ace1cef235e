//! Offers as browsers make them, and what is needed of the answers.

use turnpike_transport::{Certificate, Credentials, Fingerprint, Remote};

pub(super) const VP8: u8 = 96;
pub(super) const RTX: u8 = 97;
pub(super) const VP9: u8 = 98;
pub(super) const OPUS: u8 = 111;
pub(super) const MID: u8 = 1;
pub(super) const TWCC: u8 = 3;
pub(super) const LEVEL: u8 = 4;
pub(super) const RID: u8 = 10;
pub(super) const REPAIRED_RID: u8 = 11;
pub(super) const RIDS: [&str; 3] = ["q", "h", "f"];

/// What is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) publishes: bool,
    pub(super) audio: bool,
    /// Layers of the picture; 0: no picture.
    pub(super) layers: usize,
}

pub(super) fn offer(wish: Wish, ours: &Credentials, certificate: &Certificate, version: u64) -> String {
    let mut sections = Vec::new();
    if wish.layers > 0 {
        sections.push(true);
    }
    if wish.audio {
        sections.push(false);
    }
    let mids: Vec<_> = (0..sections.len()).map(|mid| mid.to_string()).collect();
    let mut text = format!(
        "v=0\r\no=- 46117314 {version} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n\
         a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n",
        mids.join(" ")
    );
    for (mid, is_video) in sections.into_iter().enumerate() {
        let formats = if is_video {
            format!("video 9 UDP/TLS/RTP/SAVPF {VP8} {RTX} {VP9}")
        } else {
            format!("audio 9 UDP/TLS/RTP/SAVPF {OPUS}")
        };
        let mut lines = vec![
            format!("m={formats}"),
            "c=IN IP4 0.0.0.0".to_owned(),
            "a=rtcp:9 IN IP4 0.0.0.0".to_owned(),
            format!("a=ice-ufrag:{}", ours.ufrag()),
            format!("a=ice-pwd:{}", ours.pwd()),
            "a=ice-options:trickle".to_owned(),
            format!("a=fingerprint:{}", certificate.fingerprint()),
            "a=setup:actpass".to_owned(),
            format!("a=mid:{mid}"),
            format!("a=extmap:{MID} urn:ietf:params:rtp-hdrext:sdes:mid"),
            format!(
                "a=extmap:{TWCC} \
                 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            ),
            (if wish.publishes { "a=sendonly" } else { "a=recvonly" }).to_owned(),
            "a=rtcp-mux".to_owned(),
            "a=rtcp-rsize".to_owned(),
        ];
        if is_video {
            lines.extend([
                format!("a=rtpmap:{VP8} VP8/90000"),
                format!("a=rtcp-fb:{VP8} transport-cc"),
                format!("a=rtcp-fb:{VP8} nack"),
                format!("a=rtcp-fb:{VP8} nack pli"),
                format!("a=rtpmap:{RTX} rtx/90000"),
                format!("a=fmtp:{RTX} apt={VP8}"),
                format!("a=rtpmap:{VP9} VP9/90000"),
                format!("a=fmtp:{VP9} profile-id=0"),
            ]);
        } else {
            lines.push(format!("a=extmap:{LEVEL} urn:ietf:params:rtp-hdrext:ssrc-audio-level"));
            lines.push(format!("a=rtpmap:{OPUS} opus/48000/2"));
            lines.push(format!("a=rtcp-fb:{OPUS} transport-cc"));
        }
        if wish.publishes {
            lines.push(format!("a=msid:test {mid}"));
        }
        if wish.publishes && is_video && wish.layers > 1 {
            lines.push(format!("a=extmap:{RID} urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"));
            lines.push(format!(
                "a=extmap:{REPAIRED_RID} urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
            ));
            let rids = &RIDS[..wish.layers];
            lines.extend(rids.iter().map(|rid| format!("a=rid:{rid} send")));
            lines.push(format!("a=simulcast:send {}", rids.join(";")));
        }
        text.push_str(&lines.join("\r\n"));
        text.push_str("\r\n");
    }
    text
}

/// The relay's offer, turned into an answer of somebody who never comes.
pub(super) fn accept(offer: &str, direction: &str) -> String {
    let kept = offer.lines().map(str::trim_end).filter(|line| {
        let prefixes = ["a=ssrc", "a=msid", "a=candidate", "a=end-of", "a=ice-lite"];
        !prefixes.iter().any(|prefix| line.starts_with(prefix))
    });
    let turned = kept.map(|line| match line.split_once(':').map_or(line, |(name, _)| name) {
        "a=sendonly" => direction.to_owned(),
        "a=setup" => "a=setup:active".to_owned(),
        "a=ice-ufrag" => "a=ice-ufrag:abcd".to_owned(),
        "a=ice-pwd" => "a=ice-pwd:0123456789012345678901".to_owned(),
        _ => line.to_owned(),
    });
    turned.collect::<Vec<_>>().join("\r\n") + "\r\n"
}

pub(super) struct Answer {
    pub(super) remote: Remote,
    /// Of the first picture: its source and that of its repairs.
    pub(super) video: Option<(u32, u32)>,
    pub(super) audio: Option<u32>,
}

pub(super) fn answer(text: &str) -> Answer {
    let attribute = |text: &str, name: &str| {
        let prefix = format!("a={name}:");
        text.lines().find_map(|line| Some(line.trim_end().strip_prefix(&prefix)?.to_owned()))
    };
    let need = |name| attribute(text, name).unwrap_or_else(|| panic!("no {name} in {text}"));
    let credentials = Credentials::new(&need("ice-ufrag"), &need("ice-pwd")).unwrap();
    let remote =
        Remote { credentials, fingerprints: vec![Fingerprint::parse(&need("fingerprint")).unwrap()] };
    let number = |word: &str| word.parse::<u32>().unwrap();
    let (mut video, mut audio) = (None, None);
    for section in text.split("m=").skip(1) {
        if section.starts_with("video") {
            video = attribute(section, "ssrc-group").map(|group| {
                let words: Vec<_> = group.split(' ').collect();
                (number(words[1]), number(words[2]))
            });
        } else {
            audio = attribute(section, "ssrc").map(|source| number(source.split(' ').next().unwrap()));
        }
    }
    Answer { remote, video, audio }
}
