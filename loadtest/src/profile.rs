//! What users do: a file of TOML, parsed once into something that can be run.
//!
//! Which server they do it to, and from where, is not known here.

use serde::Deserialize;

use crate::{dialect::App, objective::Objective};

/// Ships with the program.
const BUILT_IN: &[(&str, &str)] = &[
    ("chat-rooms", include_str!("../profiles/chat-rooms.toml")),
    ("connect-storm", include_str!("../profiles/connect-storm.toml")),
    ("direct-messages", include_str!("../profiles/direct-messages.toml")),
    ("drain", include_str!("../profiles/drain.toml")),
    ("http-api", include_str!("../profiles/http-api.toml")),
    ("idle", include_str!("../profiles/idle.toml")),
    ("jitter", include_str!("../profiles/jitter.toml")),
    ("mixed-day", include_str!("../profiles/mixed-day.toml")),
    ("node-crash", include_str!("../profiles/node-crash.toml")),
    ("one-big-room", include_str!("../profiles/one-big-room.toml")),
    ("presence-churn", include_str!("../profiles/presence-churn.toml")),
    ("publisher-ladder", include_str!("../profiles/publisher-ladder.toml")),
    ("reconnect-storm", include_str!("../profiles/reconnect-storm.toml")),
    ("reconnect-storm-jitter", include_str!("../profiles/reconnect-storm-jitter.toml")),
    ("typing", include_str!("../profiles/typing.toml")),
    ("webrtc-viewers", include_str!("../profiles/webrtc-viewers.toml")),
];

pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// Their names and what they are for.
pub fn built_in_abouts() -> impl Iterator<Item = (&'static str, String)> {
    let about =
        |text| Profile::parse(text, &Overrides::default()).map(|profile| profile.about).unwrap_or_default();
    BUILT_IN.iter().map(move |(name, text)| (*name, about(text)))
}

/// The text of a profile that ships with the program.
pub fn built_in(name: &str) -> Option<&'static str> {
    BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub about: String,
    #[serde(default)]
    pub transport: Transport,
    /// That keep a connection.
    #[serde(default)]
    pub users: u32,
    /// New users a second.
    #[serde(default = "defaults::hatch_rate")]
    pub hatch_rate: u32,
    /// From when all users are in.
    pub run_time_s: u32,
    /// How long deliveries may still come after the last message was sent.
    #[serde(default = "defaults::settle_s")]
    pub settle_s: u32,
    /// A delivery that takes longer is late.
    #[serde(default = "defaults::late_ms")]
    pub late_ms: u32,
    pub rooms: Option<Rooms>,
    pub messages: Option<Messages>,
    pub typing: Option<Typing>,
    pub visits: Option<Visits>,
    pub cuts: Option<Cuts>,
    pub returns: Option<Returns>,
    pub api: Option<Api>,
    pub video: Option<Video>,
    /// A Socket.IO server with events of its own, in place of Turnpike.
    pub app: Option<App>,
    #[serde(default)]
    pub objectives: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Socket.IO over a websocket.
    #[default]
    Socketio,
    /// The plain websocket at `/ws`.
    Websocket,
}

/// Every user is in one room.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rooms {
    /// In each; 0 stands for all users in one room.
    pub members: u32,
    /// Whether they are shown to one another.
    #[serde(default)]
    pub presence: bool,
    /// The members are the devices of one user and the room is theirs; pairs of users write to each other.
    #[serde(default)]
    pub direct: bool,
}

impl Rooms {
    /// How many there are for so many users.
    pub fn count(&self, users: u32) -> u32 {
        let members = if self.members == 0 { users } else { self.members };
        users.div_ceil(members.max(1)).max(1)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Messages {
    /// Between two messages of one user.
    pub every_ms: u32,
    #[serde(default = "defaults::body_bytes")]
    pub body_bytes: u32,
    /// How many users send; 0 stands for all.
    #[serde(default)]
    pub senders: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Typing {
    /// Between two indicators of one user.
    pub every_ms: u32,
}

/// Users that leave and come again, in order.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Visits {
    pub stay_ms: u32,
    pub away_ms: u32,
    /// They leave their room and keep their connection.
    #[serde(default)]
    pub keep_connection: bool,
}

/// Connections that break without a word, and users that come back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cuts {
    /// Between two cuts of one user.
    pub every_s: u32,
    pub offline_ms: u32,
    /// All at once, instead of spread over the interval.
    #[serde(default)]
    pub together: bool,
    /// How much later, by chance, users come back.
    #[serde(default)]
    pub jitter_ms: u32,
}

/// How users come back whose connection the server has lost. Without it they do so at once.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Returns {
    pub after_ms: u32,
    /// How much later still, by chance.
    #[serde(default)]
    pub jitter_ms: u32,
}

/// A backend that uses the HTTP API, and clients that begin with long-polling.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    pub users: u32,
    /// Between two rounds of one user: publish, history, presence, handshake.
    pub every_ms: u32,
}

/// Streams of live video, and who watches them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Video {
    pub streams: u32,
    pub viewers: u32,
    /// Of one stream after the other, and from the first again.
    #[serde(default = "defaults::kbps")]
    pub kbps: Vec<u32>,
    /// The streams begin one after the other, so far apart; 0: all before the load begins.
    #[serde(default)]
    pub step_s: u32,
}

mod defaults {
    pub(super) fn kbps() -> Vec<u32> {
        vec![500]
    }
    pub(super) fn hatch_rate() -> u32 {
        500
    }
    pub(super) fn settle_s() -> u32 {
        10
    }
    pub(super) fn late_ms() -> u32 {
        1_000
    }
    pub(super) fn body_bytes() -> u32 {
        128
    }
}

/// About what each costs a generator, the operating system's part included.
const DELIVERY_US: u64 = 3;
const REQUEST_US: u64 = 25;
const ENTRY_US: u64 = 150;

pub const USERS_MAX: u32 = 200_000;
const BODY_BYTES_MAX: u32 = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    #[error("{}", .0.join("\n"))]
    Values(Vec<String>),
}

/// What the command line says instead of the profile.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub users: Option<u32>,
    pub hatch_rate: Option<u32>,
    pub run_time_s: Option<u32>,
    pub settle_s: Option<u32>,
    pub transport: Option<Transport>,
    /// The server is not a Turnpike; what the profile does not say of it is as everywhere.
    pub app: bool,
}

impl Profile {
    pub fn parse(text: &str, overrides: &Overrides) -> Result<Self, ProfileError> {
        let mut profile: Self = toml::from_str(text)?;
        if let Some(users) = overrides.users {
            // A profile without connections is about its backends.
            match &mut profile.api {
                Some(api) if profile.users == 0 => api.users = users,
                _ => match &mut profile.video {
                    Some(video) if profile.users == 0 => video.viewers = users,
                    _ => profile.users = users,
                },
            }
        }
        profile.hatch_rate = overrides.hatch_rate.unwrap_or(profile.hatch_rate);
        profile.run_time_s = overrides.run_time_s.unwrap_or(profile.run_time_s);
        profile.settle_s = overrides.settle_s.unwrap_or(profile.settle_s);
        profile.transport = overrides.transport.unwrap_or(profile.transport);
        if overrides.app && profile.app.is_none() {
            profile.app = Some(App::default());
        }
        let faults = profile.faults();
        if faults.is_empty() { Ok(profile) } else { Err(ProfileError::Values(faults)) }
    }

    pub fn objectives(&self) -> Vec<Objective> {
        // They were looked at when the profile was parsed.
        self.objectives.iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// What making this load costs the generator, so roughly that it says how many threads there should be.
    pub fn generator_us_a_second(&self) -> u64 {
        let users = u64::from(self.users);
        let every = |count: u64, ms: u32| count * 1_000 / u64::from(ms.max(1));
        let messages = self.messages.as_ref().map_or(0, |messages| {
            let senders = u64::from(messages.senders);
            every(if senders == 0 { users } else { senders.min(users) }, messages.every_ms)
        });
        let members = self.rooms.as_ref().map_or(0, |rooms| users / u64::from(rooms.count(self.users)));
        let typing = self.typing.as_ref().map_or(0, |typing| every(users, typing.every_ms));
        let visits = self
            .visits
            .as_ref()
            .map_or(0, |visits| every(users, visits.stay_ms.saturating_add(visits.away_ms)));
        let returns = self.cuts.as_ref().map_or(0, |cuts| {
            let apart_ms = if cuts.together { cuts.jitter_ms } else { cuts.every_s.saturating_mul(1_000) };
            every(users, apart_ms)
        });
        let load_us =
            (messages + typing) * (REQUEST_US + members * DELIVERY_US) + (visits + returns) * ENTRY_US;
        load_us.max(u64::from(self.hatch_rate) * ENTRY_US)
    }

    pub fn users_in_all(&self) -> u32 {
        let video = self.video.as_ref().map_or(0, |video| video.streams + video.viewers);
        self.users + self.api.as_ref().map_or(0, |api| api.users) + video
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut hold = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        let all = u64::from(self.users)
            + self.api.as_ref().map_or(0, |api| u64::from(api.users))
            + self.video.as_ref().map_or(0, |video| u64::from(video.streams) + u64::from(video.viewers));
        hold(all > 0, "users: nobody takes part");
        hold(all <= u64::from(USERS_MAX), "users: more than 200000 in one process");
        hold((1..=100_000).contains(&self.hatch_rate), "hatch_rate: from 1 to 100000 a second");
        hold((1..=86_400).contains(&self.run_time_s), "run_time_s: from 1 second to a day");
        hold(self.settle_s <= 600, "settle_s: at most 600");
        if let Some(messages) = &self.messages {
            hold(messages.every_ms > 0, "messages.every_ms: from 1");
            hold(messages.body_bytes <= BODY_BYTES_MAX, "messages.body_bytes: at most 65536");
            hold(self.rooms.is_some(), "messages: there are no rooms to send them to");
            hold(
                self.visits.is_none(),
                "messages: not together with visits, where nobody can say who should have got them",
            );
        }
        if let Some(typing) = &self.typing {
            hold(typing.every_ms > 0, "typing.every_ms: from 1");
            hold(self.rooms.is_some(), "typing: there are no rooms to type in");
        }
        if self.rooms.as_ref().is_some_and(|rooms| rooms.direct) {
            let others = self.typing.is_none() && self.visits.is_none() && self.app.is_none();
            hold(others, "rooms.direct: not together with typing, visits and app");
        }
        if let Some(cuts) = &self.cuts {
            hold(cuts.every_s > 0, "cuts.every_s: from 1");
            hold(self.visits.is_none(), "cuts: not together with visits");
            let away_ms = u64::from(cuts.offline_ms) + u64::from(cuts.jitter_ms);
            hold(
                away_ms < u64::from(self.settle_s) * 1_000,
                "settle_s: longer than cuts.offline_ms and cuts.jitter_ms, or who is away at the end has no time to come back",
            );
        }
        if let Some(visits) = &self.visits {
            hold(
                !visits.keep_connection || self.rooms.is_some(),
                "visits.keep_connection: there are no rooms to leave",
            );
            hold(visits.stay_ms + visits.away_ms > 0, "visits: neither stays nor is away");
        }
        if let Some(api) = &self.api {
            hold(api.every_ms > 0, "api.every_ms: from 1");
        }
        if let Some(video) = &self.video {
            hold(video.streams > 0, "video.streams: from 1");
            let known = !video.kbps.is_empty() && video.kbps.iter().all(|kbps| (1..=50_000).contains(kbps));
            hold(known, "video.kbps: a list of rates from 1 to 50000");
            let last_s = u64::from(video.step_s) * u64::from(video.streams.saturating_sub(1));
            hold(last_s < u64::from(self.run_time_s), "video.step_s: the last stream begins after the end");
        }
        if let Some(app) = &self.app {
            for fault in app.faults() {
                hold(false, &fault);
            }
            hold(self.api.is_none() && self.video.is_none(), "api, video: not together with app");
            hold(
                self.transport == Transport::Socketio,
                "transport: servers with events of their own speak Socket.IO",
            );
        }
        for objective in &self.objectives {
            if let Err(fault) = objective.parse::<Objective>() {
                hold(false, &format!("objectives: {fault}"));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ships_can_be_run() {
        for name in built_in_names() {
            let text = built_in(name).unwrap();
            let profile =
                Profile::parse(text, &Overrides::default()).unwrap_or_else(|fault| panic!("{name}: {fault}"));
            assert!(!profile.objectives().is_empty(), "{name} says what should hold");
            assert!(profile.about.len() > 20, "{name}");
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles");
        let files = std::fs::read_dir(folder).unwrap();
        let mut files: Vec<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let mut shipped: Vec<String> = built_in_names().map(|name| format!("{name}.toml")).collect();
        shipped.sort();
        assert_eq!(files, shipped);
    }

    #[test]
    fn the_documents_name_what_ships() {
        let readme = include_str!("../README.md");
        let (_, rest) = readme.split_once("<!-- profiles -->").expect("the document has the table");
        let (table, _) = rest.split_once("<!-- end -->").expect("the table has an end");
        let documented: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
        let shipped: Vec<String> = BUILT_IN
            .iter()
            .map(|(name, text)| {
                let profile = Profile::parse(text, &Overrides::default()).unwrap();
                format!("| `{name}` | {} |", profile.about)
            })
            .collect();
        assert_eq!(documented, shipped);
    }

    /// What serde says it would have taken in place of a key that is none.
    fn keys_taken(table: &str) -> Vec<String> {
        let text = format!(
            "{}nonsense = 1\n",
            if table.is_empty() { String::new() } else { format!("[{table}]\n") }
        );
        let error = toml::from_str::<Profile>(&text).unwrap_err().to_string();
        let (_, expected) = error.split_once("expected ").unwrap_or_else(|| panic!("{table}: {error}"));
        let names = expected.lines().next().unwrap().split('`').skip(1).step_by(2);
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    }

    #[test]
    fn every_key_is_documented() {
        let readme = include_str!("../README.md");
        let (_, rest) =
            readme.split_once("every_key_is_documented -->\n```toml\n").expect("the document has the keys");
        let (block, _) = rest.split_once("```").expect("the keys have an end");
        let whole: toml::Table = block.parse().unwrap();
        let mut documented: Vec<String> = whole.keys().cloned().collect();
        documented.sort();
        assert_eq!(documented, keys_taken(""));
        let mut tables = 0;
        for (name, value) in &whole {
            let Some(table) = value.as_table() else { continue };
            let mut documented: Vec<String> = table.keys().cloned().collect();
            documented.sort();
            assert_eq!(documented, keys_taken(name), "[{name}]");
            tables += 1;
        }
        assert!(tables > 5, "{tables} tables");
        // The values too are some that can be had; that all of it at once makes sense is not said.
        toml::from_str::<Profile>(block).unwrap();
    }

    #[test]
    fn the_command_line_has_the_last_word() {
        let text = "about = 'x'\nusers = 5\nrun_time_s = 9\n";
        let overrides = Overrides {
            users: Some(7),
            run_time_s: Some(3),
            transport: Some(Transport::Websocket),
            ..Overrides::default()
        };
        let profile = Profile::parse(text, &overrides).unwrap();
        assert_eq!((profile.users, profile.run_time_s, profile.hatch_rate), (7, 3, 500));
        assert_eq!(profile.transport, Transport::Websocket);
    }

    #[test]
    fn a_load_is_known_by_what_it_costs() {
        let costs_us = |name, users| {
            let overrides = Overrides { users: Some(users), ..Overrides::default() };
            Profile::parse(built_in(name).unwrap(), &overrides).unwrap().generator_us_a_second()
        };
        assert!(costs_us("chat-rooms", 9_000) < 500_000, "{}", costs_us("chat-rooms", 9_000));
        assert!(costs_us("chat-rooms", 30_000) > 1_000_000);
        assert!(costs_us("reconnect-storm", 9_000) > 1_000_000, "all at once");
        assert!(costs_us("one-big-room", 1_000) < costs_us("one-big-room", 9_000));
    }

    #[test]
    fn all_faults_at_once() {
        let text =
            "about = 'x'\nusers = 0\nrun_time_s = 0\nobjectives = ['p98=1ms']\n[messages]\nevery_ms = 0\n";
        let fault = Profile::parse(text, &Overrides::default()).unwrap_err().to_string();
        for part in ["nobody takes part", "run_time_s", "messages.every_ms", "no rooms to send", "p98"] {
            assert!(fault.contains(part), "{part} in {fault}");
        }
        let away = "about = 'x'\nusers = 1\nrun_time_s = 1\n[cuts]\nevery_s = 9\noffline_ms = 8000\njitter_ms = 2000\n";
        let fault = Profile::parse(away, &Overrides::default()).unwrap_err().to_string();
        assert!(fault.starts_with("settle_s"), "{fault}");
        let unknown = Profile::parse("about = 'x'\nrun_time_s = 1\nusrs = 1\n", &Overrides::default());
        assert!(unknown.unwrap_err().to_string().contains("usrs"));
    }
}
