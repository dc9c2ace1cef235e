//! Reading the lines of one section into [`Media`]. The lines before the first section are read the same way; what they
//! say holds for every section that does not say otherwise.

use crate::dtls::{Fingerprint, Setup};
use crate::error::{LineFault, push};
use crate::extension::ExtensionLine;
use crate::format::{Format, payload_type};
use crate::ice::{Halves, is_pwd, is_ufrag};
use crate::limits::{FINGERPRINTS_MAX, FORMATS_MAX, MSIDS_MAX, RIDS_MAX, SOURCE_GROUPS_MAX, SOURCES_MAX};
use crate::media::{Direction, Kind, Media, Protocol};
use crate::simulcast::{RidLine, Simulcast};
use crate::source::{Msid, Source, SourceGroup};
use crate::{Candidate, Mid, Word};

/// A section that is being read.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    media: Media,
    halves: Halves,
    /// Of the session, to make place for the section's own.
    fingerprints_are_inherited: bool,
    /// Bits of the extension ids that were given out, known or not.
    extension_ids: [u64; 4],
    /// A wildcard may stand before the formats that it means.
    feedback_of_all: Vec<Box<str>>,
}

/// `a=rtcp-fb:*` lines; there are five that we know.
const FEEDBACK_OF_ALL_MAX: usize = 16;

impl Section {
    pub(crate) fn of_session() -> Self {
        Self {
            media: Media::new(Kind::Audio),
            halves: Halves::default(),
            fingerprints_are_inherited: false,
            extension_ids: [0; 4],
            feedback_of_all: Vec::new(),
        }
    }

    /// From the value of an `m=` line. `self` is what holds for every section.
    pub(crate) fn begin(&self, value: &str) -> Result<Self, LineFault> {
        const FORM: &str = "`m=` is `kind port protocol formats`";
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let mut next = || words.next().ok_or(FORM);
        let kind = Kind::parse(next()?).ok_or("the kind of a section is audio, video or application")?;
        // A number of ports may stand behind it; with one transport there is one.
        let port = next()?.split('/').next().unwrap_or_default();
        let port = port.parse().map_err(|_| FORM)?;
        let protocol = Protocol::parse(next()?).ok_or("the protocol of a section is not one of WebRTC")?;
        let mut formats: Vec<Format> = Vec::new();
        if protocol.is_rtp() {
            for word in words {
                let number = payload_type(word).ok_or("a payload type is a number up to 127")?;
                if formats.iter().any(|format| format.payload_type == number) {
                    return Err("a payload type stands twice in `m=`".into());
                }
                push(&mut formats, Format::unnamed(number), "payload types in a section", FORMATS_MAX)?;
            }
            if formats.is_empty() {
                return Err(FORM.into());
            }
        }
        let mut section = self.clone();
        section.fingerprints_are_inherited = true;
        section.media = Media { kind, port, protocol, formats, ..section.media };
        Ok(section)
    }

    /// One `a=` line. What is not known is passed over.
    pub(crate) fn attribute(&mut self, name: &str, value: &str) -> Result<(), LineFault> {
        let media = &mut self.media;
        match name {
            "mid" => media.mid = Some(Mid::parse(value).ok_or("`a=mid` is a word of at most 32 letters")?),
            "bundle-only" => media.bundle_only = true,
            "rtcp-mux" => media.rtcp_mux = true,
            "rtcp-mux-only" => media.rtcp_mux_only = true,
            "rtcp-rsize" => media.rtcp_rsize = true,
            "ice-ufrag" if !is_ufrag(value) => {
                return Err("`a=ice-ufrag` has 4 to 256 letters, digits, + and /".into());
            }
            "ice-ufrag" => self.halves.ufrag = Some(value.into()),
            "ice-pwd" if !is_pwd(value) => {
                return Err("`a=ice-pwd` has 22 to 256 letters, digits, + and /".into());
            }
            "ice-pwd" => self.halves.pwd = Some(value.into()),
            "fingerprint" => self.fingerprint(value)?,
            "setup" => media.setup = Some(Setup::parse(value)?),
            "end-of-candidates" => media.end_of_candidates = true,
            "extmap" => self.extension(value)?,
            "rtpmap" => {
                if let Some((number, value)) = numbered(value) {
                    let format = media.formats.iter_mut().find(|format| format.payload_type == number);
                    // Of a number that `m=` does not have: it means nothing.
                    format.map_or(Ok(()), |format| format.set_name(value))?;
                }
            }
            // What follows belongs to the formats by name, and is read when all of them have one.
            "fmtp" | "rtcp-fb" => {}
            "msid" => push(&mut media.msids, Msid::parse(value)?, "streams of a section", MSIDS_MAX)?,
            "ssrc" => self.source(value)?,
            "ssrc-group" => {
                if let Some(group) = SourceGroup::parse(value)? {
                    push(&mut media.groups, group, "groups of sources in a section", SOURCE_GROUPS_MAX)?;
                }
            }
            "rid" => {
                let line = RidLine::parse(value)?;
                if media.rids.iter().any(|known| known.rid == line.rid) {
                    return Err("two `a=rid` lines have the same name".into());
                }
                push(&mut media.rids, line, "`a=rid` lines in a section", RIDS_MAX)?;
            }
            "simulcast" if media.simulcast.is_some() => return Err("`a=simulcast` stands twice".into()),
            "simulcast" => media.simulcast = Some(Simulcast::parse(value)?),
            name => {
                if let Some(direction) = Direction::parse(name) {
                    media.direction = direction;
                }
            }
        }
        Ok(())
    }

    /// What needs the names of formats, which may stand behind it: a second look at the section's lines.
    pub(crate) fn late_attribute(&mut self, name: &str, value: &str) -> Result<(), LineFault> {
        match name {
            "fmtp" => {
                if let Some((number, value)) = numbered(value)
                    && let Some(format) = self.format(number)
                {
                    format.set_parameters(value);
                }
            }
            "rtcp-fb" => {
                if let Some(value) = value.strip_prefix("* ") {
                    let what = "`a=rtcp-fb:*` lines in a section";
                    push(&mut self.feedback_of_all, value.into(), what, FEEDBACK_OF_ALL_MAX)?;
                } else if let Some((number, value)) = numbered(value)
                    && let Some(format) = self.format(number)
                {
                    format.feedback.add(value);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// None: the candidate is well formed, and nothing that we could use.
    pub(crate) fn candidate(value: &str) -> Result<Option<Candidate>, LineFault> {
        Ok(Candidate::parse(value)?)
    }

    pub(crate) fn media_mut(&mut self) -> &mut Media {
        &mut self.media
    }

    pub(crate) fn end(self) -> Media {
        let mut media = self.media;
        media.credentials = self.halves.whole();
        for format in &mut media.formats {
            self.feedback_of_all.iter().for_each(|value| format.feedback.add(value));
        }
        media
    }

    fn format(&mut self, number: u8) -> Option<&mut Format> {
        self.media.formats.iter_mut().find(|format| format.payload_type == number)
    }

    fn fingerprint(&mut self, value: &str) -> Result<(), LineFault> {
        let fingerprint = Fingerprint::read(value)?;
        if std::mem::take(&mut self.fingerprints_are_inherited) {
            self.media.fingerprints.clear();
        }
        match fingerprint {
            Some(one) => {
                push(&mut self.media.fingerprints, one, "fingerprints in a section", FINGERPRINTS_MAX)
            }
            None => Ok(()),
        }
    }

    fn extension(&mut self, value: &str) -> Result<(), LineFault> {
        let (id, line) = ExtensionLine::parse(value)?;
        let (word, bit) = (usize::from(id / 64), 1_u64 << (id % 64));
        // 0 stands for all the numbers that are none yet.
        if id != 0 && self.extension_ids[word] & bit != 0 {
            return Err("two `a=extmap` lines have the same id".into());
        }
        self.extension_ids[word] |= bit;
        if let Some(line) = line {
            // The first of two ids is as good as the second, and there is no more than one line of each.
            if self.media.extensions.iter().all(|known| known.extension != line.extension) {
                self.media.extensions.push(line);
            }
        }
        Ok(())
    }

    fn source(&mut self, value: &str) -> Result<(), LineFault> {
        let (ssrc, attribute) = value.split_once(' ').unwrap_or((value, ""));
        let ssrc = ssrc.parse().map_err(|_| "`a=ssrc` begins with the number of the source")?;
        let media = &mut self.media;
        let index = media.sources.iter().position(|source| source.ssrc == ssrc);
        let index = index.unwrap_or(media.sources.len());
        if index == media.sources.len() {
            push(&mut media.sources, Source { ssrc, cname: None }, "sources in a section", SOURCES_MAX)?;
        }
        if let Some(cname) = attribute.strip_prefix("cname:") {
            let cname = Word::parse(cname.trim()).ok_or("a cname is a word of at most 256 letters")?;
            media.sources[index].cname = Some(cname);
        } else if let Some(msid) = attribute.strip_prefix("msid:")
            && media.msids.is_empty()
        {
            // How it was written before `a=msid` had a line of its own; some still do.
            media.msids.push(Msid::parse(msid)?);
        }
        Ok(())
    }
}

/// `number rest`.
fn numbered(value: &str) -> Option<(u8, &str)> {
    let (number, rest) = value.split_once(' ')?;
    Some((payload_type(number)?, rest))
}
