//! RTP header extensions (`a=extmap`, RFC 8285): the ones we take, and their ids.

use crate::Direction;

macro_rules! extensions {
    ($($(#[$doc:meta])* $name:ident = $uri:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Extension {
            $($(#[$doc])* $name,)*
        }

        impl Extension {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub fn uri(self) -> &'static str {
                match self { $(Self::$name => $uri,)* }
            }
        }
    };
}

extensions! {
    Mid = "urn:ietf:params:rtp-hdrext:sdes:mid",
    Rid = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    RepairedRid = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    AudioLevel = "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    TransportCc = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    AbsSendTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    VideoOrientation = "urn:3gpp:video-orientation",
    DependencyDescriptor = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    PlayoutDelay = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
    AbsCaptureTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
}

impl Extension {
    pub fn parse(uri: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|extension| extension.uri() == uri)
    }

    /// Whether it says something about pictures alone.
    pub(crate) fn is_video_only(self) -> bool {
        matches!(
            self,
            Self::Rid
                | Self::RepairedRid
                | Self::VideoOrientation
                | Self::DependencyDescriptor
                | Self::PlayoutDelay
        )
    }
}

/// One `a=extmap` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionLine {
    pub id: u8,
    pub extension: Extension,
    pub direction: Direction,
}

impl ExtensionLine {
    /// Of `id[/direction] uri [attributes]`: the id, and the rest if it is one of ours.
    pub(crate) fn parse(value: &str) -> Result<(u8, Option<Self>), &'static str> {
        const FORM: &str =
            "`a=extmap` is `id uri`, with an id of 1 to 255 and perhaps a `/direction` behind it";
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let (id, uri) = (words.next().ok_or(FORM)?, words.next().ok_or(FORM)?);
        let (id, direction) = match id.split_once('/') {
            Some((id, direction)) => (id, Direction::parse(direction).ok_or(FORM)?),
            None => (id, Direction::SendRecv),
        };
        // From 256 on RFC 8285 7 has numbers for extensions that could not be given one yet.
        let id: u16 = id.parse().ok().filter(|id| (1..=4_351).contains(id)).ok_or(FORM)?;
        match (u8::try_from(id), Extension::parse(uri)) {
            (Ok(id), Some(extension)) if id != 15 => Ok((id, Some(Self { id, extension, direction }))),
            (Ok(id), _) => Ok((id, None)),
            (Err(_), _) => Ok((0, None)),
        }
    }
}

/// Which id each extension has in one session. Copied into whatever reads and writes packets.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ExtensionIds([u8; Extension::ALL.len()]);

impl ExtensionIds {
    pub fn id(&self, extension: Extension) -> Option<u8> {
        Some(self.0[extension as usize]).filter(|id| *id != 0)
    }

    pub fn has(&self, extension: Extension) -> bool {
        self.id(extension).is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Extension, u8)> + '_ {
        Extension::ALL.iter().copied().filter_map(|extension| Some((extension, self.id(extension)?)))
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|id| *id == 0)
    }

    pub(crate) fn set(&mut self, extension: Extension, id: u8) {
        self.0[extension as usize] = id;
    }

    pub(crate) fn extension(&self, id: u8) -> Option<Extension> {
        self.iter().find(|(_, taken)| *taken == id).map(|(extension, _)| extension)
    }
}

impl std::fmt::Debug for ExtensionIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = |text: &str| ExtensionLine::parse(text);
        let mid = ExtensionLine { id: 4, extension: Extension::Mid, direction: Direction::SendRecv };
        assert_eq!(line("4 urn:ietf:params:rtp-hdrext:sdes:mid"), Ok((4, Some(mid))));
        let level = line("3/recvonly urn:ietf:params:rtp-hdrext:ssrc-audio-level vad=on").unwrap().1.unwrap();
        assert_eq!(level.direction, Direction::RecvOnly);
        assert_eq!(line("9 urn:unknown"), Ok((9, None)));
        assert_eq!(line("15 urn:ietf:params:rtp-hdrext:sdes:mid"), Ok((15, None)));
        for bad in ["", "4", "0 urn:x", "5000 urn:x", "a urn:x", "4/up urn:x"] {
            assert!(line(bad).is_err(), "{bad}");
        }
    }
}
