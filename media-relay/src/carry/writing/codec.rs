//! Codecs with their parameters.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use turnpike_sdp::{Av1, Codec, H264, Opus};

use super::flag;
use super::reading::Unreadable;

const OPUS: u8 = 0;
const VP8: u8 = 1;
const VP9: u8 = 2;
const H264_: u8 = 3;
const AV1: u8 = 4;

/// Flags of Opus.
const STEREO: u8 = 1;
const SENDS_STEREO: u8 = 2;
const DTX: u8 = 4;
const FEC: u8 = 8;
const HAS_PACKET_MS: u8 = 16;
const HAS_BITRATE: u8 = 32;

pub(super) fn write(codec: &Codec, out: &mut BytesMut) {
    match codec {
        Codec::Opus(opus) => {
            out.put_u8(OPUS);
            out.put_u8(
                flag(STEREO, opus.stereo)
                    | flag(SENDS_STEREO, opus.sends_stereo)
                    | flag(DTX, opus.dtx)
                    | flag(FEC, opus.fec)
                    | flag(HAS_PACKET_MS, opus.min_packet_ms.is_some())
                    | flag(HAS_BITRATE, opus.bits_per_second_max.is_some()),
            );
            out.put_u8(opus.min_packet_ms.unwrap_or_default());
            out.put_u32(opus.bits_per_second_max.unwrap_or_default());
        }
        Codec::Vp8 => out.put_u8(VP8),
        Codec::Vp9 { profile } => {
            out.put_u8(VP9);
            out.put_u8(*profile);
        }
        Codec::H264(h264) => {
            out.put_u8(H264_);
            out.put_u8(h264.profile);
            out.put_u8(h264.constraints);
            out.put_u8(h264.level);
            out.put_u8(h264.packetization_mode);
            out.put_u8(u8::from(h264.level_asymmetry));
        }
        Codec::Av1(av1) => {
            out.put_u8(AV1);
            out.put_u8(av1.profile);
            out.put_u8(av1.level);
            out.put_u8(av1.tier);
        }
    }
}

/// None: one of a later version.
pub(super) fn read(from: &mut Bytes) -> Result<Option<Codec>, Unreadable> {
    Ok(Some(match from.try_get_u8()? {
        OPUS => {
            let flags = from.try_get_u8()?;
            let is = |bit| flags & bit != 0;
            let (packet_ms, bitrate) = (from.try_get_u8()?, from.try_get_u32()?);
            Codec::Opus(Opus {
                stereo: is(STEREO),
                sends_stereo: is(SENDS_STEREO),
                dtx: is(DTX),
                fec: is(FEC),
                min_packet_ms: is(HAS_PACKET_MS).then_some(packet_ms),
                bits_per_second_max: is(HAS_BITRATE).then_some(bitrate),
            })
        }
        VP8 => Codec::Vp8,
        VP9 => Codec::Vp9 { profile: from.try_get_u8()? },
        H264_ => Codec::H264(H264 {
            profile: from.try_get_u8()?,
            constraints: from.try_get_u8()?,
            level: from.try_get_u8()?,
            packetization_mode: from.try_get_u8()?,
            level_asymmetry: from.try_get_u8()? != 0,
        }),
        AV1 => Codec::Av1(Av1 {
            profile: from.try_get_u8()?,
            level: from.try_get_u8()?,
            tier: from.try_get_u8()?,
        }),
        _ => return Ok(None),
    }))
}
