//! Bounds that are part of the protocol: a client may rely on them and they are the same on every node.
//!
//! What an operator may choose (connections, rooms a connection, body size) is configuration and lives with its owner.

/// Long enough for a prefix, a tenant and a UUID; short enough to stand in every message and every key.
pub const ROOM_ID_BYTES_MAX: usize = 128;

/// Stands in every message as its sender; `user:` and the id must also fit a room id.
pub const USER_ID_BYTES_MAX: usize = 64;

/// A UUID has 36 characters, a ULID 26; the id is remembered for the whole window of deduplication.
pub const MESSAGE_ID_BYTES_MAX: usize = 64;

/// As a user id.
pub const DEVICE_ID_BYTES_MAX: usize = 64;

/// What a user may say of what they are doing: everybody in their rooms gets a copy.
pub const ACTIVITY_BYTES_MAX: usize = 1024;

/// Devices of one user that are named in a page of those who are there.
pub const DEVICES_NAMED_MAX: usize = 16;

/// One page of those who are there.
pub const PRESENCE_MEMBERS_MAX: usize = 100;

/// More than this, and nobody reads who is typing.
pub const TYPISTS_NAMED_MAX: usize = 3;

/// One page of history. An answer must stay well below the largest frame that clients accept.
pub const HISTORY_MESSAGES_MAX: usize = 100;

/// What `ping` gives back. More would make it a tool for amplification.
pub const PING_BYTES_MAX: usize = 1024;

/// A token arrives before anybody is known, so it is bounded before it is looked at.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A display name: shown to others, never an identifier.
pub const NAME_BYTES_MAX: usize = 128;

/// Grants are searched one after the other at each join.
pub const GRANTS_PER_TOKEN_MAX: usize = 64;

/// Numbers in the protocol stay exact in JavaScript, whose integers end here.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// A description of audio, camera and screen with simulcast has about 12 KB.
pub const SDP_BYTES_MAX: usize = 64 * 1024;

/// Of one session, in both directions. A machine with many interfaces has a dozen.
pub const CANDIDATES_MAX: usize = 64;

/// A candidate line has about 120 bytes; extensions may follow.
pub const CANDIDATE_BYTES_MAX: usize = 512;

/// RFC 8839 5.4.
pub const UFRAG_BYTES_MAX: usize = 256;

/// Browsers count, others write a word.
pub const MID_BYTES_MAX: usize = 32;

/// As above.
pub const RID_BYTES_MAX: usize = 32;

/// Sessions of one connection: a call has one or two, a wall of cameras a dozen.
pub const MEDIA_SESSIONS_PER_CONNECTION_MAX: usize = 16;

/// Viewers that a publisher is told by name.
pub const VIEWERS_NAMED_MAX: usize = 100;

/// What a relay says beside a code.
pub const FAILURE_BYTES_MAX: usize = 256;
