//! Histories written by hand.

use turnpike_history::{Event, Law, Level, What, check};

pub(crate) const ROOM: &str = "chat:a";

/// Tells what happens, one thing after the other, a millisecond apart.
#[derive(Clone, Default)]
pub(crate) struct Story {
    pub(crate) events: Vec<Event>,
    now_us: u64,
}

impl Story {
    /// Alice, bob and carol are in a room, and it is quiet.
    pub(crate) fn new() -> Self {
        let mut story = Self { events: Vec::new(), now_us: 1_000_000_000 };
        for who in ["alice", "bob", "carol"] {
            story.enter(who, who);
        }
        for who in ["alice", "bob", "carol"] {
            story.members(who, &["alice", "bob", "carol"]);
        }
        story
    }

    pub(crate) fn tell(&mut self, who: &str, what: What) -> &mut Self {
        self.now_us += 1_000;
        self.events.push(Event { at_us: self.now_us, who: who.to_owned(), what });
        self
    }

    pub(crate) fn wait_ms(&mut self, ms: u64) -> &mut Self {
        self.now_us += ms * 1_000;
        self
    }

    /// Connects a client of a user and joins the room at its beginning.
    pub(crate) fn enter(&mut self, who: &str, user: &str) -> &mut Self {
        self.connect(who, user).tell(who, What::Session { recovered: false });
        self.join(who, 0)
    }

    pub(crate) fn connect(&mut self, who: &str, user: &str) -> &mut Self {
        self.tell(who, What::Connect { user: user.to_owned(), device: "phone".to_owned() })
    }

    pub(crate) fn join(&mut self, who: &str, seq: u64) -> &mut Self {
        self.tell(who, What::Join { room: ROOM.to_owned(), epoch: 1, seq, recovered: false })
    }

    pub(crate) fn send(&mut self, who: &str, id: &str) -> &mut Self {
        let (room, id, from) = (ROOM.to_owned(), id.to_owned(), who.to_owned());
        let body = body(&id);
        self.tell(who, What::Send { room, id, from, body })
    }

    pub(crate) fn ack(&mut self, who: &str, id: &str, seq: u64) -> &mut Self {
        self.ack_in(who, id, 1, seq, Level::Replicated)
    }

    pub(crate) fn ack_in(&mut self, who: &str, id: &str, epoch: u64, seq: u64, level: Level) -> &mut Self {
        let (room, id, from) = (ROOM.to_owned(), id.to_owned(), who.to_owned());
        self.tell(who, What::Ack { room, id, from, epoch, seq, level })
    }

    /// Alice's message, as it should be.
    pub(crate) fn give(&mut self, who: &str, id: &str, seq: u64) -> &mut Self {
        self.tell(who, message(1, seq, id, "alice", &body(id)))
    }

    pub(crate) fn give_all(&mut self, id: &str, seq: u64) -> &mut Self {
        self.give("alice", id, seq).give("bob", id, seq).give("carol", id, seq)
    }

    /// Sent by alice, acknowledged, and given to all.
    pub(crate) fn say(&mut self, id: &str, seq: u64) -> &mut Self {
        self.send("alice", id).ack("alice", id, seq).give_all(id, seq)
    }

    pub(crate) fn resync(&mut self, who: &str, epoch: u64, seq: u64) -> &mut Self {
        self.tell(who, What::Resync { room: ROOM.to_owned(), epoch, seq })
    }

    pub(crate) fn drop_line(&mut self, who: &str) -> &mut Self {
        self.tell(who, What::Disconnect { clean: false })
    }

    pub(crate) fn recover(&mut self, who: &str) -> &mut Self {
        self.connect(who, who).tell(who, What::Session { recovered: true })
    }

    pub(crate) fn members(&mut self, who: &str, users: &[&str]) -> &mut Self {
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        self.tell(who, What::Members { room: ROOM.to_owned(), version: None, users })
    }

    pub(crate) fn presence(&mut self, who: &str, joined: &[&str], left: &[&str]) -> &mut Self {
        let owned = |users: &[&str]| users.iter().map(|user| (*user).to_owned()).collect();
        let (joined, left) = (owned(joined), owned(left));
        self.tell(who, What::Presence { room: ROOM.to_owned(), version: None, joined, left })
    }

    pub(crate) fn types(&mut self, user: &str) -> &mut Self {
        self.tell(user, What::TypingStart { room: ROOM.to_owned(), user: user.to_owned() })
    }

    pub(crate) fn typing(&mut self, who: &str, users: &[&str]) -> &mut Self {
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        self.tell(who, What::Typing { room: ROOM.to_owned(), users })
    }

    pub(crate) fn fault(&mut self, name: &str) -> &mut Self {
        self.tell("machine", What::Fault { name: name.to_owned() })
    }

    pub(crate) fn healed(&mut self, name: &str) -> &mut Self {
        self.tell("machine", What::Healed { name: name.to_owned() })
    }

    pub(crate) fn receipt(&mut self, who: &str, received: u64, read: u64) -> &mut Self {
        let (room, user) = (ROOM.to_owned(), "carol".to_owned());
        self.tell(who, What::Receipt { room, user, received, read })
    }

    pub(crate) fn log_from(&mut self, seq: u64) -> &mut Self {
        self.tell("log", What::LogStart { room: ROOM.to_owned(), seq })
    }

    /// Alice's message, as it should be.
    pub(crate) fn logged(&mut self, epoch: u64, seq: u64, id: &str) -> &mut Self {
        self.logged_with(epoch, seq, id, &body(id))
    }

    pub(crate) fn logged_with(&mut self, epoch: u64, seq: u64, id: &str, body: &str) -> &mut Self {
        let (room, from) = (ROOM.to_owned(), "alice".to_owned());
        let (id, body) = (id.to_owned(), body.to_owned());
        self.tell("log", What::Logged { room, epoch, seq, id, from, body })
    }

    /// The log as it should be, and the end.
    pub(crate) fn end_with(&mut self, ids: &[&str]) -> &mut Self {
        self.wait_ms(20_000).log_from(1);
        for (index, id) in ids.iter().enumerate() {
            self.logged(1, index as u64 + 1, id);
        }
        self.end()
    }

    pub(crate) fn end(&mut self) -> &mut Self {
        self.tell("machine", What::End)
    }

    pub(crate) fn broken_laws(&self) -> Vec<Law> {
        let mut laws: Vec<Law> = check(&self.events).iter().map(|violation| violation.law).collect();
        laws.sort_unstable();
        laws.dedup();
        laws
    }

    #[track_caller]
    pub(crate) fn is_good(&self) {
        let violations = check(&self.events);
        assert!(violations.is_empty(), "{violations:#?}");
    }

    #[track_caller]
    pub(crate) fn breaks(&self, laws: &[Law]) {
        assert_eq!(self.broken_laws(), laws, "{:#?}", check(&self.events));
    }
}

pub(crate) fn body(id: &str) -> String {
    format!("body of {id}")
}

pub(crate) fn message(epoch: u64, seq: u64, id: &str, from: &str, body: &str) -> What {
    What::Message {
        room: ROOM.to_owned(),
        epoch,
        seq,
        id: id.to_owned(),
        from: from.to_owned(),
        body: body.to_owned(),
    }
}
