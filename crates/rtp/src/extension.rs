//! Header extensions that we know, by the URIs with which they are negotiated, and which id means which at one peer.

mod value;

pub use value::{
    AbsCaptureTime, AbsSendTime, AudioLevel, PlayoutDelay, VideoOrientation, identifier, transport_sequence,
};

/// Ids above are not taken: negotiation of ours never uses them, and browsers begin at one.
pub const ID_MAX: u8 = 31;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $uri:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum ExtensionKind {
            $($(#[$doc])* $name,)*
        }

        impl ExtensionKind {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in `a=extmap`.
            pub fn uri(self) -> &'static str {
                match self { $(Self::$name => $uri,)* }
            }

            pub fn parse(uri: &str) -> Option<Self> {
                match uri { $($uri => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// Which m-line a packet belongs to (RFC 9143).
    Mid = "urn:ietf:params:rtp-hdrext:sdes:mid",
    /// Which simulcast layer (RFC 8852).
    Rid = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    /// Which layer a retransmission repairs (RFC 8852).
    RepairedRid = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    /// How loud (RFC 6464).
    AudioLevel = "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    /// A number over all streams of a transport, on which congestion control stands.
    TransportSequence = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    AbsSendTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    AbsCaptureTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    VideoOrientation = "urn:3gpp:video-orientation",
    PlayoutDelay = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
    /// Which frame depends on which, whatever the codec.
    DependencyDescriptor = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    /// Which layers are sent, with bitrates and sizes.
    VideoLayersAllocation = "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
}

const KINDS: usize = ExtensionKind::ALL.len();

/// Which id means what at one peer, looked up by index both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionMap {
    kinds: [Option<ExtensionKind>; ID_MAX as usize + 1],
    ids: [u8; KINDS],
}

impl Default for ExtensionMap {
    fn default() -> Self {
        Self { kinds: [None; ID_MAX as usize + 1], ids: [0; KINDS] }
    }
}

impl ExtensionMap {
    /// Says whether it was taken: not with an id out of range, nor where id or kind have a partner already. To change
    /// one, remove it first.
    pub fn insert(&mut self, id: u8, kind: ExtensionKind) -> bool {
        if id == 0 || id > ID_MAX || self.kind(id).is_some() || self.id(kind).is_some() {
            return false;
        }
        self.kinds[usize::from(id)] = Some(kind);
        self.ids[kind as usize] = id;
        true
    }

    pub fn remove(&mut self, kind: ExtensionKind) {
        if let Some(id) = self.id(kind) {
            self.kinds[usize::from(id)] = None;
            self.ids[kind as usize] = 0;
        }
    }

    pub fn kind(&self, id: u8) -> Option<ExtensionKind> {
        *self.kinds.get(usize::from(id))?
    }

    pub fn id(&self, kind: ExtensionKind) -> Option<u8> {
        Some(self.ids[kind as usize]).filter(|id| *id != 0)
    }

    /// In the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (u8, ExtensionKind)> + '_ {
        (0..=ID_MAX).filter_map(|id| Some((id, self.kind(id)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_uri() {
        for kind in ExtensionKind::ALL {
            assert_eq!(ExtensionKind::parse(kind.uri()), Some(*kind));
        }
        assert_eq!(ExtensionKind::parse("urn:ietf:params:rtp-hdrext:toffset"), None);
    }

    #[test]
    fn an_id_means_one_kind_and_a_kind_has_one_id() {
        let mut map = ExtensionMap::default();
        assert!(map.insert(3, ExtensionKind::Mid));
        assert!(!map.insert(3, ExtensionKind::Rid));
        assert!(!map.insert(4, ExtensionKind::Mid));
        assert!(!map.insert(0, ExtensionKind::Rid));
        assert!(!map.insert(ID_MAX + 1, ExtensionKind::Rid));
        assert_eq!((map.id(ExtensionKind::Mid), map.kind(3)), (Some(3), Some(ExtensionKind::Mid)));
        assert_eq!((map.id(ExtensionKind::Rid), map.kind(255)), (None, None));
        map.remove(ExtensionKind::Mid);
        assert!(map.insert(ID_MAX, ExtensionKind::Mid));
        assert_eq!(map.iter().collect::<Vec<_>>(), [(ID_MAX, ExtensionKind::Mid)]);
    }
}
