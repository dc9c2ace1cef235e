//! Candidates of browsers, as the fragments that a relay takes (RFC 8840 9).

use turnpike_wire::limits::CANDIDATES_MAX;
use turnpike_wire::media::Candidate;
use turnpike_wire::{Code, Failure};

/// What of a client's description its candidates need: its ICE session, and how many there were.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    ufrag: Box<str>,
    pwd: Box<str>,
    first_mid: Box<str>,
    count: usize,
}

impl Candidates {
    /// A new description begins a new count. In a bundle all sections have the same credentials.
    pub(super) fn described(&mut self, sdp: &str) {
        let value = |name: &str| {
            let of_line = |line: &str| line.trim_end().strip_prefix(name).map(Box::from);
            sdp.lines().find_map(of_line).unwrap_or_default()
        };
        *self = Self {
            ufrag: value("a=ice-ufrag:"),
            pwd: value("a=ice-pwd:"),
            first_mid: value("a=mid:"),
            count: 0,
        };
    }

    /// None: it is of an ICE session that is over, and nobody needs it.
    pub(super) fn fragment(&mut self, candidate: Option<&Candidate>) -> Result<Option<String>, Failure> {
        if self.ufrag.is_empty() || self.pwd.is_empty() {
            return Err(Failure::new(
                Code::BadSdp,
                "candidates belong to a description with ICE credentials",
            ));
        }
        let of = candidate.and_then(|candidate| candidate.username_fragment.as_deref());
        if of.is_some_and(|ufrag| *ufrag != *self.ufrag) {
            return Ok(None);
        }
        self.count += 1;
        if self.count > CANDIDATES_MAX {
            let message = format!("a session has at most {CANDIDATES_MAX} candidates");
            return Err(Failure::new(Code::LimitReached, message));
        }
        let mid = candidate.and_then(|candidate| candidate.sdp_mid.as_deref()).unwrap_or(&self.first_mid);
        let line = match candidate {
            // Some write the attribute's name, some its line.
            Some(candidate) => {
                let text = candidate.candidate.as_str();
                let text = text.strip_prefix("a=").unwrap_or(text);
                format!("a=candidate:{}", text.strip_prefix("candidate:").unwrap_or(text))
            }
            None => "a=end-of-candidates".to_owned(),
        };
        let Self { ufrag, pwd, .. } = self;
        Ok(Some(format!(
            "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{mid}\r\n{line}\r\n"
        )))
    }
}

#[cfg(test)]
mod tests {
    use turnpike_wire::media::{Mid, Text};

    use super::*;

    const SDP: &str = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:abcd\r\n\
                       a=ice-pwd:0123456789012345678901\r\na=mid:v0\r\n";

    fn candidate(text: &str, mid: Option<&str>, ufrag: Option<&str>) -> Candidate {
        Candidate {
            candidate: Text::parse(text).unwrap(),
            sdp_mid: mid.map(|mid| Mid::parse(mid).unwrap()),
            sdp_m_line_index: Some(0),
            username_fragment: ufrag.map(|ufrag| Text::parse(ufrag).unwrap()),
        }
    }

    #[test]
    fn a_fragment_that_the_relay_reads() {
        let mut candidates = Candidates::default();
        assert_eq!(candidates.fragment(None).unwrap_err().code, Code::BadSdp);
        candidates.described(SDP);
        for text in [
            "candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host",
            "a=candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host",
        ] {
            for (mid, read) in [(Some("1"), "1"), (None, "v0")] {
                let one = candidate(text, mid, Some("abcd"));
                let fragment = candidates.fragment(Some(&one)).unwrap().unwrap();
                let fragment = turnpike_sdp::Fragment::parse(&fragment).unwrap();
                assert_eq!(fragment.credentials.ufrag(), "abcd");
                assert_eq!((&*fragment.sections[0].mid, fragment.candidates().count()), (read, 1));
                assert!(!fragment.is_the_end());
            }
        }
        let end = candidates.fragment(None).unwrap().unwrap();
        assert!(turnpike_sdp::Fragment::parse(&end).unwrap().is_the_end());
    }

    #[test]
    fn those_of_an_earlier_session_are_passed_over_and_there_is_an_end_to_them() {
        let mut candidates = Candidates::default();
        candidates.described(SDP);
        let late = candidate("candidate:1 1 udp 1 192.0.2.1 5000 typ host", None, Some("dead"));
        assert_eq!(candidates.fragment(Some(&late)), Ok(None));
        for _ in 0..CANDIDATES_MAX {
            assert!(candidates.fragment(None).is_ok());
        }
        assert_eq!(candidates.fragment(None).unwrap_err().code, Code::LimitReached);
        candidates.described(SDP);
        assert!(candidates.fragment(None).is_ok(), "another description, another count");
    }
}
