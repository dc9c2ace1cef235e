//! Which sessions of live video this node's connections have, and up to where their events have come.
//!
//! A session outlives its connection by the grace. Knows no relay, no engine and no clock but the one that it is told.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use turnpike_wire::limits::CANDIDATES_MAX;
use turnpike_wire::media::relay::{Kept, Role, SessionEvent};
use turnpike_wire::media::{MediaSession, Phase, StreamState};
use turnpike_wire::{Code, RoomId, UserId};

/// `I` names a connection for as long as it may come back, `S` the socket that it has at the moment.
pub(super) struct Table<I, S> {
    sessions: HashMap<MediaSession, Held<I>>,
    connections: HashMap<I, Connection<S>>,
    /// What is over since somebody last looked: whoever changes the table looks right after.
    over: Vec<Over>,
}

/// A session that is here no more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) user: UserId,
    pub(super) stream: RoomId,
    pub(super) role: Role,
    /// A slug.
    pub(super) why: &'static str,
}

struct Held<I> {
    of: I,
    stream: RoomId,
    role: Role,
    /// All events up to this one have come.
    heard: u64,
    /// The latest that has come.
    latest: u64,
    /// What has come before the client knows that it has this session. None: it knows.
    early: Option<Vec<SessionEvent>>,
    /// It ended while its client was away.
    over: Option<StreamState>,
}

struct Connection<S> {
    user: UserId,
    at: At<S>,
    sessions: Vec<MediaSession>,
    /// Sessions that are asked for.
    reserved: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At<S> {
    Here(S),
    Away { until_ms: u64 },
}

/// The connection has as many sessions as it may, or is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoPlace;

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<S> {
    To(Told<S>),
    /// The client is told later, or finds out when it comes back.
    Later,
    /// It was here before, or is older than what was.
    Old,
    Unknown,
}

/// Something for one client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told<S> {
    pub(super) socket: S,
    pub(super) session: MediaSession,
    pub(super) stream: RoomId,
    pub(super) role: Role,
    pub(super) event: SessionEvent,
}

impl<I, S> Default for Table<I, S> {
    fn default() -> Self {
        Self { sessions: HashMap::new(), connections: HashMap::new(), over: Vec::new() }
    }
}

impl<I: Copy + Eq + Hash, S: Copy + Eq> Table<I, S> {
    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn of_stream(&self, stream: &RoomId) -> Vec<(I, MediaSession, Role)> {
        let of_stream = self.sessions.iter().filter(|(_, held)| held.stream == *stream);
        of_stream.map(|(session, held)| (held.of, *session, held.role)).collect()
    }

    /// Keeps a place for one more session of the connection.
    pub(super) fn reserve(&mut self, id: I, socket: S, user: &UserId, max: usize) -> Result<(), NoPlace> {
        let connection = self.connections.entry(id).or_insert_with(|| Connection {
            user: user.clone(),
            at: At::Here(socket),
            sessions: Vec::new(),
            reserved: 0,
        });
        if connection.at != At::Here(socket) || connection.sessions.len() + connection.reserved >= max {
            self.tidy(id);
            return Err(NoPlace);
        }
        connection.reserved += 1;
        Ok(())
    }

    pub(super) fn give_back(&mut self, id: I) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.reserved = connection.reserved.saturating_sub(1);
            self.tidy(id);
        }
    }

    /// The session is that connection's from here on, whoever had it. One that was not here has been heard of up to
    /// `heard`, and what comes of it waits until [`Self::opened`].
    pub(super) fn attach(
        &mut self,
        id: I,
        session: MediaSession,
        of: (RoomId, Role),
        heard: u64,
    ) -> Result<(), NoPlace> {
        if !self.connections.contains_key(&id) {
            return Err(NoPlace);
        }
        let before = match self.sessions.entry(session) {
            Entry::Occupied(held) => Some(std::mem::replace(&mut held.into_mut().of, id)),
            Entry::Vacant(place) => {
                let ((stream, role), early) = (of, Some(Vec::new()));
                place.insert(Held { of: id, stream, role, heard, latest: heard, early, over: None });
                None
            }
        };
        if before == Some(id) {
            return Ok(());
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.sessions.push(session);
        }
        if let Some(before) = before {
            self.strike(session, before);
        }
        Ok(())
    }

    /// Whether the connection has the session already. None: another user has it.
    pub(super) fn has(&self, id: I, user: &UserId, session: MediaSession) -> Option<bool> {
        let Some(held) = self.sessions.get(&session) else { return Some(false) };
        let of = self.connections.get(&held.of)?;
        (of.user == *user).then_some(held.of == id)
    }

    /// Of an event with this number.
    pub(super) fn hear(&mut self, session: MediaSession, number: u64, event: SessionEvent) -> Heard<S> {
        let Some(held) = self.sessions.get_mut(&session) else { return Heard::Unknown };
        if number <= held.latest {
            return Heard::Old;
        }
        held.latest = number;
        if number == held.heard + 1 || matches!(event, SessionEvent::State { whole: true, .. }) {
            held.heard = number;
        }
        if let Some(early) = &mut held.early {
            put_off(early, event);
            return Heard::Later;
        }
        let is_over = over(&event);
        let told = match self.connections.get(&held.of).map(|connection| connection.at) {
            Some(At::Here(socket)) => {
                let (stream, role) = (held.stream.clone(), held.role);
                Heard::To(Told { socket, session, stream, role, event })
            }
            _ => Heard::Later,
        };
        if let Some(state) = is_over {
            self.end(session, state);
        }
        told
    }

    /// The client knows of the session: what has come of it meanwhile, and from here on at once.
    pub(super) fn opened(&mut self, session: MediaSession) -> Vec<Told<S>> {
        let Some(held) = self.sessions.get_mut(&session) else { return Vec::new() };
        let early = held.early.take().unwrap_or_default();
        let (stream, role) = (held.stream.clone(), held.role);
        let at = self.connections.get(&held.of).map(|connection| connection.at);
        if let Some(state) = early.iter().find_map(over) {
            self.end(session, state);
        }
        let Some(At::Here(socket)) = at else { return Vec::new() };
        let told = |event| Told { socket, session, stream: stream.clone(), role, event };
        early.into_iter().map(told).collect()
    }

    /// Nothing more comes of the session. Who is away learns it when they come back. Gives whom to tell now.
    pub(super) fn end(&mut self, session: MediaSession, state: StreamState) -> Option<Told<S>> {
        let held = self.sessions.get_mut(&session)?;
        let why = state.code.map_or("ended", Code::slug);
        let event = SessionEvent::State { state: state.clone(), whole: true };
        if let Some(early) = &mut held.early {
            put_off(early, event);
            return None;
        }
        let At::Here(socket) = self.connections.get(&held.of)?.at else {
            held.over = Some(state);
            return None;
        };
        let (stream, role) = (held.stream.clone(), held.role);
        self.take_out(session, why);
        Some(Told { socket, session, stream, role, event })
    }

    /// Nobody here has it any more.
    pub(super) fn remove(&mut self, session: MediaSession) {
        self.take_out(session, "ended");
    }

    fn take_out(&mut self, session: MediaSession, why: &'static str) {
        if let Some(held) = self.sessions.remove(&session) {
            if let Some(connection) = self.connections.get(&held.of) {
                let (user, stream, role) = (connection.user.clone(), held.stream, held.role);
                self.over.push(Over { user, stream, role, why });
            }
            self.strike(session, held.of);
        }
    }

    pub(super) fn take_over(&mut self) -> Vec<Over> {
        std::mem::take(&mut self.over)
    }

    /// The connection broke, and may be back until then.
    pub(super) fn away(&mut self, id: I, socket: S, until_ms: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.at == At::Here(socket) {
            connection.at = At::Away { until_ms };
        }
    }

    /// The connection is no more. Gives what it had, which is here no more either.
    pub(super) fn gone(&mut self, id: I, socket: S) -> Vec<MediaSession> {
        match self.connections.get(&id) {
            Some(connection) if connection.at == At::Here(socket) => self.drop_connection(id, "disconnected"),
            _ => Vec::new(),
        }
    }

    /// Another node has the connection, and may have what it had here.
    pub(super) fn forget(&mut self, id: I) {
        self.drop_connection(id, "moved");
    }

    /// Nobody may come back to the connection, wherever it is. Gives what it had, which is here no more either.
    pub(super) fn shut(&mut self, id: I) -> Vec<MediaSession> {
        self.drop_connection(id, "revoked")
    }

    /// The client is back, under the same id. Gives its sessions, and what it must be told of those that are over.
    pub(super) fn back(&mut self, id: I, socket: S) -> (Vec<MediaSession>, Vec<Told<S>>) {
        let Some(connection) = self.connections.get_mut(&id) else { return Default::default() };
        connection.at = At::Here(socket);
        let (mut sessions, mut told) = (Vec::new(), Vec::new());
        for session in connection.sessions.clone() {
            let over = self.sessions.get_mut(&session).and_then(|held| held.over.take());
            match over {
                Some(state) => told.extend(self.end(session, state)),
                None => sessions.push(session),
            }
        }
        (sessions, told)
    }

    /// Takes from the connection what it may not have by what is said of it. Gives what it must be told.
    pub(super) fn deny(
        &mut self,
        id: I,
        may: impl Fn(&RoomId, Role) -> bool,
    ) -> Vec<(MediaSession, Option<Told<S>>)> {
        let Some(connection) = self.connections.get(&id) else { return Vec::new() };
        let is_denied = |session: &MediaSession| {
            self.sessions.get(session).is_some_and(|held| !may(&held.stream, held.role))
        };
        let denied: Vec<MediaSession> = connection.sessions.iter().copied().filter(is_denied).collect();
        let state = StreamState::ended(Some(Code::Forbidden));
        denied.into_iter().map(|session| (session, self.end(session, state.clone()))).collect()
    }

    /// What has been away for too long. Gives the sessions, which are here no more.
    pub(super) fn sweep(&mut self, now_ms: u64) -> Vec<MediaSession> {
        let is_due = |connection: &Connection<S>| match connection.at {
            At::Away { until_ms } => until_ms <= now_ms,
            At::Here(_) => false,
        };
        let due: Vec<I> =
            self.connections.iter().filter(|(_, connection)| is_due(connection)).map(|(id, _)| *id).collect();
        due.into_iter().flat_map(|id| self.drop_connection(id, "disconnected")).collect()
    }

    /// What is still wanted, by relay.
    pub(super) fn kept(&self) -> HashMap<u64, Vec<Kept>> {
        let mut kept: HashMap<u64, Vec<Kept>> = HashMap::new();
        for (session, held) in self.sessions.iter().filter(|(_, held)| held.over.is_none()) {
            kept.entry(session.relay).or_default().push(Kept { session: *session, heard: held.heard });
        }
        kept
    }

    fn drop_connection(&mut self, id: I, why: &'static str) -> Vec<MediaSession> {
        let Some(Connection { user, sessions, .. }) = self.connections.remove(&id) else { return Vec::new() };
        let wanted = |session: &MediaSession| {
            let Some(held) = self.sessions.remove(session) else { return false };
            let why = held.over.as_ref().map_or(why, |state| state.code.map_or("ended", Code::slug));
            self.over.push(Over { user: user.clone(), stream: held.stream, role: held.role, why });
            held.over.is_none()
        };
        sessions.into_iter().filter(wanted).collect()
    }

    /// The connection has the session no more.
    fn strike(&mut self, session: MediaSession, id: I) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.sessions.retain(|other| *other != session);
            self.tidy(id);
        }
    }

    /// A connection without sessions is not remembered.
    fn tidy(&mut self, id: I) {
        if self.connections.get(&id).is_some_and(|one| one.sessions.is_empty() && one.reserved == 0) {
            self.connections.remove(&id);
        }
    }
}

/// The last that there is of a session.
fn over(event: &SessionEvent) -> Option<StreamState> {
    match event {
        SessionEvent::State { state, .. } if state.phase == Phase::Ended => Some(state.clone()),
        _ => None,
    }
}

/// Of states and offers the newest counts. What a relay says in the time that an answer takes fits.
fn put_off(early: &mut Vec<SessionEvent>, event: SessionEvent) {
    match event {
        SessionEvent::Candidate { .. } if early.len() > CANDIDATES_MAX => return,
        SessionEvent::Candidate { .. } => {}
        SessionEvent::State { .. } => early.retain(|old| !matches!(old, SessionEvent::State { .. })),
        SessionEvent::Offer { .. } => early.retain(|old| !matches!(old, SessionEvent::Offer { .. })),
    }
    early.push(event);
}

#[cfg(test)]
mod tests;
