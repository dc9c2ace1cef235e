//! What a node does with what the broker brings.

use std::sync::Arc;

use turnpike_wire::RoomId;

use crate::{Control, Lane, LanePosition, Message, Signal, Soon, Standing};

/// There is no room for it now. A moment later there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node has no room for another message")]
pub struct Full;

/// Implemented by the node. Calls for one lane come one after the other. None may block, and none may call the broker
/// back on the same stack: the embedded broker calls while it holds its lane.
pub trait Deliver: Send + Sync + 'static {
    /// The lane goes on from here: once at the start, and whenever its epoch has changed. What this node was given of the
    /// earlier epoch behind `from.pos` was never kept. No message of the lane comes before this has been waited for.
    fn lane(&self, lane: Lane, from: LanePosition) -> Soon<()>;

    /// The room is followed from here on: its next message has `standing.seq + 1`.
    fn opened(&self, room: &RoomId, standing: &Standing);

    /// The next message of an open room: for each room in its order without a gap, and for all open rooms of a lane in
    /// the order of their lane positions. So whoever was given one has been given everything before it in that lane.
    /// When this fails nothing was delivered; the broker brings it again, or the publisher is told.
    fn message(&self, message: &Arc<Message>) -> Result<(), Full>;

    /// Everything up to this place of the lane has been delivered: of this room, and of every other open room of its lane.
    fn verified(&self, room: &RoomId, up_to: LanePosition);

    /// The room's members have been given what was not kept, or have missed what is no longer to be had. The room goes
    /// on after `standing`; they must reload.
    fn broken(&self, room: &RoomId, standing: &Standing);

    /// Something that is not kept. At most once, in no order with messages. Also for those that this node has sent.
    fn signal(&self, room: &RoomId, signal: &Signal);

    /// Something for this node alone.
    fn control(&self, control: Control);
}
