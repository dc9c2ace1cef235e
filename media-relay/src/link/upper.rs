//! The upper end of a pipe that another relay has asked for: a branch of a stream that is here.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use quinn::{RecvStream, SendStream, VarInt};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use turnpike_wire::{Code, RoomId};

use super::Inner;
use super::connection::Link;
use super::counters::Refused;
use super::lower::{BLOCKED, ENDED, WRITE_DEADLINE};
use super::sink::{DownSink, WORDS_MAX};
use super::words::{Answer, OPEN_BYTES_MAX, Open, WordError, Words, framed};
use crate::carry::{Delivered, Down, Pipe, PipeId, Up, WORD_BYTES_MAX, read_up, write_down};

/// Whoever opens a pipe says at once what for.
const OPEN_DEADLINE: Duration = Duration::from_secs(3);
/// The shard says with the first word how the stream is, and so whether it comes from whoever asks.
const FIRST_DEADLINE: Duration = Duration::from_millis(200);

/// Why it is over.
enum Over {
    /// The core, or the other end, has ended it.
    Ended,
    /// One end does not take what the other says.
    Blocked,
    /// The other end said what cannot be read.
    Unreadable,
}

pub(super) async fn run(inner: Arc<Inner>, link: Arc<Link>, mut send: SendStream, receive: RecvStream) {
    let mut from = Words::new(receive);
    let Some(open) = asked(&mut from).await else {
        inner.counters.refuse(Refused::Unable);
        let _ = send.reset(ENDED);
        return;
    };
    let _in_use = link.use_it();
    let pipe = inner.ends.next_pipe();
    let (words, put) = mpsc::channel(WORDS_MAX);
    let blocked = Arc::new(Notify::new());
    let sink = DownSink {
        number: send.id().index(),
        packets: link.packets.clone(),
        words,
        blocked: Arc::clone(&blocked),
        counters: Arc::clone(&inner.counters),
    };
    let mut branch = Branch { stream: open.stream, pipe, put, out: BytesMut::new() };
    let downward = Pipe::new(pipe, Arc::new(sink));
    let answer = match inner.ends.branch(&branch.stream, downward).await {
        Ok(()) => {
            let over = serve(&inner, &link, &mut branch, &mut send, &mut from, &blocked).await;
            inner.ends.unpipe(&branch.stream, pipe).await;
            match over {
                Ok(over) => {
                    clear_up(&inner, &over, &mut send, &mut from);
                    return;
                }
                Err(answer) => answer,
            }
        }
        Err(failure) => match failure.code {
            Code::NoSuchStream => Answer::NoSuchStream,
            Code::NoRelay => Answer::Elsewhere(inner.children_of(&branch.stream, link.peer)),
            _ => Answer::Unable,
        },
    };
    inner.counters.refuse(match answer {
        Answer::NoSuchStream => Refused::NoSuchStream,
        Answer::Elsewhere(_) => Refused::Elsewhere,
        Answer::Loop => Refused::Loop,
        Answer::Accepted | Answer::Unable => Refused::Unable,
    });
    // Who does not hear it runs into its own deadline.
    let _ = write(&answer, &mut branch.out, &mut send).await;
    let _ = send.finish();
}

struct Branch {
    stream: RoomId,
    pipe: PipeId,
    /// What the core says.
    put: mpsc::Receiver<Down>,
    out: BytesMut,
}

async fn asked(from: &mut Words) -> Option<Open> {
    let word = timeout(OPEN_DEADLINE, from.next(OPEN_BYTES_MAX)).await.ok()?.ok()??;
    Open::read(word).ok()
}

async fn write(answer: &Answer, out: &mut BytesMut, send: &mut SendStream) -> Option<()> {
    let word = framed(OPEN_BYTES_MAX, out, |out| answer.write(out))?;
    timeout(WRITE_DEADLINE, send.write_chunk(word)).await.ok()?.ok()
}

/// Until it is over. An answer instead: it did not come to that.
async fn serve(
    inner: &Arc<Inner>,
    link: &Link,
    branch: &mut Branch,
    send: &mut SendStream,
    from: &mut Words,
    blocked: &Notify,
) -> Result<Over, Answer> {
    let first = match timeout(FIRST_DEADLINE, branch.put.recv()).await {
        Ok(Some(Down::Stream(stream))) if stream.path.contains(&link.peer) => return Err(Answer::Loop),
        Ok(None) => return Err(Answer::NoSuchStream),
        Ok(first) => first,
        Err(_) => None,
    };
    if write(&Answer::Accepted, &mut branch.out, send).await.is_none() {
        return Ok(Over::Blocked);
    }
    let _child = inner.add_child(&branch.stream, link.peer);
    inner.counters.pipes_up.add(1);
    let (stream, pipe) = (branch.stream.clone(), branch.pipe);
    let over = tokio::select! {
        over = say(inner, branch, first, send) => over,
        over = hear(inner, &stream, pipe, from) => over,
        () = blocked.notified() => Over::Blocked,
    };
    inner.counters.pipes_up.sub(1);
    Ok(over)
}

async fn say(inner: &Inner, branch: &mut Branch, first: Option<Down>, send: &mut SendStream) -> Over {
    let mut next = first;
    loop {
        if next.is_none() {
            next = branch.put.recv().await;
        }
        let Some(mut word) = next.take() else { return Over::Ended };
        if let Down::Stream(stream) = &mut word
            && !stream.path.contains(&inner.own)
        {
            stream.path.push(inner.own);
        }
        let Some(bytes) = framed(WORD_BYTES_MAX, &mut branch.out, |out| write_down(&word, out)) else {
            return Over::Blocked;
        };
        match timeout(WRITE_DEADLINE, send.write_chunk(bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Over::Ended,
            Err(_) => return Over::Blocked,
        }
        if word == Down::Over {
            return Over::Ended;
        }
    }
}

async fn hear(inner: &Inner, stream: &RoomId, pipe: PipeId, from: &mut Words) -> Over {
    loop {
        let word = match from.known(read_up).await {
            Ok(Some(word)) => word,
            Ok(None) | Err(WordError::Broken(_)) => return Over::Ended,
            Err(_) => return Over::Unreadable,
        };
        if let Up::Again { sequences, .. } = &word {
            inner.counters.asked_again.add(sequences.len() as u64);
        }
        if inner.ends.deliver(stream, pipe, Delivered::Up(word)).is_err() {
            return Over::Blocked;
        }
    }
}

fn clear_up(inner: &Inner, over: &Over, send: &mut SendStream, from: &mut Words) {
    let code = match over {
        Over::Ended => {
            let _ = send.finish();
            return;
        }
        Over::Blocked => {
            inner.counters.blocked.add(1);
            BLOCKED
        }
        Over::Unreadable => {
            inner.counters.unreadable.add(1);
            VarInt::from_u32(2)
        }
    };
    let _ = (send.reset(code), from.stream_mut().stop(code));
}
