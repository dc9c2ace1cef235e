//! What clients of gateways want of this relay, brought by letters, and what is told them.
//!
//! Which sessions there are is in `sessions`, what was answered in `replies`. One task owns both; what takes time runs beside
//! it and comes back as something that happened. Knows nothing of what stands in a description, but for the credentials
//! that candidates belong to.

mod candidates;
mod metrics;
mod outbox;
mod perform;
mod replies;
mod sessions;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use turnpike_cluster::{Cluster, Incarnation, Lease, Letter};
use turnpike_wire::media::relay::{self, Answered, FromRelay, Refusal, Request, Role, TO_RELAYS, ToRelay};
use turnpike_wire::media::{MediaSession, Sdp, StreamState};
use turnpike_wire::{Code, Failure};

pub use self::metrics::SignalingMetrics;
use self::metrics::{END, RECORD, kind_of};
use self::outbox::Outbox;
use self::perform::{Finished, Performed};
use self::replies::{Replies, Seen};
use self::sessions::Sessions;
use crate::{Ask, Ended, Face, Homes, Notice};

/// Requests that are worked on at once. What comes beyond that is not begun: the gateway asks again.
const UNDER_WAY_MAX: usize = 1_024;

/// Notices of all sessions that wait. When it is full, what waits is at the sessions' own channels.
const NOTICES_MAX: usize = 4_096;

/// How much is taken of what is there before gateways are told.
const TAKEN_AT_ONCE: usize = 256;

const TICK: Duration = Duration::from_secs(1);

/// Brings requests to the relay until it is over; then everybody is told that this relay leaves.
pub async fn run<F: Face>(
    face: F,
    homes: Arc<Homes<F>>,
    cluster: Cluster,
    metrics: SignalingMetrics,
    over: impl Future<Output = ()>,
) {
    let mut letters = cluster.post.listen(TO_RELAYS);
    let (notices_in, mut notices) = mpsc::channel(NOTICES_MAX);
    let (finished_in, mut finished) = mpsc::channel(UNDER_WAY_MAX);
    let lease = cluster.membership.lease();
    let own = cluster.membership.own();
    let mut desk = Desk {
        face,
        homes,
        own,
        metrics,
        sessions: Sessions::default(),
        replies: Replies::default(),
        outbox: Outbox::default(),
        notices: notices_in,
        finished: finished_in,
        under_way: 0,
    };
    let mut over = std::pin::pin!(over);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut over => break,
            Some(done) = finished.recv() => desk.finished(done),
            Some((session, notice)) = notices.recv() => {
                desk.noticed(session, notice);
                for _ in 0..TAKEN_AT_ONCE {
                    let Ok((session, notice)) = notices.try_recv() else { break };
                    desk.noticed(session, notice);
                }
            }
            letter = letters.recv() => match letter {
                Some(letter) => desk.letter(&letter),
                // Somebody else listens by now.
                None => break,
            },
            _ = tick.tick() => desk.tick(*lease.borrow() == Lease::Held),
        }
        desk.metrics.sessions.set(desk.sessions.len().cast_signed() as i64);
        desk.outbox.flush(&*cluster.post);
    }
    for session in desk.sessions.all() {
        desk.end(session, Some(Code::NoRelay));
    }
    desk.outbox.flush(&*cluster.post);
}

struct Desk<F> {
    face: F,
    homes: Arc<Homes<F>>,
    own: Incarnation,
    metrics: SignalingMetrics,
    sessions: Sessions,
    replies: Replies,
    outbox: Outbox,
    notices: mpsc::Sender<(MediaSession, Option<Notice>)>,
    finished: mpsc::Sender<Finished>,
    under_way: usize,
}

impl<F: Face> Desk<F> {
    fn letter(&mut self, letter: &Letter) {
        let gateway = letter.from;
        let Ok(words) = serde_json::from_slice::<Vec<&RawValue>>(&letter.words) else {
            self.metrics.refused.inc();
            return tracing::warn!(%gateway, "a letter of a gateway is no list of words");
        };
        for word in words {
            // A gateway of a later version may say something besides.
            if let Ok(word) = serde_json::from_str(word.get()) {
                self.word(gateway, word);
            } else {
                self.metrics.refused.inc();
                tracing::warn!(%gateway, "a gateway was not understood");
            }
        }
    }

    fn word(&mut self, gateway: Incarnation, word: ToRelay) {
        let now = Instant::now();
        match word {
            ToRelay::Request(request) => {
                if self.is_new(gateway, request.id, kind_of(&request.ask), now) {
                    self.request(gateway, *request, now);
                }
            }
            ToRelay::End { id, stream } => {
                if self.is_new(gateway, id, END, now) {
                    self.perform(gateway, id, None, Ask::End { stream });
                }
            }
            ToRelay::Record { id, stream, wanted } => {
                if self.is_new(gateway, id, RECORD, now) {
                    self.perform(gateway, id, None, Ask::Record { stream, wanted });
                }
            }
            ToRelay::Keep { sessions } => {
                let words = self.sessions.keep(gateway, &sessions, now);
                self.say_all(words);
            }
            ToRelay::Gone { sessions } => {
                for session in self.sessions.gone(gateway, &sessions) {
                    self.stop(session);
                }
            }
            ToRelay::Noted { id } => self.homes.noted(id),
            ToRelay::Ping { id } => self.outbox.put(gateway, FromRelay::Done { id }),
            ToRelay::Yield { stream } => {
                let homes = Arc::clone(&self.homes);
                tokio::spawn(async move { homes.yields(&stream).await });
            }
        }
    }

    /// Whether it has to be begun. If it was answered before, it is answered again.
    fn is_new(&mut self, gateway: Incarnation, id: u64, kind: &'static str, now: Instant) -> bool {
        if self.under_way >= UNDER_WAY_MAX {
            self.metrics.put_off.inc();
            return false;
        }
        match self.replies.look(gateway, id, kind, now) {
            Seen::Never => return true,
            Seen::Answered(reply) => self.outbox.put(gateway, *reply),
            Seen::UnderWay => {}
        }
        self.metrics.repeated.inc();
        false
    }

    fn request(&mut self, gateway: Incarnation, request: Request, now: Instant) {
        let Request { id, session, by, ask } = request;
        let begins = match &ask {
            relay::Ask::Publish { stream, sdp } => Some((stream.clone(), Role::Publisher, Some(sdp.clone()))),
            relay::Ask::Subscribe { stream, sdp } => Some((stream.clone(), Role::Viewer, sdp.clone())),
            _ => None,
        };
        if let Some((stream, role, sdp)) = begins {
            if session.relay != self.own.0 || self.sessions.contains(session) {
                return self.refuse(gateway, id, Code::BadRequest.into());
            }
            if self.homes.is_leaving() {
                // The gateway had not heard of it, and finds another.
                return self.refuse(gateway, id, Code::NoRelay.into());
            }
            let user = by.user.clone();
            let held = self.sessions.begin(session, gateway, user, (stream.clone(), role), now);
            if let Some(sdp) = &sdp {
                held.candidates.described(sdp);
            }
            return match (role, sdp) {
                (Role::Publisher, Some(sdp)) => self.publish(gateway, id, session, stream, by.user, sdp),
                (_, sdp) => self.watch(gateway, id, session, stream, by.user, sdp),
            };
        }
        let is_theirs = |held: &mut sessions::Held| held.is_open() && held.user == by.user;
        if !self.sessions.get(session).is_some_and(is_theirs) {
            return self.refuse(gateway, id, Failure::new(Code::NoSuchStream, "there is no such session"));
        }
        let told = self.sessions.bind(session, gateway, now);
        self.say_all(told);
        match self.translate(session, ask) {
            Ok(Some(ask)) => self.perform(gateway, id, Some(session), ask),
            Ok(None) => {
                self.answer(gateway, id, session, None);
                let words = self.sessions.again(session, now);
                self.say_all(words);
            }
            Err(failure) => self.refuse(gateway, id, failure),
        }
    }

    /// What the relay is to be asked. None: nothing, it is answered here.
    fn translate(&mut self, session: MediaSession, ask: relay::Ask) -> Result<Option<Ask>, Failure> {
        let held = self.sessions.get(session).ok_or(Code::NoSuchStream)?;
        Ok(Some(match ask {
            relay::Ask::Restart { sdp } => {
                held.candidates.described(&sdp);
                Ask::Offer { session, sdp: sdp.as_str().to_owned() }
            }
            relay::Ask::Answer { sdp } => {
                held.candidates.described(&sdp);
                Ask::Answer { session, sdp: sdp.as_str().to_owned() }
            }
            relay::Ask::Candidate { candidate } => {
                let Some(fragment) = held.candidates.fragment(candidate.as_ref())? else { return Ok(None) };
                Ask::Trickle { session, fragment }
            }
            relay::Ask::Layer(wish) => Ask::Layer { session, wish },
            relay::Ask::Mute(mute) => Ask::Mute { session, mute },
            relay::Ask::Stop => Ask::Stop { session },
            relay::Ask::Resume => return Ok(None),
            // They begin sessions.
            relay::Ask::Publish { .. } | relay::Ask::Subscribe { .. } => return Err(Code::BadRequest.into()),
        }))
    }

    fn finished(&mut self, done: Finished) {
        let now = Instant::now();
        self.under_way -= 1;
        let Finished { gateway, id, session, performed } = done;
        match (performed, session) {
            (Performed::Refused(refusal), session) => {
                // One that has not begun has no other end.
                if let Some(session) = session
                    && self.sessions.get(session).is_some_and(|held| !held.is_open())
                {
                    self.sessions.remove(session);
                }
                self.reply(gateway, id, FromRelay::Failed { id, refusal });
            }
            (Performed::Recorded(recording), _) => {
                self.reply(gateway, id, FromRelay::Recorded { id, recording });
            }
            (_, None) => self.reply(gateway, id, FromRelay::Done { id }),
            (Performed::Done { last: Some(answer), .. }, Some(session)) => {
                self.reply(gateway, id, FromRelay::Answered { id, answer });
                self.sessions.remove(session);
            }
            (Performed::Done { sdp, answered, last: None }, Some(session)) => {
                if !self.sessions.contains(session) {
                    // Given up meanwhile, with nobody to stop what had not begun.
                    self.stop(session);
                    let failure = Failure::new(Code::NoSuchStream, "the session is over");
                    return self.refuse(gateway, id, failure);
                }
                if let (Some(held), Some(offer)) = (self.sessions.get(session), answered) {
                    held.offer_answered(&offer);
                }
                self.answer(gateway, id, session, sdp);
                let words = self.sessions.open(session, now);
                self.say_all(words);
            }
        }
    }

    fn noticed(&mut self, session: MediaSession, notice: Option<Notice>) {
        let now = Instant::now();
        let word = match notice {
            Some(Notice::Connected) => None,
            Some(Notice::Offer(sdp)) => match Sdp::parse(&sdp) {
                Ok(sdp) => self.sessions.offer(session, sdp, now),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "an offer of our own");
                    None
                }
            },
            Some(Notice::State(state)) => self.sessions.state(session, Arc::unwrap_or_clone(state), now),
            Some(Notice::Moving { until }) => self.sessions.moving(session, until, now),
            Some(Notice::Ended(why)) => {
                return self.end(session, code_of(why));
            }
            // Nobody hears of it any more, so it cannot go on.
            None => {
                // One that was refused has nobody to hear of it either; its answer says so.
                if self.sessions.get(session).is_some_and(|held| held.is_open()) {
                    self.end(session, Some(Code::Unavailable));
                    self.stop(session);
                }
                None
            }
        };
        self.say_all(word);
    }

    fn tick(&mut self, holds_lease: bool) {
        let now = Instant::now();
        if !holds_lease {
            // Gateways cannot be heard, and that is not theirs to answer for: media goes on without a plane.
            return self.sessions.excuse(now);
        }
        for session in self.sessions.expire(now) {
            tracing::debug!(?session, "nobody has kept the session");
            self.stop(session);
        }
    }

    fn end(&mut self, session: MediaSession, code: Option<Code>) {
        let word = self.sessions.end(session, StreamState::ended(code), Instant::now());
        self.say_all(word);
    }

    fn answer(&mut self, gateway: Incarnation, id: u64, session: MediaSession, sdp: Option<Sdp>) {
        if let Some(answer) = self.answered(session, sdp) {
            self.reply(gateway, id, FromRelay::Answered { id, answer });
        }
    }

    fn answered(&mut self, session: MediaSession, sdp: Option<Sdp>) -> Option<Answered> {
        let held = self.sessions.get(session)?;
        Some(Answered { stream: held.stream.clone(), role: held.role, sdp, events: held.events() })
    }

    fn refuse(&mut self, gateway: Incarnation, id: u64, failure: Failure) {
        self.reply(gateway, id, FromRelay::Failed { id, refusal: Refusal::from(failure) });
    }

    fn reply(&mut self, gateway: Incarnation, id: u64, reply: FromRelay) {
        if let Some(kind) = self.replies.answer(gateway, id, &reply) {
            self.metrics.replied(kind, &reply);
        }
        self.outbox.put(gateway, reply);
    }

    fn say_all(&mut self, words: impl IntoIterator<Item = sessions::ToGateway>) {
        words.into_iter().for_each(|(gateway, word)| self.outbox.put(gateway, word));
    }
}

/// What a client is told of the end of its session: nothing more than that, if it wanted it.
fn code_of(why: Ended) -> Option<Code> {
    match why {
        Ended::Stopped | Ended::PeerClosed => None,
        Ended::Refused => Some(Code::BadSdp),
        Ended::Lost | Ended::TooLate => Some(Code::Unavailable),
        Ended::StreamEnded => Some(Code::NoSuchStream),
        Ended::Drained => Some(Code::NoRelay),
    }
}

#[cfg(test)]
mod tests;
