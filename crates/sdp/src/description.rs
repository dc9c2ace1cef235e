//! A whole session description (RFC 8866 as WebRTC writes it, RFC 8829): text to values, and values to text.
//!
//! Whatever is written comes from the values; nothing of what was read is copied through.

use std::fmt;

use crate::error::{SdpError, push};
use crate::ice::IceOptions;
use crate::limits::{CANDIDATES_MAX, DESCRIPTION_BYTES_MAX, SECTIONS_MAX};
use crate::line::{Line, lines};
use crate::section::Section;
use crate::{Media, Mid};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Of the `o=` line. 0 where a peer wrote something that is no number.
    pub session_id: u64,
    pub version: u64,
    /// Sections that go over one transport. Of several groups the first.
    pub bundle: Vec<Mid>,
    pub ice_lite: bool,
    pub ice_options: IceOptions,
    pub extmap_allow_mixed: bool,
    pub media: Vec<Media>,
}

impl Description {
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > DESCRIPTION_BYTES_MAX {
            return Err(SdpError::TooLong { bytes: text.len(), max: DESCRIPTION_BYTES_MAX });
        }
        let mut reader = Reader::new();
        let mut all = lines(text);
        match all.next() {
            Some(Ok(Line { letter: b'v', value: "0", .. })) => {}
            _ => return Err(SdpError::NoVersion),
        }
        all.try_for_each(|line| reader.line(line?))?;
        reader.end()
    }
}

struct Reader<'a> {
    description: Description,
    has_origin: bool,
    has_bundle: bool,
    session: Section,
    /// The section that is being read, and its lines that are looked at again at its end.
    section: Option<(Section, Vec<Line<'a>>)>,
    candidates: usize,
}

impl<'a> Reader<'a> {
    fn new() -> Self {
        let description = Description {
            session_id: 0,
            version: 0,
            bundle: Vec::new(),
            ice_lite: false,
            ice_options: IceOptions::default(),
            extmap_allow_mixed: false,
            media: Vec::new(),
        };
        Self {
            description,
            has_origin: false,
            has_bundle: false,
            session: Section::of_session(),
            section: None,
            candidates: 0,
        }
    }

    fn line(&mut self, line: Line<'a>) -> Result<(), SdpError> {
        match line.letter {
            b'o' => {
                self.origin(line.value);
                Ok(())
            }
            b'm' => {
                self.end_section()?;
                if self.description.media.len() >= SECTIONS_MAX {
                    return Err(SdpError::TooMany {
                        line: line.number,
                        what: "media sections",
                        max: SECTIONS_MAX,
                    });
                }
                let section = self.session.begin(line.value).map_err(|fault| fault.at(line.number))?;
                self.section = Some((section, Vec::new()));
                Ok(())
            }
            b'a' => self.attribute(line),
            b's' | b'i' | b'u' | b'e' | b'p' | b'c' | b'b' | b't' | b'r' | b'z' | b'k' => Ok(()),
            _ => Err(SdpError::Line { line: line.number, reason: "there are no lines with this letter" }),
        }
    }

    fn origin(&mut self, value: &str) {
        let mut words = value.split(' ').skip(1);
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        self.description.session_id = number();
        self.description.version = number();
        self.has_origin = true;
    }

    fn attribute(&mut self, line: Line<'a>) -> Result<(), SdpError> {
        let (name, value) = line.attribute();
        let description = &mut self.description;
        match name {
            "ice-lite" => description.ice_lite = true,
            "ice-options" => description.ice_options.add(value),
            "extmap-allow-mixed" => description.extmap_allow_mixed = true,
            "group" => {
                let mut words = value.split(' ').filter(|word| !word.is_empty());
                if words.next() == Some("BUNDLE") && !std::mem::replace(&mut self.has_bundle, true) {
                    for word in words {
                        let reason = "`a=group:BUNDLE` has words of at most 32 letters";
                        let mid = Mid::parse(word).ok_or(SdpError::Line { line: line.number, reason })?;
                        push(&mut description.bundle, mid, "sections in a group", SECTIONS_MAX)
                            .map_err(|fault| fault.at(line.number))?;
                    }
                }
            }
            _ => {
                let Some((section, late)) = &mut self.section else {
                    if !holds_for_all(name) {
                        return Ok(());
                    }
                    return self.session.attribute(name, value).map_err(|fault| fault.at(line.number));
                };
                match name {
                    "candidate" => {
                        self.candidates += 1;
                        if self.candidates > CANDIDATES_MAX {
                            let (what, max) = ("candidates", CANDIDATES_MAX);
                            return Err(SdpError::TooMany { line: line.number, what, max });
                        }
                        let candidate = Section::candidate(value).map_err(|fault| fault.at(line.number))?;
                        section.media_mut().candidates.extend(candidate);
                    }
                    // As many as there are lines in a text of limited length; gone with the section.
                    "fmtp" | "rtcp-fb" => late.push(line),
                    _ => section.attribute(name, value).map_err(|fault| fault.at(line.number))?,
                }
            }
        }
        Ok(())
    }

    fn end_section(&mut self) -> Result<(), SdpError> {
        let Some((mut section, late)) = self.section.take() else { return Ok(()) };
        for line in late {
            let (name, value) = line.attribute();
            section.late_attribute(name, value).map_err(|fault| fault.at(line.number))?;
        }
        self.description.media.push(section.end());
        Ok(())
    }

    fn end(mut self) -> Result<Description, SdpError> {
        self.end_section()?;
        if !self.has_origin {
            return Err(SdpError::NoOrigin);
        }
        let description = self.description;
        if description.media.is_empty() {
            return Err(SdpError::NoMedia);
        }
        for (index, media) in description.media.iter().enumerate() {
            let mid = media.mid.as_ref();
            if mid.is_some() && description.media[..index].iter().any(|other| other.mid.as_ref() == mid) {
                return Err(SdpError::MidTwice { mid: media.shown() });
            }
        }
        Ok(description)
    }
}

/// What may stand before the first section and holds for each that does not say otherwise. All else belongs to one.
fn holds_for_all(name: &str) -> bool {
    let names = [
        "ice-ufrag",
        "ice-pwd",
        "fingerprint",
        "setup",
        "extmap",
        "sendrecv",
        "sendonly",
        "recvonly",
        "inactive",
    ];
    names.contains(&name)
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session_id, version, .. } = self;
        write!(f, "v=0\r\no=- {session_id} {version} IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n")?;
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
        if self.extmap_allow_mixed {
            f.write_str("a=extmap-allow-mixed\r\n")?;
        }
        f.write_str("a=msid-semantic:WMS *\r\n")?;
        self.media.iter().try_for_each(|media| write!(f, "{media}"))
    }
}
