//! The binary form of what goes through a pipe, for a link.
//!
//! Two versions speak with each other while a system is being renewed. So whoever reads leaves out words of a kind that it
//! does not know, and what stands behind the fields that it knows: of words, tracks and layers alike. Numbers are big-endian.
//! How words follow each other in a stream is not known here.

mod codec;
mod reading;
#[cfg(test)]
mod tests;

use bytes::{BufMut, BytesMut};
use turnpike_wire::UserId;
use turnpike_wire::limits::{MID_BYTES_MAX, RID_BYTES_MAX, USER_ID_BYTES_MAX, VIEWERS_NAMED_MAX};
use turnpike_wire::media::Kind;

use super::{Carried, CarriedLayer, CarriedStream, CarriedTrack, Down, Up};

pub(crate) use self::reading::{Unreadable, read_down, read_packet, read_up};

/// Of any word but a packet. The largest by far is a stream with all its tracks.
pub(crate) const WORD_BYTES_MAX: usize = 256 * 1024;

/// A publisher has few tracks and a stream few publishers; what is beyond is not carried.
const TRACKS_MAX: usize = 512;
/// As many as a wish has bits, and one to spare.
const LAYERS_MAX: usize = 16;
/// Spatial times temporal layers; no codec has more than eight of each.
const RUNGS_MAX: usize = 64;
/// A tree of sixteen branches each is never so deep.
const PATH_MAX: usize = 64;
/// Who misses more asks for a keyframe.
const AGAIN_MAX: usize = 1_024;
/// In extensions' own form each has at most 257 bytes, and few go through.
const EXTENSIONS_BYTES_MAX: usize = 4_096;

const DOWN_PACKET: u8 = 0;
const DOWN_STREAM: u8 = 1;
const DOWN_CLOCK: u8 = 2;
const DOWN_OVER: u8 = 3;

const UP_WANT: u8 = 0;
const UP_KEYFRAME: u8 = 1;
const UP_AGAIN: u8 = 2;
const UP_AUDIENCE: u8 = 3;

/// Flags of a packet. Others are of a later form, which nobody can read.
const MARKER: u8 = 1;
const AGAIN: u8 = 2;
const EXTENSIONS: u8 = 4;

/// Flags of a stream.
const RECORDED: u8 = 1;

/// Flags of a track.
const MUTED: u8 = 1;
const VIDEO: u8 = 2;

/// Flags of a layer.
const ACTIVE: u8 = 1;
const HAS_RID: u8 = 2;
const HAS_SIZE: u8 = 4;

/// What a packet has besides its extensions and its payload.
const PACKET_HEAD_BYTES: usize = 11;

/// How many bytes [`write_packet`] writes.
pub(crate) fn packet_bytes(packet: &Carried) -> usize {
    let extensions = if has_extensions(packet) { 2 + packet.extensions.len() } else { 0 };
    PACKET_HEAD_BYTES + extensions + packet.payload.len()
}

/// It fills whatever it stands in: its end is the payload's.
pub(crate) fn write_packet(packet: &Carried, out: &mut BytesMut) {
    let has_extensions = has_extensions(packet);
    out.put_u8(flag(MARKER, packet.marker) | flag(AGAIN, packet.is_again) | flag(EXTENSIONS, has_extensions));
    out.put_u8(packet.layer);
    out.put_u8(packet.life);
    out.put_u16(packet.track);
    out.put_u16(packet.sequence);
    out.put_u32(packet.timestamp);
    if has_extensions {
        out.put_u16(packet.extensions.len() as u16);
        out.put_slice(&packet.extensions);
    }
    out.put_slice(&packet.payload);
}

fn has_extensions(packet: &Carried) -> bool {
    !packet.extensions.is_empty() && packet.extensions.len() <= EXTENSIONS_BYTES_MAX
}

pub(crate) fn write_down(word: &Down, out: &mut BytesMut) {
    match word {
        Down::Packet(packet) => {
            out.put_u8(DOWN_PACKET);
            write_packet(packet, out);
        }
        Down::Stream(stream) => {
            out.put_u8(DOWN_STREAM);
            write_stream(stream, out);
        }
        Down::Clock { track, layer, clock, age_ms } => {
            out.put_u8(DOWN_CLOCK);
            out.put_u16(*track);
            out.put_u8(*layer);
            out.put_u64(clock.ntp.0);
            out.put_u32(clock.rtp);
            out.put_u32(*age_ms);
        }
        Down::Over => out.put_u8(DOWN_OVER),
    }
}

pub(crate) fn write_up(word: &Up, out: &mut BytesMut) {
    match word {
        Up::Want(layers) => {
            out.put_u8(UP_WANT);
            list(layers, TRACKS_MAX, out, |(track, layers), out| {
                out.put_u16(*track);
                out.put_u8(*layers);
            });
        }
        Up::Keyframe { track, layer } => {
            out.put_u8(UP_KEYFRAME);
            out.put_u16(*track);
            out.put_u8(*layer);
        }
        Up::Again { track, layer, sequences } => {
            out.put_u8(UP_AGAIN);
            out.put_u16(*track);
            out.put_u8(*layer);
            list(sequences, AGAIN_MAX, out, |sequence, out| out.put_u16(*sequence));
        }
        Up::Audience { viewers, named } => {
            out.put_u8(UP_AUDIENCE);
            out.put_u64(*viewers);
            list(named, VIEWERS_NAMED_MAX, out, user);
        }
    }
}

fn write_stream(stream: &CarriedStream, out: &mut BytesMut) {
    out.put_u64(stream.viewers);
    list(&stream.path, PATH_MAX, out, |relay, out| out.put_u64(*relay));
    list(&stream.tracks, TRACKS_MAX, out, |track, out| sized(out, |out| write_track(track, out)));
    out.put_u8(flag(RECORDED, stream.is_recorded));
}

fn write_track(track: &CarriedTrack, out: &mut BytesMut) {
    out.put_u16(track.number);
    out.put_u32(track.publisher);
    out.put_u8(flag(MUTED, track.muted) | flag(VIDEO, track.kind == Kind::Video));
    codec::write(&track.codec, out);
    user(&track.user, out);
    text(&track.mid, MID_BYTES_MAX, out);
    list(&track.layers, LAYERS_MAX, out, |layer, out| sized(out, |out| write_layer(layer, out)));
}

fn write_layer(layer: &CarriedLayer, out: &mut BytesMut) {
    let (has_rid, has_size) = (layer.rid.is_some(), layer.size.is_some());
    out.put_u8(flag(ACTIVE, layer.is_active) | flag(HAS_RID, has_rid) | flag(HAS_SIZE, has_size));
    out.put_u8(layer.life);
    if let Some(rid) = &layer.rid {
        text(rid, RID_BYTES_MAX, out);
    }
    if let Some((width, height)) = layer.size {
        out.put_u16(width);
        out.put_u16(height);
    }
    list(&layer.rungs, RUNGS_MAX, out, |(spatial, temporal, bits_per_second), out| {
        out.put_u8(*spatial);
        out.put_u8(*temporal);
        out.put_u64(*bits_per_second);
    });
}

fn user(user: &UserId, out: &mut BytesMut) {
    text(user, USER_ID_BYTES_MAX, out);
}

fn text(text: &str, bytes_max: usize, out: &mut BytesMut) {
    let text = &text[..text.floor_char_boundary(bytes_max)];
    out.put_u8(text.len() as u8);
    out.put_slice(text.as_bytes());
}

/// How many, and each. What is beyond the limit is left out: the other side would take the whole word for broken.
fn list<T>(items: &[T], items_max: usize, out: &mut BytesMut, mut write: impl FnMut(&T, &mut BytesMut)) {
    let items = &items[..items.len().min(items_max)];
    out.put_u16(items.len() as u16);
    for item in items {
        write(item, out);
    }
}

/// With its length before it, so that whoever reads finds the next one whatever this one may have got at its end.
fn sized(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u16(0);
    write(out);
    let len = u16::try_from(out.len() - at - 2).expect("limits of what is written keep it far below");
    out[at..at + 2].copy_from_slice(&len.to_be_bytes());
}

fn flag(bit: u8, is_set: bool) -> u8 {
    if is_set { bit } else { 0 }
}
