//! Sources that are named before they send (`a=ssrc`, `a=ssrc-group`, RFC 5576), and streams (`a=msid`, RFC 8830).

use std::fmt;

use crate::Word;
use crate::limits::SOURCES_MAX;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub ssrc: u32,
    pub cname: Option<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceGroup {
    /// A source and the one of its retransmissions.
    Repair { ssrc: u32, rtx: u32 },
    /// Layers of one picture, the smallest first.
    Simulcast(Vec<u32>),
    /// A source and the one of its forward error correction, which we do not take.
    Correction { ssrc: u32, fec: u32 },
}

impl SourceGroup {
    /// None within: of a meaning that we do not know.
    pub(crate) fn parse(value: &str) -> Result<Option<Self>, &'static str> {
        const FORM: &str = "`a=ssrc-group` is a word and numbers of sources";
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let semantics = words.next().ok_or(FORM)?;
        let numbers: Result<Vec<u32>, _> = words.take(SOURCES_MAX).map(str::parse).collect();
        let numbers = numbers.map_err(|_| FORM)?;
        Ok(match (semantics, &*numbers) {
            ("FID", &[ssrc, rtx]) => Some(Self::Repair { ssrc, rtx }),
            ("FEC-FR", &[ssrc, fec]) => Some(Self::Correction { ssrc, fec }),
            ("SIM", [_, ..]) => Some(Self::Simulcast(numbers)),
            _ => None,
        })
    }
}

impl fmt::Display for SourceGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repair { ssrc, rtx } => write!(f, "FID {ssrc} {rtx}"),
            Self::Correction { ssrc, fec } => write!(f, "FEC-FR {ssrc} {fec}"),
            Self::Simulcast(sources) => {
                f.write_str("SIM")?;
                sources.iter().try_for_each(|ssrc| write!(f, " {ssrc}"))
            }
        }
    }
}

/// To which stream a track belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Msid {
    /// None: to none (`-`).
    pub stream: Option<Word>,
    pub track: Option<Word>,
}

impl Msid {
    pub(crate) fn parse(value: &str) -> Result<Self, &'static str> {
        const FORM: &str = "`a=msid` is the name of a stream and perhaps that of a track";
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let stream = words.next().and_then(Word::parse).ok_or(FORM)?;
        let track = match words.next() {
            Some(track) => Some(Word::parse(track).ok_or(FORM)?),
            None => None,
        };
        Ok(Self { stream: Some(stream).filter(|stream| &**stream != "-"), track })
    }
}

impl fmt::Display for Msid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.stream.as_deref().unwrap_or("-"))?;
        self.track.as_ref().map_or(Ok(()), |track| write!(f, " {track}"))
    }
}
