//! Finds what somebody missed: in the mirror where that reaches back far enough, else from the broker, and the two parts
//! joined without a gap or an overlap.

use std::sync::Arc;

use turnpike_cluster::{
    Broker, Continuity, LANES, LanePosition, Message, Range, Read, Standing, Unavailable, lane_of,
};
use turnpike_wire::{Position, RoomId};

use crate::mirror::{LaneGuards, Mirror, Reached};
use crate::replay::Found;

/// Where somebody stands in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// They have everything up to this place of the lane.
    Lane(LanePosition),
    /// They have everything up to this message.
    Message(Position),
    /// They have everything up to this number, of whatever epoch.
    Seq(u64),
    /// They want the latest so many.
    Latest(usize),
}

#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) room: RoomId,
    pub(crate) after: After,
}

/// What the broker has given of a room so far.
#[derive(Default)]
struct Part {
    messages: Vec<Arc<Message>>,
    /// Where the room stood then; the mirror takes it from there.
    through: Option<Standing>,
    broken: bool,
    /// The mirror has caught up with the broker for it.
    levelled: bool,
}

/// What the mirror says of a room.
enum Here {
    Found(Found),
    /// The broker must be read first.
    Read,
    /// What the broker has given is of an epoch that is over.
    Anew,
    /// The reader, or the broker, was ahead of the mirror.
    Behind,
}

/// How often the mirror may have moved on between reading and looking. Each time it is read again from where it was left.
const TURNS_MAX: usize = 8;
/// One read. A room has as many of them as its history needs.
const READ_MESSAGES_MAX: usize = 512;
const READ_BYTES_MAX: usize = 1024 * 1024;

/// Waits until this node has heard of the epochs that the reader has been told of. Before that, what it has of those lanes may be
/// a tail of which the reader knows that it is lost. The rooms must be open.
pub(crate) async fn catch_up(
    mirror: &Mirror,
    broker: &dyn Broker,
    wanted: &[Wanted],
    heard: &[u64; LANES],
) -> Result<(), Unavailable> {
    for _ in 0..TURNS_MAX {
        let behind = wanted.iter().find(|wanted| {
            let lane = mirror.lane_of(&wanted.room);
            let goes_on =
                lane.room(&wanted.room).and_then(|room| room.standing()).map_or(0, |room| room.lane.epoch);
            heard[lane.lane.index()] > goes_on.max(mirror.reached().at(lane.lane).epoch)
        });
        let Some(wanted) = behind else { return Ok(()) };
        broker.level(&wanted.room).wait().await?;
    }
    // It is with a master that is none any more, and will notice.
    Err(Unavailable { retry_after_ms: 250 })
}

/// What is found stands as long as the lanes are held. The rooms must be open.
pub(crate) async fn find<'a>(
    mirror: &'a Mirror,
    broker: &dyn Broker,
    wanted: &[Wanted],
) -> Result<(LaneGuards<'a>, Vec<Found>), Unavailable> {
    let mut parts: Vec<Part> = wanted.iter().map(|_| Part::default()).collect();
    for _ in 0..TURNS_MAX {
        let mut to_read = Vec::new();
        let mut to_level = Vec::new();
        let mut anew = Vec::new();
        {
            let lanes = mirror.lanes_of(wanted.iter().map(|wanted| &wanted.room));
            let reached = mirror.reached();
            let mut found = Vec::with_capacity(wanted.len());
            for (index, (wanted, part)) in wanted.iter().zip(&parts).enumerate() {
                match look(&lanes, &reached, wanted, part) {
                    Here::Found(room) => found.push(room),
                    Here::Read => to_read.push(index),
                    Here::Anew => anew.push(index),
                    Here::Behind => to_level.push(index),
                }
            }
            if found.len() == wanted.len() {
                return Ok((lanes, found));
            }
        }
        for index in anew {
            parts[index] = Part::default();
            to_read.push(index);
        }
        // All are asked before the first is waited for.
        let levels: Vec<_> = to_level.iter().map(|index| broker.level(&wanted[*index].room)).collect();
        let reads: Vec<_> =
            to_read.iter().map(|index| broker.read(&request(&wanted[*index], &parts[*index]))).collect();
        for (index, level) in to_level.into_iter().zip(levels) {
            level.wait().await?;
            parts[index].levelled = true;
        }
        for (index, read) in to_read.into_iter().zip(reads) {
            let mut page = read.wait().await?;
            let part = &mut parts[index];
            loop {
                match page.continuity {
                    Continuity::Whole => {}
                    Continuity::Truncated => part.broken = true,
                    Continuity::Gone => {
                        part.broken = true;
                        part.messages.clear();
                    }
                }
                part.through = Some(page.standing);
                // The latest come in one page, as many as were asked for.
                if matches!(wanted[index].after, After::Latest(_)) {
                    part.messages = page.messages;
                    break;
                }
                part.messages.append(&mut page.messages);
                if !page.more {
                    break;
                }
                page = broker.read(&request(&wanted[index], part)).wait().await?;
            }
        }
    }
    tracing::error!(rooms = wanted.len(), "the past could not be joined with the present");
    Err(Unavailable { retry_after_ms: 250 })
}

fn look(lanes: &LaneGuards<'_>, reached: &Reached, wanted: &Wanted, part: &Part) -> Here {
    let lane = lane_of(&wanted.room);
    let guard = lanes.iter().find(|guard| guard.lane == lane).expect("the lanes of all rooms are held");
    let Some(room) = guard.room(&wanted.room) else { return Here::Behind };
    let Some(standing) = room.standing().copied() else { return Here::Behind };
    let found =
        |messages, broken| Here::Found(Found { room: wanted.room.clone(), messages, broken, standing });
    let now = reached.at(lane);
    // It was broken, and goes on in an epoch that the lane is about to be announced in.
    if standing.lane.epoch > now.epoch {
        return Here::Behind;
    }
    // Frames of other lanes bear where this node is in this one. That must not be behind what the reader gets, or its next
    // recovery would bring it once more.
    let is_behind = match wanted.after {
        After::Lane(from) if !part.broken => {
            standing.pos.max(if from.epoch == now.epoch { from.pos } else { 0 }) > now.pos
        }
        _ => false,
    };
    if let Some(through) = part.through {
        if through.lane.epoch < now.epoch {
            return Here::Anew;
        }
        // A node that has not heard yet that the lane has gone on may have more of it, all of which is lost.
        if through.lane.epoch > now.epoch || standing.seq < through.seq || is_behind {
            return Here::Behind;
        }
        let last = part.messages.last().map_or(through.seq, |last| last.seq.max(through.seq));
        if room.floor().seq > last {
            return Here::Read;
        }
        let mut messages = part.messages.clone();
        messages.extend(room.tail(|message| message.seq <= last));
        if let After::Latest(count) = wanted.after {
            messages.drain(..messages.len().saturating_sub(count));
        }
        return found(messages, part.broken);
    }
    match wanted.after {
        After::Lane(from) => {
            if from.epoch != now.epoch {
                return Here::Read;
            }
            if is_behind && !part.levelled {
                return Here::Behind;
            }
            // Still: nobody has given out such a place, and the broker will say so.
            if room.floor().pos > from.pos || from.pos > now.pos {
                return Here::Read;
            }
            found(room.tail(|message| message.at.pos <= from.pos), false)
        }
        After::Message(position) => {
            if !room.reaches_back_to(position) {
                return Here::Read;
            }
            found(room.tail(|message| message.seq <= position.seq), false)
        }
        After::Seq(seq) => {
            if room.floor().seq > seq {
                return Here::Read;
            }
            found(room.tail(|message| message.seq <= seq), false)
        }
        After::Latest(count) => {
            if room.kept() < count && room.floor().seq > 0 {
                return Here::Read;
            }
            found(room.tail(|message| message.seq + count as u64 <= standing.seq), false)
        }
    }
}

/// What is still missing before the mirror's part.
fn request(wanted: &Wanted, part: &Part) -> Read {
    let range = match (wanted.after, part.messages.last()) {
        (After::Latest(_), _) => Range::Latest,
        (_, Some(last)) => Range::After(Position { epoch: last.at.epoch, seq: last.seq }),
        (After::Lane(position), None) => Range::AfterLane(position),
        (After::Message(position), None) => Range::After(position),
        (After::Seq(seq), None) => Range::AfterSeq(seq),
    };
    let messages_max = match wanted.after {
        After::Latest(count) => count,
        _ => READ_MESSAGES_MAX,
    };
    Read { room: wanted.room.clone(), range, messages_max, bytes_max: READ_BYTES_MAX }
}
