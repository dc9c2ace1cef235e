//! Two connections that have become one: bytes go both ways as they are. It holds no memory while nothing is on its way,
//! and reads from one side no faster than the other takes.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

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
    let up = copy(&mut client_reads, from_client, &mut server_writes);
    let down = copy(&mut server_reads, from_server, &mut client_writes);
    tokio::pin!(up, down);
    tokio::select! {
        ended = &mut up => if ended.is_ok() {
            let _ = tokio::time::timeout(LINGER, &mut down).await;
        },
        ended = &mut down => if ended.is_ok() {
            let _ = tokio::time::timeout(LINGER, &mut up).await;
        },
    }
}

/// Copies until the one end has no more, and passes that on.
async fn copy(from: &mut ReadHalf<'_>, unread: Bytes, to: &mut WriteHalf<'_>) -> io::Result<()> {
    write(to, &unread).await?;
    // However little of it was read, it keeps hyper's whole read buffer.
    drop(unread);
    loop {
        match step(from, to).await? {
            Step::More => {}
            Step::Rest(rest) => write(to, &rest).await?,
            Step::End => {
                // No more of this direction. Fails if the other side is gone, which then says so itself.
                let _ = SockRef::from(to.as_ref()).shutdown(Shutdown::Write);
                return Ok(());
            }
        }
    }
}

enum Step {
    More,
    /// What the other side did not take.
    Rest(Vec<u8>),
    End,
}

/// One read and one write. tokio knows from a read that is not full that there is no more, and spares the one that says so.
async fn step(from: &mut ReadHalf<'_>, to: &WriteHalf<'_>) -> io::Result<Step> {
    poll_fn(|context| {
        CHUNK.with_borrow_mut(|chunk| {
            let mut read = ReadBuf::new(chunk);
            ready!(Pin::new(&mut *from).poll_read(context, &mut read))?;
            let bytes = read.filled();
            if bytes.is_empty() {
                return Poll::Ready(Ok(Step::End));
            }
            Poll::Ready(match to.try_write(bytes) {
                Ok(written) if written == bytes.len() => Ok(Step::More),
                Ok(written) => Ok(Step::Rest(bytes[written..].to_vec())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Step::Rest(bytes.to_vec())),
                Err(error) => Err(error),
            })
        })
    })
    .await
}

async fn write(to: &WriteHalf<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
