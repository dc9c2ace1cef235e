//! What a token grants, said once more and in another way than the product says it: a pattern is an interval of names, and
//! what it must not open is cut out of it. Nothing of the product's own matching is used here.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use turnpike_fuzz::Random;

pub(super) const RIGHTS: [&str; 5] = ["join", "send", "history", "presence", "typing"];
pub(super) const MEDIA_RIGHTS: [&str; 3] = ["publish", "subscribe", "record"];

/// Greater than every byte that a name may have.
const ABOVE: char = '\u{7f}';

/// Everybody's own rooms lie between these.
const PERSONAL: (&str, &str) = ("user:", "user:\u{7f}");

/// Names from the first to before the second.
#[derive(Debug, Clone)]
struct Interval(String, String);

impl Interval {
    fn holds(&self, name: &str) -> bool {
        self.0.as_str() <= name && name < self.1.as_str()
    }
}

/// The names that a pattern opens, as intervals.
fn intervals(pattern: &str) -> Vec<Interval> {
    let Some(stem) = pattern.strip_suffix('*') else {
        return vec![Interval(pattern.to_owned(), format!("{pattern}\u{1}"))];
    };
    let all = Interval(stem.to_owned(), format!("{stem}{ABOVE}"));
    let (begin, end) = PERSONAL;
    if all.0.as_str() >= begin && all.1.as_str() <= end {
        return vec![all];
    }
    // Around the personal rooms, of which a part may lie in it.
    let before = Interval(all.0.clone(), all.1.as_str().min(begin).to_owned());
    let behind = Interval(all.0.as_str().max(end).to_owned(), all.1);
    [before, behind].into_iter().filter(|part| part.0 < part.1).collect()
}

#[derive(Debug, Clone)]
struct Grant {
    pattern: String,
    opens: Vec<Interval>,
    can: BTreeSet<&'static str>,
}

/// What the token of one user says.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) user: String,
    pub(super) role: &'static str,
    rooms: Vec<Grant>,
    media: Vec<Grant>,
}

impl Token {
    pub(super) fn random(user: &str, random: &mut Random) -> Self {
        let role = match random.below(20) {
            0 => "service",
            1 => "admin",
            _ => "user",
        };
        let rooms = some(random, &RIGHTS, 6);
        let media = some(random, &MEDIA_RIGHTS, 3);
        Self { user: user.to_owned(), role, rooms, media }
    }

    pub(super) fn claims(&self, expires_at: u64) -> Value {
        let written = |grants: &[Grant]| -> Vec<Value> {
            grants.iter().map(|grant| json!({ "match": grant.pattern, "can": grant.can })).collect()
        };
        json!({
            "sub": self.user, "exp": expires_at, "role": self.role,
            "rooms": written(&self.rooms), "media": written(&self.media),
        })
    }

    pub(super) fn is_user(&self) -> bool {
        self.role == "user"
    }

    pub(super) fn can(&self, right: &str, room: &str) -> bool {
        !self.is_user() || room == own_room(&self.user) || opens(&self.rooms, right, room)
    }

    pub(super) fn can_media(&self, right: &str, stream: &str) -> bool {
        !self.is_user() || opens(&self.media, right, stream)
    }
}

pub(super) fn own_room(user: &str) -> String {
    format!("user:{user}")
}

fn opens(grants: &[Grant], right: &str, name: &str) -> bool {
    grants.iter().any(|grant| grant.can.contains(right) && grant.opens.iter().any(|part| part.holds(name)))
}

fn some(random: &mut Random, rights: &[&'static str], max: usize) -> Vec<Grant> {
    const PATTERNS: [&str; 24] = [
        "*", "c*", "chat:*", "chat:a*", "chat:a", "chat:b*", "chat:b", "chat:ab", "chat:", "chat::*",
        "live:*", "live:a", "l*", "u*", "user*", "user:*", "user:a*", "user:a", "user:b", "users*", "v*",
        "a@b.c:*", "Chat:*", "chat:a:*",
    ];
    (0..random.below(max))
        .map(|_| {
            let pattern = PATTERNS[random.below(PATTERNS.len())].to_owned();
            let chosen = random.next();
            let can =
                rights.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1 || chosen >> 60 == 0);
            Grant { opens: intervals(&pattern), pattern, can: can.map(|(_, right)| *right).collect() }
        })
        .collect()
}

/// The matcher of the model itself, on cases that can be seen to be right.
#[test]
fn intervals_of_names() {
    for (pattern, yes, no) in [
        ("*", &["a", "users", "usez", "zebra"][..], &["user:", "user:bob"][..]),
        ("u*", &["u", "user", "users", "uz"], &["user:bob", "t", "v"]),
        ("user:*", &["user:", "user:bob"], &["user", "users"]),
        ("user:b*", &["user:b", "user:bob"], &["user:a", "user:", "user:c"]),
        ("chat:a", &["chat:a"], &["chat:", "chat:aa", "chat:b"]),
        ("user:bob", &["user:bob"], &["user:bobby", "user:bo"]),
    ] {
        let opened = intervals(pattern);
        let holds = |name: &&&str| opened.iter().any(|part| part.holds(name));
        assert_eq!(yes.iter().filter(holds).count(), yes.len(), "{pattern}: {opened:?}");
        assert_eq!(no.iter().filter(holds).count(), 0, "{pattern}: {opened:?}");
    }
}
