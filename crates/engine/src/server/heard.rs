//! A stream that knows whether its client has begun to say something and not been answered yet: what makes a connection on
//! which nothing is asked another thing than a request whose headers never end. And it can keep an answer for whoever takes
//! the stream over and has more to say at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub(super) struct Heard {
    stream: TcpStream,
    talk: Talk,
    /// Answered, and not written. It is the head of one response.
    kept: Vec<u8>,
}

/// How it goes on the stream, shared by whoever serves it and whoever answers.
#[derive(Clone, Default)]
pub(super) struct Talk(Arc<Flags>);

#[derive(Default)]
struct Flags {
    unanswered: AtomicBool,
    keeps_answer: AtomicBool,
}

impl Talk {
    /// Whether the client has said something that was not answered.
    pub(super) fn is_unanswered(&self) -> bool {
        self.0.unanswered.load(Ordering::Relaxed)
    }

    /// The answer to come is the last one here: whoever takes the stream over is given it, to be written with the first
    /// that they have to say: a segment less for the kernels of both.
    pub(super) fn keep_answer(&self) {
        self.0.keeps_answer.store(true, Ordering::Relaxed);
    }
}

impl Heard {
    pub(super) fn new(stream: TcpStream, talk: Talk) -> Self {
        Self { stream, talk, kept: Vec::new() }
    }

    fn keeps(&self) -> bool {
        self.talk.0.keeps_answer.load(Ordering::Relaxed)
    }

    fn answered(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.talk.0.unanswered.store(false, Ordering::Relaxed);
        }
    }
}

/// What was served and has been taken over. Hyper's task and buffers are gone then.
pub(super) struct Taken {
    pub(super) stream: TcpStream,
    /// The answer, if it was kept. It has to be written first.
    pub(super) unwritten: Vec<u8>,
    /// What had been read behind the request.
    pub(super) unread: Bytes,
}

pub(super) fn taken_back(upgraded: Upgraded) -> Option<Taken> {
    let parts = upgraded.downcast::<TokioIo<Heard>>().ok()?;
    let Heard { stream, kept, .. } = parts.io.into_inner();
    Some(Taken { stream, unwritten: kept, unread: parts.read_buf })
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.talk.0.unanswered.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = if self.keeps() {
            self.kept.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        } else {
            Pin::new(&mut self.stream).poll_write(context, bytes)
        };
        self.answered(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = if self.keeps() {
            let before = self.kept.len();
            for slice in slices {
                self.kept.extend_from_slice(slice);
            }
            Poll::Ready(Ok(self.kept.len() - before))
        } else {
            Pin::new(&mut self.stream).poll_write_vectored(context, slices)
        };
        self.answered(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
