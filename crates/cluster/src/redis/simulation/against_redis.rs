//! The model of a lane beside the real functions on a real Redis, call by call with the same arguments. So what the
//! simulation shows of the model holds for `lua/messages.lua` and `lua/fence.lua`.
//!
//! A new process is made of an old one by another `run` in the lane's meta, and a tail is lost by putting back what the keys
//! held before.

use std::sync::Arc;
use std::time::Duration;

use turnpike_lab::redis::Connection;
use turnpike_lab::{Reply, shared, unique_prefix};

use super::random::Random;
use super::store::{Answer, Audit, Entry, Now, Publish, Published, ReadAnswer, ReadRange, Rules, Store};
use crate::LanePosition;
use crate::redis::follow::Place;
use crate::redis::frame::{HEADER_BYTES, Header};
use crate::redis::{RedisConfig, connect};

const ROOMS: [&str; 3] = ["a", "b", "c"];
const RULES: Rules = Rules { window_ms: 600_000, messages_max: 20, no_fence: false, append_first: false };
const BYTES_MAX: &str = "1000000";
const AGE_MS_MAX: &str = "600000000";

/// The lane's keys as they were.
type Saved = Vec<(String, Option<Vec<u8>>)>;

struct Real {
    connection: Connection,
    tag: String,
}

impl Real {
    /// Whoever serves the lane of this prefix, with the library on it.
    fn new() -> Self {
        let prefix = unique_prefix();
        let config =
            RedisConfig { nodes: shared().seeds(), prefix: prefix.clone(), ..RedisConfig::default() };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _cluster = runtime
            .block_on(connect(config, &prometheus::Registry::new()))
            .expect("the plane can be reached");
        let tag = format!("{{{prefix}:model}}");
        let (host, port) = shared().seeds().remove(0);
        let mut connection = Connection::open((&host, port)).unwrap();
        if let Reply::Error(error) = connection.command(&["GET", &tag]).unwrap() {
            let (_, owner) = error.rsplit_once(' ').expect("MOVED names the owner");
            let (host, port) = owner.rsplit_once(':').expect("with its port");
            connection = Connection::open((host, port.parse().unwrap())).unwrap();
        }
        let mut real = Self { connection, tag };
        // The library is spread in the background.
        for _ in 0..100 {
            if !matches!(real.connection.command(&["FCALL_RO", "turnpike_version", "0"]), Ok(Reply::Error(_)))
            {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        runtime.shutdown_background();
        real
    }

    fn key(&self, rest: &str) -> String {
        format!("{}:{rest}", self.tag)
    }

    fn keys(&self) -> Vec<String> {
        let lane = ["meta", "heads", "ids:0", "ids:1", "ids:2"].map(|rest| self.key(rest));
        lane.into_iter().chain(ROOMS.map(|room| self.key(&format!("log:{room}")))).collect()
    }

    fn call(&mut self, function: &str, keys: &[&str], args: &[&str]) -> Vec<Reply> {
        let keys: Vec<String> = keys.iter().map(|rest| self.key(rest)).collect();
        let count = keys.len().to_string();
        let mut command = vec!["FCALL", function, &count];
        command.extend(keys.iter().map(String::as_str));
        command.extend(args);
        self.connection.command(&command).unwrap().sound().unwrap().items().to_vec()
    }

    fn publish(&mut self, publish: &Publish) -> Published {
        let log = format!("log:{}", publish.room);
        let keys = ["meta", "heads", &log, "ids:0", "ids:1", "ids:2"];
        let channel = self.key(&format!("c:{}", publish.room));
        let (window, messages) = (RULES.window_ms.to_string(), RULES.messages_max.to_string());
        let args = [
            &publish.room,
            &channel,
            &publish.id,
            &publish.attempt,
            &publish.before,
            &window,
            &messages,
            BYTES_MAX,
            AGE_MS_MAX,
            &publish.payload,
        ];
        let parts = self.call("turnpike_publish", &keys, &args);
        let answer = || Answer { epoch: number(&parts[1]), seq: number(&parts[2]), ts: number(&parts[3]) };
        match number(&parts[0]) {
            // Whether it was done now or before shows in where the lane stands.
            0 => {
                let answer = answer();
                let header = Header {
                    at: LanePosition { epoch: answer.epoch, pos: 0 },
                    seq: answer.seq,
                    prev: 0,
                    ts: 0,
                    first: false,
                };
                // Where it stands is compared by reading.
                Published::New(answer, Arc::new(Entry { header, payload: publish.payload.clone() }))
            }
            1 => Published::Seen(answer()),
            _ => Published::Missing,
        }
    }

    fn audit(&mut self, rooms: &[(String, Option<Place>)], quiet: Option<LanePosition>) -> Audit {
        let quiet = quiet.unwrap_or_default();
        let mut args = vec![quiet.epoch.to_string(), quiet.pos.to_string()];
        for (room, known) in rooms {
            args.push(room.clone());
            args.push(known.map_or_else(String::new, |place| {
                format!("{} {} {}", place.seq, place.at.pos, place.at.epoch)
            }));
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let parts = self.call("turnpike_audit", &["meta", "heads"], &args);
        let epochs = parts[4].text();
        let epochs = epochs.split_whitespace().map(|epoch| {
            let (epoch, first) = epoch.split_once(':').unwrap();
            (epoch.parse().unwrap(), first.parse().unwrap())
        });
        Audit {
            lane: LanePosition { epoch: number(&parts[0]), pos: number(&parts[1]) },
            fseq: number(&parts[2]),
            fpos: number(&parts[3]),
            epochs: epochs.collect(),
            differing: parts[5..]
                .chunks(2)
                .map(|pair| (number(&pair[0]) as usize, place(&pair[1])))
                .collect(),
        }
    }

    fn read(&mut self, room: &str, range: ReadRange, messages_max: usize) -> ReadAnswer {
        let (what, at, epoch) = match range {
            ReadRange::After { seq, epoch } => ("after", seq, epoch),
            ReadRange::Lane { pos, epoch } => ("lane", pos, epoch),
            ReadRange::Seq(seq) => ("seq", seq, 0),
            ReadRange::Before(seq) => ("before", seq, 0),
        };
        let (at, epoch, max) = (at.to_string(), epoch.to_string(), messages_max.to_string());
        let log = format!("log:{room}");
        let args = [room, what, &at, &epoch, &max, BYTES_MAX];
        let parts = self.call("turnpike_read", &["meta", "heads", &log], &args);
        ReadAnswer {
            lane: LanePosition { epoch: number(&parts[0]), pos: number(&parts[1]) },
            fseq: number(&parts[2]),
            fpos: number(&parts[3]),
            head: place(&parts[4]),
            kept: number(&parts[5]) as usize,
            oldest: Header::parse(bytes(&parts[6])).ok(),
            last: parts[7].integer().and_then(|last| u64::try_from(last).ok()),
            first_behind: number(&parts[8]),
            more: number(&parts[9]) == 1,
            entries: parts[10..].iter().map(|frame| Arc::new(entry(bytes(frame)))).collect(),
        }
    }

    fn save(&mut self) -> Saved {
        let mut saved = Vec::new();
        for key in self.keys() {
            let held = match self.connection.command(&["DUMP", &key]).unwrap() {
                Reply::Bulk(bytes) => Some(bytes),
                _ => None,
            };
            saved.push((key, held));
        }
        saved
    }

    fn put_back(&mut self, saved: &Saved) {
        for (key, value) in saved {
            self.connection.command(&["DEL", key]).unwrap().sound().unwrap();
            if let Some(value) = value {
                let command = [b"RESTORE", key.as_bytes(), b"0", &**value];
                self.connection.command_bytes(&command).unwrap().sound().unwrap();
            }
        }
    }

    /// The next call is that of a process which has not had the lane yet.
    fn another_run(&mut self) {
        let meta = self.key("meta");
        self.connection.command(&["HSET", &meta, "run", "another"]).unwrap().sound().unwrap();
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        for key in self.keys() {
            let _ = self.connection.command(&["DEL", &key]);
        }
    }
}

fn number(reply: &Reply) -> u64 {
    u64::try_from(reply.integer().unwrap_or_else(|| panic!("no number: {reply:?}"))).unwrap()
}

fn bytes(reply: &Reply) -> &[u8] {
    match reply {
        Reply::Bulk(bytes) => bytes,
        _ => panic!("no bytes: {reply:?}"),
    }
}

fn place(head: &Reply) -> Option<Place> {
    let text = head.text();
    let words: Vec<u64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    (!words.is_empty()).then(|| Place { at: LanePosition { epoch: words[2], pos: words[1] }, seq: words[0] })
}

fn entry(frame: &[u8]) -> Entry {
    let header = Header::parse(frame).expect("a frame of a message");
    Entry { header, payload: String::from_utf8(frame[HEADER_BYTES..].to_vec()).unwrap() }
}

/// The real one and the model, which are given the same.
struct Pair {
    real: Real,
    model: Store,
    run: u64,
    saved: Option<(Saved, Store)>,
    ids: u64,
}

impl Pair {
    /// Whatever has begun a new epoch there begins it here, in the same.
    fn level(&mut self, ms: u64) -> Now {
        let now = Now { run: self.run, ms };
        self.model.fence(now, &RULES);
        now
    }

    fn compare_all(&mut self, random: &mut Random) {
        let rooms: Vec<(String, Option<Place>)> = ROOMS
            .iter()
            .map(|room| {
                let known = self.model.place(room).filter(|_| random.percent(70));
                (String::from(*room), known)
            })
            .collect();
        let real = self.real.audit(&rooms, None);
        let now = self.level(real.lane.epoch);
        assert_eq!(self.model.audit(now, &RULES, &rooms, None), real);
        let quiet =
            Some(LanePosition { pos: if random.percent(50) { real.lane.pos } else { 0 }, ..real.lane });
        assert_eq!(self.model.audit(now, &RULES, &rooms, quiet), self.real.audit(&rooms, quiet));
    }

    fn publish(&mut self, random: &mut Random) {
        let again = random.percent(25);
        if !again {
            self.ids += 1;
        }
        let id = if again { random.below(self.ids + 1) } else { self.ids };
        let before = match random.below(10) {
            0 => random.below(self.ids + 3).to_string(),
            _ => String::new(),
        };
        let room = ROOMS[random.index(ROOMS.len())].to_owned();
        let payload = format!("message {id} in {room}");
        let attempt = random.below(2).to_string();
        let publish = Publish { room, id: id.to_string(), attempt, before, payload };
        let real = self.real.publish(&publish);
        let epoch = self.real.audit(&[], None).lane.epoch;
        let now = self.level(epoch);
        match (&real, self.model.publish(Now { ms: ts_of(&real).unwrap_or(now.ms), ..now }, &RULES, &publish))
        {
            (Published::New(real, _), Published::New(model, _) | Published::Done(model))
            | (Published::Seen(real), Published::Seen(model)) => {
                assert_eq!(model, *real);
            }
            (real, model) => assert_eq!(model, *real),
        }
    }

    fn read(&mut self, random: &mut Random) {
        let room = ROOMS[random.index(ROOMS.len())];
        let lane = self.model.lane();
        let epoch = if random.percent(80) { lane.epoch } else { self.any_epoch(random) };
        let seq = random.below(self.model.place(room).map_or(3, |place| place.seq + 3));
        let range = match random.below(4) {
            0 => ReadRange::After { seq, epoch },
            1 => ReadRange::Lane { pos: random.below(lane.pos + 3), epoch },
            2 => ReadRange::Seq(seq),
            _ => ReadRange::Before(seq),
        };
        let max = random.between(1, 30) as usize;
        let real = self.real.read(room, range, max);
        let now = self.level(real.lane.epoch);
        let model = self.model.read(now, &RULES, room, range, max);
        assert_eq!(model, real, "{room} {range:?} {max}");
    }

    fn any_epoch(&mut self, random: &mut Random) -> u64 {
        let epochs = self.real.audit(&[], None).epochs;
        random.pick(&epochs).map_or(1, |(epoch, _)| *epoch) + u64::from(random.percent(10))
    }
}

fn ts_of(published: &Published) -> Option<u64> {
    match published {
        Published::New(answer, _) => Some(answer.ts),
        _ => None,
    }
}

#[test]
fn the_model_does_what_the_functions_do() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in seed.map_or(0..4, |seed| seed..seed + 1) {
        println!("SEED={seed}");
        let mut random = Random::new(seed);
        let mut pair = Pair { real: Real::new(), model: Store::default(), run: 1, saved: None, ids: 0 };
        for _ in 0..400 {
            match random.below(100) {
                0..55 => pair.publish(&mut random),
                55..85 => pair.read(&mut random),
                85..92 => pair.compare_all(&mut random),
                92..95 => pair.saved = Some((pair.real.save(), pair.model.clone())),
                // A failover: the process is another, and what came after the copy was made is lost.
                95..98 => {
                    if let Some((real, model)) = pair.saved.take() {
                        pair.real.put_back(&real);
                        pair.model = model;
                    }
                    pair.real.another_run();
                    pair.run += 1;
                }
                _ => {
                    pair.real.another_run();
                    pair.run += 1;
                }
            }
        }
        pair.compare_all(&mut random);
    }
}
