//! The answer to somebody who watches, and what is known of a watching session.

use crate::agreement::{AgreedCodec, AgreedRed, Local, Peer, Rules, formats, payload_for};
use crate::codec::Opus;
use crate::error::SdpError;
use crate::extension::{Extension, ExtensionIds};
use crate::matching::{Flow, Matched, check_extension_ids, matched, no_codec};
use crate::media::{Media, Protocol};
use crate::publisher::extension_lines;
use crate::source::{Msid, Source, SourceGroup};
use crate::{Codec, Description, Direction, Kind, Mid, Word, path};

/// What there is to watch.
#[derive(Debug, Clone)]
pub struct Available {
    /// Names the stream for the viewer's page.
    pub stream: Word,
    /// One clock: whoever plays keeps sound and picture of one name together.
    pub cname: Word,
    pub tracks: Vec<AvailableTrack>,
}

#[derive(Debug, Clone)]
pub struct AvailableTrack {
    /// Whatever the relay calls it.
    pub key: usize,
    /// What the viewer's page calls it.
    pub id: Word,
    /// What is sent now.
    pub codec: Codec,
}

/// What goes to a viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    pub peer: Peer,
    pub(crate) sections: Vec<WatchedSection>,
    pub(crate) version: u64,
}

impl Watched {
    /// In the order of the sections, with those that carry nothing now.
    pub fn tracks(&self) -> impl Iterator<Item = &WatchedTrack> {
        self.sections.iter().filter_map(|section| match section {
            WatchedSection::Track(track) => Some(track),
            WatchedSection::Refused { .. } => None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WatchedSection {
    Track(WatchedTrack),
    Refused { kind: Kind, protocol: Protocol, mid: Option<Mid>, payload_type: Option<u8> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedTrack {
    /// Which section of the description it is, from 0 on.
    pub section: usize,
    pub mid: Mid,
    pub kind: Kind,
    /// Which available track. None: nothing is sent in it until there is one.
    pub key: Option<usize>,
    /// With the viewer's numbers. Never empty; the first fits what is sent, the others are what it could be changed to
    /// without asking again.
    pub codecs: Vec<AgreedCodec>,
    pub red: Option<AgreedRed>,
    /// With the viewer's ids.
    pub extensions: ExtensionIds,
    pub ssrc: u32,
    /// If any of the codecs can be sent again.
    pub rtx: Option<u32>,
}

/// Reads an offer to watch and writes the answer. `chance` gives numbers for our sources.
pub fn answer_viewer(
    offer: &str,
    local: &Local,
    available: &Available,
    rules: &Rules,
    chance: &mut dyn FnMut() -> u32,
) -> Result<(String, Watched), SdpError> {
    answer(None, offer, local, available, rules, chance)
}

impl Watched {
    /// Reads another offer of the viewer's within the session and writes the answer. Sections keep their sources, and
    /// what they show for as long as it is there.
    pub fn answer(
        &self,
        offer: &str,
        local: &Local,
        available: &Available,
        rules: &Rules,
        chance: &mut dyn FnMut() -> u32,
    ) -> Result<(String, Self), SdpError> {
        answer(Some(self), offer, local, available, rules, chance)
    }

    fn track_of(&self, media: &Media) -> Option<&WatchedTrack> {
        self.tracks().find(|track| Some(&track.mid) == media.mid.as_ref() && track.kind == media.kind)
    }
}

fn answer(
    before: Option<&Watched>,
    offer: &str,
    local: &Local,
    available: &Available,
    rules: &Rules,
    chance: &mut dyn FnMut() -> u32,
) -> Result<(String, Watched), SdpError> {
    let offer = Description::parse(offer)?;
    if before.is_some_and(|before| before.sections.len() > offer.media.len()) {
        return Err(SdpError::Mismatch("it has fewer sections than before"));
    }
    let held = |key: usize| {
        let sections = offer.media.iter().filter(|media| media.direction.receives());
        sections.filter_map(|media| before?.track_of(media)).any(|track| track.key == Some(key))
    };
    let taken = available.tracks.iter().map(|track| held(track.key)).collect();
    let known = before.into_iter().flat_map(Watched::tracks);
    let sources = known.flat_map(|track| [Some(track.ssrc), track.rtx]).flatten().collect();
    let mut planner = Planner { available, rules, before, taken, chance, sources };
    let mut sections = Vec::with_capacity(offer.media.len());
    for (index, media) in offer.media.iter().enumerate() {
        sections.push(planner.section(&offer, index, media)?);
    }
    let tracks = || {
        sections.iter().filter_map(|section| match section {
            WatchedSection::Track(track) => Some(track),
            WatchedSection::Refused { .. } => None,
        })
    };
    for kind in [Kind::Audio, Kind::Video] {
        let (count, max) = (tracks().filter(|track| track.kind == kind).count(), rules.tracks_max(kind));
        if count > max {
            return Err(SdpError::TooManyTracks { kind, count, max });
        }
    }
    let has_none = !available.tracks.is_empty() && tracks().all(|track| track.key.is_none());
    if tracks().next().is_none() || (has_none && rules.whole) {
        return Err(SdpError::Nothing);
    }
    check_extension_ids(tracks().map(|track| &track.extensions))?;
    let peer = path::offerer(&offer)?;
    let mut is_first = true;
    let mut written = Vec::with_capacity(sections.len());
    for (offered, section) in offer.media.iter().zip(&sections) {
        match section {
            WatchedSection::Refused { .. } => written.push(path::refused(offered)),
            WatchedSection::Track(track) => {
                let direction =
                    if offered.direction.receives() { Direction::SendOnly } else { Direction::Inactive };
                let mut media = track.media(available, direction);
                media.protocol = offered.protocol;
                media.extensions = extension_lines(offered, &track.extensions);
                path::dress(&mut media, local, peer.role.setup(), std::mem::take(&mut is_first));
                written.push(media);
            }
        }
    }
    let version = before.map_or(0, |before| before.version) + 1;
    let text = path::description(local, version, offer.extmap_allow_mixed, written).to_string();
    Ok((text, Watched { peer, sections, version }))
}

struct Planner<'a> {
    available: &'a Available,
    rules: &'a Rules,
    before: Option<&'a Watched>,
    taken: Vec<bool>,
    chance: &'a mut dyn FnMut() -> u32,
    sources: Vec<u32>,
}

impl Planner<'_> {
    fn section(
        &mut self,
        offer: &Description,
        index: usize,
        media: &Media,
    ) -> Result<WatchedSection, SdpError> {
        let is_media = media.kind.is_media() && media.protocol.is_rtp();
        if media.is_rejected() || (!is_media && !self.rules.whole) {
            return Ok(WatchedSection::Refused {
                kind: media.kind,
                protocol: media.protocol,
                mid: media.mid.clone(),
                payload_type: media.formats.first().map(|format| format.payload_type),
            });
        }
        if !is_media {
            return Err(SdpError::Unusable { mid: media.shown(), kind: media.kind });
        }
        if self.rules.whole && !media.direction.receives() {
            let wanted = "who watches offers recvonly or sendrecv";
            return Err(SdpError::Direction { mid: media.shown(), found: media.direction, wanted });
        }
        let mid = path::check(offer, index)?.clone();
        let Matched { mut codecs, red, extensions } = matched(offer, media, Flow::ToPeer);
        if codecs.is_empty() {
            return Err(no_codec(media, &[]));
        }
        let receives = media.direction.receives();
        let before = self.before.and_then(|before| before.track_of(media));
        let held = before.and_then(|before| before.key).filter(|_| receives);
        let held = held.and_then(|key| self.available.tracks.iter().position(|track| track.key == key));
        let mut free = self.available.tracks.iter().zip(&self.taken);
        let next = held.or_else(|| {
            free.position(|(track, is_taken)| receives && !is_taken && track.codec.kind() == media.kind)
        });
        if let Some(next) = next {
            self.taken[next] = true;
            prefer(&mut codecs, &self.available.tracks[next].codec)
                .ok_or_else(|| no_codec(media, &[self.available.tracks[next].codec]))?;
        }
        let has_rtx = codecs.iter().any(|codec| codec.rtx.is_some());
        Ok(WatchedSection::Track(WatchedTrack {
            section: index,
            mid,
            kind: media.kind,
            key: next.map(|next| self.available.tracks[next].key),
            codecs,
            red,
            extensions,
            ssrc: before.map_or_else(|| fresh(self.chance, &mut self.sources), |before| before.ssrc),
            rtx: has_rtx.then(|| {
                let known = before.and_then(|before| before.rtx);
                known.unwrap_or_else(|| fresh(self.chance, &mut self.sources))
            }),
        }))
    }
}

/// What fits what is sent comes first. None: nothing does.
pub(crate) fn prefer(codecs: &mut [AgreedCodec], sent: &Codec) -> Option<()> {
    let best = payload_for(codecs, sent)?.payload_type;
    let place = codecs.iter().position(|codec| codec.payload_type == best)?;
    codecs[..=place].rotate_right(1);
    if let (Codec::Opus(sent), Codec::Opus(theirs)) = (sent, &mut codecs[0].codec) {
        theirs.sends_stereo = sent.stereo || sent.sends_stereo;
    }
    Some(())
}

/// A number that no other source of the session has. 0 is left out: some take it for none.
pub(crate) fn fresh(chance: &mut dyn FnMut() -> u32, sources: &mut Vec<u32>) -> u32 {
    let mut ssrc = chance();
    // Whatever chance gives, this ends: there are fewer sources than numbers.
    while ssrc == 0 || sources.contains(&ssrc) {
        ssrc = ssrc.wrapping_add(1);
    }
    sources.push(ssrc);
    ssrc
}

impl WatchedTrack {
    /// The section in our words, but for the transport and for extensions.
    pub(crate) fn media(&self, available: &Available, direction: Direction) -> Media {
        let mut media = Media::new(self.kind);
        media.mid = Some(self.mid.clone());
        media.direction = direction;
        let sent: Vec<AgreedCodec> =
            self.codecs.iter().map(|agreed| AgreedCodec { codec: sent(agreed.codec), ..*agreed }).collect();
        media.formats = formats(&sent, self.red.map(|red| AgreedRed { preferred: false, ..red }));
        if direction == Direction::Inactive {
            return media;
        }
        let track = available.tracks.iter().find(|track| Some(track.key) == self.key);
        let id = track.map_or_else(|| Word::hex(u64::from(self.ssrc)), |track| track.id.clone());
        media.msids = vec![Msid { stream: Some(available.stream.clone()), track: Some(id) }];
        let cname = Some(available.cname.clone());
        media.sources = vec![Source { ssrc: self.ssrc, cname: cname.clone() }];
        if let Some(rtx) = self.rtx {
            media.groups = vec![SourceGroup::Repair { ssrc: self.ssrc, rtx }];
            media.sources.push(Source { ssrc: rtx, cname });
        }
        media
    }

    /// Whether the publisher's codec may be changed to this one without another offer.
    pub fn payload_for(&self, sent: &Codec) -> Option<&AgreedCodec> {
        payload_for(&self.codecs, sent)
    }

    pub fn has_transport_cc(&self) -> bool {
        self.extensions.has(Extension::TransportCc)
    }
}

/// What we say of a codec as the one who sends.
fn sent(codec: Codec) -> Codec {
    match codec {
        Codec::Opus(opus) => {
            let is_stereo = opus.sends_stereo;
            Codec::Opus(Opus { stereo: is_stereo, bits_per_second_max: None, ..opus })
        }
        codec => codec,
    }
}
