//! How things stand on disk: plain bytes, the length before what varies. Whatever is read is checked.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use turnpike_wire::{RoomId, UserId};

use crate::embedded::log::{Forgotten, Previous};
use crate::embedded::seen::First;
use crate::{Base, Incarnation, LANES, LanePosition, Message, SessionRecord};

/// What was read is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record cannot be read")]
pub(crate) struct Garbled;

type Read<T> = Result<T, Garbled>;

/// A message with what is known of it besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageRecord {
    pub(crate) message: Arc<Message>,
    pub(crate) kept_ms: u64,
    pub(crate) previous: Previous,
}

impl MessageRecord {
    pub(crate) fn write(&self) -> Vec<u8> {
        let Message { room, at, seq, from, ts, data, attachments } = &*self.message;
        let bytes = attachments.iter().map(|attachment| 4 + attachment.len()).sum::<usize>();
        let mut record = Vec::with_capacity(64 + room.len() + from.len() + data.len() + bytes);
        for number in [at.epoch, at.pos, *seq, *ts, self.kept_ms, self.previous.pos] {
            record.put_u64_le(number);
        }
        record.put_u8(u8::from(self.previous.own));
        put_bytes(&mut record, room.as_bytes());
        put_bytes(&mut record, from.as_bytes());
        put_bytes(&mut record, data.as_bytes());
        record.put_u32_le(attachments.len() as u32);
        for attachment in attachments {
            put_bytes(&mut record, attachment);
        }
        record
    }

    pub(crate) fn read(mut record: &[u8]) -> Read<Self> {
        let record = &mut record;
        let [epoch, pos, seq, ts, kept_ms, previous] = numbers(record)?;
        let own = number_u8(record)? != 0;
        let room = RoomId::parse(text(record)?).map_err(|_| Garbled)?;
        let from = UserId::parse(text(record)?).map_err(|_| Garbled)?;
        let data = text(record)?.into();
        let count = record.try_get_u32_le().map_err(|_| Garbled)?;
        let attachments: Vec<Bytes> =
            (0..count).map(|_| bytes(record).map(Bytes::copy_from_slice)).collect::<Read<_>>()?;
        if !record.is_empty() || seq == 0 || pos == 0 {
            return Err(Garbled);
        }
        let at = LanePosition { epoch, pos };
        let message = Arc::new(Message { room, at, seq, from, ts, data, attachments });
        Ok(Self { message, kept_ms, previous: Previous { pos: previous, own } })
    }
}

/// A message id that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdRecord {
    pub(crate) room: RoomId,
    pub(crate) from: UserId,
    pub(crate) id: Box<str>,
    pub(crate) first: First,
    pub(crate) kept_ms: u64,
}

impl IdRecord {
    pub(crate) fn write(&self) -> Vec<u8> {
        let Self { room, from, id, first, kept_ms } = self;
        let mut record = Vec::with_capacity(48 + room.len() + from.len() + id.len());
        for number in [first.epoch, first.seq, first.ts, *kept_ms] {
            record.put_u64_le(number);
        }
        for text in [room.as_str(), from.as_str(), id] {
            put_bytes(&mut record, text.as_bytes());
        }
        record
    }

    pub(crate) fn read(mut record: &[u8]) -> Read<Self> {
        let record = &mut record;
        let [epoch, seq, ts, kept_ms] = numbers(record)?;
        let room = RoomId::parse(text(record)?).map_err(|_| Garbled)?;
        let from = UserId::parse(text(record)?).map_err(|_| Garbled)?;
        let id = text(record)?.into();
        let first = First { epoch, seq, ts };
        if record.is_empty() { Ok(Self { room, from, id, first, kept_ms }) } else { Err(Garbled) }
    }
}

/// What is kept of a lane beside its messages and epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneRecord {
    pub(crate) head: u64,
    pub(crate) latest_ts: u64,
    pub(crate) forgotten: Forgotten,
}

impl LaneRecord {
    pub(crate) fn write(&self) -> Vec<u8> {
        let Self { head, latest_ts, forgotten } = self;
        let mut record = Vec::with_capacity(32);
        for number in [*head, *latest_ts, forgotten.seq, forgotten.pos] {
            record.put_u64_le(number);
        }
        record
    }

    pub(crate) fn read(mut record: &[u8]) -> Read<Self> {
        let [head, latest_ts, seq, pos] = numbers(&mut record)?;
        Ok(Self { head, latest_ts, forgotten: Forgotten { seq, pos } })
    }
}

/// A session, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnedSession {
    pub(crate) owner: Incarnation,
    pub(crate) record: SessionRecord,
}

impl OwnedSession {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut record = self.owner.0.to_le_bytes().to_vec();
        serde_json::to_writer(&mut record, &self.record)
            .expect("ids, numbers and text can always be written");
        record
    }

    pub(crate) fn read(record: &[u8]) -> Read<Self> {
        let (owner, json) = record.split_at_checked(8).ok_or(Garbled)?;
        let owner = Incarnation(u64::from_le_bytes(owner.try_into().map_err(|_| Garbled)?));
        let record = serde_json::from_slice(json).map_err(|_| Garbled)?;
        Ok(Self { owner, record })
    }

    /// Only whose it is.
    pub(crate) fn owner(mut record: &[u8]) -> Read<Incarnation> {
        record.try_get_u64_le().map(Incarnation).map_err(|_| Garbled)
    }
}

/// A base, and when it was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BaseRecord {
    pub(crate) put_ms: u64,
    pub(crate) base: Base,
}

impl BaseRecord {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut record = Vec::with_capacity(8 + LANES * 16);
        record.put_u64_le(self.put_ms);
        for LanePosition { epoch, pos } in self.base.0 {
            record.put_u64_le(epoch);
            record.put_u64_le(pos);
        }
        record
    }

    pub(crate) fn read(mut record: &[u8]) -> Read<Self> {
        let record = &mut record;
        let [put_ms] = numbers(record)?;
        let mut base = Base::default();
        for position in &mut base.0 {
            let [epoch, pos] = numbers(record)?;
            *position = LanePosition { epoch, pos };
        }
        if record.is_empty() { Ok(Self { put_ms, base }) } else { Err(Garbled) }
    }
}

fn put_bytes(record: &mut Vec<u8>, bytes: &[u8]) {
    record.put_u32_le(bytes.len() as u32);
    record.put_slice(bytes);
}

fn numbers<const N: usize>(record: &mut &[u8]) -> Read<[u64; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = record.try_get_u64_le().map_err(|_| Garbled)?;
    }
    Ok(numbers)
}

fn number_u8(record: &mut &[u8]) -> Read<u8> {
    record.try_get_u8().map_err(|_| Garbled)
}

fn bytes<'a>(record: &mut &'a [u8]) -> Read<&'a [u8]> {
    let length = record.try_get_u32_le().map_err(|_| Garbled)? as usize;
    let (bytes, rest) = record.split_at_checked(length).ok_or(Garbled)?;
    *record = rest;
    Ok(bytes)
}

fn text<'a>(record: &mut &'a [u8]) -> Read<&'a str> {
    std::str::from_utf8(bytes(record)?).map_err(|_| Garbled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::RoomRecord;

    fn message(seq: u64, data: &str, attachments: Vec<Vec<u8>>) -> MessageRecord {
        let message = Message {
            room: RoomId::parse("chat:a").unwrap(),
            at: LanePosition { epoch: 7, pos: seq + 3 },
            seq,
            from: UserId::parse("alice").unwrap(),
            ts: 9,
            data: data.into(),
            attachments: attachments.into_iter().map(Bytes::from).collect(),
        };
        let previous = Previous { pos: 2, own: true };
        MessageRecord { message: Arc::new(message), kept_ms: 8, previous }
    }

    proptest! {
        #[test]
        fn written_and_read_again(
            seq in 1..u64::MAX / 2,
            data in ".{0,50}",
            attachments: Vec<Vec<u8>>,
            numbers: [u64; 4],
        ) {
            let record = message(seq, &data, attachments);
            prop_assert_eq!(MessageRecord::read(&record.write()), Ok(record.clone()));
            let [epoch, seq, ts, kept_ms] = numbers;
            let Message { room, from, .. } = &*record.message;
            let first = First { epoch, seq, ts };
            let id = IdRecord { room: room.clone(), from: from.clone(), id: "m1".into(), first, kept_ms };
            prop_assert_eq!(IdRecord::read(&id.write()), Ok(id));
            let lane = LaneRecord { head: epoch, latest_ts: ts, forgotten: Forgotten { seq, pos: kept_ms } };
            prop_assert_eq!(LaneRecord::read(&lane.write()), Ok(lane));
            let base = BaseRecord { put_ms: ts, base: Base([LanePosition { epoch, pos: seq }; LANES]) };
            prop_assert_eq!(BaseRecord::read(&base.write()), Ok(base));
            let room = RoomRecord { room: room.clone(), joined: LanePosition { epoch, pos: seq }, presence: true };
            let session = SessionRecord { user: from.clone(), identity: data.into(), rooms: vec![room] };
            let session = OwnedSession { owner: Incarnation(epoch), record: session };
            prop_assert_eq!(OwnedSession::read(&session.write()), Ok(session.clone()));
            prop_assert_eq!(OwnedSession::owner(&session.write()), Ok(session.owner));
        }

        /// Whatever stands there: an answer, and no more memory than was read.
        #[test]
        fn nothing_read_panics(bytes: Vec<u8>, cut in 0..200usize, flip in 0..200usize) {
            let _ = MessageRecord::read(&bytes);
            let _ = IdRecord::read(&bytes);
            let _ = LaneRecord::read(&bytes);
            let _ = BaseRecord::read(&bytes);
            let _ = OwnedSession::read(&bytes);
            let mut whole = message(1, "{}", vec![vec![1, 2, 3]]).write();
            prop_assert!(MessageRecord::read(&whole[..cut.min(whole.len() - 1)]).is_err());
            let flip = flip % whole.len();
            whole[flip] ^= 0x80;
            let _ = MessageRecord::read(&whole);
        }
    }
}
