//! Faults that the simulation must find, to show that it can find any.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planted {
    Nothing,
    /// A new process goes on in the epoch of the one before.
    NoFence,
    /// A process that was demoted and is promoted again goes on in its epoch.
    RunAlone,
    /// A repetition is looked for after the message was appended.
    DedupeAfterAppend,
    /// A replayed message bears the offset of the whole replay.
    CursorBeforeSend,
    /// It is acknowledged without waiting for the replica.
    NoWait,
    /// A node hands on what the bus brings, whether or not something is missing before it.
    VectorOverGap,
    /// Who comes back is put into the rooms first and then given what was missed, overlapping.
    DoubleOnOpening,
}
