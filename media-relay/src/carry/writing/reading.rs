//! The way back. Whatever stands there: nothing panics, and no more is allocated than has come.

use bytes::{Buf, Bytes, TryGetError};
use turnpike_rtp::{ClockMapping, NtpTime};
use turnpike_wire::UserId;
use turnpike_wire::limits::VIEWERS_NAMED_MAX;
use turnpike_wire::media::{Kind, Mid, Rid};

use super::{
    ACTIVE, AGAIN, AGAIN_MAX, DOWN_CLOCK, DOWN_OVER, DOWN_PACKET, DOWN_STREAM, EXTENSIONS,
    EXTENSIONS_BYTES_MAX, HAS_RID, HAS_SIZE, LAYERS_MAX, MARKER, MUTED, PATH_MAX, RECORDED, RUNGS_MAX,
    TRACKS_MAX, UP_AGAIN, UP_AUDIENCE, UP_KEYFRAME, UP_WANT, VIDEO, codec,
};
use crate::carry::{Carried, CarriedLayer, CarriedStream, CarriedTrack, Down, Up};

/// Nothing that one of us has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it ends too soon")]
    Short,
    #[error("{0} cannot be so")]
    Odd(&'static str),
}

impl From<TryGetError> for Unreadable {
    fn from(_: TryGetError) -> Self {
        Self::Short
    }
}

/// Its bytes are shared with those that it is read from.
pub(crate) fn read_packet(mut from: Bytes) -> Result<Carried, Unreadable> {
    let flags = from.try_get_u8()?;
    if flags & !(MARKER | AGAIN | EXTENSIONS) != 0 {
        return Err(Unreadable::Odd("the form of a packet"));
    }
    let (layer, life) = (from.try_get_u8()?, from.try_get_u8()?);
    let (track, sequence, timestamp) = (from.try_get_u16()?, from.try_get_u16()?, from.try_get_u32()?);
    let mut extensions = Bytes::new();
    if flags & EXTENSIONS != 0 {
        let len = usize::from(from.try_get_u16()?);
        if len > EXTENSIONS_BYTES_MAX {
            return Err(Unreadable::Odd("the length of extensions"));
        }
        extensions = take(&mut from, len)?;
    }
    let (marker, is_again) = (flags & MARKER != 0, flags & AGAIN != 0);
    Ok(Carried { track, layer, life, is_again, marker, sequence, timestamp, extensions, payload: from })
}

/// None: a word of a later version.
pub(crate) fn read_down(mut from: Bytes) -> Result<Option<Down>, Unreadable> {
    Ok(Some(match from.try_get_u8()? {
        DOWN_PACKET => Down::Packet(read_packet(from)?),
        DOWN_STREAM => Down::Stream(read_stream(&mut from)?),
        DOWN_CLOCK => Down::Clock {
            track: from.try_get_u16()?,
            layer: from.try_get_u8()?,
            clock: ClockMapping { ntp: NtpTime(from.try_get_u64()?), rtp: from.try_get_u32()? },
            age_ms: from.try_get_u32()?,
        },
        DOWN_OVER => Down::Over,
        _ => return Ok(None),
    }))
}

/// None: a word of a later version.
pub(crate) fn read_up(mut from: Bytes) -> Result<Option<Up>, Unreadable> {
    let from = &mut from;
    Ok(Some(match from.try_get_u8()? {
        UP_WANT => {
            Up::Want(list(from, TRACKS_MAX, |from| Ok(Some((from.try_get_u16()?, from.try_get_u8()?))))?)
        }
        UP_KEYFRAME => Up::Keyframe { track: from.try_get_u16()?, layer: from.try_get_u8()? },
        UP_AGAIN => Up::Again {
            track: from.try_get_u16()?,
            layer: from.try_get_u8()?,
            sequences: list(from, AGAIN_MAX, |from| Ok(Some(from.try_get_u16()?)))?,
        },
        UP_AUDIENCE => Up::Audience {
            viewers: from.try_get_u64()?,
            named: list(from, VIEWERS_NAMED_MAX, |from| user(from).map(Some))?,
        },
        _ => return Ok(None),
    }))
}

fn read_stream(from: &mut Bytes) -> Result<CarriedStream, Unreadable> {
    Ok(CarriedStream {
        viewers: from.try_get_u64()?,
        path: list(from, PATH_MAX, |from| Ok(Some(from.try_get_u64()?)))?,
        tracks: list(from, TRACKS_MAX, |from| read_track(&mut sized(from)?))?,
        is_recorded: from.try_get_u8()? & RECORDED != 0,
    })
}

/// None: of a codec that this version does not know, so that nobody here could be shown it.
fn read_track(from: &mut Bytes) -> Result<Option<CarriedTrack>, Unreadable> {
    let (number, publisher, flags) = (from.try_get_u16()?, from.try_get_u32()?, from.try_get_u8()?);
    let Some(codec) = codec::read(from)? else { return Ok(None) };
    let is_video = flags & VIDEO != 0;
    if (codec.kind() == turnpike_sdp::Kind::Video) != is_video {
        return Err(Unreadable::Odd("the kind of a track"));
    }
    Ok(Some(CarriedTrack {
        number,
        publisher,
        user: user(from)?,
        mid: text(from, |text| Mid::parse(text).ok(), "a mid")?.as_str().to_owned(),
        kind: if is_video { Kind::Video } else { Kind::Audio },
        codec,
        muted: flags & MUTED != 0,
        layers: list(from, LAYERS_MAX, |from| read_layer(&mut sized(from)?).map(Some))?,
    }))
}

fn read_layer(from: &mut Bytes) -> Result<CarriedLayer, Unreadable> {
    let (flags, life) = (from.try_get_u8()?, from.try_get_u8()?);
    let rid = match flags & HAS_RID {
        0 => None,
        _ => Some(text(from, |text| Rid::parse(text).ok(), "a rid")?),
    };
    let size = match flags & HAS_SIZE {
        0 => None,
        _ => Some((from.try_get_u16()?, from.try_get_u16()?)),
    };
    let rungs = list(from, RUNGS_MAX, |from| {
        Ok(Some((from.try_get_u8()?, from.try_get_u8()?, from.try_get_u64()?)))
    })?;
    Ok(CarriedLayer { rid, life, is_active: flags & ACTIVE != 0, rungs, size })
}

fn user(from: &mut Bytes) -> Result<UserId, Unreadable> {
    text(from, |text| UserId::parse(text).ok(), "a user")
}

fn text<T>(
    from: &mut Bytes,
    parse: impl FnOnce(&str) -> Option<T>,
    what: &'static str,
) -> Result<T, Unreadable> {
    let len = usize::from(from.try_get_u8()?);
    let text = take(from, len)?;
    std::str::from_utf8(&text).ok().and_then(parse).ok_or(Unreadable::Odd(what))
}

/// Items that are left out are not counted any more.
fn list<T>(
    from: &mut Bytes,
    items_max: usize,
    mut read: impl FnMut(&mut Bytes) -> Result<Option<T>, Unreadable>,
) -> Result<Vec<T>, Unreadable> {
    let count = usize::from(from.try_get_u16()?);
    if count > items_max {
        return Err(Unreadable::Odd("the length of a list"));
    }
    // It grows with what is there, not with what was announced.
    let mut items = Vec::new();
    for _ in 0..count {
        items.extend(read(from)?);
    }
    Ok(items)
}

fn sized(from: &mut Bytes) -> Result<Bytes, Unreadable> {
    let len = usize::from(from.try_get_u16()?);
    take(from, len)
}

fn take(from: &mut Bytes, len: usize) -> Result<Bytes, Unreadable> {
    if from.len() < len {
        return Err(Unreadable::Short);
    }
    Ok(from.split_to(len))
}
