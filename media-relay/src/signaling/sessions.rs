//! The sessions that gateways have here: whose they are, up to when, and what was last said of them.
//!
//! Knows no relay and no post; the time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use turnpike_cluster::Incarnation;
use turnpike_wire::media::relay::{FromRelay, Kept, Role, SESSION_LEASE_MS, SessionEvent};
use turnpike_wire::media::{MediaSession, Sdp, StreamState};
use turnpike_wire::{RoomId, UserId};

use super::candidates::Candidates;

const LEASE: Duration = Duration::from_millis(SESSION_LEASE_MS);

/// What is younger is on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Sessions(HashMap<MediaSession, Held>);

pub(super) struct Held {
    pub(super) gateway: Incarnation,
    pub(super) user: UserId,
    pub(super) stream: RoomId,
    pub(super) role: Role,
    pub(super) candidates: Candidates,
    kept_until: Instant,
    /// Of the latest event that was sent, and when that was.
    number: u64,
    sent: Instant,
    /// The gateway knows that the session has begun.
    is_open: bool,
    state: Option<StreamState>,
    /// The relay's, that is not answered.
    offer: Option<Sdp>,
    /// The relay leaves, and until then the session goes on.
    moving: Option<Instant>,
}

/// A word for a gateway.
pub(super) type ToGateway = (Incarnation, FromRelay);

impl Sessions {
    pub(super) fn begin(
        &mut self,
        session: MediaSession,
        gateway: Incarnation,
        user: UserId,
        of: (RoomId, Role),
        now: Instant,
    ) -> &mut Held {
        let (stream, role) = of;
        self.0.entry(session).or_insert(Held {
            gateway,
            user,
            stream,
            role,
            candidates: Candidates::default(),
            kept_until: now + LEASE,
            number: 0,
            sent: now,
            is_open: false,
            state: None,
            offer: None,
            moving: None,
        })
    }

    pub(super) fn get(&mut self, session: MediaSession) -> Option<&mut Held> {
        self.0.get_mut(&session)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, session: MediaSession) -> bool {
        self.0.contains_key(&session)
    }

    pub(super) fn remove(&mut self, session: MediaSession) -> Option<Held> {
        self.0.remove(&session)
    }

    /// The session is that gateway's from here on. Gives whom to tell that it is not theirs any more.
    pub(super) fn bind(
        &mut self,
        session: MediaSession,
        gateway: Incarnation,
        now: Instant,
    ) -> Option<ToGateway> {
        let held = self.0.get_mut(&session)?;
        held.kept_until = now + LEASE;
        let before = std::mem::replace(&mut held.gateway, gateway);
        (before != gateway).then(|| (before, FromRelay::Foreign { sessions: vec![session] }))
    }

    /// The gateway has been told that it has begun; so now it may be told how it is.
    pub(super) fn open(&mut self, session: MediaSession, now: Instant) -> Vec<ToGateway> {
        let Some(held) = self.0.get_mut(&session) else { return Vec::new() };
        if std::mem::replace(&mut held.is_open, true) {
            return Vec::new();
        }
        held.again(session, now)
    }

    /// How it is, to make up for whatever was missed.
    pub(super) fn again(&mut self, session: MediaSession, now: Instant) -> Vec<ToGateway> {
        self.0.get_mut(&session).map(|held| held.again(session, now)).unwrap_or_default()
    }

    pub(super) fn state(
        &mut self,
        session: MediaSession,
        state: StreamState,
        now: Instant,
    ) -> Option<ToGateway> {
        let held = self.0.get_mut(&session)?;
        held.state = Some(state);
        held.tell_state(session, false, now)
    }

    /// The relay leaves. What is told of the session from here on says so as well.
    pub(super) fn moving(
        &mut self,
        session: MediaSession,
        until: Instant,
        now: Instant,
    ) -> Option<ToGateway> {
        let held = self.0.get_mut(&session)?;
        held.moving = Some(until);
        held.tell_state(session, false, now)
    }

    pub(super) fn offer(&mut self, session: MediaSession, sdp: Sdp, now: Instant) -> Option<ToGateway> {
        let held = self.0.get_mut(&session)?;
        held.offer = Some(sdp.clone());
        held.event(session, SessionEvent::Offer { sdp }, now)
    }

    /// The last that is told of it.
    pub(super) fn end(
        &mut self,
        session: MediaSession,
        state: StreamState,
        now: Instant,
    ) -> Option<ToGateway> {
        let mut held = self.0.remove(&session)?;
        held.event(session, SessionEvent::State { state, whole: false }, now)
    }

    /// The gateway still wants these. Gives what it does not know.
    pub(super) fn keep(&mut self, gateway: Incarnation, kept: &[Kept], now: Instant) -> Vec<ToGateway> {
        let (mut words, mut foreign, mut over) = (Vec::new(), Vec::new(), Vec::new());
        for Kept { session, heard } in kept {
            match self.0.get_mut(session) {
                Some(held) if held.gateway == gateway => {
                    held.kept_until = now + LEASE;
                    if *heard < held.number && now.duration_since(held.sent) > ON_ITS_WAY {
                        words.extend(held.again(*session, now));
                    }
                }
                Some(_) => foreign.push(*session),
                None => over.push(*session),
            }
        }
        if !foreign.is_empty() {
            words.push((gateway, FromRelay::Foreign { sessions: foreign }));
        }
        if !over.is_empty() {
            words.push((gateway, FromRelay::Over { sessions: over }));
        }
        words
    }

    /// Of these, those that are that gateway's. They are here no more.
    pub(super) fn gone(&mut self, gateway: Incarnation, sessions: &[MediaSession]) -> Vec<MediaSession> {
        let own = |session: &&MediaSession| self.0.get(session).is_some_and(|held| held.gateway == gateway);
        let own: Vec<MediaSession> = sessions.iter().filter(own).copied().collect();
        for session in &own {
            self.0.remove(session);
        }
        own
    }

    /// Those that nobody has kept. They are here no more.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<MediaSession> {
        let due: Vec<MediaSession> =
            self.0.iter().filter(|(_, held)| held.kept_until <= now).map(|(session, _)| *session).collect();
        for session in &due {
            self.0.remove(session);
        }
        due
    }

    /// No gateway could have been heard until now.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.0.values_mut().for_each(|held| held.kept_until = held.kept_until.max(now + LEASE));
    }

    pub(super) fn all(&self) -> Vec<MediaSession> {
        self.0.keys().copied().collect()
    }
}

impl Held {
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(super) fn events(&self) -> u64 {
        self.number
    }

    /// The relay's, that is not answered.
    pub(super) fn offer(&self) -> Option<&Sdp> {
        self.offer.as_ref()
    }

    /// That one is. The relay may have made another meanwhile, and be heard with it before the answer is through.
    pub(super) fn offer_answered(&mut self, offer: &Sdp) {
        if self.offer.as_ref() == Some(offer) {
            self.offer = None;
        }
    }

    fn event(&mut self, session: MediaSession, event: SessionEvent, now: Instant) -> Option<ToGateway> {
        // Before, the gateway knows of no session; it is told when it does.
        if !self.is_open {
            return None;
        }
        self.number += 1;
        self.sent = now;
        Some((self.gateway, FromRelay::Event { session, number: self.number, event }))
    }

    fn again(&mut self, session: MediaSession, now: Instant) -> Vec<ToGateway> {
        let offer = self.offer.clone().map(|sdp| SessionEvent::Offer { sdp });
        let offer = offer.and_then(|event| self.event(session, event, now));
        offer.into_iter().chain(self.tell_state(session, true, now)).collect()
    }

    fn tell_state(&mut self, session: MediaSession, whole: bool, now: Instant) -> Option<ToGateway> {
        let state = match (self.state.clone(), self.moving) {
            (state, None) => state?,
            (state, Some(until)) => {
                let left = until.saturating_duration_since(now);
                // Of a session that nothing was said of yet.
                let unknown = || StreamState::ended(None);
                state.unwrap_or_else(unknown).moving(left.as_millis() as u32)
            }
        };
        self.event(session, SessionEvent::State { state, whole }, now)
    }
}

#[cfg(test)]
mod tests {
    use turnpike_wire::media::Phase;

    use super::*;

    const ONE: Incarnation = Incarnation(1);
    const OTHER: Incarnation = Incarnation(2);

    fn session(key: u128) -> MediaSession {
        MediaSession { relay: 9, key }
    }

    fn live(viewers: u64) -> StreamState {
        StreamState { phase: Phase::Live, viewers, ..StreamState::ended(None) }
    }

    fn with(keys: &[u128], now: Instant) -> Sessions {
        let mut sessions = Sessions::default();
        for key in keys {
            let of = ("live:a".parse().unwrap(), Role::Viewer);
            sessions.begin(session(*key), ONE, "alice".parse().unwrap(), of, now);
            assert!(sessions.open(session(*key), now).is_empty());
        }
        sessions
    }

    fn numbers(words: &[ToGateway]) -> Vec<u64> {
        let number = |(_, word): &ToGateway| match word {
            FromRelay::Event { number, .. } => *number,
            other => panic!("{other:?}"),
        };
        words.iter().map(number).collect()
    }

    #[test]
    fn what_is_told_before_the_answer_is_told_behind_it() {
        let now = Instant::now();
        let mut sessions = Sessions::default();
        let of = ("live:a".parse().unwrap(), Role::Viewer);
        sessions.begin(session(1), ONE, "alice".parse().unwrap(), of, now);
        assert_eq!(sessions.state(session(1), live(1), now), None);
        assert_eq!(sessions.offer(session(1), Sdp::parse("v=0").unwrap(), now), None);
        assert_eq!(sessions.state(session(1), live(2), now), None);
        let told = sessions.open(session(1), now);
        assert_eq!(numbers(&told), [1, 2]);
        assert!(matches!(&told[1].1,
            FromRelay::Event { event: SessionEvent::State { state, whole: true }, .. } if state.viewers == 2));
        assert!(sessions.open(session(1), now).is_empty(), "once");
    }

    #[test]
    fn who_missed_something_is_told_how_it_is() {
        let mut now = Instant::now();
        let mut sessions = with(&[1], now);
        sessions.state(session(1), live(1), now);
        sessions.state(session(1), live(2), now);
        let kept = [Kept { session: session(1), heard: 1 }];
        assert!(sessions.keep(ONE, &kept, now).is_empty(), "it may be on its way");
        now += ON_ITS_WAY * 2;
        let told = sessions.keep(ONE, &kept, now);
        assert_eq!(numbers(&told), [3]);
        now += ON_ITS_WAY * 2;
        assert!(sessions.keep(ONE, &[Kept { session: session(1), heard: 3 }], now).is_empty());
        let unknown = [Kept { session: session(8), heard: 0 }];
        assert_eq!(
            sessions.keep(ONE, &unknown, now),
            [(ONE, FromRelay::Over { sessions: vec![session(8)] })]
        );
        let foreign = [(OTHER, FromRelay::Foreign { sessions: vec![session(1)] })];
        assert_eq!(sessions.keep(OTHER, &kept, now), foreign);
    }

    #[test]
    fn who_moves_is_told_so_until_the_end() {
        let now = Instant::now();
        let mut sessions = with(&[1, 2], now);
        let state = |told: Option<ToGateway>| match told {
            Some((_, FromRelay::Event { event: SessionEvent::State { state, .. }, .. })) => state,
            other => panic!("{other:?}"),
        };
        sessions.state(session(1), live(1), now);
        let until = now + Duration::from_secs(8);
        let told = state(sessions.moving(session(1), until, now));
        assert_eq!(told, live(1).moving(8_000));
        let later = now + Duration::from_secs(3);
        assert_eq!(state(sessions.state(session(1), live(2), later)), live(2).moving(5_000));
        let again = sessions.again(session(1), later + Duration::from_secs(1)).pop();
        assert_eq!(state(again), live(2).moving(4_000), "who comes back is told as well");
        assert_eq!(
            state(sessions.moving(session(2), until, now)).phase,
            Phase::Moving,
            "before anything else"
        );
        assert_eq!(sessions.moving(session(3), until, now), None);
    }

    #[test]
    fn what_nobody_keeps_ends_and_only_its_gateway_ends_it() {
        let start = Instant::now();
        let mut sessions = with(&[1, 2, 3], start);
        assert!(sessions.gone(OTHER, &[session(1)]).is_empty());
        assert_eq!(sessions.gone(ONE, &[session(1), session(9)]), [session(1)]);
        let told = sessions.bind(session(2), OTHER, start + LEASE / 2);
        assert_eq!(told, Some((ONE, FromRelay::Foreign { sessions: vec![session(2)] })));
        assert_eq!(sessions.expire(start + LEASE), [session(3)]);
        assert!(sessions.gone(ONE, &[session(2)]).is_empty(), "another gateway has it");
        sessions.excuse(start + LEASE);
        assert!(sessions.expire(start + LEASE * 3 / 2).is_empty(), "nobody could keep it");
        assert_eq!(sessions.expire(start + LEASE * 2), [session(2)]);
    }
}
