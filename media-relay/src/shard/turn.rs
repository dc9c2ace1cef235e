//! The loop of a shard's thread. A round: wait, read the clock once, take words and datagrams, let the core work, send, tell.
//!
//! What there is to read is read before anything is sent, so that packets of one burst leave together: a run of three costs
//! two thirds of three runs. How much that may be at a time is bounded, so that nobody waits for long.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use mio::{Events, Interest, Poll, Token, Waker};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use turnpike_transport::Path;
use turnpike_udp::{Outgoing, Received, Socket};
use turnpike_wire::media::MediaSession;
use turnpike_wire::{Code, Failure, RoomId};

use super::notices::Waiting;
use super::outlet::{Batch, Scratch};
use super::pipes::Exit;
use super::tcp::Tcp;
use super::{Config, Core, News, Shared, Sockets, Suspect, Word};
use crate::carry::FeedNews;
use crate::sfu::{Came, Command, Effect};
use crate::{Notice, Told};

const SOCKET: Token = Token(0);
const INBOX: Token = Token(1);
const LISTENER: Token = Token(2);
/// Of the first connection.
const CONNECTIONS: usize = 3;

/// Reads a round. Two of 64 messages are what a viewer-heavy shard has after a round of a few milliseconds.
const BATCHES_A_ROUND: usize = 4;
/// More are told in the next.
const EVENTS_A_ROUND: usize = 256;
/// Words a round: a join costs about as much as a thousand packets.
const WORDS_A_ROUND: usize = 16;
/// Words of pipes a round: as much as a batch of datagrams from all sides.
const PIPED_A_ROUND: usize = 1_024;
/// News of feeds that wait for whoever hears them. One that is so far behind has died.
const NEWS_MAX: usize = 4_096;
/// Questions that the core has not answered yet. Whoever asks beyond that is refused.
const UNANSWERED_MAX: usize = 4_096;
/// How often a shard gives a sign of life.
const ALIVE_EVERY: Duration = Duration::from_millis(500);
/// When the kernel's buffer is full, or nobody hears notices. Waiting to be told would cost a look at every datagram that
/// leaves the machine.
const AGAIN_AFTER: Duration = Duration::from_millis(1);
/// No datagram waits for longer to be read.
const WAITED_MAX: Duration = Duration::from_secs(10);
/// After an error of the system's that says nothing, so that it does not become a loop.
const FAULT_PAUSE: Duration = Duration::from_millis(10);
/// So many panics within [`PANICS_WITHIN`] mean that the shard ails.
const PANICS_MAX: usize = 3;
const PANICS_WITHIN: Duration = Duration::from_mins(1);

pub(super) struct Turn<C> {
    index: usize,
    core: C,
    socket: Socket,
    received: Received,
    outgoing: Outgoing,
    scratch: Scratch,
    tcp: Option<Tcp>,
    poll: Poll,
    events: Events,
    words: Receiver<Word>,
    piped: Exit,
    /// The socket has more than was read.
    is_readable: bool,
    /// The inbox has more than was taken.
    is_asked: bool,
    unanswered: HashMap<u64, oneshot::Sender<Result<Told, Failure>>>,
    next_ticket: u64,
    waiting: Waiting,
    told: mpsc::Sender<(MediaSession, Notice)>,
    news: News,
    news_waiting: VecDeque<(RoomId, FeedNews)>,
    shared: Arc<Shared>,
    alive_next: Instant,
    overflowed: u32,
    panicked: VecDeque<Instant>,
    /// The core's last advance was a panic.
    is_stuck: bool,
}

pub(super) struct Inboxes {
    pub(super) words: Receiver<Word>,
    pub(super) piped: Exit,
}

pub(super) struct Outboxes {
    pub(super) told: mpsc::Sender<(MediaSession, Notice)>,
    pub(super) news: News,
}

impl<C: Core> Turn<C> {
    pub(super) fn new(
        config: Config,
        Sockets { udp: mut socket, tcp }: Sockets,
        core: C,
        inboxes: Inboxes,
        outboxes: Outboxes,
        shared: Arc<Shared>,
    ) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), INBOX)?;
        poll.registry().register(&mut socket, SOCKET, Interest::READABLE)?;
        let tcp = tcp.map(|listener| Tcp::new(listener, poll.registry(), LISTENER)).transpose()?;
        let turn = Self {
            index: config.index,
            core,
            received: Received::new(&socket),
            outgoing: Outgoing::new(&socket, config.batch),
            scratch: Scratch::default(),
            tcp,
            socket,
            poll,
            events: Events::with_capacity(EVENTS_A_ROUND),
            words: inboxes.words,
            piped: inboxes.piped,
            // What came between binding and now is not told again.
            is_readable: true,
            is_asked: true,
            unanswered: HashMap::new(),
            next_ticket: 0,
            waiting: Waiting::default(),
            told: outboxes.told,
            news: outboxes.news,
            news_waiting: VecDeque::new(),
            alive_next: shared.started,
            shared,
            overflowed: 0,
            panicked: VecDeque::new(),
            is_stuck: false,
        };
        Ok((turn, waker))
    }

    pub(super) fn run(mut self) {
        let mut ended = Instant::now();
        loop {
            self.wait(ended);
            let now = Instant::now();
            let goes_on = self.take_words(now);
            self.take_piped(now);
            self.take_datagrams(now);
            self.take_streams(now);
            self.send(now);
            self.tell();
            self.sign_of_life(now);
            ended = Instant::now();
            let nanos = ended.saturating_duration_since(now).as_nanos() as u64;
            self.shared.counters.rounds.add(1);
            self.shared.counters.round_nanos.add(nanos);
            self.shared.counters.round_nanos_max.raise(nanos);
            if !goes_on {
                tracing::debug!(shard = self.index, "a media shard has ended");
                return;
            }
        }
    }

    fn wait(&mut self, now: Instant) {
        let has_more = self.tcp.as_ref().is_some_and(Tcp::has_more) || self.piped.has_more();
        let timeout = if self.is_readable || self.is_asked || has_more {
            Duration::ZERO
        } else {
            let due = self.core.due().map_or(ALIVE_EVERY, |due| due.saturating_duration_since(now));
            let is_waiting =
                !self.waiting.is_empty() || !self.outgoing.is_empty() || !self.news_waiting.is_empty();
            due.min(if is_waiting { AGAIN_AFTER } else { ALIVE_EVERY })
        };
        if let Err(error) = self.poll.poll(&mut self.events, Some(timeout)) {
            if error.kind() != io::ErrorKind::Interrupted {
                tracing::error!(shard = self.index, error = &error as &dyn std::error::Error, "no events");
                thread::sleep(FAULT_PAUSE);
            }
            // Nothing is known, so everything is looked at.
            self.is_readable = true;
            self.is_asked = true;
            self.piped.look();
            return;
        }
        for event in &self.events {
            match event.token() {
                SOCKET => self.is_readable = true,
                INBOX => self.is_asked = true,
                Token(other) => {
                    let Some(tcp) = &mut self.tcp else { continue };
                    match other.checked_sub(CONNECTIONS) {
                        Some(connection) => tcp.is_ready(connection),
                        None => tcp.came(),
                    }
                }
            }
        }
    }

    /// Whether the shard goes on.
    fn take_words(&mut self, now: Instant) -> bool {
        if !self.is_asked {
            return true;
        }
        for _ in 0..WORDS_A_ROUND {
            match self.words.try_recv() {
                Ok(Word::Ask { ask, answer }) => {
                    self.shared.counters.inbox_depth.sub(1);
                    self.take_word(now, *ask, answer);
                }
                Ok(Word::Stop) | Err(TryRecvError::Disconnected) => {
                    let core = &mut self.core;
                    if catch_unwind(AssertUnwindSafe(|| core.close())).is_err() {
                        note_panic(&mut self.panicked, &self.shared, now);
                    }
                    return false;
                }
                Err(TryRecvError::Empty) => {
                    self.is_asked = false;
                    return true;
                }
            }
        }
        true
    }

    fn take_word(&mut self, now: Instant, ask: crate::Ask, answer: oneshot::Sender<Result<Told, Failure>>) {
        self.shared.counters.commands.add(1);
        let mut chance = [0; 64];
        if self.unanswered.len() >= UNANSWERED_MAX || aws_lc_rs::rand::fill(&mut chance).is_err() {
            // It may be that whoever asked does not wait any more.
            let _ = answer.send(Err(Code::Unavailable.into()));
            return;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.unanswered.insert(ticket, answer);
        let core = &mut self.core;
        let taken = catch_unwind(AssertUnwindSafe(|| core.command(now, Command { ticket, ask, chance })));
        if taken.is_err() {
            self.unanswered.remove(&ticket);
            self.has_panicked(now, None);
        }
    }

    fn take_piped(&mut self, now: Instant) {
        if !self.piped.has_more() {
            return;
        }
        self.piped.begin();
        let mut left = PIPED_A_ROUND;
        // Once for each panic, and once for all the others.
        loop {
            let mut from = None;
            let (core, piped) = (&mut self.core, &mut self.piped);
            let taken = catch_unwind(AssertUnwindSafe(|| {
                while left > 0
                    && let Some((pipe, word)) = piped.take()
                {
                    left -= 1;
                    from = Some(Suspect::Pipe(pipe));
                    core.deliver(now, pipe, word);
                }
            }));
            if taken.is_ok() {
                break;
            }
            self.has_panicked(now, from);
        }
    }

    fn take_datagrams(&mut self, now: Instant) {
        let counters = &self.shared.counters;
        let (mut datagrams, mut bytes, mut truncated) = (0, 0, 0);
        for _ in 0..BATCHES_A_ROUND {
            if !self.is_readable {
                break;
            }
            let received = self.socket.receive(&mut self.received);
            // The kernel notes times by the other clock.
            let read_at = (Instant::now(), SystemTime::now());
            match received {
                Ok(messages) => {
                    self.is_readable = messages == Received::CAPACITY;
                    counters.batches_in.add(u64::from(messages > 0));
                }
                Err(error) => {
                    self.is_readable = false;
                    counters.receive_errors.add(1);
                    tracing::warn!(
                        shard = self.index,
                        error = &error as &dyn std::error::Error,
                        "datagrams could not be read"
                    );
                }
            }
            // Once for each panic, and once for all the others.
            loop {
                let mut from = None;
                let (core, received) = (&mut self.core, &mut self.received);
                let taken = catch_unwind(AssertUnwindSafe(|| {
                    while let Some(datagram) = received.take_next() {
                        datagrams += 1;
                        bytes += datagram.bytes.len() as u64;
                        if datagram.is_truncated {
                            truncated += 1;
                            continue;
                        }
                        from = Some(Suspect::Address(datagram.from));
                        let path = Path { local: datagram.local, remote: datagram.from };
                        let at = came_at(read_at, datagram.time);
                        core.datagram(now, Came { path, at }, datagram.bytes);
                    }
                }));
                if taken.is_ok() {
                    break;
                }
                abandon(&mut self.core, from);
                note_panic(&mut self.panicked, &self.shared, now);
            }
        }
        counters.datagrams_in.add(datagrams);
        counters.bytes_in.add(bytes);
        counters.truncated_in.add(truncated);
    }

    fn take_streams(&mut self, now: Instant) {
        let Some(tcp) = &mut self.tcp else { return };
        let counters = &self.shared.counters.tcp;
        tcp.accept(now, |key| Token(CONNECTIONS + key), counters);
        if !tcp.has_more() {
            return;
        }
        let mut from = None;
        let core = &mut self.core;
        let taken = catch_unwind(AssertUnwindSafe(|| {
            tcp.read(counters, |local, remote, bytes| {
                from = Some(remote);
                core.datagram(now, Came { path: Path { local, remote }, at: now }, bytes);
            });
        }));
        if taken.is_err() {
            if let Some(from) = from {
                tcp.drop_path(from, counters);
            }
            self.has_panicked(now, from.map(Suspect::Address));
        }
    }

    fn send(&mut self, now: Instant) {
        let outlet = turnpike_udp::Outlet::new(&mut self.outgoing, &self.socket);
        let counters = &self.shared.counters.tcp;
        let mut batch = Batch::new(outlet, self.tcp.as_mut(), counters, &mut self.scratch);
        let core = &mut self.core;
        let advanced = catch_unwind(AssertUnwindSafe(|| core.advance(now, &mut batch)));
        self.shared.counters.sent(&batch.flush());
        if advanced.is_ok() {
            self.is_stuck = false;
            return;
        }
        self.has_panicked(now, None);
        // Twice in succession it may well be for ever: still due, and as fast as the processor can.
        if std::mem::replace(&mut self.is_stuck, true) {
            thread::sleep(FAULT_PAUSE);
        }
    }

    fn tell(&mut self) {
        let counters = &self.shared.counters;
        loop {
            let core = &mut self.core;
            match catch_unwind(AssertUnwindSafe(|| core.next_effect())) {
                Ok(Some(Effect::Answer { ticket, answer })) => {
                    if let Some(asked) = self.unanswered.remove(&ticket) {
                        // It may be that whoever asked does not wait any more.
                        let _ = asked.send(answer);
                    }
                }
                Ok(Some(Effect::Notice { session, notice })) => {
                    self.waiting.take(session, notice, counters);
                }
                Ok(Some(Effect::Feed { stream, news })) => {
                    if self.news_waiting.len() < NEWS_MAX {
                        self.news_waiting.push_back((stream, news));
                    } else {
                        counters.notices_dropped.add(1);
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    note_panic(&mut self.panicked, &self.shared, Instant::now());
                    break;
                }
            }
        }
        while let Some(news) = self.news_waiting.pop_front() {
            if let Err(TrySendError::Full(news)) = self.news.try_send(news) {
                self.news_waiting.push_front(news);
                break;
            }
        }
        if !self.waiting.is_empty() {
            let told = &self.told;
            self.waiting.hand_over(|notice| match told.try_send(notice) {
                Err(TrySendError::Full(notice)) => Some(notice),
                // Closed: nobody hears any more, and the process is about to end.
                Ok(()) | Err(TrySendError::Closed(_)) => None,
            });
        }
        counters.notices_depth.set(self.waiting.len() as u64);
    }

    fn sign_of_life(&mut self, now: Instant) {
        if now < self.alive_next {
            return;
        }
        self.alive_next = now + ALIVE_EVERY;
        // Told when somebody else was not: an inbox must not depend on being woken.
        self.is_asked = true;
        self.piped.look();
        while self.panicked.front().is_some_and(|at| now.saturating_duration_since(*at) > PANICS_WITHIN) {
            self.panicked.pop_front();
        }
        self.shared.ails.store(self.panicked.len() >= PANICS_MAX, Ordering::Relaxed);
        // Whoever has stopped waiting needs no answer, and must not keep others from theirs.
        self.unanswered.retain(|_, answer| !answer.is_closed());
        if let Some(tcp) = &mut self.tcp {
            let core = &self.core;
            tcp.expire(now, &self.shared.counters.tcp, |address| core.is_bound(address));
        }
        if let Ok(memory) = self.socket.memory() {
            let more = memory.receive_drops.wrapping_sub(self.overflowed);
            self.overflowed = memory.receive_drops;
            self.shared.counters.overflowed_in.add(u64::from(more));
        }
        let alive = now.saturating_duration_since(self.shared.started).as_millis() as u64;
        self.shared.counters.alive_at_ms.set(alive);
    }

    fn has_panicked(&mut self, now: Instant, from: Option<Suspect>) {
        abandon(&mut self.core, from);
        note_panic(&mut self.panicked, &self.shared, now);
    }
}

/// When a datagram came, by our clock. `read_at`: one moment by both.
fn came_at(read_at: (Instant, SystemTime), noted: Option<SystemTime>) -> Instant {
    let age = noted.and_then(|noted| read_at.1.duration_since(noted).ok());
    // Of a system's clock that was set meanwhile nothing can be told.
    let age = age.filter(|age| *age <= WAITED_MAX).unwrap_or_default();
    read_at.0.checked_sub(age).unwrap_or(read_at.0)
}

/// A core that cannot even do this is left as it is: health says that it ails.
fn abandon(core: &mut impl Core, from: Option<Suspect>) {
    if catch_unwind(AssertUnwindSafe(|| core.abandon(from))).is_err() {
        tracing::error!("a media core panicked twice over one peer");
    }
}

fn note_panic(panicked: &mut VecDeque<Instant>, shared: &Shared, now: Instant) {
    shared.counters.panics.add(1);
    tracing::error!("a media core panicked; the peer is dropped");
    // The latest few say whether it is a habit.
    if panicked.len() >= PANICS_MAX {
        panicked.pop_front();
    }
    panicked.push_back(now);
    shared.ails.store(panicked.len() >= PANICS_MAX, Ordering::Relaxed);
}
