//! Reading frames: bytes as they come from a socket, in pieces of any size, become messages in their order.

use std::cell::Cell;

use super::{
    Incoming, Limits, ProtocolError, ReadError, Role, close, deflate,
    header::{self, HEADER_BYTES_MAX, Header, Kind},
    mask,
    partial::{Message, Partial, Stage},
};

/// An inflated message goes through one buffer a thread; after a longer message than this it is given back.
const SCRATCH_BYTES_KEPT_MAX: usize = 64 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads the frames of one connection. 16 bytes while nothing is unfinished.
#[derive(Debug)]
pub struct Reader {
    partial: Option<Box<Partial>>,
    role: Role,
    deflate: bool,
    ended: bool,
}

impl Reader {
    /// `deflate`: permessage-deflate was negotiated, without context takeover by the peer.
    pub fn new(role: Role, deflate: bool) -> Self {
        Self { partial: None, role, deflate, ended: false }
    }

    /// Whether a frame or message has begun whose end has not come.
    pub fn has_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// Memory beyond the reader itself, for what is unfinished. Never more than a message may have, and a
    /// little for the bookkeeping.
    pub fn held_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.held_bytes())
    }

    /// Takes bytes that arrived, unmasks them where they lie, and calls `sink` once for each message or control
    /// frame that is complete, in order. What is unfinished is kept in memory of its own until the rest comes.
    ///
    /// An error is told once. After it, and after a close frame, whatever else arrives is discarded.
    pub fn read<E>(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        mut sink: impl FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> Result<(), ReadError<E>> {
        let mut rest = input;
        while !rest.is_empty() && !self.ended {
            match self.step(rest, limits, &mut sink) {
                Ok(used) => rest = &mut rest[used..],
                Err(error) => {
                    self.end();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// One header with its payload, or as much of them as there is. Returns how many bytes it took.
    #[inline]
    fn step<E>(
        &mut self,
        rest: &mut [u8],
        limits: &Limits,
        sink: &mut impl FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> Result<usize, ReadError<E>> {
        if self.partial.as_ref().is_some_and(|partial| !matches!(partial.stage, Stage::Header { .. })) {
            return self.resume(rest, limits, sink);
        }
        let Some((header, used)) = self.header(rest)? else { return Ok(rest.len()) };
        self.admit(&header, limits)?;
        // Admitted, so it fits the limits, which are of type usize.
        let len = header.len as usize;
        if rest.len() - used < len {
            self.suspend(header, &mut rest[used..], limits);
            return Ok(rest.len());
        }
        let payload = &mut rest[used..used + len];
        mask::apply(payload, header.key, 0);
        if header.kind.is_control() {
            self.control(header.kind, payload, sink)?;
        } else if header.fin && header.kind != Kind::Continuation {
            deliver(header.kind == Kind::Text, header.compressed, payload, limits, sink)?;
        } else {
            self.message(&header).extend(payload, len, header.fin, limits);
            self.frame_ended(header.fin, limits, sink)?;
        }
        Ok(used + len)
    }

    /// The next header, and how many bytes of `rest` belonged to it. Keeps a header that is not whole.
    #[inline]
    fn header(&mut self, rest: &[u8]) -> Result<Option<(Header, usize)>, ProtocolError> {
        if let Some(partial) = &mut self.partial
            && let Stage::Header { bytes, len } = &mut partial.stage
            && *len > 0
        {
            let before = usize::from(*len);
            let added = rest.len().min(HEADER_BYTES_MAX - before);
            bytes[before..before + added].copy_from_slice(&rest[..added]);
            let found = header::parse(&bytes[..before + added], self.role)?;
            let Some(header) = found else {
                // 14 bytes always hold a header, so `rest` was shorter than that and is all in here.
                *len += added as u8;
                return Ok(None);
            };
            *len = 0;
            self.release();
            return Ok(Some((header, usize::from(header.size) - before)));
        }
        let found = header::parse(rest, self.role)?;
        if found.is_none() {
            let mut bytes = [0; HEADER_BYTES_MAX];
            bytes[..rest.len()].copy_from_slice(rest);
            self.partial.get_or_insert_default().stage = Stage::Header { bytes, len: rest.len() as u8 };
        }
        Ok(found.map(|header| (header, usize::from(header.size))))
    }

    /// Whether a frame may come at all where it comes, and fits.
    #[inline]
    fn admit(&self, header: &Header, limits: &Limits) -> Result<(), ProtocolError> {
        if header.kind.is_control() {
            return Ok(());
        }
        let open = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
        match (open, header.kind) {
            (None, Kind::Continuation) => return Err(ProtocolError::ContinuationWithoutStart),
            (Some(_), Kind::Text | Kind::Binary) => return Err(ProtocolError::MessageInsideMessage),
            _ => {}
        }
        if header.compressed {
            if !self.deflate {
                return Err(ProtocolError::CompressionNotNegotiated);
            }
            if header.kind == Kind::Continuation {
                return Err(ProtocolError::CompressedContinuation);
            }
        }
        if header.len > limits.frame_bytes_max as u64 {
            return Err(ProtocolError::FrameTooLong { len: header.len, max: limits.frame_bytes_max });
        }
        match open {
            Some(message) => message.admit(header, limits),
            None if header.len > limits.message_bytes_max as u64 => {
                Err(ProtocolError::MessageTooLong { max: limits.message_bytes_max })
            }
            None => Ok(()),
        }
    }

    /// Keeps a frame whose payload goes on past the input.
    fn suspend(&mut self, header: Header, begun: &mut [u8], limits: &Limits) {
        mask::apply(begun, header.key, 0);
        let stage = if header.kind.is_control() {
            Stage::Control { header, bytes: begun.to_vec() }
        } else {
            self.message(&header).extend(begun, header.len as usize, header.fin, limits);
            Stage::Data { header, seen: begun.len() }
        };
        self.partial.get_or_insert_default().stage = stage;
    }

    /// Goes on with a frame that was suspended.
    fn resume<E>(
        &mut self,
        rest: &mut [u8],
        limits: &Limits,
        sink: &mut impl FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> Result<usize, ReadError<E>> {
        let partial = self.partial.as_mut().expect("only a suspended frame is resumed");
        match &mut partial.stage {
            Stage::Header { .. } => Ok(0),
            Stage::Control { header, bytes } => {
                let more = rest.len().min(header.len as usize - bytes.len());
                mask::apply(&mut rest[..more], header.key, bytes.len());
                bytes.extend_from_slice(&rest[..more]);
                if bytes.len() as u64 == header.len {
                    let (kind, payload) = (header.kind, std::mem::take(bytes));
                    partial.stage = Stage::default();
                    self.release();
                    self.control(kind, &payload, sink)?;
                }
                Ok(more)
            }
            Stage::Data { header, seen } => {
                let missing = header.len as usize - *seen;
                let more = rest.len().min(missing);
                mask::apply(&mut rest[..more], header.key, *seen);
                let message = partial.message.as_mut().expect("a data frame fills a message");
                message.extend(&rest[..more], missing, header.fin, limits);
                *seen += more;
                if more == missing {
                    let fin = header.fin;
                    partial.stage = Stage::default();
                    self.frame_ended(fin, limits, sink)?;
                }
                Ok(more)
            }
        }
    }

    fn frame_ended<E>(
        &mut self,
        fin: bool,
        limits: &Limits,
        sink: &mut impl FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> Result<(), ReadError<E>> {
        let partial = self.partial.as_mut().expect("a message is kept in here");
        if !fin {
            partial.message.as_mut().expect("a data frame fills a message").fragment_ended()?;
            return Ok(());
        }
        let message = partial.message.take().expect("a data frame fills a message");
        self.release();
        deliver(message.text, message.compressed, &message.bytes, limits, sink)
    }

    fn control<E>(
        &mut self,
        kind: Kind,
        payload: &[u8],
        sink: &mut impl FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> Result<(), ReadError<E>> {
        let incoming = match kind {
            Kind::Ping => Incoming::Ping(payload),
            Kind::Pong => Incoming::Pong(payload),
            _ => {
                let close = close::parse(payload)?;
                self.end();
                Incoming::Close(close)
            }
        };
        sink(incoming).map_err(ReadError::Sink)
    }

    /// The message that a data frame belongs to; a first frame begins it.
    fn message(&mut self, header: &Header) -> &mut Message {
        self.partial.get_or_insert_default().message.get_or_insert_with(|| Message::begin(header))
    }

    /// Frees what was kept, if nothing is unfinished any more.
    fn release(&mut self) {
        if let Some(partial) = &self.partial
            && partial.message.is_none()
            && matches!(partial.stage, Stage::Header { len: 0, .. })
        {
            self.partial = None;
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.partial = None;
    }
}

#[inline]
fn deliver<E>(
    text: bool,
    compressed: bool,
    payload: &[u8],
    limits: &Limits,
    sink: &mut impl FnMut(Incoming<'_>) -> Result<(), E>,
) -> Result<(), ReadError<E>> {
    if compressed {
        return deliver_compressed(text, payload, limits, sink);
    }
    let incoming = if text {
        Incoming::Text(std::str::from_utf8(payload).map_err(|_| ProtocolError::TextNotUtf8)?)
    } else {
        Incoming::Binary(payload)
    };
    sink(incoming).map_err(ReadError::Sink)
}

#[inline(never)]
fn deliver_compressed<E>(
    text: bool,
    payload: &[u8],
    limits: &Limits,
    sink: &mut impl FnMut(Incoming<'_>) -> Result<(), E>,
) -> Result<(), ReadError<E>> {
    // Taken, not borrowed: a sink that comes back here finds an empty buffer instead of a panic.
    let mut scratch = SCRATCH.take();
    let result = match deflate::inflate(payload, limits.message_bytes_max, &mut scratch) {
        Ok(inflated) => deliver(text, false, inflated, limits, sink),
        Err(error) => Err(ProtocolError::from(error).into()),
    };
    if scratch.capacity() <= SCRATCH_BYTES_KEPT_MAX {
        SCRATCH.set(scratch);
    }
    result
}

#[cfg(test)]
mod tests;
