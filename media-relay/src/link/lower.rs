//! The lower end of a pipe that was asked for from here: what comes feeds a stream of this relay.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use quinn::{SendStream, VarInt};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use turnpike_wire::RoomId;

use super::connection::{InUse, Link};
use super::packets::Change;
use super::sink::{UpSink, WORDS_MAX};
use super::words::{Answer, OPEN_BYTES_MAX, Open, WordError, Words, framed};
use super::{Inner, LinkTarget, NotAttached};
use crate::carry::{Blocked, Delivered, Down, Pipe, PipeId, Up, WORD_BYTES_MAX, read_down, write_up};

/// Why a stream of a pipe was reset.
pub(super) const ENDED: VarInt = VarInt::from_u32(0);
pub(super) const BLOCKED: VarInt = VarInt::from_u32(1);
const UNREADABLE: VarInt = VarInt::from_u32(2);

/// A word that the other side takes no notice of for so long will not be heard.
pub(super) const WRITE_DEADLINE: Duration = Duration::from_secs(2);
/// From the question to the answer. A peer whose connection is there already answers within a round trip.
const ANSWER_DEADLINE: Duration = Duration::from_secs(3);
/// How often a shard that is full is told that a stream is over.
const TELL_TRIES: u32 = 20;
const TELL_EVERY: Duration = Duration::from_millis(50);

/// Why it is over.
enum Over {
    /// The stream is, and the core has been told so.
    Told,
    /// From here: the core or whoever attached it does not want it any more.
    Unwanted,
    /// By the other end, or with the connection.
    Ended,
    Blocked,
    Unreadable,
    /// It has come through here already.
    Loop,
}

/// Opens a pipe and feeds what comes of it into the relay.
pub(super) async fn attach(
    inner: &Arc<Inner>,
    stream: RoomId,
    to: LinkTarget,
) -> Result<PipeId, NotAttached> {
    if to.incarnation == inner.own {
        return Err(NotAttached::Loop);
    }
    let opened = timeout(ANSWER_DEADLINE, open(inner, &stream, to)).await;
    let (link, send, from) = opened.unwrap_or(Err(NotAttached::Unreachable))?;
    let pipe = inner.ends.next_pipe();
    let (words, put) = mpsc::channel(WORDS_MAX);
    let (blocked, unwanted) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let number = send.id().index();
    let begin = Change::Begin { number, stream: stream.clone(), pipe };
    link.changes.send(begin).await.map_err(|_| NotAttached::Unreachable)?;
    let in_use = link.use_it();
    let upward = Pipe::new(pipe, Arc::new(UpSink { words, blocked: Arc::clone(&blocked) }));
    if inner.ends.feed(&stream, upward).await.is_err() {
        // The other end sees that by the streams, which end here.
        let _ = link.changes.send(Change::End { number }).await;
        return Err(NotAttached::Unreachable);
    }
    inner.lowers().insert(pipe, Arc::clone(&unwanted));
    let feed = Feed { stream, pipe, put, blocked, unwanted, in_use };
    tokio::spawn(run(Arc::clone(inner), link, feed, number, send, from));
    Ok(pipe)
}

async fn open(
    inner: &Arc<Inner>,
    stream: &RoomId,
    to: LinkTarget,
) -> Result<(Arc<Link>, SendStream, Words), NotAttached> {
    for _ in 0..2 {
        let link = inner.link_to(to).await.ok_or(NotAttached::Unreachable)?;
        if let Some((send, from, answer)) = ask(&link, stream).await {
            return match answer {
                Answer::Accepted => Ok((link, send, from)),
                Answer::NoSuchStream => Err(NotAttached::NoSuchStream),
                Answer::Elsewhere(relays) => Err(NotAttached::Elsewhere(relays)),
                Answer::Loop => Err(NotAttached::Loop),
                Answer::Unable => Err(NotAttached::Unreachable),
            };
        }
        // It may have been closed at this moment, as one that was not used.
        if link.is_open() {
            break;
        }
    }
    Err(NotAttached::Unreachable)
}

async fn ask(link: &Link, stream: &RoomId) -> Option<(SendStream, Words, Answer)> {
    let (mut send, receive) = link.connection.open_bi().await.ok()?;
    let open = Open { stream: stream.clone() };
    let word = framed(OPEN_BYTES_MAX, &mut BytesMut::new(), |out| open.write(out))?;
    send.write_chunk(word).await.ok()?;
    let mut from = Words::new(receive);
    let answer = from.next(OPEN_BYTES_MAX).await.ok()??;
    Some((send, from, Answer::read(answer).ok()?))
}

struct Feed {
    stream: RoomId,
    pipe: PipeId,
    /// What the core says.
    put: mpsc::Receiver<Up>,
    blocked: Arc<Notify>,
    unwanted: Arc<Notify>,
    in_use: InUse,
}

async fn run(
    inner: Arc<Inner>,
    link: Arc<Link>,
    feed: Feed,
    number: u64,
    mut send: SendStream,
    mut from: Words,
) {
    let Feed { stream, pipe, put, blocked, unwanted, in_use: _in_use } = feed;
    inner.counters.pipes_down.add(1);
    let over = tokio::select! {
        over = hear(&inner, &stream, pipe, &mut from) => over,
        over = say(put, &mut send) => over,
        () = blocked.notified() => Over::Blocked,
        () = unwanted.notified() => Over::Unwanted,
    };
    inner.counters.pipes_down.sub(1);
    inner.lowers().remove(&pipe);
    // Nobody is there to be told if the connection is over.
    let _ = link.changes.send(Change::End { number }).await;
    let code = match over {
        Over::Told | Over::Unwanted | Over::Ended => ENDED,
        Over::Blocked => {
            inner.counters.blocked.add(1);
            BLOCKED
        }
        Over::Unreadable | Over::Loop => {
            inner.counters.unreadable.add(1);
            UNREADABLE
        }
    };
    if code == ENDED {
        let _ = send.finish();
    } else {
        let _ = (send.reset(code), from.stream_mut().stop(code));
    }
    if !matches!(over, Over::Told | Over::Unwanted) {
        tell(&inner, &stream, pipe).await;
    }
}

/// That nothing follows. A shard that cannot take that for a second hears by its own words that the pipe is gone.
async fn tell(inner: &Inner, stream: &RoomId, pipe: PipeId) {
    for _ in 0..TELL_TRIES {
        match inner.ends.deliver(stream, pipe, Delivered::Down(Down::Over)) {
            Ok(()) | Err(Blocked::Closed) => return,
            Err(Blocked::Full) => sleep(TELL_EVERY).await,
        }
    }
}

async fn hear(inner: &Inner, stream: &RoomId, pipe: PipeId, from: &mut Words) -> Over {
    loop {
        let word = match from.known(read_down).await {
            Ok(Some(word)) => word,
            Ok(None) | Err(WordError::Broken(_)) => return Over::Ended,
            Err(_) => return Over::Unreadable,
        };
        if let Down::Stream(stream) = &word
            && stream.path.contains(&inner.own)
        {
            return Over::Loop;
        }
        let is_over = word == Down::Over;
        if inner.ends.deliver(stream, pipe, Delivered::Down(word)).is_err() {
            return Over::Blocked;
        }
        if is_over {
            return Over::Told;
        }
    }
}

async fn say(mut put: mpsc::Receiver<Up>, send: &mut SendStream) -> Over {
    let mut out = BytesMut::new();
    while let Some(word) = put.recv().await {
        let Some(bytes) = framed(WORD_BYTES_MAX, &mut out, |out| write_up(&word, out)) else {
            return Over::Blocked;
        };
        match timeout(WRITE_DEADLINE, send.write_chunk(bytes)).await {
            Ok(Ok(())) => {}
            // Whoever reads hears why.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => return Over::Blocked,
        }
    }
    Over::Unwanted
}
