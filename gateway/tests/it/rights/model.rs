//! What a node would do if it were a few lists: who is in which room, what was said there, and what each is still to be given.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use turnpike_fuzz::Random;

use super::grants::{Token, own_room};

pub(super) const ROOMS: [&str; 22] = [
    "chat:a", "chat:b", "chat:ab", "chat:", "chat::", "chat", "chat:a:b", "Chat:a", "live:a", "live:b", "l",
    "u", "user", "users", "uzer", "user:", "user:a", "user:b", "user:c", "v:a", "a@b.c:d", "-",
];

/// A message as its receivers see it. A volatile one has no number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) room: String,
    pub(super) seq: Option<u64>,
    pub(super) from: String,
    pub(super) body: u64,
}

/// A client: its token, and what follows from what it has done.
pub(super) struct Seat {
    pub(super) token: Token,
    pub(super) is_here: bool,
    /// Whether it watches who is there.
    pub(super) rooms: BTreeMap<String, bool>,
    pub(super) due: Vec<Said>,
}

impl Seat {
    pub(super) fn new(token: Token) -> Self {
        let rooms = BTreeMap::from([(own_room(&token.user), false)]);
        Self { token, is_here: true, rooms, due: Vec::new() }
    }

    /// It went away without a word: what nobody keeps is lost to it.
    pub(super) fn cut(&mut self) {
        self.is_here = false;
        self.due.retain(|said| said.seq.is_some());
    }

    /// Whether the session goes on for who shows this token.
    pub(super) fn goes_on_with(&self, token: &Token) -> bool {
        self.rooms.keys().all(|room| token.can("join", room))
    }
}

#[derive(Debug, Clone)]
pub(super) enum Op {
    Join { room: &'static str, history: Option<u64>, since: Option<u64>, presence: bool },
    Leave { room: &'static str },
    Send { room: &'static str, volatile: bool, body: u64 },
    History { room: &'static str, after: Option<u64>, before: Option<u64>, limit: u64 },
    Who { room: &'static str },
    Show { status: &'static str },
    Typing { room: &'static str, begins: bool },
    Mark { room: &'static str, event: &'static str, seq: u64 },
    Refresh { token: Token, is_valid: bool },
    Media { event: &'static str, right: &'static str, stream: &'static str },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expected {
    Done,
    Refused(&'static str),
    Joined {
        seq: u64,
        recovered: bool,
        messages: Vec<Said>,
    },
    /// A volatile message has no number of its own, and what it is answered with is a hint.
    Sent {
        seq: Option<u64>,
    },
    History {
        messages: Vec<Said>,
        more: bool,
    },
}

#[derive(Default)]
pub(super) struct World {
    pub(super) seats: Vec<Seat>,
    said: BTreeMap<&'static str, Vec<Said>>,
    bodies: u64,
}

impl World {
    fn said(&self, room: &str) -> &[Said] {
        self.said.get(room).map_or(&[], Vec::as_slice)
    }

    /// What the seat does next.
    pub(super) fn draw(&mut self, seat: usize, random: &mut Random) -> Op {
        let known: Vec<&'static str> =
            ROOMS.into_iter().filter(|room| self.seats[seat].rooms.contains_key(*room)).collect();
        // Half of all in rooms that it is in, or there would be refusals and little else.
        let room = if random.below(2) == 0 && !known.is_empty() {
            known[random.below(known.len())]
        } else {
            ROOMS[random.below(ROOMS.len())]
        };
        let head = self.said(room).len() as u64;
        let near = |random: &mut Random| (head + 2).saturating_sub(random.below(50) as u64);
        match random.below(100) {
            0..24 => Op::Join {
                room,
                history: (random.below(3) == 0).then(|| random.below(21) as u64),
                since: (random.below(4) == 0).then(|| near(random)),
                presence: random.below(4) == 0,
            },
            24..30 => Op::Leave { room },
            30..55 => {
                self.bodies += 1;
                Op::Send { room, volatile: random.below(6) == 0, body: self.bodies }
            }
            55..67 => {
                let at = near(random);
                let (after, before) = match random.below(3) {
                    0 => (Some(at), None),
                    1 => (None, Some(at)),
                    _ => (None, None),
                };
                Op::History { room, after, before, limit: 1 + random.below(20) as u64 }
            }
            67..73 => Op::Who { room },
            73..75 => Op::Show { status: ["online", "away", "busy"][random.below(3)] },
            75..83 => Op::Typing { room, begins: random.below(3) > 0 },
            83..89 => {
                let event = ["message:received", "message:read"][random.below(2)];
                Op::Mark { room, event, seq: near(random) }
            }
            89..93 => {
                let own = self.seats[seat].token.user.clone();
                let user = if random.below(5) == 0 { "mallory".to_owned() } else { own };
                Op::Refresh { token: Token::random(&user, random), is_valid: random.below(6) > 0 }
            }
            _ => {
                let (event, right) = [
                    ("media:publish", "publish"),
                    ("media:subscribe", "subscribe"),
                    ("media:record", "record"),
                ][random.below(3)];
                Op::Media { event, right, stream: room }
            }
        }
    }

    /// What has to come of it.
    pub(super) fn apply(&mut self, seat: usize, op: &Op) -> Expected {
        use Expected::{Done, Refused};

        let head = |room: &str| self.said(room).len() as u64;
        let Seat { token, rooms, .. } = &self.seats[seat];
        let is_in = |room: &str| rooms.contains_key(room);
        match op {
            Op::Join { room, history, since, presence } => {
                let of_another = room.starts_with("user:") && *room != own_room(&token.user);
                let reads = token.can("history", room);
                if of_another
                    || !token.can("join", room)
                    || (history.is_some_and(|count| count > 0) && !reads)
                    || (*presence && !token.can("presence", room))
                {
                    return Refused("forbidden");
                }
                let (said, seq) = (self.said(room), head(room));
                let since = since.filter(|since| reads && *since <= seq);
                let from = since.unwrap_or_else(|| seq - seq.min(history.unwrap_or(0)));
                let messages = said[from as usize..].to_vec();
                self.seats[seat].rooms.insert((*room).to_owned(), *presence);
                Expected::Joined { seq, recovered: since.is_some(), messages }
            }
            Op::Leave { room } if *room == own_room(&token.user) => Refused("forbidden"),
            Op::Leave { room } => {
                self.seats[seat].rooms.remove(*room);
                Done
            }
            Op::Send { room, volatile, body } => {
                if !token.can("send", room) {
                    return Refused("forbidden");
                }
                if token.is_user() && !is_in(room) && !room.starts_with("user:") {
                    return Refused("not_in_room");
                }
                let from = token.user.clone();
                let seq = if *volatile { None } else { Some(head(room) + 1) };
                let said = Said { room: (*room).to_owned(), seq, from, body: *body };
                for seat in &mut self.seats {
                    if seat.rooms.contains_key(*room) && (seat.is_here || seq.is_some()) {
                        seat.due.push(said.clone());
                    }
                }
                if !volatile {
                    self.said.entry(room).or_default().push(said);
                }
                Expected::Sent { seq }
            }
            Op::History { room, after, before, limit } => {
                if !token.can("history", room) {
                    return Refused("forbidden");
                }
                let said = self.said(room);
                let (begin, end) = match (after, before) {
                    (Some(after), _) => {
                        let begin = (*after as usize).min(said.len());
                        (begin, (begin + *limit as usize).min(said.len()))
                    }
                    (None, before) => {
                        let end =
                            before.map_or(said.len(), |before| (before.max(1) as usize - 1).min(said.len()));
                        (end.saturating_sub(*limit as usize), end)
                    }
                };
                let more = if after.is_some() { end < said.len() } else { begin > 0 };
                Expected::History { messages: said[begin..end].to_vec(), more }
            }
            Op::Who { room } if !token.can("presence", room) => Refused("forbidden"),
            Op::Who { room } if token.is_user() && !is_in(room) => Refused("not_in_room"),
            Op::Typing { room, begins: true } if !token.can("typing", room) => Refused("forbidden"),
            Op::Typing { room, .. } | Op::Mark { room, .. } if !is_in(room) => Refused("not_in_room"),
            Op::Who { .. } | Op::Show { .. } | Op::Typing { .. } | Op::Mark { .. } => Done,
            Op::Refresh { is_valid: false, .. } => Refused("unauthorized"),
            Op::Refresh { token: other, .. } if other.user != token.user => Refused("forbidden"),
            Op::Refresh { token, .. } => {
                let seat = &mut self.seats[seat];
                seat.rooms.retain(|room, _| token.can("join", room));
                for (room, presence) in &mut seat.rooms {
                    *presence &= token.can("presence", room);
                }
                seat.token = token.clone();
                Done
            }
            Op::Media { right, stream, .. } if !token.can_media(right, stream) => Refused("forbidden"),
            // Nobody publishes anything, and there is no relay that could take it.
            Op::Media { right: "publish", .. } => Refused("no_relay"),
            Op::Media { .. } => Refused("no_such_stream"),
        }
    }
}

impl Op {
    /// The event and its data. `signed` makes a token of what one is to say, a good one or not.
    pub(super) fn written(
        &self,
        epoch: u64,
        signed: impl Fn(&Token, bool) -> String,
    ) -> (&'static str, Value) {
        match self {
            Self::Join { room, history, since, presence } => {
                let mut data = json!({ "room": room, "presence": presence });
                if let Some(history) = history {
                    data["history"] = (*history).into();
                }
                if let Some(since) = since {
                    data["since"] = format!("{epoch}:{since}").into();
                }
                ("room:join", data)
            }
            Self::Leave { room } => ("room:leave", json!({ "room": room })),
            Self::Send { room, volatile, body } => {
                ("message:send", json!({ "room": room, "volatile": volatile, "body": body }))
            }
            Self::History { room, after, before, limit } => {
                ("message:history", json!({ "room": room, "after": after, "before": before, "limit": limit }))
            }
            Self::Who { room } => ("presence:list", json!({ "room": room })),
            Self::Show { status } => ("presence:update", json!({ "status": status })),
            Self::Typing { room, begins } => {
                (if *begins { "typing:start" } else { "typing:stop" }, json!({ "room": room }))
            }
            Self::Mark { room, event, seq } => (event, json!({ "room": room, "seq": seq })),
            Self::Refresh { token, is_valid } => {
                ("auth:refresh", json!({ "token": signed(token, *is_valid) }))
            }
            Self::Media { event: event @ "media:publish", stream, .. } => {
                (event, json!({ "stream": stream, "sdp": "v=0\r\n" }))
            }
            Self::Media { event: event @ "media:record", stream, .. } => {
                (event, json!({ "stream": stream, "on": true }))
            }
            Self::Media { event, stream, .. } => (event, json!({ "stream": stream })),
        }
    }
}
