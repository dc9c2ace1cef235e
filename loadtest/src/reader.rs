//! The sockets of all users of one thread, read in passes: whatever has come on any of them is taken together, through one buffer.
//! A wake-up for each delivery would cost more than the delivery itself.
//!
//! Texts are shown to a listener first, right where they were read. What it leaves, and everything that is not a text, comes out
//! of the stream as if nobody had been there before. What a text means is not known here.

mod frames;
mod line;

use std::{
    io::{self, Read as _, Write as _},
    net::Shutdown,
    pin::Pin,
    sync::{Arc, Mutex, Weak},
    task::{Context, Poll},
    time::Duration,
};

use mio::{Events, Interest, Token, event::Event};
use slab::Slab;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::MissedTickBehavior,
};

use crate::run::held;
use line::Line;

pub use line::FRAME_BYTES_MAX;

/// Under load there is a pass so often. What waits for it meanwhile waits as part of every figure: the clock is read when a
/// delivery is in the buffer.
pub const PASS_EVERY: Duration = Duration::from_millis(1);
/// After so many passes that found nothing, the next thing that comes wakes the reader.
const VAIN_PASSES_MAX: u32 = 20;
/// Then it looks so often whether anybody has it still.
const SILENCE_MAX: Duration = Duration::from_secs(1);
const EVENTS: usize = 1_024;
const BUFFER_BYTES: usize = 64 * 1024;

/// Whoever can make something of a text at once.
pub trait Listener: Send + Sync {
    /// Whether nothing more is to be done about it.
    fn hear(&self, text: &str) -> bool;
}

pub struct Reader {
    registry: mio::Registry,
    sockets: Mutex<Slab<Arc<Socket>>>,
}

struct Socket {
    stream: mio::net::TcpStream,
    line: Mutex<Line>,
}

impl Reader {
    /// It reads on the runtime that calls this, as long as anybody has it.
    pub fn begin() -> io::Result<Arc<Self>> {
        let poll = mio::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let reader = Arc::new(Self { registry, sockets: Mutex::default() });
        tokio::spawn(passes(Arc::downgrade(&reader), poll));
        Ok(reader)
    }

    /// From here on it is read by this reader.
    pub fn take_over(
        self: &Arc<Self>,
        stream: tokio::net::TcpStream,
        listener: Option<Arc<dyn Listener>>,
    ) -> io::Result<Stream> {
        let mut stream = mio::net::TcpStream::from_std(stream.into_std()?);
        let mut sockets = held(&self.sockets);
        let place = sockets.vacant_entry();
        let key = place.key();
        self.registry.register(&mut stream, Token(key), Interest::READABLE | Interest::WRITABLE)?;
        let socket = Arc::new(Socket { stream, line: Mutex::new(Line::new(listener)) });
        place.insert(Arc::clone(&socket));
        Ok(Stream { reader: Arc::clone(self), key, socket })
    }

    /// Takes everything that has come; on how many sockets something had happened.
    fn pass(&self, poll: &mut mio::Poll, events: &mut Events, buffer: &mut [u8]) -> usize {
        let mut happened = 0;
        loop {
            // It can only have been interrupted, and the next pass is soon.
            if poll.poll(events, Some(Duration::ZERO)).is_err() {
                return happened;
            }
            let count = self.take(events, buffer);
            happened += count;
            if count < EVENTS {
                return happened;
            }
        }
    }

    fn take(&self, events: &Events, buffer: &mut [u8]) -> usize {
        let mut happened = Vec::with_capacity(EVENTS);
        {
            let sockets = held(&self.sockets);
            // Whoever has gone meanwhile is not there any more; who has come to that place has nothing to read, and that is all.
            let socket = |event: &'_ Event| sockets.get(event.token().0).map(Arc::clone);
            happened.extend(events.iter().map(socket));
        }
        for (event, socket) in events.iter().zip(&happened) {
            if let Some(socket) = socket {
                socket.happened(event, buffer);
            }
        }
        happened.len()
    }
}

/// One pass after the other, until nobody has the reader any more.
async fn passes(reader: Weak<Reader>, mut poll: mio::Poll) {
    let mut events = Events::with_capacity(EVENTS);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut vain = 0;
    let mut beat = tokio::time::interval(PASS_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let Some(happened) = reader.upgrade().map(|reader| reader.pass(&mut poll, &mut events, &mut buffer))
        else {
            return;
        };
        vain = if happened == 0 { vain + 1 } else { 0 };
        if vain < VAIN_PASSES_MAX {
            beat.tick().await;
            continue;
        }
        // Another thread waits while there is nothing to do.
        let waiting = tokio::task::spawn_blocking(move || {
            let _ = poll.poll(&mut events, Some(SILENCE_MAX));
            (poll, events)
        });
        let Ok(waited) = waiting.await else { return };
        (poll, events) = waited;
        if reader.upgrade().is_some_and(|reader| reader.take(&events, &mut buffer) > 0) {
            vain = 0;
        }
    }
}

impl Socket {
    fn happened(&self, event: &Event, buffer: &mut [u8]) {
        let mut line = held(&self.line);
        let writer = if event.is_writable() { line.writer_to_wake() } else { None };
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(&mut line, buffer, event.is_read_closed());
        }
        let reader = line.reader_to_wake();
        drop(line);
        for waker in [writer, reader].into_iter().flatten() {
            waker.wake();
        }
    }

    fn read(&self, line: &mut Line, buffer: &mut [u8], is_read_closed: bool) {
        loop {
            match (&self.stream).read(buffer) {
                Ok(0) => return line.end(Ok(())),
                Ok(count) => {
                    line.take(&buffer[..count]);
                    // Less than there was room for was everything; what comes later is another event.
                    if count < buffer.len() && !is_read_closed {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return line.end(Err(error.kind())),
            }
        }
    }
}

/// A connection, less what its listener hears. It ends when it is dropped.
pub struct Stream {
    reader: Arc<Reader>,
    key: usize,
    socket: Arc<Socket>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        held(&self.reader.sockets).try_remove(self.key);
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = held(&self.socket.line).read(into.initialize_unfilled(), context.waker());
        match read {
            Some(count) => Poll::Ready(count.map(|count| into.advance(count))),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Held while it is tried, so that nobody says in between that there is room again.
        let mut line = held(&self.socket.line);
        loop {
            match (&self.socket.stream).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    line.wait_to_write(context.waker().clone());
                    return Poll::Pending;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.stream.shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    struct Deaf;

    impl Listener for Deaf {
        fn hear(&self, _: &str) -> bool {
            false
        }
    }

    async fn both_ends() -> (TcpStream, Arc<Reader>, Stream) {
        let reader = Reader::begin().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        let near = reader.take_over(near, Some(Arc::new(Deaf))).unwrap();
        (far, reader, near)
    }

    #[tokio::test]
    async fn what_one_end_says_the_other_reads() {
        let (mut far, _reader, mut near) = both_ends().await;
        let mut read = [0; 9];
        far.write_all(b"x\r\n\r\n\x81\x02hi").await.unwrap();
        near.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"x\r\n\r\n\x81\x02hi");
        // More than a socket holds: it waits until there is room again.
        let much = vec![7; 8 << 20];
        let (written, had) = tokio::join!(near.write_all(&much), async {
            let mut had = vec![0; much.len()];
            far.read_exact(&mut had).await.map(|_| had)
        });
        written.unwrap();
        assert!(had.unwrap() == much);
        drop(far);
        assert_eq!(near.read(&mut read).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn who_is_woken_after_a_rest_hears_at_once() {
        let (mut far, _reader, mut near) = both_ends().await;
        far.write_all(b"\r\n\r\n").await.unwrap();
        near.read_exact(&mut [0; 4]).await.unwrap();
        for pause_ms in [0, 60, 0, 60] {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            far.write_all(b"\x81\x01x").await.unwrap();
            let mut read = [0; 3];
            let waited = tokio::time::timeout(Duration::from_secs(5), near.read_exact(&mut read));
            waited.await.expect("it is woken").unwrap();
        }
    }

    #[tokio::test]
    async fn a_stream_that_is_dropped_is_closed() {
        let (mut far, reader, near) = both_ends().await;
        drop(near);
        assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(held(&reader.sockets).is_empty());
    }
}
