//! How much one description may make us read and keep. The reason stands beside each.

/// Audio, camera and screen with simulcast take about 12 KB.
pub const DESCRIPTION_BYTES_MAX: usize = 64 * 1024;

/// A wall of cameras in one session; WHIP and WHEP have two.
pub const SECTIONS_MAX: usize = 32;

/// A host with many networks has a dozen, each by UDP and TCP. Of a whole description or fragment.
pub const CANDIDATES_MAX: usize = 64;

/// There are no more payload types.
pub const FORMATS_MAX: usize = 128;

/// Of one section. Three layers with repair and FEC have nine.
pub const SOURCES_MAX: usize = 32;

/// Of one section.
pub const SOURCE_GROUPS_MAX: usize = 16;

/// Layers of one track. Browsers send up to three.
pub const LAYERS_MAX: usize = 4;

/// Restriction lines (`a=rid`) of one section, both directions.
pub const RIDS_MAX: usize = 16;

/// One for each hash that somebody may want.
pub const FINGERPRINTS_MAX: usize = 8;

/// Streams that one section belongs to.
pub const MSIDS_MAX: usize = 4;

/// Browsers count, others write a word.
pub const MID_BYTES_MAX: usize = 32;

/// What a one-byte header extension carries (RFC 8285 4.2).
pub const RID_BYTES_MAX: usize = 16;

/// Names of streams, sources, foundations: RFC 8830 has 64 for the longest, and some peers write e-mail addresses.
pub const WORD_BYTES_MAX: usize = 256;

/// Of the two-byte form we write no higher: 14 for the one-byte form, and what browsers need beyond it.
pub const EXTENSION_ID_MAX: u8 = 31;
