//! Writing to relays, and waiting for their answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use turnpike_cluster::{Incarnation, Post};
use turnpike_engine::SocketId;
use turnpike_guard::Identity;
use turnpike_wire::media::MediaSession;
use turnpike_wire::media::relay::{Answered, Refusal, TO_RELAYS, ToRelay};

/// Until something is said again for the first time, and twice as long each time after. Letters are lost when a master of
/// Redis dies, and then for longer than this.
const AGAIN_AFTER: Duration = Duration::from_millis(400);

/// The same for a sign of life. Whoever waits for it sees a picture that stands still.
const SIGN_AFTER: Duration = Duration::from_millis(250);

/// Sessions that one letter keeps. Some 40 KB.
const KEPT_PER_LETTER_MAX: usize = 512;

pub(super) struct Letters {
    post: Arc<dyn Post>,
    deadline: Duration,
    drawn: AtomicU64,
    unanswered: Mutex<HashMap<u64, Unanswered>>,
    repeated: AtomicU64,
}

/// What a relay was asked.
pub(super) struct Unanswered {
    relay: Incarnation,
    /// Who will have the session when this is answered. None: it is not about one.
    pub(super) client: Option<Asking>,
    reply: oneshot::Sender<Reply>,
}

#[derive(Clone)]
pub(super) struct Asking {
    pub(super) session: MediaSession,
    pub(super) id: SocketId,
    pub(super) identity: Arc<Identity>,
}

pub(super) type Reply = Result<Said, Refusal>;

/// What a relay answers.
#[derive(Debug)]
pub(super) enum Said {
    OfSession(Answered),
    /// What the names of the recording's files begin with.
    Recorded(Box<str>),
    /// It is done, and there is no more to say.
    Done,
}

/// The relay has not answered in time.
#[derive(Debug)]
pub(super) struct Silence;

impl Unanswered {
    pub(super) fn reply(self, reply: Reply) {
        // Whoever waited may have gone.
        let _ = self.reply.send(reply);
    }
}

impl Letters {
    pub(super) fn new(post: Arc<dyn Post>, deadline: Duration) -> Self {
        Self {
            post,
            deadline,
            drawn: AtomicU64::new(0),
            unanswered: Mutex::default(),
            repeated: AtomicU64::new(0),
        }
    }

    /// How often something was said again.
    pub(super) fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Asks until there is an answer or the time is over.
    pub(super) async fn ask(
        &self,
        relay: Incarnation,
        client: Option<Asking>,
        word: impl FnOnce(u64) -> ToRelay,
    ) -> Result<Reply, Silence> {
        self.ask_within(self.deadline, AGAIN_AFTER, relay, client, word).await
    }

    /// Whether the relay says anything at all. It is asked twice.
    pub(super) async fn lives(&self, relay: Incarnation) -> bool {
        self.ask_within(SIGN_AFTER * 2, SIGN_AFTER, relay, None, |id| ToRelay::Ping { id }).await.is_ok()
    }

    async fn ask_within(
        &self,
        deadline: Duration,
        mut pause: Duration,
        relay: Incarnation,
        client: Option<Asking>,
        word: impl FnOnce(u64) -> ToRelay,
    ) -> Result<Reply, Silence> {
        let until = Instant::now() + deadline;
        let id = self.draw();
        let (reply, mut answer) = oneshot::channel();
        self.unanswered().insert(id, Unanswered { relay, client, reply });
        let _waiting = Waiting { letters: self, id };
        let word = word(id);
        loop {
            self.write(relay, std::slice::from_ref(&word));
            let again = Instant::now() + pause;
            match timeout_at(again.min(until), &mut answer).await {
                Ok(answered) => return answered.map_err(|_| Silence),
                Err(_) if Instant::now() >= until => return Err(Silence),
                Err(_) => {}
            }
            self.repeated.fetch_add(1, Ordering::Relaxed);
            pause *= 2;
        }
    }

    /// For something that is asked, also where nobody waits for the answer.
    pub(super) fn draw(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::Relaxed)
    }

    /// What was asked under this id, if it was that relay that was asked, and nobody has answered it.
    pub(super) fn answered(&self, relay: Incarnation, id: u64) -> Option<Unanswered> {
        let mut unanswered = self.unanswered();
        if unanswered.get(&id)?.relay != relay {
            return None;
        }
        unanswered.remove(&id)
    }

    /// Sessions that go on.
    pub(super) fn keep(&self, relay: Incarnation, kept: &[turnpike_wire::media::relay::Kept]) {
        for kept in kept.chunks(KEPT_PER_LETTER_MAX) {
            self.write(relay, &[ToRelay::Keep { sessions: kept.to_vec() }]);
        }
    }

    /// Sessions that nobody wants any more. If it does not arrive, they end for want of being kept.
    pub(super) fn gone(&self, sessions: Vec<MediaSession>) {
        let mut by_relay: HashMap<u64, Vec<MediaSession>> = HashMap::new();
        for session in sessions {
            by_relay.entry(session.relay).or_default().push(session);
        }
        for (relay, sessions) in by_relay {
            for sessions in sessions.chunks(KEPT_PER_LETTER_MAX) {
                self.write(Incarnation(relay), &[ToRelay::Gone { sessions: sessions.to_vec() }]);
            }
        }
    }

    /// Whatever must arrive is said again by whoever says it.
    pub(super) fn write(&self, relay: Incarnation, words: &[ToRelay]) {
        let text = serde_json::to_vec(words).expect("words are made of what JSON has");
        // Lost letters are counted by the post.
        let _ = self.post.send(relay, TO_RELAYS, text.into());
    }

    fn unanswered(&self) -> MutexGuard<'_, HashMap<u64, Unanswered>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever waits no more leaves nothing behind.
struct Waiting<'a> {
    letters: &'a Letters,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.letters.unanswered().remove(&self.id);
    }
}
