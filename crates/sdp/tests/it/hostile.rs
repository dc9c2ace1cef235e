//! Whatever is sent, nothing panics, and what we write is ours.

use std::hash::{BuildHasher as _, RandomState};

use proptest::prelude::*;
use turnpike_sdp::{
    Available, Codec, Description, Fragment, Offer, Rules, SdpError, answer_publisher, answer_viewer, limits,
};

use crate::offers::{ALL, CHROMIUM, OBS, OPUS, available, chance, local, track};

pub(crate) fn there() -> Available {
    available(vec![track(0, OPUS), track(1, Codec::Vp8)])
}

/// Gives a text to all that reads; true if anything took it.
pub(crate) fn read_by_all(text: &str, offer: &Offer) -> bool {
    let mut taken = false;
    if let Ok(read) = Description::parse(text) {
        let written = read.to_string();
        let again = Description::parse(&written).expect("we read what we write");
        assert_eq!(again.to_string(), written);
    }
    for rules in [Rules::WHIP, Rules::SIGNALING] {
        if let Ok((answer, _)) = answer_publisher(text, &local(), &rules) {
            taken = true;
            Description::parse(&answer).expect("an answer can be read");
        }
        if let Ok((answer, _)) = answer_viewer(text, &local(), &there(), &rules, &mut chance()) {
            taken = true;
            Description::parse(&answer).expect("an answer can be read");
        }
    }
    if let Ok(watched) = offer.answered(text) {
        let _ = watched.offer(&local(), &there(), &mut chance());
    }
    if let Ok(fragment) = Fragment::parse(text) {
        assert_eq!(
            Fragment::parse(&fragment.to_string()).as_ref().map(ToString::to_string),
            Ok(fragment.to_string())
        );
    }
    taken
}

/// Changes of every kind to real offers: bytes, lines, words, lengths. In debug there is time for fewer.
#[test]
fn changed_offers() {
    let chosen = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = chosen.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("SEED={seed}");
    let mut state = seed | 1;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let offer = Offer::new(&local(), &there(), &mut chance());
    let answer = offer.text().replace("a=sendonly", "a=recvonly").replace("actpass", "active");
    let texts: Vec<String> =
        ALL.into_iter().filter(|text| text.len() < 2_500).map(ToOwned::to_owned).chain([answer]).collect();
    let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).chain(CHROMIUM.lines()).collect();
    let pieces = [
        "",
        " ",
        ":",
        "/",
        ";",
        "=",
        "\r",
        "\n",
        "\0",
        "é",
        "0",
        "-1",
        "4294967296",
        "a=",
        "m=video 0 ",
        "~",
        "*",
    ];
    let mut taken = 0;
    let rounds = if cfg!(debug_assertions) { 4_000 } else { 100_000 };
    for _ in 0..rounds {
        let mut changed: Vec<String> = texts[random(texts.len())].lines().map(ToOwned::to_owned).collect();
        for _ in 0..=random(3) {
            if changed.is_empty() {
                break;
            }
            let at = random(changed.len());
            match random(6) {
                0 => {
                    changed.remove(at);
                }
                1 => changed.insert(at, lines[random(lines.len())].to_owned()),
                2 => {
                    let other = random(changed.len());
                    changed.swap(at, other);
                }
                3 => changed[at] = changed[random(changed.len())].clone(),
                4 => {
                    let place = random(changed[at].len() + 1);
                    if changed[at].is_char_boundary(place) {
                        changed[at].insert_str(place, pieces[random(pieces.len())]);
                    }
                }
                _ => {
                    let place = random(changed[at].len() + 1);
                    if changed[at].is_char_boundary(place) {
                        changed[at].truncate(place);
                    }
                }
            }
        }
        taken += usize::from(read_by_all(&changed.join("\r\n"), &offer));
    }
    assert!(taken > rounds / 20, "the changes are too coarse to test anything: {taken} of {rounds} taken");
    assert!(taken < rounds * 19 / 20, "or too fine: {taken} of {rounds} taken");
}

proptest! {
    #[test]
    fn any_text(text in "\\PC{0,200}") {
        let _ = Description::parse(&text);
        let _ = Description::parse(&format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\nm=audio 9 RTP/SAVPF 111\r\na={text}"));
        let _ = Fragment::parse(&text);
    }

    #[test]
    fn any_attribute(
        name in "(mid|group|ice-ufrag|ice-pwd|fingerprint|setup|extmap|rtpmap|fmtp|rtcp-fb|msid|ssrc|ssrc-group|rid|simulcast|candidate)",
        value in "[ -~]{0,60}",
    ) {
        let text = OBS.replacen("a=rtcp-mux\n", &format!("a=rtcp-mux\na={name}:{value}\n"), 1);
        if let Ok((answer, _)) = answer_publisher(&text, &local(), &Rules::SIGNALING) {
            Description::parse(&answer).unwrap();
        }
    }
}

#[test]
fn a_new_line_cannot_be_smuggled() {
    for attribute in ["mid:0", "msid:cWqAqXlRhx5gBxcX x", "ssrc:1001 cname:x", "rid:x send"] {
        for smuggled in ["\ra=ice-lite", "\u{2028}a=ice-lite", "\u{85}a=ice-lite"] {
            let text = OBS.replacen("a=rtcp-mux\n", &format!("a=rtcp-mux\na={attribute}{smuggled}\n"), 1);
            if let Ok(read) = Description::parse(&text) {
                assert!(!read.to_string().contains("ice-lite"), "{attribute}{smuggled:?}");
            }
        }
    }
}

#[test]
fn what_is_too_much_is_refused_with_its_limit() {
    let many = |line: &str, count: usize| {
        let lines: String = (0..count).map(|number| line.replace("{}", &number.to_string()) + "\n").collect();
        OBS.replacen("a=rtcp-mux\n", &format!("a=rtcp-mux\n{lines}"), 1)
    };
    let sections = |count: usize| {
        let section = |number: usize| format!("m=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:x{number}\n");
        let sections = (0..count).map(section).collect::<Vec<_>>().concat();
        format!("{OBS}{sections}")
    };
    for (fits, too_many, what) in [
        (
            many("a=candidate:{} 1 udp 1 192.0.2.1 5 typ host", limits::CANDIDATES_MAX - 2),
            many("a=candidate:{} 1 udp 1 192.0.2.1 5 typ host", limits::CANDIDATES_MAX - 1),
            "candidates",
        ),
        (
            many("a=ssrc:{} cname:x", limits::SOURCES_MAX - 1),
            many("a=ssrc:{} cname:x", limits::SOURCES_MAX),
            "sources",
        ),
        (many("a=rid:r{} send", limits::RIDS_MAX), many("a=rid:r{} send", limits::RIDS_MAX + 1), "a=rid"),
        (sections(limits::SECTIONS_MAX - 2), sections(limits::SECTIONS_MAX - 1), "sections"),
    ] {
        assert!(Description::parse(&fits).is_ok(), "{what}: {:?}", Description::parse(&fits).err());
        let error = Description::parse(&too_many).unwrap_err();
        assert!(matches!(error, SdpError::TooMany { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
    let long = format!("{OBS}{}", "a=x\n".repeat(limits::DESCRIPTION_BYTES_MAX / 4));
    assert!(matches!(Description::parse(&long), Err(SdpError::TooLong { .. })));
}

/// The dearest text of the greatest length takes no longer than it should.
#[test]
fn no_text_takes_long() {
    let line = "a=fmtp:127 apt=1\n";
    let begin = "v=0\no=- 1 1 IN IP4 0.0.0.0\nm=video 9 RTP/SAVPF ";
    let formats: Vec<String> = (0..128).map(|number: u8| number.to_string()).collect();
    let begin = format!("{begin}{}\n", formats.join(" "));
    let text = format!("{begin}{}", line.repeat((limits::DESCRIPTION_BYTES_MAX - begin.len()) / line.len()));
    let took = (0..3).map(|_| {
        let start = std::time::Instant::now();
        Description::parse(&text).unwrap();
        start.elapsed()
    });
    // In debug, on a busy machine. What is quadratic takes seconds, and each time.
    let took = took.min().unwrap();
    assert!(took < std::time::Duration::from_millis(500), "{took:?}");
}
