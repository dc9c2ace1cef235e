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
