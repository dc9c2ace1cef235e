//! Why a description cannot be used, in words that help whoever wrote it.

use crate::{Direction, Kind};

/// What is shown of the peer's own words was checked to be short and visible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    #[error("the description has {bytes} bytes; at most {max} are read")]
    TooLong { bytes: usize, max: usize },
    #[error("line {line}: {reason}")]
    Line { line: usize, reason: &'static str },
    #[error("line {line}: more than {max} {what}")]
    TooMany { line: usize, what: &'static str, max: usize },
    #[error("a description begins with `v=0`")]
    NoVersion,
    #[error("there is no `o=` line")]
    NoOrigin,
    #[error("the description has no media section")]
    NoMedia,
    #[error("a fragment names its ICE session by `a=ice-ufrag` and `a=ice-pwd`")]
    NoFragmentCredentials,
    #[error("section {section} has no `a=mid`")]
    NoMid { section: usize },
    #[error("two sections have the mid {mid}")]
    MidTwice { mid: String },
    #[error("section {mid} is not in the BUNDLE group: everything goes over one transport")]
    NotBundled { mid: String },
    #[error("section {mid} has no `a=rtcp-mux`: RTP and RTCP go over one transport")]
    NoRtcpMux { mid: String },
    #[error("there are no `a=ice-ufrag` and `a=ice-pwd`")]
    NoCredentials,
    #[error("there is no `a=fingerprint` of sha-256, sha-384 or sha-512")]
    NoFingerprint,
    #[error("there is no `a=setup`")]
    NoSetup,
    #[error("`a=setup:{0}` cannot stand here")]
    Setup(&'static str),
    #[error("section {mid} is {found}; {wanted}")]
    Direction { mid: String, found: Direction, wanted: &'static str },
    #[error("section {mid} of kind {kind} cannot be taken")]
    Unusable { mid: String, kind: Kind },
    #[error("{count} sections of kind {kind}; at most {max} can be taken")]
    TooManyTracks { kind: Kind, count: usize, max: usize },
    #[error("the tracks belong to {count} streams; at most {max} can be taken")]
    TooManyStreams { count: usize, max: usize },
    #[error("there is neither audio nor video in it")]
    Nothing,
    #[error("header extension {id} means two things")]
    ExtensionTwice { id: u8 },
    #[error("no codec in common for {kind} (section {mid}): offered {offered}; taken {taken}")]
    NoCodec { mid: String, kind: Kind, offered: String, taken: String },
    #[error("the answer does not fit the offer: {0}")]
    Mismatch(&'static str),
}

/// What sort of refusal it is, for whoever turns it into a status or a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SdpFault {
    /// It is not what it should be.
    Malformed,
    /// It can be read, but asks for what we do not do.
    Unsupported,
    Codec,
}

impl SdpError {
    pub fn fault(&self) -> SdpFault {
        match self {
            Self::NoCodec { .. } => SdpFault::Codec,
            Self::NotBundled { .. }
            | Self::NoRtcpMux { .. }
            | Self::Direction { .. }
            | Self::Unusable { .. }
            | Self::TooManyTracks { .. }
            | Self::TooManyStreams { .. }
            | Self::Nothing => SdpFault::Unsupported,
            _ => SdpFault::Malformed,
        }
    }
}

/// What is wrong with one line. Whoever reads lines knows which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineFault {
    Reason(&'static str),
    TooMany(&'static str, usize),
}

impl LineFault {
    pub(crate) fn at(self, line: usize) -> SdpError {
        match self {
            Self::Reason(reason) => SdpError::Line { line, reason },
            Self::TooMany(what, max) => SdpError::TooMany { line, what, max },
        }
    }
}

impl From<&'static str> for LineFault {
    fn from(reason: &'static str) -> Self {
        Self::Reason(reason)
    }
}

/// Takes one more, unless there are as many as there may be.
pub(crate) fn push<T>(list: &mut Vec<T>, one: T, what: &'static str, max: usize) -> Result<(), LineFault> {
    if list.len() >= max {
        return Err(LineFault::TooMany(what, max));
    }
    list.push(one);
    Ok(())
}
