//! A shard's inbox, as senders see it. What one sender sends is taken in the order in which it was sent, also when there
//! was no room for some of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::mpsc;

use crate::command::Command;
use crate::handle::Overloaded;

pub(crate) struct Inbox {
    channel: mpsc::Sender<Command>,
    /// Something is in `late`. Until it has been taken nothing more goes into the channel, which it would overtake.
    is_late: AtomicBool,
    late: Mutex<Late>,
}

#[derive(Default)]
struct Late {
    /// What may not be refused and found the channel full: answers, closes, questions about rooms. Unbounded in form; there
    /// are no more of them than there are events being handled and sockets to be closed.
    commands: Vec<Command>,
    /// The shard's.
    waker: Option<Waker>,
}

impl Inbox {
    pub(crate) fn new(commands_max: usize) -> (Self, mpsc::Receiver<Command>) {
        // When it is full, callers are told that the engine is overloaded, and nothing is lost silently.
        let (channel, receiver) = mpsc::channel(commands_max);
        (Self { channel, is_late: AtomicBool::new(false), late: Mutex::default() }, receiver)
    }

    pub(crate) fn try_send(&self, command: Command) -> Result<(), Overloaded> {
        self.try_reserve().map(|permit| permit.send(command))
    }

    /// A place for a command that is sent next.
    pub(crate) fn try_reserve(&self) -> Result<mpsc::Permit<'_, Command>, Overloaded> {
        if self.is_late() {
            return Err(Overloaded);
        }
        self.channel.try_reserve().map_err(|_| Overloaded)
    }

    /// For what must not be refused.
    pub(crate) fn send(&self, command: Command) {
        match self.try_reserve() {
            Ok(permit) => permit.send(command),
            // Nobody is there any more to take it, and whoever waits for an answer is told so by its end.
            Err(Overloaded) if self.is_closed() => drop(command),
            Err(Overloaded) => {
                let mut late = self.late();
                late.commands.push(command);
                self.is_late.store(true, Ordering::SeqCst);
                // It may be asleep: those who had the places need not have used them.
                if let Some(waker) = &late.waker {
                    waker.wake_by_ref();
                }
            }
        }
    }

    /// The shard has stopped.
    pub(crate) fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }

    pub(crate) fn is_late(&self) -> bool {
        self.is_late.load(Ordering::SeqCst)
    }

    /// For the shard: who is to be woken.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.late().waker = Some(waker.clone());
    }

    /// For the shard: what is in the channel, and then what found no room in it. False: there was nothing of the latter.
    pub(crate) fn take_late(
        &self,
        receiver: &mut mpsc::Receiver<Command>,
        queue: &mut VecDeque<Command>,
    ) -> bool {
        if !self.is_late() {
            return false;
        }
        let mut late = self.late();
        // Whoever was late had put into the channel before what comes from there now.
        queue.extend(std::iter::from_fn(|| receiver.try_recv().ok()));
        queue.append(&mut std::mem::take(&mut late.commands).into());
        self.is_late.store(false, Ordering::SeqCst);
        true
    }

    fn late(&self) -> MutexGuard<'_, Late> {
        // A list of commands is whole after each step.
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Key, SocketId, SocketRef};

    /// Told apart by their slots.
    fn command(slot: u32) -> Command {
        let socket = SocketRef { shard: 0, key: Key { slot, generation: 0 }, id: SocketId::random() };
        Command::Leave { socket, room: "r".into() }
    }

    fn slots(queue: &mut VecDeque<Command>) -> Vec<u32> {
        let slot = |command| match command {
            Command::Leave { socket, .. } => socket.key.slot,
            _ => unreachable!("nothing else is sent here"),
        };
        queue.drain(..).map(slot).collect()
    }

    #[test]
    fn what_found_no_room_is_not_overtaken() {
        let (inbox, mut receiver) = Inbox::new(2);
        let mut queue = VecDeque::new();
        for slot in 0..4 {
            inbox.send(command(slot));
        }
        assert!(inbox.try_send(command(9)).is_err());
        queue.extend(receiver.try_recv());
        assert!(inbox.try_send(command(9)).is_err(), "there is room, but not before the late ones");
        inbox.send(command(4));
        assert!(inbox.take_late(&mut receiver, &mut queue));
        assert!(!inbox.take_late(&mut receiver, &mut queue));
        inbox.try_send(command(5)).unwrap();
        queue.extend(receiver.try_recv());
        assert_eq!(slots(&mut queue), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_place_that_is_given_back_unused_leaves_nobody_waiting() {
        struct Woken(AtomicBool);
        impl std::task::Wake for Woken {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let (inbox, mut receiver) = Inbox::new(1);
        let woken = std::sync::Arc::new(Woken(AtomicBool::new(false)));
        inbox.set_waker(&std::sync::Arc::clone(&woken).into());
        let place = inbox.try_reserve().unwrap();
        inbox.send(command(1));
        drop(place);
        assert!(woken.0.load(Ordering::SeqCst));
        let mut queue = VecDeque::new();
        assert!(inbox.take_late(&mut receiver, &mut queue));
        assert_eq!(slots(&mut queue), [1]);
    }
}
