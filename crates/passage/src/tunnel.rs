//! Two connections that have become one: bytes go both ways as they are. It holds no memory while nothing is on its way,
//! and reads from one side no faster than the other takes.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Sleep, sleep};

/// Bytes that one side may have been read ahead of the other.
const CHUNK_BYTES: usize = 16 * 1024;
/// How long one direction goes on after the other has ended: enough for the last words, which are an answer to a close.
const LINGER: Duration = Duration::from_secs(2);

thread_local! {
    /// One for all tunnels of a thread: nothing stays in it when a tunnel waits.
    static CHUNK: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK_BYTES].into());
}

/// One end, and what had been read from it behind the HTTP head.
pub struct End {
    stream: TcpStream,
    unread: Bytes,
}

impl End {
    /// For whoever has the socket back already.
    pub fn new(stream: TcpStream, unread: Bytes) -> Self {
        Self { stream, unread }
    }

    /// The bare socket: hyper's task and buffers are gone then. None if hyper served something else than a TCP stream.
    pub fn of(upgraded: Upgraded) -> Option<Self> {
        let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
        Some(Self { stream: parts.io.into_inner(), unread: parts.read_buf })
    }
}

/// Runs until both directions have ended, or one a while after the other. A fault of one is the end of both.
pub async fn tunnel(client: End, server: End) {
    let (End { stream: mut client, unread: from_client }, End { stream: mut server, unread: from_server }) =
        (client, server);
    let (mut client_reads, mut client_writes) = client.split();
    let (mut server_reads, mut server_writes) = server.split();
    let (mut up, mut down) = (Direction::new(from_client), Direction::new(from_server));
    // Made when it is needed: a tunnel that waits has no timer.
    let mut linger: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|context| {
        let ends = [
            up.poll(context, &mut client_reads, &mut server_writes),
            down.poll(context, &mut server_reads, &mut client_writes),
        ];
        match ends {
            [Poll::Ready(Err(_)), _] | [_, Poll::Ready(Err(_))] | [Poll::Ready(_), Poll::Ready(_)] => {
                Poll::Ready(())
            }
            [Poll::Pending, Poll::Pending] => Poll::Pending,
            _ => linger.get_or_insert_with(|| Box::pin(sleep(LINGER))).as_mut().poll(context),
        }
    })
    .await;
}

/// One way.
struct Direction {
    /// What the other side has not taken yet.
    held: Bytes,
    ended: bool,
}

impl Direction {
    fn new(unread: Bytes) -> Self {
        Self { held: unread, ended: false }
    }

    /// Copies until the one end has no more, and passes that on.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.ended {
            while !self.held.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(context, &self.held))?;
                self.held.advance(written);
            }
            // However little of it was read, hyper's part keeps its whole read buffer.
            self.held = Bytes::new();
            if ready!(self.step(context, from, to))? == CHUNK_BYTES {
                // A flood, which must not keep the thread from its other work.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// One read and one write; gives how many bytes were read. tokio knows from a read that is not full that there is no
    /// more, and spares the one that says so.
    fn step(
        &mut self,
        context: &mut Context<'_>,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
    ) -> Poll<io::Result<usize>> {
        CHUNK.with_borrow_mut(|chunk| {
            let mut read = ReadBuf::new(chunk);
            ready!(Pin::new(from).poll_read(context, &mut read))?;
            let bytes = read.filled();
            if bytes.is_empty() {
                self.ended = true;
                // No more of this direction. Fails if the other side is gone, which then says so itself.
                let _ = SockRef::from(to.as_ref()).shutdown(Shutdown::Write);
                return Poll::Ready(Ok(0));
            }
            let written = match Pin::new(to).poll_write(context, bytes) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            if written < bytes.len() {
                self.held = Bytes::copy_from_slice(&bytes[written..]);
            }
            Poll::Ready(Ok(bytes.len()))
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (one, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (one.unwrap(), accepted.unwrap().0)
    }

    /// The outer ends of a tunnel.
    async fn through() -> (TcpStream, TcpStream) {
        let ((client, near), (far, server)) = tokio::join!(pair(), pair());
        let near = End { stream: near, unread: Bytes::from_static(b"early ") };
        let far = End { stream: far, unread: Bytes::from_static(b"welcome ") };
        tokio::spawn(tunnel(near, far));
        (client, server)
    }

    #[tokio::test]
    async fn everything_arrives_in_order_and_ends_when_it_is_over() {
        let (mut client, mut server) = through().await;
        let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let (ours, expected) = (sent.clone(), [b"early ".as_slice(), &sent].concat());
        let send = async {
            client.write_all(&ours).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, b"welcome thanks");
        };
        let receive = async {
            let mut received = Vec::new();
            server.read_to_end(&mut received).await.unwrap();
            assert!(received == expected, "{} bytes", received.len());
            server.write_all(b"thanks").await.unwrap();
            server.shutdown().await.unwrap();
        };
        tokio::join!(send, receive);
    }

    #[tokio::test]
    async fn nobody_is_read_faster_than_the_other_takes() {
        let (mut client, _server) = through().await;
        let chunk = vec![0; 64 * 1024];
        let flood = async {
            for _ in 0..4_096 {
                client.write_all(&chunk).await.unwrap();
            }
        };
        let all_of_it = tokio::time::timeout(Duration::from_millis(500), flood).await;
        assert!(all_of_it.is_err(), "256 MB were taken off a client whose server reads nothing");
    }

    #[tokio::test]
    async fn an_end_that_breaks_takes_the_other_with_it() {
        let (client, mut server) = through().await;
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), server.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the server's end is still open");
    }
}
