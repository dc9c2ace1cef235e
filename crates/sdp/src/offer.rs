//! Our own offer to somebody who watches: at first, and again when tracks come and go. And its answer.
//!
//! A section keeps its place and its mid for as long as the session lives (RFC 3264 8). One whose track went is inactive,
//! and the next track of its kind takes it.

use crate::agreement::{AgreedCodec, AgreedRed, Local};
use crate::codec::{Av1, H264, Opus};
use crate::dtls::Setup;
use crate::error::SdpError;
use crate::extension::{Extension, ExtensionIds, ExtensionLine};
use crate::format::{Encoding, Feedback, Format};
use crate::limits::SECTIONS_MAX;
use crate::matching::{Flow, matched, no_codec};
use crate::media::{Media, Protocol};
use crate::viewer::{Available, Watched, WatchedSection, WatchedTrack, fresh, prefer};
use crate::{Codec, Description, Direction, Kind, Mid, path};

const OPUS: Codec = Codec::Opus(Opus {
    stereo: false,
    sends_stereo: false,
    dtx: false,
    fec: true,
    min_packet_ms: Some(10),
    bits_per_second_max: None,
});

/// The numbers that Chromium has, with those of their repairs.
const NUMBERS: &[(Codec, u8, Option<u8>)] = &[
    (OPUS, 111, None),
    (Codec::Vp8, 96, Some(97)),
    (Codec::Vp9 { profile: 0 }, 98, Some(99)),
    (Codec::H264(H264::CONSTRAINED_BASELINE), 108, Some(109)),
    (Codec::H264(H264::MAIN), 123, Some(118)),
    (Codec::H264(H264::HIGH), 114, Some(115)),
    (Codec::Av1(Av1 { profile: 0, level: 5, tier: 0 }), 45, Some(46)),
];

const RED_NUMBER: u8 = 63;

const EXTENSIONS: &[(Extension, u8)] = &[
    (Extension::AudioLevel, 1),
    (Extension::AbsSendTime, 2),
    (Extension::TransportCc, 3),
    (Extension::Mid, 4),
    (Extension::PlayoutDelay, 5),
    (Extension::VideoOrientation, 6),
    (Extension::AbsCaptureTime, 7),
    (Extension::DependencyDescriptor, 8),
];

/// An offer that waits for its answer.
#[derive(Debug, Clone)]
pub struct Offer {
    text: String,
    sections: Vec<WatchedSection>,
    version: u64,
    /// What each track sends, by key.
    sent: Vec<(usize, Codec)>,
}

impl Offer {
    /// To somebody new. `chance` gives numbers for our sources. More tracks than a description has sections for are not
    /// offered.
    pub fn new(local: &Local, available: &Available, chance: &mut dyn FnMut() -> u32) -> Self {
        Self::after(Vec::new(), 0, true, local, available, chance)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    fn after(
        sections: Vec<WatchedSection>,
        version: u64,
        allow_mixed: bool,
        local: &Local,
        available: &Available,
        chance: &mut dyn FnMut() -> u32,
    ) -> Self {
        let mut desk = Desk { sections, chance, sources: Vec::new() };
        desk.sources = desk.tracks().flat_map(|track| [Some(track.ssrc), track.rtx]).flatten().collect();
        for section in &mut desk.sections {
            if let WatchedSection::Track(track) = section {
                track.key = track.key.filter(|key| available.tracks.iter().any(|there| there.key == *key));
            }
        }
        for there in &available.tracks {
            desk.place(there.key, there.codec);
        }
        let version = version + 1;
        let text = desk.text(local, version, allow_mixed, available);
        let sent = available.tracks.iter().map(|track| (track.key, track.codec)).collect();
        Self { text, sections: desk.sections, version, sent }
    }

    /// Reads the answer. The offer may be answered again if this answer could not be used.
    pub fn answered(&self, answer: &str) -> Result<Watched, SdpError> {
        let answer = Description::parse(answer)?;
        if answer.media.len() != self.sections.len() {
            return Err(SdpError::Mismatch("it has not as many sections"));
        }
        let mut sections = Vec::with_capacity(self.sections.len());
        for (index, (offered, media)) in self.sections.iter().zip(&answer.media).enumerate() {
            sections.push(self.section(&answer, index, offered, media)?);
        }
        let is_taken = |section: &WatchedSection| matches!(section, WatchedSection::Track(_));
        if !sections.iter().any(is_taken) {
            return Err(SdpError::Nothing);
        }
        let peer = path::answerer(&answer)?;
        Ok(Watched { peer, sections, version: self.version })
    }

    fn section(
        &self,
        answer: &Description,
        index: usize,
        offered: &WatchedSection,
        media: &Media,
    ) -> Result<WatchedSection, SdpError> {
        let (kind, protocol) = match offered {
            WatchedSection::Track(track) => (track.kind, Protocol::UdpTlsRtpSavpf),
            WatchedSection::Refused { kind, protocol, .. } => (*kind, *protocol),
        };
        if media.kind != kind {
            return Err(SdpError::Mismatch("its sections are not of the same kinds"));
        }
        let (WatchedSection::Track(track), false) = (offered, media.is_rejected()) else {
            let mid = match offered {
                WatchedSection::Track(track) => Some(track.mid.clone()),
                WatchedSection::Refused { mid, .. } => mid.clone(),
            };
            let payload_type = media.formats.first().map(|format| format.payload_type);
            return Ok(WatchedSection::Refused { kind, protocol, mid, payload_type });
        };
        if *path::check(answer, index)? != track.mid {
            return Err(SdpError::Mismatch("its sections have other mids"));
        }
        if media.direction == Direction::SendOnly {
            let wanted = "who watches answers recvonly";
            return Err(SdpError::Direction { mid: media.shown(), found: media.direction, wanted });
        }
        let theirs = matched(answer, media, Flow::ToPeer);
        let mut codecs: Vec<AgreedCodec> = track
            .codecs
            .iter()
            .filter_map(|ours| {
                let theirs = theirs.codecs.iter().find(|theirs| theirs.payload_type == ours.payload_type)?;
                // The number is ours, so it can mean nothing else.
                (theirs.codec.name() == ours.codec.name()).then(|| AgreedCodec {
                    feedback: ours.feedback.both(theirs.feedback),
                    rtx: ours.rtx.filter(|rtx| theirs.rtx == Some(*rtx)),
                    ..*ours
                })
            })
            .collect();
        let sent = self.sent.iter().find(|(key, _)| Some(*key) == track.key).map(|(_, codec)| *codec);
        if codecs.is_empty() {
            return Err(no_codec(media, sent.as_slice()));
        }
        if let Some(sent) = sent {
            prefer(&mut codecs, &sent).ok_or_else(|| no_codec(media, &[sent]))?;
        }
        let mut extensions = ExtensionIds::default();
        for (extension, id) in track.extensions.iter() {
            if theirs.extensions.id(extension) == Some(id) {
                extensions.set(extension, id);
            }
        }
        Ok(WatchedSection::Track(WatchedTrack {
            // One that does not want to see it now is not sent anything.
            key: track.key.filter(|_| media.direction.receives()),
            rtx: track.rtx.filter(|_| codecs.iter().any(|codec| codec.rtx.is_some())),
            red: track.red.filter(|ours| theirs.red.is_some_and(|red| red.payload_type == ours.payload_type)),
            codecs,
            extensions,
            ..track.clone()
        }))
    }
}

impl Watched {
    /// Another offer within the session: for tracks that came, went, or are sent otherwise. If nothing else changed the
    /// local side is the same as before; new credentials restart ICE.
    pub fn offer(&self, local: &Local, available: &Available, chance: &mut dyn FnMut() -> u32) -> Offer {
        Offer::after(
            self.sections.clone(),
            self.version,
            self.peer.extmap_allow_mixed,
            local,
            available,
            chance,
        )
    }
}

/// Sections while they are being arranged.
struct Desk<'a> {
    sections: Vec<WatchedSection>,
    chance: &'a mut dyn FnMut() -> u32,
    /// All numbers of sources that were given out in this session.
    sources: Vec<u32>,
}

impl Desk<'_> {
    fn tracks(&self) -> impl Iterator<Item = &WatchedTrack> {
        self.sections.iter().filter_map(|section| match section {
            WatchedSection::Track(track) => Some(track),
            WatchedSection::Refused { .. } => None,
        })
    }

    /// Sees to it that the track has a section, with its codec first.
    fn place(&mut self, key: usize, codec: Codec) {
        let kind = codec.kind();
        let index = self.sections.iter().position(|section| match section {
            WatchedSection::Track(track) => track.key == Some(key),
            WatchedSection::Refused { .. } => false,
        });
        let free = || {
            self.sections.iter().position(|section| match section {
                WatchedSection::Track(track) => track.key.is_none() && track.kind == kind,
                WatchedSection::Refused { .. } => false,
            })
        };
        let mut track = match index.or_else(free) {
            Some(at) => {
                let WatchedSection::Track(track) = self.sections[at].clone() else { return };
                // Another track is another source: the viewer's decoder begins anew.
                if index.is_some() { track } else { self.with_sources(track) }
            }
            None if self.sections.len() >= SECTIONS_MAX => return,
            None => {
                let track = self.new_section(kind);
                self.with_sources(track)
            }
        };
        track.key = Some(key);
        self.complete(&mut track);
        // The table has every codec that is taken, but not every profile of it: then it is offered as it is.
        if prefer(&mut track.codecs, &codec).is_none() {
            self.number(&mut track, codec);
            let _ = prefer(&mut track.codecs, &codec);
        }
        if track.rtx.is_none() && kind == Kind::Video {
            track.rtx = Some(fresh(self.chance, &mut self.sources));
        }
        let at = track.section;
        if at == self.sections.len() {
            self.sections.push(WatchedSection::Track(track));
        } else {
            self.sections[at] = WatchedSection::Track(track);
        }
    }

    fn with_sources(&mut self, track: WatchedTrack) -> WatchedTrack {
        let ssrc = fresh(self.chance, &mut self.sources);
        let rtx = (track.kind == Kind::Video).then(|| fresh(self.chance, &mut self.sources));
        WatchedTrack { ssrc, rtx, ..track }
    }

    fn new_section(&self, kind: Kind) -> WatchedTrack {
        let is_free = |mid: &Mid| {
            self.sections.iter().all(|section| match section {
                WatchedSection::Track(track) => track.mid != *mid,
                WatchedSection::Refused { mid: taken, .. } => taken.as_ref() != Some(mid),
            })
        };
        let mid =
            (0..=SECTIONS_MAX).map(Mid::number).find(is_free).expect("there are fewer sections than numbers");
        // What was agreed for one of its kind holds for this one as well.
        let like = self.tracks().find(|track| track.kind == kind);
        WatchedTrack {
            section: self.sections.len(),
            mid,
            kind,
            key: None,
            codecs: like.map(|like| like.codecs.clone()).unwrap_or_default(),
            red: like.and_then(|like| like.red),
            extensions: like.map_or_else(|| self.new_extensions(kind), |like| like.extensions),
            ssrc: 0,
            rtx: None,
        }
    }

    /// All of the table that the section has not yet.
    fn complete(&self, track: &mut WatchedTrack) {
        let kind = track.kind;
        for (codec, number, rtx) in NUMBERS.iter().filter(|(codec, ..)| codec.kind() == kind) {
            if track.codecs.iter().all(|known| codec.decoded_by(&known.codec) != Some(0)) {
                self.add(track, *codec, Some((*number, *rtx)));
            }
        }
        if track.kind == Kind::Audio && track.red.is_none() && self.is_free(track, RED_NUMBER) {
            let of = track.codecs.first().map(|codec| codec.payload_type);
            track.red = of.map(|of| AgreedRed { payload_type: RED_NUMBER, of, preferred: false });
        }
    }

    fn number(&self, track: &mut WatchedTrack, codec: Codec) {
        self.add(track, codec, None);
    }

    /// With its own numbers if they are free, else with others; not at all if there are no more.
    fn add(&self, track: &mut WatchedTrack, codec: Codec, own: Option<(u8, Option<u8>)>) {
        let free = |track: &WatchedTrack, not: Option<u8>| {
            (96..=127).chain(35..=63).find(|number| Some(*number) != not && self.is_free(track, *number))
        };
        let own = own.filter(|(number, rtx)| {
            self.is_free(track, *number) && rtx.is_none_or(|rtx| self.is_free(track, rtx))
        });
        let found = self.shared(track, codec).or(own).or_else(|| {
            let number = free(track, None)?;
            let rtx = if track.kind == Kind::Video { Some(free(track, Some(number))?) } else { None };
            Some((number, rtx))
        });
        let Some((payload_type, rtx)) = found else { return };
        track.codecs.push(AgreedCodec { payload_type, codec, feedback: Feedback::ours(track.kind), rtx });
    }

    /// The numbers that the same codec has in another section.
    fn shared(&self, track: &WatchedTrack, codec: Codec) -> Option<(u8, Option<u8>)> {
        let mut others =
            self.tracks().filter(|other| other.section != track.section).flat_map(|other| &other.codecs);
        let there = others.find(|there| there.codec == codec)?;
        let is_free = |number: u8| !has_number(track, number);
        (is_free(there.payload_type) && there.rtx.is_none_or(is_free))
            .then_some((there.payload_type, there.rtx))
    }

    fn is_free(&self, track: &WatchedTrack, number: u8) -> bool {
        let mut others = self.tracks().filter(|other| other.section != track.section);
        !has_number(track, number) && !others.any(|other| has_number(other, number))
    }

    fn new_extensions(&self, kind: Kind) -> ExtensionIds {
        let mut all = ExtensionIds::default();
        self.tracks()
            .flat_map(|track| track.extensions.iter())
            .for_each(|(extension, id)| all.set(extension, id));
        let mut ids = ExtensionIds::default();
        for (extension, id) in EXTENSIONS {
            let of_kind = match kind {
                Kind::Audio => !extension.is_video_only(),
                _ => *extension != Extension::AudioLevel,
            };
            let free = |id: &u8| all.extension(*id).is_none();
            let id = all.id(*extension).or_else(|| Some(*id).filter(free).or_else(|| (1..=14).find(free)));
            if let (true, Some(id)) = (of_kind, id) {
                ids.set(*extension, id);
                all.set(*extension, id);
            }
        }
        ids
    }

    fn text(&self, local: &Local, version: u64, allow_mixed: bool, available: &Available) -> String {
        let mut is_first = true;
        let mut written = Vec::with_capacity(self.sections.len());
        for section in &self.sections {
            match section {
                WatchedSection::Refused { kind, protocol, mid, payload_type } => {
                    let mut media = Media::new(*kind);
                    (media.port, media.protocol, media.direction) = (0, *protocol, Direction::Inactive);
                    media.mid.clone_from(mid);
                    let format = |payload_type| Format {
                        payload_type,
                        encoding: Encoding::Unnamed,
                        feedback: Feedback::default(),
                    };
                    media.formats = payload_type.map(format).into_iter().collect();
                    written.push(media);
                }
                WatchedSection::Track(track) => {
                    let direction =
                        if track.key.is_some() { Direction::SendOnly } else { Direction::Inactive };
                    let mut media = track.media(available, direction);
                    let line =
                        |(extension, id)| ExtensionLine { id, extension, direction: Direction::SendRecv };
                    media.extensions = track.extensions.iter().map(line).collect();
                    path::dress(&mut media, local, Setup::ActPass, std::mem::take(&mut is_first));
                    written.push(media);
                }
            }
        }
        path::description(local, version, allow_mixed, written).to_string()
    }
}

fn has_number(track: &WatchedTrack, number: u8) -> bool {
    let mut codecs = track.codecs.iter();
    codecs.any(|codec| codec.payload_type == number || codec.rtx == Some(number))
        || track.red.is_some_and(|red| red.payload_type == number)
}
