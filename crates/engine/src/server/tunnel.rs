//! A websocket whose session another node owns: bytes go both ways as they are. It holds no memory while nothing is
//! on its way, and reads from one side no faster than the other takes.

use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::open::Open;
use crate::application::Application;
use crate::arrival::Visit;
use crate::shard::Shard;

/// Bytes that one side may have been read ahead of the other.
const CHUNK_BYTES: usize = 16 * 1024;
/// How long one direction goes on after the other has ended: enough for the last words, which are an answer to a close.
const LINGER: Duration = Duration::from_secs(2);

/// One end, and what had been read from it behind the HTTP head.
struct End {
    stream: TcpStream,
    unread: Bytes,
}

/// Runs until one of the ends is closed, or this node drains.
async fn run<A: Application>(shard: &Shard<A>, client: End, owner: End) {
    let _sockets = [Open::count(&shard.counters), Open::count(&shard.counters)];
    let _tunnel = Tunnel::count(shard);
    let up = copy(shard, &client.stream, client.unread, &owner.stream);
    let down = copy(shard, &owner.stream, owner.unread, &client.stream);
    tokio::pin!(up, down);
    let ended = async {
        // A fault of one direction is the end of both.
        tokio::select! {
            result = &mut up => if result.is_ok() {
                let _ = tokio::time::timeout(LINGER, &mut down).await;
            },
            result = &mut down => if result.is_ok() {
                let _ = tokio::time::timeout(LINGER, &mut up).await;
            },
        }
    };
    tokio::select! {
        () = ended => {}
        () = shard.time_to_leave() => {}
    }
}

/// Copies until the one end has no more, and passes that on.
async fn copy<A: Application>(
    shard: &Shard<A>,
    from: &TcpStream,
    unread: Bytes,
    to: &TcpStream,
) -> io::Result<()> {
    write(to, &unread).await?;
    // However little of it was read, it keeps hyper's whole read buffer.
    drop(unread);
    loop {
        from.readable().await?;
        match step(shard, from, to) {
            Ok(Step::More) => {}
            Ok(Step::Rest(rest)) => write(to, &rest).await?,
            Ok(Step::End) => {
                // No more of this direction. Fails if the other side is gone, which then says so itself.
                let _ = SockRef::from(to).shutdown(Shutdown::Write);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        // A flood must not keep the shard from its other work.
        tokio::task::yield_now().await;
    }
}

enum Step {
    More,
    /// What the other side did not take.
    Rest(Vec<u8>),
    End,
}

/// One read and one write, by the buffer that the shard's connections share.
fn step<A: Application>(shard: &Shard<A>, from: &TcpStream, to: &TcpStream) -> io::Result<Step> {
    shard.with_read_buffer(|buffer| {
        let count = from.try_read(&mut buffer[..CHUNK_BYTES])?;
        let bytes = &buffer[..count];
        if count == 0 {
            return Ok(Step::End);
        }
        match to.try_write(bytes) {
            Ok(written) if written == count => Ok(Step::More),
            Ok(written) => Ok(Step::Rest(bytes[written..].to_vec())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Step::Rest(bytes.to_vec())),
            Err(error) => Err(error),
        }
    })
}

async fn write(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
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

/// Counted while it is open.
struct Tunnel<'a, A: Application>(&'a Shard<A>);

impl<'a, A: Application> Tunnel<'a, A> {
    fn count(shard: &'a Shard<A>) -> Self {
        shard.counters.tunnels_now.add(1);
        Self(shard)
    }
}

impl<A: Application> Drop for Tunnel<'_, A> {
    fn drop(&mut self) {
        self.0.counters.tunnels_now.sub(1);
    }
}

/// Once both sides have agreed on the websocket.
pub(super) async fn begin<A: Application>(
    shard: Rc<Shard<A>>,
    client: hyper::upgrade::OnUpgrade,
    owner: hyper::upgrade::OnUpgrade,
    // As long as the client's connection is open.
    _visit: Arc<Visit>,
) {
    let (Ok(client), Ok(owner)) = tokio::join!(client, owner) else { return };
    let (client, owner) = (End::of(client), End::of(owner));
    run(&shard, client, owner).await;
}

impl End {
    /// The bare socket: hyper's task and buffers are gone then.
    fn of(upgraded: hyper::upgrade::Upgraded) -> Self {
        let parts = upgraded
            .downcast::<hyper_util::rt::TokioIo<TcpStream>>()
            .expect("that is what was served, and what was connected");
        Self { stream: parts.io.into_inner(), unread: parts.read_buf }
    }
}
