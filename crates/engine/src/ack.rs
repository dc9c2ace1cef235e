//! Answers: of the application to a client's event, and of a client to the application's event.

use std::cell::{Cell, RefCell};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::command::Command;
use crate::handle::{Handle, is_shard_of_this_thread};
use crate::ids::{SocketId, SocketRef};
use crate::packet::Args;

/// The answer that a client waits for. Dropping it leaves the client waiting until its own deadline.
pub struct AckReply {
    pub(crate) to: SocketRef,
    pub(crate) id: u64,
    pub(crate) handle: Handle,
}

/// An answer on its way to its connection.
pub(crate) struct Answer {
    pub(crate) to: SocketRef,
    pub(crate) id: u64,
    pub(crate) args_json: String,
    pub(crate) attachments: Vec<Bytes>,
    /// The application's number for why it was refused, for the flight recorder.
    pub(crate) refused: Option<u32>,
}

thread_local! {
    /// Whether the call that is running has sent commands to its own shard. An answer must not overtake them.
    static SENT_BEFORE: Cell<bool> = const { Cell::new(false) };
    /// Answers given on the shard's own thread, for whoever called the application to pick up. It spares the most
    /// frequent answer of all, the one given at once, the way through the inbox.
    static AT_HAND: RefCell<Option<Vec<Answer>>> = const { RefCell::new(None) };
}

impl AckReply {
    /// Answers with one value.
    pub fn send(self, value: &impl Serialize) {
        let mut json = String::with_capacity(64);
        json.push('[');
        match serde_json::to_string(value) {
            Ok(text) => json.push_str(&text),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "answer not serialisable");
            }
        }
        json.push(']');
        self.send_raw(json, Vec::new());
    }

    /// Answers with the text of a JSON array, its attachments beside it.
    pub fn send_raw(self, args_json: String, attachments: Vec<Bytes>) {
        self.give(args_json, attachments, None);
    }

    /// The same for what is refused. The flight recorder is told why, by a number of the application's.
    pub fn refuse_raw(self, args_json: String, why: u32) {
        self.give(args_json, Vec::new(), Some(why));
    }

    fn give(self, args_json: String, attachments: Vec<Bytes>, refused: Option<u32>) {
        let Self { to, id, handle } = self;
        let answer = Answer { to, id, args_json, attachments, refused };
        let elsewhere = AT_HAND.with_borrow_mut(|at_hand| match at_hand {
            Some(list) if is_shard_of_this_thread(to.shard()) && !SENT_BEFORE.get() => {
                list.push(answer);
                None
            }
            _ => Some(answer),
        });
        if let Some(answer) = elsewhere {
            handle.send(to.shard(), Command::Answer(answer));
        }
    }
}

/// A command is on its way to this shard.
pub(crate) fn note_command(shard: usize) {
    if is_shard_of_this_thread(shard) {
        SENT_BEFORE.set(true);
    }
}

/// Collects the answers that are given while `call` runs.
pub(crate) fn collect<T>(pool: &mut Vec<Answer>, call: impl FnOnce() -> T) -> T {
    /// A panic in the application must not leave the list behind: answers given later would go there and be lost.
    struct Collecting;
    impl Drop for Collecting {
        fn drop(&mut self) {
            AT_HAND.take();
        }
    }
    AT_HAND.set(Some(std::mem::take(pool)));
    SENT_BEFORE.set(false);
    let collecting = Collecting;
    let result = call();
    *pool = AT_HAND.take().expect("it was put there above, and calls do not nest");
    drop(collecting);
    result
}

/// Why an event that asked for an answer got none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    #[error("no answer before the deadline")]
    Timeout,
    #[error("the socket is gone")]
    Gone,
    #[error("too many answers are outstanding on this socket")]
    TooMany,
    #[error("this client's protocol has no answers")]
    Unsupported,
    #[error("the engine is overloaded")]
    Overloaded,
}

/// What each member of a room answered, or why it did not.
pub type Answers = Vec<(SocketId, Result<Args, AckError>)>;

/// Who waits for a client's answer.
pub(crate) enum Waiter {
    One(oneshot::Sender<Result<Args, AckError>>),
    /// Unbounded in form, bounded by the number of members that the event was sent to.
    Many(mpsc::UnboundedSender<(SocketId, Result<Args, AckError>)>),
}

impl Waiter {
    pub(crate) fn answer(self, from: SocketId, result: Result<Args, AckError>) {
        // The caller may have lost interest; that is its right.
        match self {
            Self::One(sender) => drop(sender.send(result)),
            Self::Many(sender) => drop(sender.send((from, result))),
        }
    }
}
