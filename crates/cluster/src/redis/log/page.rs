//! What a room's log says to a reader: the messages, and whether they go on right where the reader is.

use std::sync::Arc;

use fred::types::Value;

use super::head_place;
use crate::redis::frame::Header;
use crate::redis::reply;
use crate::{Continuity, LanePosition, Message, Page, Range, Read, Standing};

/// As the function library answers.
pub(super) struct Answer {
    pub(super) standing: Standing,
    /// The room's latest message that is not kept any more, by number and by place in the lane.
    lost_seq: u64,
    lost_pos: u64,
    pub(super) oldest: Option<Header>,
    /// The last position that was kept of the reader's epoch. None: it is not one of the lane's.
    last: Option<u64>,
    /// The number of the room's first message behind that.
    first_behind: Option<u64>,
    pub(super) more: bool,
    pub(super) messages: Vec<(Header, Arc<Message>)>,
}

pub(super) fn parse(
    answer: &Value,
    message: impl Fn(&Value) -> Option<(Header, Arc<Message>)>,
) -> Option<Answer> {
    let parts = reply::array(answer)?;
    let number = |index: usize| reply::number(parts.get(index)?);
    let lane = LanePosition { epoch: number(0)?, pos: number(1)? };
    let (forgotten_seq, forgotten_pos) = (number(2)?, number(3)?);
    let head = reply::text(parts.get(4)?)?;
    let head = if head.is_empty() { None } else { Some(head_place(head)?) };
    let kept = number(5)?;
    let oldest = Header::parse(&reply::bytes(parts.get(6)?)?).ok();
    let last = parts.get(7).and_then(reply::number);
    let first_behind = number(8).filter(|seq| *seq > 0);
    let more = number(9)? > 0;
    let messages = parts.get(10..)?.iter().map(message).collect::<Option<Vec<_>>>()?;
    let seq = head.map_or(forgotten_seq, |head| head.seq);
    let lost_pos = match (head, oldest) {
        (None, _) => forgotten_pos,
        (Some(_), Some(oldest)) => oldest.prev,
        (Some(head), None) => head.at.pos,
    };
    Some(Answer {
        standing: Standing {
            epoch: head.map_or(lane.epoch, |head| head.at.epoch),
            seq,
            pos: head.map_or(0, |head| head.at.pos),
            lane,
        },
        lost_seq: seq.saturating_sub(kept),
        lost_pos,
        oldest,
        last,
        first_behind,
        more,
        messages,
    })
}

impl Answer {
    #[allow(clippy::match_same_arms, reason = "in the order of the ranges")]
    pub(super) fn continuity(&self, range: Range) -> Continuity {
        let Self { standing, lost_seq, lost_pos, .. } = *self;
        match range {
            // There is nothing before the first, and whoever asks from beyond the latest asks for the latest.
            Range::Latest => Continuity::Whole,
            Range::Before(seq) if seq <= 1 || seq > lost_seq + 1 || seq > standing.seq => Continuity::Whole,
            Range::Before(_) => Continuity::Gone,
            Range::AfterSeq(seq) if seq < lost_seq => Continuity::Gone,
            Range::AfterSeq(seq) if seq > standing.seq => Continuity::Truncated,
            Range::AfterSeq(_) => Continuity::Whole,
            Range::After(position) => match self.last {
                Some(last) if lost_pos <= last => {
                    let kept_up_to = self.first_behind.map_or(standing.seq, |first| first - 1);
                    if position.seq > kept_up_to {
                        Continuity::Truncated
                    } else if position.seq < lost_seq {
                        Continuity::Gone
                    } else {
                        Continuity::Whole
                    }
                }
                _ => Continuity::Gone,
            },
            Range::AfterLane(place) => match self.last {
                Some(last) if lost_pos <= last.min(place.pos) => {
                    if place.pos > last {
                        Continuity::Truncated
                    } else {
                        Continuity::Whole
                    }
                }
                _ => Continuity::Gone,
            },
        }
    }

    /// Within what the reader wants, as far as only the size of the messages themselves can tell.
    pub(super) fn page(self, read: &Read) -> Page {
        let continuity = self.continuity(read.range);
        let mut messages: Vec<Arc<Message>> = self.messages.into_iter().map(|(_, message)| message).collect();
        let backward = matches!(read.range, Range::Before(_) | Range::Latest);
        let mut bytes = 0;
        let mut fits = |message: &Arc<Message>| {
            let first = bytes == 0;
            bytes += message.bytes();
            first || bytes <= read.bytes_max
        };
        let count = if backward {
            messages.iter().rev().take_while(|message| fits(message)).count()
        } else {
            messages.iter().take_while(|message| fits(message)).count()
        };
        let more = self.more || count < messages.len();
        if backward {
            messages.drain(..messages.len() - count);
        } else {
            messages.truncate(count);
        }
        Page { standing: self.standing, messages, more, continuity }
    }
}
