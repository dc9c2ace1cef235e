//! How words stand in a pipe's stream, one behind the other, and the two with which a pipe begins.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::{ReadError, RecvStream};
use turnpike_wire::RoomId;

use crate::carry::{Unreadable, WORD_BYTES_MAX};

/// Of the question and its answer.
pub(super) const OPEN_BYTES_MAX: usize = 1_024;
/// Relays that are named instead.
pub(super) const ELSEWHERE_MAX: usize = 16;
/// What is read at once.
const CHUNK_BYTES_MAX: usize = 64 * 1024;
const LENGTH_BYTES: usize = 4;

const VERSION: u8 = 1;

/// What the lower end says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) stream: RoomId,
}

/// What the upper end says first. What a later version says besides is taken for [`Answer::Unable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    NoSuchStream,
    /// It is given to as many as it may. These have it from here.
    Elsewhere(Vec<u64>),
    /// It comes from you.
    Loop,
    Unable,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum WordError {
    #[error("the stream broke")]
    Broken(#[from] ReadError),
    #[error("it ends within a word")]
    Cut,
    #[error("a word of {bytes} bytes")]
    TooLong { bytes: usize },
    #[error("a word that cannot be read")]
    Unreadable(#[from] Unreadable),
}

impl Open {
    pub(super) fn write(&self, out: &mut BytesMut) {
        out.put_u8(VERSION);
        out.put_u8(self.stream.len() as u8);
        out.put_slice(self.stream.as_bytes());
    }

    /// What stands behind is of a later version, and left out.
    pub(super) fn read(mut from: Bytes) -> Result<Self, Unreadable> {
        if from.try_get_u8()? != VERSION {
            return Err(Unreadable::Odd("the version"));
        }
        let len = usize::from(from.try_get_u8()?);
        let name = from.get(..len).ok_or(Unreadable::Short)?;
        let name = std::str::from_utf8(name).ok().and_then(|name| RoomId::parse(name).ok());
        Ok(Self { stream: name.ok_or(Unreadable::Odd("the name of a stream"))? })
    }
}

impl Answer {
    pub(super) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Accepted => out.put_u8(0),
            Self::NoSuchStream => out.put_u8(1),
            Self::Elsewhere(relays) => {
                out.put_u8(2);
                let relays = &relays[..relays.len().min(ELSEWHERE_MAX)];
                out.put_u8(relays.len() as u8);
                for relay in relays {
                    out.put_u64(*relay);
                }
            }
            Self::Loop => out.put_u8(3),
            Self::Unable => out.put_u8(4),
        }
    }

    pub(super) fn read(mut from: Bytes) -> Result<Self, Unreadable> {
        Ok(match from.try_get_u8()? {
            0 => Self::Accepted,
            1 => Self::NoSuchStream,
            2 => {
                let count = usize::from(from.try_get_u8()?);
                if count > ELSEWHERE_MAX {
                    return Err(Unreadable::Odd("the number of relays"));
                }
                Self::Elsewhere((0..count).map(|_| from.try_get_u64()).collect::<Result<_, _>>()?)
            }
            3 => Self::Loop,
            _ => Self::Unable,
        })
    }
}

/// Writes a word with its length before it. None: it is longer than anybody would read.
pub(super) fn framed(
    bytes_max: usize,
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut),
) -> Option<Bytes> {
    out.clear();
    out.put_u32(0);
    write(out);
    let len = out.len() - LENGTH_BYTES;
    if len > bytes_max {
        return None;
    }
    out[..LENGTH_BYTES].copy_from_slice(&(len as u32).to_be_bytes());
    Some(out.split().freeze())
}

/// Takes a stream apart into words.
pub(super) struct Words {
    stream: RecvStream,
    /// At most a word and a chunk.
    come: BytesMut,
}

impl Words {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, come: BytesMut::new() }
    }

    /// None: it has ended. It may be given up while it waits.
    pub(super) async fn next(&mut self, bytes_max: usize) -> Result<Option<Bytes>, WordError> {
        loop {
            if let Some(word) = next(&mut self.come, bytes_max)? {
                return Ok(Some(word));
            }
            match self.stream.read_chunk(CHUNK_BYTES_MAX, true).await? {
                Some(chunk) => self.come.extend_from_slice(&chunk.bytes),
                None if self.come.is_empty() => return Ok(None),
                None => return Err(WordError::Cut),
            }
        }
    }

    /// The next word of a pipe that is known here; those of a later version are passed over. Otherwise as [`Self::next`].
    pub(super) async fn known<W>(
        &mut self,
        read: impl Fn(Bytes) -> Result<Option<W>, Unreadable>,
    ) -> Result<Option<W>, WordError> {
        while let Some(word) = self.next(WORD_BYTES_MAX).await? {
            if let Some(word) = read(word)? {
                return Ok(Some(word));
            }
        }
        Ok(None)
    }

    pub(super) fn stream_mut(&mut self) -> &mut RecvStream {
        &mut self.stream
    }
}

/// The next word of what has come, if it has come as a whole.
fn next(come: &mut BytesMut, bytes_max: usize) -> Result<Option<Bytes>, WordError> {
    let Some(length) = come.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let bytes = u32::from_be_bytes(*length) as usize;
    if bytes > bytes_max {
        return Err(WordError::TooLong { bytes });
    }
    if come.len() < LENGTH_BYTES + bytes {
        return Ok(None);
    }
    come.advance(LENGTH_BYTES);
    Ok(Some(come.split_to(bytes).freeze()))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> Bytes {
        let mut out = BytesMut::new();
        write(&mut out);
        out.freeze()
    }

    #[test]
    fn questions_and_answers() {
        let open = Open { stream: "live:a".parse().unwrap() };
        let mut bytes = BytesMut::from(&written(|out| open.write(out))[..]);
        bytes.put_slice(b"of a later version");
        assert_eq!(Open::read(bytes.freeze()), Ok(open));
        for bytes in [&b""[..], b"\x01", b"\x01\x05live", b"\x01\x00", b"\x01\x01 ", b"\x02\x01a"] {
            assert!(Open::read(Bytes::from_static(bytes)).is_err(), "{bytes:?}");
        }
        for answer in [
            Answer::Accepted,
            Answer::NoSuchStream,
            Answer::Elsewhere(Vec::new()),
            Answer::Elsewhere(vec![1, u64::MAX]),
            Answer::Loop,
            Answer::Unable,
        ] {
            assert_eq!(Answer::read(written(|out| answer.write(out))), Ok(answer));
        }
        assert_eq!(Answer::read(Bytes::from_static(&[99])), Ok(Answer::Unable));
        assert!(Answer::read(Bytes::from_static(&[2, 2, 0, 0, 0])).is_err());
        assert!(Answer::read(Bytes::from_static(&[2, 255])).is_err());
    }

    proptest! {
        #[test]
        fn words_come_out_as_they_were_put_in(words in vec(vec(any::<u8>(), 0..300), 0..8), cut in 1..50_usize) {
            let mut buffer = BytesMut::new();
            let stream: Vec<u8> = words
                .iter()
                .flat_map(|word| framed(300, &mut buffer, |out| out.put_slice(word)).unwrap())
                .collect();
            let (mut come, mut read) = (BytesMut::new(), Vec::new());
            for chunk in stream.chunks(cut) {
                come.extend_from_slice(chunk);
                while let Some(word) = next(&mut come, 300).unwrap() {
                    read.push(word.to_vec());
                }
            }
            prop_assert_eq!(read, words);
            prop_assert!(come.is_empty());
        }

        #[test]
        fn garbage_is_never_waited_for_beyond_the_limit(bytes in vec(any::<u8>(), 0..64)) {
            let mut come = BytesMut::from(&bytes[..]);
            let announced = bytes.first_chunk().map(|length| u32::from_be_bytes(*length));
            prop_assert_eq!(next(&mut come, 100).is_err(), announced.is_some_and(|length| length > 100));
            let _ = (Open::read(Bytes::from(bytes.clone())), Answer::read(Bytes::from(bytes)));
        }
    }

    #[test]
    fn a_word_that_nobody_would_read_is_not_written() {
        assert!(framed(9, &mut BytesMut::new(), |out| out.put_bytes(1, 10)).is_none());
    }
}
