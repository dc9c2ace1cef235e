//! How much of the past is kept.

/// Limits of a single process apply to its memory, and to its disk if it has one. On a Redis Cluster they apply to the room;
/// all rooms and ids together are bounded by the memory that Redis is given, not by `bytes_max` and `dedupe_ids_max`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryLimits {
    /// The newest messages of a room that are kept.
    pub room_messages_max: usize,
    /// Their bytes. A room of large messages must not take everybody's share.
    pub room_bytes_max: usize,
    /// Bytes of all rooms together; the oldest messages go first.
    pub bytes_max: usize,
    /// Older messages go. Not less than the recovery window, or recovery fails for want of history.
    pub age_ms_max: u64,
    /// How long a message id is remembered.
    pub dedupe_ms: u64,
    /// How many message ids are remembered; beyond it the oldest go early, and repetitions are refused sooner.
    pub dedupe_ids_max: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            room_messages_max: 2_000,
            room_bytes_max: 1024 * 1024,
            bytes_max: 128 * 1024 * 1024,
            age_ms_max: 10 * 60 * 1000,
            dedupe_ms: 10 * 60 * 1000,
            dedupe_ids_max: 262_144,
        }
    }
}
