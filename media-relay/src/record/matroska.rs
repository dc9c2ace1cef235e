//! A Matroska or WebM file (RFC 9559) as it grows: a head, then clusters, each of them whole before it is written. A file that
//! breaks off behind any of them can be played.
//!
//! It makes bytes; where they go is somebody else's.

use super::ebml;

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const DURATION: u32 = 0x4489;
const VOID: u32 = 0xec;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;

const KEYFRAME: u8 = 0x80;
/// Of times, in nanoseconds: a millisecond.
const TIMESTAMP_SCALE: u64 = 1_000_000;
/// A decoder of Opus is to be fed so long before what it says is right (RFC 7845 4.6).
const OPUS_PRE_ROLL_NS: u64 = 80_000_000;

const APP: &str = "Turnpike";

/// What a track of the file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    Opus,
    Vp8 {
        width: u16,
        height: u16,
    },
    Vp9 {
        width: u16,
        height: u16,
    },
    /// With the decoder's configuration record.
    H264 {
        width: u16,
        height: u16,
        avcc: Vec<u8>,
    },
    Av1 {
        width: u16,
        height: u16,
        av1c: Vec<u8>,
    },
}

impl Format {
    pub(super) fn is_video(&self) -> bool {
        !matches!(self, Self::Opus)
    }

    /// Width and height.
    pub(super) fn size(&self) -> Option<(u16, u16)> {
        match *self {
            Self::Opus => None,
            Self::Vp8 { width, height }
            | Self::Vp9 { width, height }
            | Self::H264 { width, height, .. }
            | Self::Av1 { width, height, .. } => Some((width, height)),
        }
    }

    fn is_of_webm(&self) -> bool {
        !matches!(self, Self::H264 { .. })
    }

    /// By its id in Matroska.
    fn name(&self) -> &'static str {
        match self {
            Self::Opus => "A_OPUS",
            Self::Vp8 { .. } => "V_VP8",
            Self::Vp9 { .. } => "V_VP9",
            Self::H264 { .. } => "V_MPEG4/ISO/AVC",
            Self::Av1 { .. } => "V_AV1",
        }
    }

    /// Whether what comes in the other can go on in a track of this one. Decoders take another size from the frames
    /// themselves, but not another configuration.
    pub(super) fn goes_on_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::H264 { avcc: ours, .. }, Self::H264 { avcc: theirs, .. })
            | (Self::Av1 { av1c: ours, .. }, Self::Av1 { av1c: theirs, .. }) => ours == theirs,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// What is usual to stand behind the dot.
pub(super) fn extension(tracks: &[Format]) -> &'static str {
    if tracks.iter().all(Format::is_of_webm) { "webm" } else { "mkv" }
}

/// What a file begins with, and where its duration is to be put when it is known.
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    pub(super) duration_at: u64,
}

/// Tracks are numbered from 1, in their order here.
pub(super) fn head(tracks: &[Format]) -> Head {
    let mut out = Vec::with_capacity(512);
    let is_webm = tracks.iter().all(Format::is_of_webm);
    ebml::master(&mut out, EBML, |out| {
        ebml::number(out, 0x4286, 1);
        ebml::number(out, 0x42f7, 1);
        ebml::number(out, 0x42f2, 4);
        ebml::number(out, 0x42f3, 8);
        ebml::text(out, 0x4282, if is_webm { "webm" } else { "matroska" });
        ebml::number(out, 0x4287, 4);
        ebml::number(out, 0x4285, 2);
    });
    ebml::id(&mut out, SEGMENT);
    out.extend_from_slice(&ebml::UNKNOWN_SIZE);
    ebml::master(&mut out, INFO, |out| {
        ebml::number(out, 0x2a_d7b1, TIMESTAMP_SCALE);
        ebml::text(out, 0x4d80, APP);
        ebml::text(out, 0x5741, APP);
        // As long as the duration that takes its place.
        ebml::bytes(out, VOID, &[0; DURATION_BYTES - 2]);
    });
    let duration_at = (out.len() - DURATION_BYTES) as u64;
    ebml::master(&mut out, TRACKS, |out| {
        for (index, format) in tracks.iter().enumerate() {
            ebml::master(out, TRACK_ENTRY, |out| entry(out, index as u64 + 1, format));
        }
    });
    Head { bytes: out, duration_at }
}

/// Id, size and a number of eight bytes.
const DURATION_BYTES: usize = 11;

/// What stands for the duration.
pub(super) fn duration(ms: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(DURATION_BYTES);
    ebml::real(&mut out, DURATION, ms as f64);
    out
}

fn entry(out: &mut Vec<u8>, number: u64, format: &Format) {
    ebml::number(out, 0xd7, number);
    ebml::number(out, 0x73c5, number);
    // Nothing is laced.
    ebml::number(out, 0x9c, 0);
    ebml::text(out, 0x22_b59c, "und");
    ebml::text(out, 0x86, format.name());
    ebml::number(out, 0x83, if format.is_video() { 1 } else { 2 });
    match format {
        Format::Opus => {
            ebml::number(out, 0x56bb, OPUS_PRE_ROLL_NS);
            ebml::bytes(out, 0x63a2, &OPUS_HEAD);
            ebml::master(out, 0xe1, |out| {
                ebml::real(out, 0xb5, 48_000.0);
                ebml::number(out, 0x9f, 2);
            });
        }
        Format::Vp8 { width, height } | Format::Vp9 { width, height } => picture(out, *width, *height),
        Format::H264 { width, height, avcc: private } | Format::Av1 { width, height, av1c: private } => {
            ebml::bytes(out, 0x63a2, private);
            picture(out, *width, *height);
        }
    }
}

/// RFC 7845 5.1: two channels, nothing to skip, 48 kHz. A mono packet is decoded to both channels.
const OPUS_HEAD: [u8; 19] =
    [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', 1, 2, 0, 0, 0x80, 0xbb, 0, 0, 0, 0, 0];

fn picture(out: &mut Vec<u8>, width: u16, height: u16) {
    ebml::master(out, 0xe0, |out| {
        ebml::number(out, 0xb0, width.into());
        ebml::number(out, 0xba, height.into());
    });
}

/// Some frames, of all tracks, of less than [`Cluster::SPAN_MS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Cluster {
    begins_ms: Option<u64>,
    ends_ms: u64,
    blocks: Vec<u8>,
}

impl Cluster {
    /// Blocks count from the cluster's time in 16 bits with a sign.
    pub(super) const SPAN_MS_MAX: u64 = 30_000;

    pub(super) fn is_empty(&self) -> bool {
        self.begins_ms.is_none()
    }

    pub(super) fn bytes(&self) -> usize {
        self.blocks.len()
    }

    /// The time of its first frame.
    pub(super) fn begins_ms(&self) -> Option<u64> {
        self.begins_ms
    }

    pub(super) fn ends_ms(&self) -> u64 {
        self.ends_ms
    }

    /// Whether a frame of that time can be in it.
    pub(super) fn can_take(&self, ms: u64) -> bool {
        self.begins_ms.is_none_or(|begins| begins.abs_diff(ms) < Self::SPAN_MS_MAX)
    }

    /// `track` counts from 0, and there are less than 127.
    pub(super) fn push(&mut self, track: usize, ms: u64, is_keyframe: bool, frame: &[u8]) {
        let begins = *self.begins_ms.get_or_insert(ms);
        self.ends_ms = self.ends_ms.max(ms);
        let after = (ms.cast_signed() - begins.cast_signed()) as i16;
        ebml::id(&mut self.blocks, SIMPLE_BLOCK);
        ebml::size(&mut self.blocks, 4 + frame.len());
        self.blocks.push(0x80 | (track as u8 + 1));
        self.blocks.extend_from_slice(&after.to_be_bytes());
        self.blocks.push(if is_keyframe { KEYFRAME } else { 0 });
        self.blocks.extend_from_slice(frame);
    }

    /// The whole of it, and begins anew.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut time = Vec::new();
        ebml::number(&mut time, TIMESTAMP, self.begins_ms.take().unwrap_or_default());
        let mut out = Vec::with_capacity(self.blocks.len() + 32);
        ebml::id(&mut out, CLUSTER);
        ebml::size(&mut out, time.len() + self.blocks.len());
        out.extend_from_slice(&time);
        out.append(&mut self.blocks);
        self.ends_ms = 0;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::ebml::reading::{elements, find};
    use super::*;

    #[test]
    fn a_head_says_what_the_tracks_are() {
        let tracks = [Format::Opus, Format::Vp8 { width: 640, height: 360 }];
        let Head { bytes, duration_at } = head(&tracks);
        assert_eq!(find(&bytes, &[EBML, 0x4282]).unwrap().text(), "webm");
        assert_eq!(find(&bytes, &[SEGMENT]).unwrap().size, None, "it may break off anywhere");
        let entries = elements(find(&bytes, &[SEGMENT, TRACKS]).unwrap().body);
        let said: Vec<_> = entries
            .iter()
            .map(|entry| {
                let of = |id| find(entry.body, &[id]).unwrap();
                (of(0xd7).number(), of(0x83).number(), of(0x86).text().to_owned())
            })
            .collect();
        assert_eq!(said, [(1, 2, "A_OPUS".to_owned()), (2, 1, "V_VP8".to_owned())]);
        assert_eq!(find(entries[1].body, &[0xe0, 0xb0]).unwrap().number(), 640);
        assert_eq!(find(entries[0].body, &[0x63a2]).unwrap().body, OPUS_HEAD);

        // The duration fits where it is put.
        assert!(find(&bytes, &[SEGMENT, INFO, DURATION]).is_none());
        let mut bytes = bytes;
        let (at, put) = (duration_at as usize, duration(12_345));
        bytes[at..at + put.len()].copy_from_slice(&put);
        let read = find(&bytes, &[SEGMENT, INFO, DURATION]).unwrap().real();
        assert!((read - 12_345.0).abs() < 1e-9);
        assert!(find(&bytes, &[SEGMENT, TRACKS]).is_some());
    }

    #[test]
    fn what_is_not_of_webm_is_matroska() {
        let tracks = [Format::H264 { width: 1, height: 1, avcc: vec![1, 2, 3] }, Format::Opus];
        assert_eq!(find(&head(&tracks).bytes, &[EBML, 0x4282]).unwrap().text(), "matroska");
        assert_eq!(extension(&tracks), "mkv");
        assert_eq!(extension(&tracks[1..]), "webm");
    }

    #[test]
    fn a_file_that_breaks_off_has_every_whole_cluster() {
        let mut file = head(&[Format::Opus, Format::Vp8 { width: 2, height: 2 }]).bytes;
        let head_end = file.len();
        let mut cluster = Cluster::default();
        let mut ends = Vec::new();
        for second in 0..3_u64 {
            for ms in (second * 1_000..(second + 1) * 1_000).step_by(20) {
                cluster.push(0, ms, true, &[7; 60]);
                // Pictures may be a little behind.
                cluster.push(1, ms.saturating_sub(5), ms % 1_000 == 0, &[9; 300]);
            }
            file.extend(cluster.take());
            ends.push(file.len());
        }
        for cut in
            (head_end..file.len()).step_by(97).chain(ends.clone()).chain(ends.iter().map(|end| end - 1))
        {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let segment = find(&file[..cut], &[SEGMENT]).unwrap();
            let clusters = elements(segment.body).into_iter().filter(|element| element.id == CLUSTER).count();
            assert_eq!(clusters, whole, "cut at {cut}");
        }
        let segment = find(&file, &[SEGMENT]).unwrap();
        let mut times = [Vec::new(), Vec::new()];
        let mut keyframes = 0;
        for cluster in elements(segment.body).into_iter().filter(|element| element.id == CLUSTER) {
            let begins = find(cluster.body, &[TIMESTAMP]).unwrap().number().cast_signed();
            for block in elements(cluster.body).into_iter().filter(|element| element.id == SIMPLE_BLOCK) {
                let track = usize::from(block.body[0] & 0x7f) - 1;
                times[track].push(begins + i64::from(i16::from_be_bytes([block.body[1], block.body[2]])));
                keyframes += usize::from(track == 1 && block.body[3] & KEYFRAME != 0);
            }
        }
        assert_eq!(times[0], (0..3_000).step_by(20).collect::<Vec<i64>>());
        assert_eq!(times[1].len(), 150);
        assert_eq!(keyframes, 3);
    }
}
