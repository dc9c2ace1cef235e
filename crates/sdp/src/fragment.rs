//! Fragments of a description that carry candidates and new credentials: `application/trickle-ice-sdpfrag` (RFC 8840 9),
//! as WHIP and WHEP send them (RFC 9725 4.3).

use std::fmt;

use crate::error::{SdpError, push};
use crate::ice::{Halves, IceOptions, is_pwd, is_ufrag};
use crate::limits::{CANDIDATES_MAX, DESCRIPTION_BYTES_MAX, SECTIONS_MAX};
use crate::line::{Line, lines};
use crate::media::{Kind, Protocol};
use crate::{Candidate, Credentials, Mid};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Of the ICE session that is meant: the one there is, or a new one.
    pub credentials: Credentials,
    pub ice_options: IceOptions,
    pub ice_lite: bool,
    pub bundle: Vec<Mid>,
    pub sections: Vec<FragmentSection>,
    /// There are no more candidates, in any section.
    pub end_of_candidates: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentSection {
    pub kind: Kind,
    pub mid: Mid,
    pub candidates: Vec<Candidate>,
    pub end_of_candidates: bool,
}

impl Fragment {
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > DESCRIPTION_BYTES_MAX {
            return Err(SdpError::TooLong { bytes: text.len(), max: DESCRIPTION_BYTES_MAX });
        }
        let mut reader = Reader::default();
        lines(text).try_for_each(|line| reader.line(line?))?;
        reader.end()
    }

    /// New credentials of ours, with all candidates, in answer to a restart.
    pub fn of_restart(
        credentials: Credentials,
        candidates: Vec<Candidate>,
        ice_lite: bool,
        sections: impl IntoIterator<Item = (Kind, Mid)>,
    ) -> Self {
        let section =
            |(kind, mid)| FragmentSection { kind, mid, candidates: Vec::new(), end_of_candidates: false };
        let mut sections: Vec<FragmentSection> = sections.into_iter().map(section).collect();
        if let Some(first) = sections.first_mut() {
            first.candidates = candidates;
            first.end_of_candidates = true;
        }
        Self {
            credentials,
            // As in the answer that it follows (RFC 9725 4.3.2).
            ice_options: IceOptions { trickle: true, ice2: true, renomination: false },
            ice_lite,
            bundle: sections.iter().map(|section| section.mid.clone()).collect(),
            sections,
            end_of_candidates: false,
        }
    }

    /// Of all sections: there is one transport.
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.sections.iter().flat_map(|section| &section.candidates)
    }

    pub fn is_the_end(&self) -> bool {
        self.end_of_candidates || self.sections.iter().any(|section| section.end_of_candidates)
    }
}

#[derive(Default)]
struct Reader {
    session: Halves,
    /// Of the first section that has any.
    section_halves: Halves,
    ice_options: IceOptions,
    ice_lite: bool,
    bundle: Vec<Mid>,
    sections: Vec<FragmentSection>,
    /// Kind of the section whose mid is not known yet.
    open: Option<Open>,
    candidates: usize,
    end_of_candidates: bool,
}

struct Open {
    kind: Kind,
    mid: Option<Mid>,
    candidates: Vec<Candidate>,
    end_of_candidates: bool,
    halves: Halves,
}

impl Reader {
    fn line(&mut self, line: Line<'_>) -> Result<(), SdpError> {
        let fault = |reason| SdpError::Line { line: line.number, reason };
        match line.letter {
            b'm' => {
                self.end_section()?;
                if self.sections.len() >= SECTIONS_MAX {
                    return Err(SdpError::TooMany {
                        line: line.number,
                        what: "media sections",
                        max: SECTIONS_MAX,
                    });
                }
                let mut words = line.value.split(' ');
                let kind = words.next().and_then(Kind::parse);
                let port = words.next().and_then(|port| port.parse::<u16>().ok());
                let protocol = words.next().and_then(Protocol::parse);
                let (Some(kind), Some(_), Some(_)) = (kind, port, protocol) else {
                    return Err(fault("`m=` is `kind port protocol formats`"));
                };
                let halves = Halves::default();
                self.open =
                    Some(Open { kind, mid: None, candidates: Vec::new(), end_of_candidates: false, halves });
                Ok(())
            }
            b'a' => self.attribute(line),
            // Some send the lines that a whole description begins with.
            b'v' | b'o' | b's' | b't' | b'c' => Ok(()),
            _ => Err(fault("a fragment has `m=` and `a=` lines")),
        }
    }

    fn attribute(&mut self, line: Line<'_>) -> Result<(), SdpError> {
        let fault = |reason| SdpError::Line { line: line.number, reason };
        let (name, value) = line.attribute();
        match name {
            "ice-options" => self.ice_options.add(value),
            "ice-lite" => self.ice_lite = true,
            "group" => {
                let mut words = value.split(' ').filter(|word| !word.is_empty());
                if words.next() == Some("BUNDLE") && self.bundle.is_empty() {
                    for word in words {
                        let mid = Mid::parse(word)
                            .ok_or_else(|| fault("`a=group:BUNDLE` has words of at most 32 letters"))?;
                        push(&mut self.bundle, mid, "sections in a group", SECTIONS_MAX)
                            .map_err(|fault| fault.at(line.number))?;
                    }
                }
            }
            "mid" => {
                let mid =
                    Mid::parse(value).ok_or_else(|| fault("`a=mid` is a word of at most 32 letters"))?;
                let open = self.open.as_mut().ok_or_else(|| fault("`a=mid` stands behind `m=`"))?;
                open.mid = Some(mid);
            }
            "ice-ufrag" if is_ufrag(value) => self.halves().ufrag = Some(value.into()),
            "ice-pwd" if is_pwd(value) => self.halves().pwd = Some(value.into()),
            "ice-ufrag" => return Err(fault("`a=ice-ufrag` has 4 to 256 letters, digits, + and /")),
            "ice-pwd" => return Err(fault("`a=ice-pwd` has 22 to 256 letters, digits, + and /")),
            "candidate" => {
                let open = self.open.as_mut().ok_or_else(|| fault("`a=candidate` stands behind `m=`"))?;
                self.candidates += 1;
                if self.candidates > CANDIDATES_MAX {
                    return Err(SdpError::TooMany {
                        line: line.number,
                        what: "candidates",
                        max: CANDIDATES_MAX,
                    });
                }
                open.candidates.extend(Candidate::parse(value).map_err(fault)?);
            }
            "end-of-candidates" => match &mut self.open {
                Some(open) => open.end_of_candidates = true,
                None => self.end_of_candidates = true,
            },
            _ => {}
        }
        Ok(())
    }

    fn halves(&mut self) -> &mut Halves {
        match &mut self.open {
            Some(open) => &mut open.halves,
            None => &mut self.session,
        }
    }

    fn end_section(&mut self) -> Result<(), SdpError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let Open { kind, mid, candidates, end_of_candidates, halves } = open;
        let mid = mid.ok_or(SdpError::NoMid { section: self.sections.len() })?;
        if self.section_halves == Halves::default() {
            self.section_halves = halves;
        }
        self.sections.push(FragmentSection { kind, mid, candidates, end_of_candidates });
        Ok(())
    }

    fn end(mut self) -> Result<Fragment, SdpError> {
        self.end_section()?;
        let credentials = self.session.whole().or_else(|| self.section_halves.whole());
        Ok(Fragment {
            credentials: credentials.ok_or(SdpError::NoFragmentCredentials)?,
            ice_options: self.ice_options,
            ice_lite: self.ice_lite,
            bundle: self.bundle,
            sections: self.sections,
            end_of_candidates: self.end_of_candidates,
        })
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.bundle.is_empty() {
            f.write_str("a=group:BUNDLE")?;
            self.bundle.iter().try_for_each(|mid| write!(f, " {mid}"))?;
            f.write_str("\r\n")?;
        }
        if self.ice_lite {
            f.write_str("a=ice-lite\r\n")?;
        }
        if !self.ice_options.is_empty() {
            write!(f, "a=ice-options:{}\r\n", self.ice_options)?;
        }
        write!(f, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", self.credentials.ufrag(), self.credentials.pwd())?;
        if self.end_of_candidates {
            f.write_str("a=end-of-candidates\r\n")?;
        }
        for section in &self.sections {
            write!(f, "m={} 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{}\r\n", section.kind, section.mid)?;
            section.candidates.iter().try_for_each(|candidate| write!(f, "a=candidate:{candidate}\r\n"))?;
            if section.end_of_candidates {
                f.write_str("a=end-of-candidates\r\n")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRICKLE: &str = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\na=candidate:473322822 1 tcp 1518280447 198.51.100.1 9 typ host tcptype active generation 0 ufrag EsAw network-id 2\r\na=end-of-candidates\r\n";

    #[test]
    fn as_the_standard_shows_it() {
        let fragment = Fragment::parse(TRICKLE).unwrap();
        assert_eq!(fragment.credentials.ufrag(), "EsAw");
        assert_eq!(fragment.candidates().count(), 2);
        assert!(fragment.is_the_end());
        assert_eq!(Fragment::parse(&fragment.to_string()).unwrap(), fragment);
    }

    #[test]
    fn credentials_of_the_session_and_candidates_of_no_use() {
        let text = "a=ice-ufrag:abcd\na=ice-pwd:0123456789012345678901\nm=video 9 RTP/AVP 0\na=mid:v\na=candidate:1 1 sctp 1 192.0.2.1 5 typ host\na=candidate:1 1 udp 1 abc.local 5 typ host\n";
        let fragment = Fragment::parse(text).unwrap();
        assert_eq!(fragment.candidates().count(), 1);
        assert_eq!(fragment.candidates().filter_map(Candidate::socket_address).count(), 0);
        assert!(!fragment.is_the_end());
    }

    #[test]
    fn malformed() {
        let credentials = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
        for bad in [
            String::new(),
            "hello".to_owned(),
            "{}".to_owned(),
            "a=ice-ufrag:abcd\r\n".to_owned(),
            format!("{credentials}m=audio 9 RTP/AVP 0\r\n"),
            format!("{credentials}m=audio\r\na=mid:0\r\n"),
            format!("{credentials}a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n"),
            format!("{credentials}m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp\r\n"),
            format!(
                "{credentials}m=audio 9 RTP/AVP 0\r\na=mid:0\r\n{}",
                "a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n".repeat(65)
            ),
        ] {
            assert!(Fragment::parse(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_answer_to_a_restart() {
        let credentials = Credentials::new("wxyz", "0123456789012345678901").unwrap();
        let candidate = Candidate::parse("1 1 udp 1 192.0.2.1 5 typ host").unwrap().unwrap();
        let sections = [(Kind::Audio, Mid::parse("0").unwrap()), (Kind::Video, Mid::parse("1").unwrap())];
        let fragment = Fragment::of_restart(credentials, vec![candidate], false, sections);
        insta::assert_snapshot!(fragment.to_string().replace('\r', ""), @"
        a=group:BUNDLE 0 1
        a=ice-options:ice2 trickle
        a=ice-ufrag:wxyz
        a=ice-pwd:0123456789012345678901
        m=audio 9 UDP/TLS/RTP/SAVPF 0
        a=mid:0
        a=candidate:1 1 udp 1 192.0.2.1 5 typ host
        a=end-of-candidates
        m=video 9 UDP/TLS/RTP/SAVPF 0
        a=mid:1
        ");
    }
}
