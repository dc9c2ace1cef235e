//! The answer to somebody who publishes.

use crate::agreement::{AgreedCodec, AgreedRed, Local, Peer, Rules, formats};
use crate::codec::Opus;
use crate::error::SdpError;
use crate::extension::{Extension, ExtensionIds, ExtensionLine};
use crate::limits::LAYERS_MAX;
use crate::matching::{Flow, Matched, check_extension_ids, matched, no_codec};
use crate::media::Media;
use crate::simulcast::{Layer, RidLine, Simulcast};
use crate::source::SourceGroup;
use crate::{Codec, Description, Direction, Kind, Mid, Word, path};

/// What will come from a publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub peer: Peer,
    /// In the order of the sections; sections that send nothing are not among them.
    pub tracks: Vec<PublishedTrack>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedTrack {
    /// Which section of the description it is, from 0 on.
    pub section: usize,
    pub mid: Mid,
    pub kind: Kind,
    /// Which of them is sent shows in the packets. The first is the likely one. Never empty.
    pub codecs: Vec<AgreedCodec>,
    pub red: Option<AgreedRed>,
    pub extensions: ExtensionIds,
    /// Layers with names, in the publisher's order. Empty: one without a name, or layers by `sources`.
    pub layers: Vec<Layer>,
    /// Sources that were named beforehand, as far as they were: layers of one picture where there are several,
    /// the smallest first.
    pub sources: Vec<PublishedSource>,
    pub stream: Option<Word>,
    pub track: Option<Word>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedSource {
    pub ssrc: u32,
    pub rtx: Option<u32>,
}

/// Reads an offer to publish and writes the answer.
pub fn answer_publisher(offer: &str, local: &Local, rules: &Rules) -> Result<(String, Published), SdpError> {
    let offer = Description::parse(offer)?;
    let mut sections = Vec::with_capacity(offer.media.len());
    for (index, media) in offer.media.iter().enumerate() {
        sections.push(section(&offer, index, media, rules)?);
    }
    let tracks = || sections.iter().filter_map(Section::track);
    for kind in [Kind::Audio, Kind::Video] {
        let (count, max) = (tracks().filter(|track| track.kind == kind).count(), rules.tracks_max(kind));
        if count > max {
            return Err(SdpError::TooManyTracks { kind, count, max });
        }
    }
    // One that sends nothing any more still has a session.
    if sections.iter().all(|section| matches!(section, Section::Refused)) {
        return Err(SdpError::Nothing);
    }
    let mut streams: Vec<&Word> = offer
        .media
        .iter()
        .zip(&sections)
        .filter(|(_, section)| section.track().is_some())
        .flat_map(|(media, _)| media.msids.iter().filter_map(|msid| msid.stream.as_ref()))
        .collect();
    streams.sort_unstable();
    streams.dedup();
    if streams.len() > rules.streams_max {
        return Err(SdpError::TooManyStreams { count: streams.len(), max: rules.streams_max });
    }
    check_extension_ids(tracks().map(|track| &track.extensions))?;
    let peer = path::offerer(&offer)?;
    let text = answer(&offer, &sections, local, &peer);
    let tracks = sections.into_iter().filter_map(|section| match section {
        Section::Taken(track) => Some(*track),
        Section::Idle(..) | Section::Refused => None,
    });
    Ok((text, Published { peer, tracks: tracks.collect() }))
}

/// What becomes of one section of the offer.
enum Section {
    Taken(Box<PublishedTrack>),
    /// Nothing is sent in it now; it stays where it is.
    Idle(Mid, Matched),
    Refused,
}

impl Section {
    fn track(&self) -> Option<&PublishedTrack> {
        match self {
            Self::Taken(track) => Some(track),
            Self::Idle(..) | Self::Refused => None,
        }
    }
}

fn section(offer: &Description, index: usize, media: &Media, rules: &Rules) -> Result<Section, SdpError> {
    if media.is_rejected() {
        return Ok(Section::Refused);
    }
    if !media.kind.is_media() || !media.protocol.is_rtp() {
        if rules.whole {
            return Err(SdpError::Unusable { mid: media.shown(), kind: media.kind });
        }
        return Ok(Section::Refused);
    }
    if rules.whole && !media.direction.sends() {
        let wanted = "who publishes offers sendonly or sendrecv";
        return Err(SdpError::Direction { mid: media.shown(), found: media.direction, wanted });
    }
    let mid = path::check(offer, index)?.clone();
    let matched = matched(offer, media, Flow::FromPeer);
    if matched.codecs.is_empty() {
        return Err(no_codec(media, &[]));
    }
    if !media.direction.sends() {
        return Ok(Section::Idle(mid, matched));
    }
    let Matched { codecs, red, extensions } = matched;
    let msid = media.msids.first();
    Ok(Section::Taken(Box::new(PublishedTrack {
        section: index,
        mid,
        kind: media.kind,
        codecs,
        red,
        layers: layers(media, &extensions),
        extensions,
        sources: sources(media),
        stream: msid.and_then(|msid| msid.stream.clone()),
        track: msid.and_then(|msid| msid.track.clone()),
    })))
}

/// Layers with names need the extension that carries the name: without it there is one.
fn layers(media: &Media, extensions: &ExtensionIds) -> Vec<Layer> {
    if media.kind != Kind::Video || !extensions.has(Extension::Rid) {
        return Vec::new();
    }
    let is_sent = |rid: &str| media.rids.iter().any(|line| line.sends && *line.rid == *rid);
    if let Some(simulcast) = &media.simulcast {
        return simulcast.send.iter().filter(|layer| is_sent(&layer.rid)).cloned().collect();
    }
    let sent = media.rids.iter().filter(|line| line.sends).take(LAYERS_MAX);
    sent.map(|line| Layer { rid: line.rid.clone(), paused: false }).collect()
}

fn sources(media: &Media) -> Vec<PublishedSource> {
    let rtx = |of: u32| {
        media.groups.iter().find_map(|group| match group {
            SourceGroup::Repair { ssrc, rtx } if *ssrc == of => Some(*rtx),
            _ => None,
        })
    };
    let simulcast = media.groups.iter().find_map(|group| match group {
        SourceGroup::Simulcast(sources) => Some(sources.clone()),
        _ => None,
    });
    let repairs = |ssrc: u32| {
        media.groups.iter().any(|group| match group {
            SourceGroup::Repair { rtx, .. } => *rtx == ssrc,
            SourceGroup::Correction { fec, .. } => *fec == ssrc,
            SourceGroup::Simulcast(_) => false,
        })
    };
    let named = || media.sources.iter().map(|source| source.ssrc).filter(|ssrc| !repairs(*ssrc)).collect();
    let sources: Vec<u32> = simulcast.unwrap_or_else(named);
    sources.into_iter().take(LAYERS_MAX).map(|ssrc| PublishedSource { ssrc, rtx: rtx(ssrc) }).collect()
}

fn answer(offer: &Description, sections: &[Section], local: &Local, peer: &Peer) -> String {
    let mut is_first = true;
    let mut written = Vec::with_capacity(sections.len());
    for (offered, section) in offer.media.iter().zip(sections) {
        let mut media = Media::new(offered.kind);
        media.protocol = offered.protocol;
        match section {
            Section::Refused => {
                written.push(path::refused(offered));
                continue;
            }
            Section::Taken(track) => {
                media.mid = Some(track.mid.clone());
                media.direction = Direction::RecvOnly;
                media.formats = formats(&received(&track.codecs), track.red);
                media.extensions = extension_lines(offered, &track.extensions);
                media.rids = track
                    .layers
                    .iter()
                    .map(|layer| RidLine { rid: layer.rid.clone(), sends: false })
                    .collect();
                if !track.layers.is_empty() && offered.simulcast.is_some() {
                    media.simulcast = Some(Simulcast { send: Vec::new(), recv: track.layers.clone() });
                }
            }
            Section::Idle(mid, matched) => {
                media.mid = Some(mid.clone());
                media.direction = Direction::Inactive;
                media.formats = formats(&received(&matched.codecs), matched.red);
                media.extensions = extension_lines(offered, &matched.extensions);
            }
        }
        path::dress(&mut media, local, peer.role.setup(), std::mem::take(&mut is_first));
        written.push(media);
    }
    path::description(local, 1, offer.extmap_allow_mixed, written).to_string()
}

/// What we say of each codec as the one who receives.
fn received(codecs: &[AgreedCodec]) -> Vec<AgreedCodec> {
    let received = |agreed: &AgreedCodec| match agreed.codec {
        // In an answer these are what the encoder shall do: as the publisher has it.
        Codec::Opus(opus) => Codec::Opus(Opus {
            stereo: opus.stereo || opus.sends_stereo,
            sends_stereo: false,
            bits_per_second_max: None,
            ..opus
        }),
        codec => codec,
    };
    codecs.iter().map(|agreed| AgreedCodec { codec: received(agreed), ..*agreed }).collect()
}

/// The ids are the offer's (RFC 8285 6); a direction that was said is turned around.
pub(crate) fn extension_lines(offered: &Media, ids: &ExtensionIds) -> Vec<ExtensionLine> {
    let line = |(extension, id)| {
        let offered = offered.extensions.iter().find(|line| line.extension == extension);
        let direction = match offered.map(|line| line.direction) {
            Some(Direction::SendOnly) => Direction::RecvOnly,
            Some(Direction::RecvOnly) => Direction::SendOnly,
            _ => Direction::SendRecv,
        };
        ExtensionLine { id, extension, direction }
    };
    ids.iter().map(line).collect()
}
