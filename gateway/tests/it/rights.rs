//! Rights against a model: clients with random grants do random things in random rooms, over both kinds of sockets, are cut,
//! come back with other tokens or with somebody else's ticket, and are sent away; every answer and every message is what the
//! model says, nothing more and nothing less.
//!
//! `RIGHTS_SEED` repeats a run, `RIGHTS_OPERATIONS` says how long it is.

mod grants;
mod model;
mod wire;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use turnpike_cluster::HistoryLimits;
use turnpike_fuzz::Random;
use turnpike_guard::limit::{Classes, Limit, Rate, Rates};
use turnpike_guard::{Terms, WardenConfig, mint};
use turnpike_wire::event::server;

use self::grants::{Token, own_room};
use self::model::{Expected, Op, ROOMS, Said, Seat, World};
use self::wire::{Came, Dialect, Wire};
use crate::house::{House, SECRET, unix_seconds, watch};

const USERS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "a", "b", "c", "d"];
/// Asked at once, at most.
const BATCH: usize = 60;

fn setting(key: &str) -> Option<u64> {
    std::env::var(key).ok().map(|text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_the_model_says() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = setting("RIGHTS_SEED").unwrap_or(now);
    let operations = setting("RIGHTS_OPERATIONS").unwrap_or(100_000) as usize;
    eprintln!("RIGHTS_SEED={seed}");
    let mut play = Play::begin(seed).await;
    while play.operations < operations {
        play.turn().await;
    }
    play.end().await;
    eprintln!("{} operations: {:?}", play.operations, play.counts);
    // It would prove little if nearly everything were refused, or one kind of thing never happened.
    let count = |what: &str| play.counts.get(what).copied().unwrap_or_default();
    for what in [
        "message",
        "messages read",
        "recovered",
        "not recovered",
        "stolen ticket",
        "revoked",
        "presence",
        "typing",
        "receipt",
    ] {
        assert!(count(what) > 0, "{what}: {:?}", play.counts);
    }
    assert!(
        count("refused") * 10 > operations && count("refused") * 10 < operations * 7,
        "{:?}",
        play.counts
    );
}

fn signed(token: &Token, is_valid: bool) -> String {
    let claims = serde_json::from_value(token.claims(unix_seconds() + 3_600)).unwrap();
    let secret: &[u8] = if is_valid { SECRET } else { b"a secret of somebody else's, thirty-two" };
    mint(secret, &claims).unwrap()
}

struct Client {
    dialect: Dialect,
    wire: Option<Wire>,
    /// Of the connection before this one.
    memory: Memory,
    /// Its session waits for it.
    may_return: bool,
}

/// What the stock client shows when it comes back.
#[derive(Clone, Default)]
struct Memory {
    pid: Option<Value>,
    offset: Option<Value>,
}

impl Client {
    fn memory(&self) -> Memory {
        match &self.wire {
            Some(wire) => Memory { pid: wire.pid.clone(), offset: wire.offset.clone() },
            None => self.memory.clone(),
        }
    }
}

struct Play {
    house: House,
    random: Random,
    world: World,
    clients: Vec<Client>,
    epoch: u64,
    operations: usize,
    counts: BTreeMap<String, usize>,
}

impl Play {
    async fn begin(seed: u64) -> Self {
        let house = House::with(|plan| {
            plan.cluster.history = HistoryLimits {
                room_messages_max: 1_000_000,
                room_bytes_max: 1 << 30,
                bytes_max: 1 << 30,
                ..HistoryLimits::default()
            };
            // What is asked for too often, and who seems to be looking for something, is not what is asked about here.
            let terms = Terms { enabled: false, ..Terms::default() };
            plan.watch = watch(WardenConfig { terms, ..WardenConfig::default() });
            let mut rates = Rates::default();
            for limit in Limit::ALL {
                rates.set(limit, Rate::per_second(NonZeroU32::MAX, NonZeroU32::MAX));
            }
            plan.limits.classes = Classes::new(rates);
        });
        let mut play = Self {
            house,
            random: Random(seed),
            world: World::default(),
            clients: Vec::new(),
            epoch: 0,
            operations: 0,
            counts: BTreeMap::new(),
        };
        for (number, user) in USERS.into_iter().enumerate() {
            let dialect = if number % 2 == 0 { Dialect::SocketIo } else { Dialect::Plain };
            let token = Token::random(user, &mut play.random);
            let auth = json!({ "token": signed(&token, true) });
            let (wire, session) = Wire::enter(&play.house, dialect, &auth).await.unwrap();
            assert_eq!(session["user"], user);
            play.world.seats.push(Seat::new(token));
            play.clients.push(Client {
                dialect,
                wire: Some(wire),
                memory: Memory::default(),
                may_return: false,
            });
        }
        play
    }

    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    async fn turn(&mut self) {
        let seat = self.random.below(self.clients.len());
        if self.clients[seat].wire.is_none() {
            return self.come_back(seat).await;
        }
        match self.random.below(100) {
            0..8 => self.cut(seat),
            8..10 => self.send_away(seat).await,
            10..14 => self.ask_over_http().await,
            _ => {
                let batch = 1 + self.random.below(BATCH);
                self.act(seat, batch).await;
            }
        }
    }

    fn cut(&mut self, seat: usize) {
        let client = &mut self.clients[seat];
        client.memory = client.memory();
        client.may_return = client.dialect == Dialect::SocketIo;
        client.wire = None;
        self.world.seats[seat].cut();
    }

    /// With another token, with none but the ticket, or with the ticket of somebody else.
    async fn come_back(&mut self, seat: usize) {
        let Client { dialect, may_return, .. } = self.clients[seat];
        let user = self.world.seats[seat].token.user.clone();
        let owner = (0..self.clients.len())
            .filter(|other| self.world.seats[*other].token.user != user)
            .find(|other| self.clients[*other].memory().pid.is_some())
            .filter(|_| self.random.below(4) == 0);
        let Memory { pid, offset } = self.clients[owner.unwrap_or(seat)].memory();
        let mut auth = json!({});
        for (key, value) in [("pid", pid), ("offset", offset)] {
            if let Some(value) = value {
                auth[key] = value;
            }
        }
        let mut token = self.world.seats[seat].token.clone();
        let waits = may_return && owner.is_none();
        if !(waits && self.random.below(3) == 0) {
            if self.random.below(2) == 0 {
                token = Token::random(&user, &mut self.random);
            }
            auth["token"] = signed(&token, true).into();
        }
        let goes_on = waits && self.world.seats[seat].goes_on_with(&token);
        let (wire, session) = Wire::enter(&self.house, dialect, &auth).await.unwrap();
        assert_eq!((&session["user"], &session["recovered"]), (&json!(user), &json!(goes_on)), "{token:?}");
        if goes_on {
            let model = &mut self.world.seats[seat];
            (model.token, model.is_here) = (token, true);
        } else {
            self.world.seats[seat] = Seat::new(token);
        }
        let client = &mut self.clients[seat];
        (client.wire, client.may_return, client.memory) = (Some(wire), false, Memory::default());
        self.operations += 1;
        let outcome = if goes_on { "recovered" } else { "not recovered" };
        self.count(if owner.is_some() { "stolen ticket" } else { outcome });
    }

    /// A backend dismisses the user for good: all connections end, and nobody comes back to what they had.
    async fn send_away(&mut self, seat: usize) {
        let user = self.world.seats[seat].token.user.clone();
        for seat in 0..self.clients.len() {
            if self.world.seats[seat].token.user == user && self.clients[seat].wire.is_some() {
                self.act(seat, 1).await;
            }
        }
        let path = format!("/api/v1/users/{user}/disconnect");
        let mut backend = Token::random("backend", &mut self.random);
        backend.role = "service";
        assert_eq!(self.http("POST", &path, &signed(&backend, true), r#"{"code":3502}"#).await, 202);
        for seat in 0..self.clients.len() {
            let client = &mut self.clients[seat];
            if self.world.seats[seat].token.user != user || client.wire.is_none() {
                continue;
            }
            client.memory = client.memory();
            let wire = client.wire.as_mut().unwrap();
            loop {
                match wire.next().await {
                    Came::End => break,
                    Came::Event(name, data) if name == "message" => {
                        let (said, due) = (said(&data), &mut self.world.seats[seat].due);
                        let at = due.iter().position(|due| *due == said);
                        due.remove(at.unwrap_or_else(|| panic!("{user} hears {said:?}")));
                    }
                    Came::Event(name, data) if name == server::CLOSING => assert_eq!(data["code"], 3502),
                    Came::Event(name, _) if ["presence", "typing", "receipt"].contains(&&*name) => {}
                    other => panic!("{user} is told {other:?} on the way out"),
                }
            }
            (client.wire, client.may_return) = (None, false);
            self.world.seats[seat].is_here = false;
            self.world.seats[seat].rooms.clear();
        }
        self.operations += 1;
        self.count("revoked");
    }

    /// Somebody with a random token asks as a backend would.
    async fn ask_over_http(&mut self) {
        let token = Token::random("b", &mut self.random);
        let room = ROOMS[self.random.below(ROOMS.len())];
        let (method, path, granted, status) = match self.random.below(6) {
            0 => ("GET", format!("rooms/{room}/messages?limit=1"), !token.is_user(), 200),
            1 => ("GET", format!("rooms/{room}/presence"), !token.is_user(), 200),
            2 => ("GET", "users/a".to_owned(), !token.is_user(), 200),
            3 => ("GET", "streams".to_owned(), !token.is_user(), 200),
            4 => ("DELETE", format!("streams/{room}"), !token.is_user(), 404),
            // There is no such stream; who may not record learns not even that.
            _ => ("DELETE", format!("streams/{room}/recording"), token.can_media("record", room), 404),
        };
        let expected = if granted { status } else { 403 };
        let answered = self.http(method, &format!("/api/v1/{path}"), &signed(&token, true), "").await;
        assert_eq!(answered, expected, "{method} {path} {token:?}");
        self.operations += 1;
        self.count("over HTTP");
    }

    async fn http(&self, method: &str, path: &str, token: &str, body: &str) -> u16 {
        let address = self.house.address();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
    }

    /// Asks so many things at once, reads all that comes of it, and all that came before.
    async fn act(&mut self, seat: usize, batch: usize) {
        let mut wire = self.clients[seat].wire.take().unwrap();
        let mut may_hear: BTreeMap<String, bool> = self.world.seats[seat].rooms.clone();
        // In their own room users are shown to their other devices in any case.
        may_hear.insert(own_room(&self.world.seats[seat].token.user), true);
        let mut expected: BTreeMap<u64, (Op, Expected)> = BTreeMap::new();
        for _ in 0..batch {
            let op = self.world.draw(seat, &mut self.random);
            let (event, data) = op.written(self.epoch, signed);
            let outcome = self.world.apply(seat, &op);
            for (room, presence) in &self.world.seats[seat].rooms {
                *may_hear.entry(room.clone()).or_default() |= presence;
            }
            self.count(match &outcome {
                Expected::Refused(_) => "refused",
                Expected::History { .. } => "messages read",
                _ => "done",
            });
            expected.insert(wire.ask(event, &data).await, (op, outcome));
        }
        self.operations += batch;
        let due = std::mem::take(&mut self.world.seats[seat].due);
        let mut came = self.hear(&mut wire, &mut expected, due.len(), &may_hear).await;
        // What is behind it now is too much. An answer overtakes nothing.
        let last = wire.ask("ping", &Value::Null).await;
        expected.insert(last, (Op::Show { status: "" }, Expected::Done));
        came.extend(self.hear(&mut wire, &mut expected, 0, &may_hear).await);
        let mut due = due;
        // Within a room they come in its order.
        came.sort_by(|one, other| one.room.cmp(&other.room));
        due.sort_by(|one, other| one.room.cmp(&other.room));
        assert_eq!(came, due, "what {} heard", self.world.seats[seat].token.user);
        *self.counts.entry("message".to_owned()).or_default() += came.len();
        self.clients[seat].wire = Some(wire);
    }

    /// Until all is answered and so many messages have come.
    async fn hear(
        &mut self,
        wire: &mut Wire,
        expected: &mut BTreeMap<u64, (Op, Expected)>,
        due: usize,
        may_hear: &BTreeMap<String, bool>,
    ) -> Vec<Said> {
        wire.flush().await;
        let mut came = Vec::new();
        while !expected.is_empty() || came.len() < due {
            match wire.next().await {
                Came::Answer(id, answer) => {
                    let (op, outcome) = expected.remove(&id).unwrap_or_else(|| panic!("{id}: {answer}"));
                    self.compare(&op, &outcome, &answer);
                }
                Came::Event(name, data) if name == "message" => came.push(said(&data)),
                Came::Event(name, data) => {
                    let watches = may_hear.get(data["room"].as_str().unwrap_or_default());
                    let may = match &*name {
                        "presence" => watches == Some(&true),
                        "typing" | "receipt" => watches.is_some(),
                        _ => false,
                    };
                    assert!(may, "{name} {data}, and it is in {may_hear:?}");
                    self.count(&name);
                }
                Came::End => panic!("ended, waiting for {expected:?} and {due} messages"),
            }
        }
        came
    }

    fn compare(&mut self, op: &Op, expected: &Expected, answer: &Value) {
        if let Expected::Refused(reason) = expected {
            assert_eq!(answer["error"]["reason"], *reason, "{op:?}: {answer}");
            return;
        }
        assert_eq!(answer["ok"], true, "{op:?} {expected:?}: {answer}");
        let messages = || -> Vec<Said> { answer["messages"].as_array().unwrap().iter().map(said).collect() };
        match expected {
            Expected::Joined { seq, recovered, messages: expected } => {
                self.epoch = answer["epoch"].as_u64().unwrap();
                assert_eq!(
                    (&answer["seq"], &answer["recovered"]),
                    (&json!(seq), &json!(recovered)),
                    "{op:?}"
                );
                assert_eq!(&messages(), expected, "{op:?}");
            }
            Expected::Sent { seq: Some(seq) } => assert_eq!(answer["seq"], *seq, "{op:?}"),
            Expected::History { messages: expected, more } => {
                assert_eq!((&messages(), &answer["more"]), (expected, &json!(more)), "{op:?}");
            }
            Expected::Sent { seq: None } | Expected::Done | Expected::Refused(_) => {}
        }
    }

    /// Everybody has everything, and nothing else has come.
    async fn end(&mut self) {
        for _ in 0..2 {
            for seat in 0..self.clients.len() {
                if self.clients[seat].wire.is_none() {
                    self.come_back(seat).await;
                }
                self.act(seat, 1).await;
            }
        }
    }
}

fn said(message: &Value) -> Said {
    Said {
        room: message["room"].as_str().unwrap().to_owned(),
        seq: message["seq"].as_u64(),
        from: message["from"].as_str().unwrap().to_owned(),
        body: message["body"].as_u64().unwrap(),
    }
}
