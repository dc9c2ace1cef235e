//! What of an offered section we take: codecs, repair, redundancy, header extensions.

use crate::agreement::{AgreedCodec, AgreedRed};
use crate::error::SdpError;
use crate::extension::{Extension, ExtensionIds};
use crate::format::{Encoding, Feedback};
use crate::limits::EXTENSION_ID_MAX;
use crate::media::Media;
use crate::{Codec, Description, Kind};

/// Above this only the two-byte form has room (RFC 8285 4.2).
const ONE_BYTE_ID_MAX: u8 = 14;

/// What of a section can be used by both sides.
#[derive(Debug, Clone)]
pub(crate) struct Matched {
    /// In the order in which they were offered.
    pub(crate) codecs: Vec<AgreedCodec>,
    pub(crate) red: Option<AgreedRed>,
    pub(crate) extensions: ExtensionIds,
}

/// Which way media goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    FromPeer,
    ToPeer,
}

pub(crate) fn matched(description: &Description, media: &Media, flow: Flow) -> Matched {
    let mut codecs = codecs(media);
    let red = red(media, &codecs);
    let mut extensions = ExtensionIds::default();
    let id_max = if description.extmap_allow_mixed { EXTENSION_ID_MAX } else { ONE_BYTE_ID_MAX };
    for line in &media.extensions {
        let flows = match flow {
            Flow::FromPeer => line.direction.sends(),
            // Layers have no names on the way to a viewer: it gets one.
            Flow::ToPeer => {
                line.direction.receives()
                    && !matches!(line.extension, Extension::Rid | Extension::RepairedRid)
            }
        };
        let of_kind = media.kind == Kind::Video || !line.extension.is_video_only();
        let of_kind = of_kind && (media.kind == Kind::Audio || line.extension != Extension::AudioLevel);
        if flows && of_kind && line.id <= id_max {
            extensions.set(line.extension, line.id);
        }
    }
    // Feedback for the whole transport needs both the number in packets and the word for reports about it. Who has it
    // needs neither the time of sending nor an estimate made by the receiver.
    let whole =
        extensions.has(Extension::TransportCc) && codecs.iter().any(|codec| codec.feedback.transport_cc);
    extensions.set(if whole { Extension::AbsSendTime } else { Extension::TransportCc }, 0);
    for codec in &mut codecs {
        codec.feedback.transport_cc &= whole;
        codec.feedback.remb &= !whole;
    }
    Matched { codecs, red, extensions }
}

fn codecs(media: &Media) -> Vec<AgreedCodec> {
    let usable = media.formats.iter().filter(|format| format.is_told_from_rtcp());
    let usable = usable.filter_map(|format| Some((format, format.codec()?)));
    usable
        .filter(|(_, codec)| codec.kind() == media.kind && codec.is_taken())
        .map(|(format, codec)| AgreedCodec {
            payload_type: format.payload_type,
            codec,
            feedback: format.feedback.both(Feedback::ours(media.kind)),
            rtx: rtx(media, format.payload_type),
        })
        .collect()
}

fn rtx(media: &Media, of: u8) -> Option<u8> {
    let repairs = media.formats.iter().filter(|format| {
        matches!(format.encoding, Encoding::Rtx { apt: Some(apt), .. } if apt == of)
            && format.is_told_from_rtcp()
    });
    // Audio is not sent again: it would come too late.
    repairs.map(|format| format.payload_type).next().filter(|_| media.kind == Kind::Video)
}

fn red(media: &Media, codecs: &[AgreedCodec]) -> Option<AgreedRed> {
    if media.kind != Kind::Audio {
        return None;
    }
    let place = |number: u8| media.formats.iter().position(|format| format.payload_type == number);
    media.formats.iter().find_map(|format| match format.encoding {
        Encoding::Red { of: Some(of), clock_hz: 48_000, .. }
            if format.is_told_from_rtcp() && codecs.iter().any(|codec| codec.payload_type == of) =>
        {
            let payload_type = format.payload_type;
            Some(AgreedRed { payload_type, of, preferred: place(payload_type) < place(of) })
        }
        _ => None,
    })
}

/// One number means one thing on a transport (RFC 9143 9.2): packets are read before it is known whose they are.
pub(crate) fn check_extension_ids<'a>(all: impl Iterator<Item = &'a ExtensionIds>) -> Result<(), SdpError> {
    let mut seen = ExtensionIds::default();
    for (extension, id) in all.flat_map(ExtensionIds::iter) {
        match seen.extension(id) {
            Some(other) if other != extension => return Err(SdpError::ExtensionTwice { id }),
            _ => {}
        }
        if seen.id(extension).is_none() {
            seen.set(extension, id);
        }
    }
    Ok(())
}

pub(crate) fn no_codec(media: &Media, taken: &[Codec]) -> SdpError {
    const SHOWN_MAX: usize = 12;
    let mut offered: Vec<String> = media
        .formats
        .iter()
        .filter(|format| !matches!(format.encoding, Encoding::Rtx { .. }))
        .map(super::format::Format::shown)
        .collect();
    offered.dedup();
    offered.truncate(SHOWN_MAX);
    let taken = match taken {
        [] if media.kind == Kind::Audio => "opus".to_owned(),
        [] => "VP8, VP9, H264 (mode 1), AV1".to_owned(),
        taken => taken.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    SdpError::NoCodec { mid: media.shown(), kind: media.kind, offered: offered.join(", "), taken }
}
