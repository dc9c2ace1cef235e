//! A payload type and what it stands for: codec, repair, redundancy, or something that we do not take.

use std::fmt;

use crate::{Codec, Kind, Word};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    pub payload_type: u8,
    pub encoding: Encoding,
    pub feedback: Feedback,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encoding {
    Codec(Codec),
    /// RFC 4588. Of which payload type, if that was said.
    Rtx {
        apt: Option<u8>,
        clock_hz: u32,
    },
    /// RFC 2198. Of which payload type, if that was said.
    Red {
        of: Option<u8>,
        clock_hz: u32,
        channels: Option<u8>,
    },
    /// What we do not take: other codecs, tones, comfort noise, ULPFEC, FlexFEC.
    Other {
        name: Word,
        clock_hz: u32,
        channels: Option<u8>,
    },
    /// A static payload type without a name.
    Unnamed,
}

/// What a receiver may say back (`a=rtcp-fb`), as far as we know it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Feedback {
    pub nack: bool,
    pub pli: bool,
    pub fir: bool,
    pub transport_cc: bool,
    pub remb: bool,
}

impl Feedback {
    /// What we do with video. REMB is for those who know no transport-wide feedback.
    pub const VIDEO: Self = Self { nack: true, pli: true, fir: true, transport_cc: true, remb: true };
    pub const AUDIO: Self = Self { nack: true, pli: false, fir: false, transport_cc: true, remb: false };

    pub fn ours(kind: Kind) -> Self {
        if kind == Kind::Audio { Self::AUDIO } else { Self::VIDEO }
    }

    /// The value of `a=rtcp-fb` behind the payload type.
    pub(crate) fn add(&mut self, value: &str) {
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        match (words.next(), words.next()) {
            (Some("nack"), None) => self.nack = true,
            (Some("nack"), Some("pli")) => self.pli = true,
            (Some("ccm"), Some("fir")) => self.fir = true,
            (Some("transport-cc"), None) => self.transport_cc = true,
            (Some("goog-remb"), None) => self.remb = true,
            _ => {}
        }
    }

    pub fn both(self, other: Self) -> Self {
        Self {
            nack: self.nack && other.nack,
            pli: self.pli && other.pli,
            fir: self.fir && other.fir,
            transport_cc: self.transport_cc && other.transport_cc,
            remb: self.remb && other.remb,
        }
    }

    pub(crate) fn words(self) -> impl Iterator<Item = &'static str> {
        [
            (self.remb, "goog-remb"),
            (self.transport_cc, "transport-cc"),
            (self.fir, "ccm fir"),
            (self.nack, "nack"),
            (self.pli, "nack pli"),
        ]
        .into_iter()
        .filter_map(|(is_set, word)| is_set.then_some(word))
    }
}

impl Format {
    pub(crate) fn unnamed(payload_type: u8) -> Self {
        Self { payload_type, encoding: Encoding::Unnamed, feedback: Feedback::default() }
    }

    /// Whether RTP under this number can be told from RTCP on the same transport (RFC 5761 4).
    pub fn is_told_from_rtcp(&self) -> bool {
        !(64..=95).contains(&self.payload_type)
    }

    pub fn codec(&self) -> Option<Codec> {
        match self.encoding {
            Encoding::Codec(codec) => Some(codec),
            _ => None,
        }
    }

    /// The value of `a=rtpmap` behind the payload type.
    pub(crate) fn set_name(&mut self, value: &str) -> Result<(), &'static str> {
        const FORM: &str = "`a=rtpmap` is `number name/clock` or `number name/clock/channels`";
        let mut parts = value.trim().split('/');
        let name = parts.next().and_then(Word::parse).filter(|name| name.len() <= 64).ok_or(FORM)?;
        let clock_hz = parts.next().ok_or(FORM)?.parse().map_err(|_| FORM)?;
        let channels = parts.next().map(str::parse).transpose().map_err(|_| FORM)?;
        self.encoding = if name.eq_ignore_ascii_case("rtx") {
            Encoding::Rtx { apt: None, clock_hz }
        } else if name.eq_ignore_ascii_case("red") {
            Encoding::Red { of: None, clock_hz, channels }
        } else {
            match Codec::named(&name, clock_hz)
                .filter(|codec| codec.channels() == channels || channels == Some(1))
            {
                // Opus has two channels in its name, always (RFC 7587 4.1).
                Some(Codec::Opus(_)) if channels != Some(2) => Encoding::Other { name, clock_hz, channels },
                Some(codec) => Encoding::Codec(codec),
                None => Encoding::Other { name, clock_hz, channels },
            }
        };
        Ok(())
    }

    /// The value of `a=fmtp` behind the payload type. Its form is the codec's own affair, so nothing in it is an error.
    pub(crate) fn set_parameters(&mut self, value: &str) {
        let mut pairs = value.split(';').filter_map(|pair| pair.split_once('='));
        match &mut self.encoding {
            Encoding::Codec(codec) => {
                for (name, value) in pairs {
                    codec.set(name.trim(), value.trim());
                }
            }
            Encoding::Rtx { apt, .. } => {
                let value = pairs.find(|(name, _)| name.trim() == "apt").map(|(_, value)| value.trim());
                *apt = value.and_then(payload_type);
            }
            Encoding::Red { of, .. } => {
                // The blocks of a packet are all of one codec, or we do not take it.
                let mut blocks = value.trim().split('/').map(payload_type);
                let first = blocks.next().flatten();
                *of = first.filter(|first| blocks.all(|block| block == Some(*first)));
            }
            Encoding::Other { .. } | Encoding::Unnamed => {}
        }
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        match &self.encoding {
            Encoding::Codec(codec) => codec.to_string(),
            Encoding::Rtx { .. } => "rtx".to_owned(),
            Encoding::Red { .. } => "red".to_owned(),
            Encoding::Other { name, .. } => name.to_string(),
            Encoding::Unnamed => match self.payload_type {
                0 => "PCMU".to_owned(),
                8 => "PCMA".to_owned(),
                9 => "G722".to_owned(),
                number => format!("payload type {number}"),
            },
        }
    }
}

pub(crate) fn payload_type(text: &str) -> Option<u8> {
    text.parse().ok().filter(|number| *number <= 127)
}

/// The lines of the section that belong to this payload type.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.payload_type;
        let map = |f: &mut fmt::Formatter<'_>, name: &str, clock_hz: u32, channels: Option<u8>| {
            write!(f, "a=rtpmap:{number} {name}/{clock_hz}")?;
            match channels {
                Some(channels) => write!(f, "/{channels}\r\n"),
                None => f.write_str("\r\n"),
            }
        };
        match &self.encoding {
            Encoding::Codec(codec) => {
                map(f, codec.name(), codec.clock_hz(), codec.channels())?;
            }
            Encoding::Rtx { clock_hz, .. } => map(f, "rtx", *clock_hz, None)?,
            Encoding::Red { clock_hz, channels, .. } => map(f, "red", *clock_hz, *channels)?,
            Encoding::Other { name, clock_hz, channels } => map(f, name, *clock_hz, *channels)?,
            Encoding::Unnamed => {}
        }
        for word in self.feedback.words() {
            write!(f, "a=rtcp-fb:{number} {word}\r\n")?;
        }
        match &self.encoding {
            Encoding::Codec(codec) if !codec.parameters().is_empty() => {
                write!(f, "a=fmtp:{number} {}\r\n", codec.parameters())
            }
            Encoding::Rtx { apt: Some(apt), .. } => write!(f, "a=fmtp:{number} apt={apt}\r\n"),
            Encoding::Red { of: Some(of), .. } => write!(f, "a=fmtp:{number} {of}/{of}\r\n"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(number: u8, map: &str, parameters: &str) -> Format {
        let mut format = Format::unnamed(number);
        format.set_name(map).unwrap();
        format.set_parameters(parameters);
        format
    }

    #[test]
    fn names_and_parameters() {
        let opus = format(111, "OPUS/48000/2", "minptime=10; useinbandfec=1;stereo=1;x=y");
        assert_eq!(
            opus.to_string(),
            "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1;stereo=1\r\n"
        );
        assert_eq!(
            format(97, "rtx/90000", "apt=96;rtx-time=3000").encoding,
            Encoding::Rtx { apt: Some(96), clock_hz: 90_000 }
        );
        let red = |parameters| format(63, "red/48000/2", parameters).encoding;
        assert_eq!(red("111/111"), Encoding::Red { of: Some(111), clock_hz: 48_000, channels: Some(2) });
        assert_eq!(red("111/0"), Encoding::Red { of: None, clock_hz: 48_000, channels: Some(2) });
        for other in ["opus/48000", "VP8/8000", "ulpfec/90000", "H265/90000", "multiopus/48000/6"] {
            assert!(matches!(format(96, other, "").encoding, Encoding::Other { .. }), "{other}");
        }
        for bad in ["", "opus", "opus/x", "opus/48000/x", "a b/90000", "opus/99999999999"] {
            assert!(Format::unnamed(96).set_name(bad).is_err(), "{bad}");
        }
    }
}
