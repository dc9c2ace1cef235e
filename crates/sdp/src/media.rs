//! One section of a description: what an `m=` line and the lines behind it say.

use std::fmt;

use crate::dtls::{Fingerprint, Setup};
use crate::extension::ExtensionLine;
use crate::format::Format;
use crate::simulcast::{RidLine, Simulcast};
use crate::source::{Msid, Source, SourceGroup};
use crate::{Candidate, Credentials, Mid};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Audio,
    Video,
    /// Data channels.
    Application,
    Text,
    Image,
    Message,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Audio, Self::Video, Self::Application, Self::Text, Self::Image, Self::Message];

    pub fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Application => "application",
            Self::Text => "text",
            Self::Image => "image",
            Self::Message => "message",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }

    pub fn is_media(self) -> bool {
        matches!(self, Self::Audio | Self::Video)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|direction| direction.name() == text)
    }

    /// Whether whoever wrote it sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether whoever wrote it receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The third word of an `m=` line, as far as it is one of WebRTC's (RFC 8829 5.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    UdpTlsRtpSavpf,
    TcpTlsRtpSavpf,
    UdpTlsRtpSavp,
    RtpSavpf,
    RtpSavp,
    RtpAvpf,
    RtpAvp,
    UdpDtlsSctp,
    TcpDtlsSctp,
    DtlsSctp,
}

impl Protocol {
    const ALL: [Self; 10] = [
        Self::UdpTlsRtpSavpf,
        Self::TcpTlsRtpSavpf,
        Self::UdpTlsRtpSavp,
        Self::RtpSavpf,
        Self::RtpSavp,
        Self::RtpAvpf,
        Self::RtpAvp,
        Self::UdpDtlsSctp,
        Self::TcpDtlsSctp,
        Self::DtlsSctp,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::UdpTlsRtpSavpf => "UDP/TLS/RTP/SAVPF",
            Self::TcpTlsRtpSavpf => "TCP/TLS/RTP/SAVPF",
            Self::UdpTlsRtpSavp => "UDP/TLS/RTP/SAVP",
            Self::RtpSavpf => "RTP/SAVPF",
            Self::RtpSavp => "RTP/SAVP",
            Self::RtpAvpf => "RTP/AVPF",
            Self::RtpAvp => "RTP/AVP",
            Self::UdpDtlsSctp => "UDP/DTLS/SCTP",
            Self::TcpDtlsSctp => "TCP/DTLS/SCTP",
            Self::DtlsSctp => "DTLS/SCTP",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == text)
    }

    pub fn is_rtp(self) -> bool {
        !matches!(self, Self::UdpDtlsSctp | Self::TcpDtlsSctp | Self::DtlsSctp)
    }
}

/// What stands at the session and holds for every section was written into each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    pub kind: Kind,
    /// 0: rejected, unless the section is `bundle_only`.
    pub port: u16,
    pub protocol: Protocol,
    /// In order of preference.
    pub formats: Vec<Format>,
    pub mid: Option<Mid>,
    pub direction: Direction,
    pub bundle_only: bool,
    pub rtcp_mux: bool,
    pub rtcp_mux_only: bool,
    pub rtcp_rsize: bool,
    pub credentials: Option<Credentials>,
    pub fingerprints: Vec<Fingerprint>,
    pub setup: Option<Setup>,
    pub extensions: Vec<ExtensionLine>,
    pub msids: Vec<Msid>,
    pub sources: Vec<Source>,
    pub groups: Vec<SourceGroup>,
    pub rids: Vec<RidLine>,
    pub simulcast: Option<Simulcast>,
    pub candidates: Vec<Candidate>,
    pub end_of_candidates: bool,
}

impl Media {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            port: 9,
            protocol: if kind.is_media() { Protocol::UdpTlsRtpSavpf } else { Protocol::UdpDtlsSctp },
            formats: Vec::new(),
            mid: None,
            direction: Direction::SendRecv,
            bundle_only: false,
            rtcp_mux: false,
            rtcp_mux_only: false,
            rtcp_rsize: false,
            credentials: None,
            fingerprints: Vec::new(),
            setup: None,
            extensions: Vec::new(),
            msids: Vec::new(),
            sources: Vec::new(),
            groups: Vec::new(),
            rids: Vec::new(),
            simulcast: None,
            candidates: Vec::new(),
            end_of_candidates: false,
        }
    }

    pub fn is_rejected(&self) -> bool {
        self.port == 0 && !self.bundle_only
    }

    /// For people: by its mid if it has one.
    pub(crate) fn shown(&self) -> String {
        self.mid.as_ref().map_or_else(|| self.kind.to_string(), ToString::to_string)
    }
}

/// From `m=` to the last line of the section.
impl fmt::Display for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {} {}", self.kind, self.port, self.protocol.name())?;
        if !self.protocol.is_rtp() {
            f.write_str(" webrtc-datachannel")?;
        } else if self.formats.is_empty() {
            // The grammar wants one.
            f.write_str(" 0")?;
        }
        if self.protocol.is_rtp() {
            for format in &self.formats {
                write!(f, " {}", format.payload_type)?;
            }
        }
        f.write_str("\r\nc=IN IP4 0.0.0.0\r\n")?;
        if let Some(mid) = &self.mid {
            write!(f, "a=mid:{mid}\r\n")?;
        }
        if self.bundle_only {
            f.write_str("a=bundle-only\r\n")?;
        }
        write!(f, "a={}\r\n", self.direction)?;
        if let Some(credentials) = &self.credentials {
            write!(f, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", credentials.ufrag(), credentials.pwd())?;
        }
        for fingerprint in &self.fingerprints {
            write!(f, "a=fingerprint:{fingerprint}\r\n")?;
        }
        if let Some(setup) = self.setup {
            write!(f, "a=setup:{}\r\n", setup.name())?;
        }
        let flags = [
            (self.rtcp_mux, "rtcp-mux"),
            (self.rtcp_mux_only, "rtcp-mux-only"),
            (self.rtcp_rsize, "rtcp-rsize"),
        ];
        for (_, name) in flags.iter().filter(|(is_set, _)| *is_set) {
            write!(f, "a={name}\r\n")?;
        }
        for line in &self.extensions {
            match line.direction {
                Direction::SendRecv => write!(f, "a=extmap:{} {}\r\n", line.id, line.extension.uri())?,
                direction => write!(f, "a=extmap:{}/{direction} {}\r\n", line.id, line.extension.uri())?,
            }
        }
        self.formats.iter().try_for_each(|format| write!(f, "{format}"))?;
        self.msids.iter().try_for_each(|msid| write!(f, "a=msid:{msid}\r\n"))?;
        self.rids.iter().try_for_each(|rid| write!(f, "a=rid:{rid}\r\n"))?;
        if let Some(simulcast) = &self.simulcast {
            write!(f, "a=simulcast:{simulcast}\r\n")?;
        }
        self.groups.iter().try_for_each(|group| write!(f, "a=ssrc-group:{group}\r\n"))?;
        for Source { ssrc, cname } in &self.sources {
            match cname {
                Some(cname) => write!(f, "a=ssrc:{ssrc} cname:{cname}\r\n")?,
                None => write!(f, "a=ssrc:{ssrc}\r\n")?,
            }
        }
        self.candidates.iter().try_for_each(|candidate| write!(f, "a=candidate:{candidate}\r\n"))?;
        if self.end_of_candidates { f.write_str("a=end-of-candidates\r\n") } else { Ok(()) }
    }
}
