//! What a token grants against a model of it: random grants, users, rooms and rights, from the token's text to the answer.
//! The model reads a pattern letter by letter, backwards from the product's way of comparing beginnings.
//!
//! `RIGHTS_SEED` repeats a run.

use turnpike_fuzz::Random;
use turnpike_guard::{MediaRight, Right, TokenKey, Verifier};
use turnpike_wire::RoomId;

use crate::tokens::{HEADER, NOW, SECRET, token};

const TOKENS: usize = 5_000;
/// Of each token.
const QUESTIONS: usize = 100;

/// A token as it was drawn: never read back from what the product made of it.
struct Drawn {
    user: String,
    role: &'static str,
    rooms: Vec<(String, Vec<&'static str>)>,
    media: Vec<(String, Vec<&'static str>)>,
}

#[test]
fn as_the_model_says() {
    let seed = std::env::var("RIGHTS_SEED").map_or(0x5217_0b5e, |seed| seed.parse().unwrap());
    println!("RIGHTS_SEED={seed}");
    let mut random = Random(seed);
    let verifier = Verifier::new(TokenKey::hs256(SECRET).unwrap(), vec!["chat:*=join".parse().unwrap()]);
    let (mut yes, mut no) = (0, 0);
    for _ in 0..TOKENS {
        let drawn = draw(&mut random);
        let identity = verifier.check(&token(HEADER, drawn.payload()), NOW).unwrap();
        assert_eq!(identity.user.as_str(), drawn.user);
        for _ in 0..QUESTIONS {
            let name = name(&mut random);
            let room = RoomId::parse(&name).unwrap();
            let right = Right::ALL[random.below(Right::ALL.len())];
            let expected = drawn.role != "user"
                || name.strip_prefix("user:") == Some(&drawn.user)
                || granted(&drawn.rooms, right.name(), &name);
            assert_eq!(identity.can(right, &room), expected, "{right:?} {name} {}", drawn.payload());
            let right = MediaRight::ALL[random.below(MediaRight::ALL.len())];
            let media = drawn.role != "user" || granted(&drawn.media, right.name(), &name);
            assert_eq!(identity.can_media(right, &room), media, "{right:?} {name} {}", drawn.payload());
            for answer in [expected, media] {
                *(if answer { &mut yes } else { &mut no }) += 1;
            }
        }
    }
    println!("{yes} times yes, {no} times no");
    assert!(yes * 10 > TOKENS * QUESTIONS && no * 10 > TOKENS * QUESTIONS, "{yes} {no}");
}

impl Drawn {
    fn payload(&self) -> String {
        let written = |grants: &[(String, Vec<&str>)]| {
            let grants = grants.iter().map(|(pattern, can)| {
                let can: Vec<String> = can.iter().map(|right| format!("\"{right}\"")).collect();
                format!(r#"{{"match":"{pattern}","can":[{}]}}"#, can.join(","))
            });
            grants.collect::<Vec<_>>().join(",")
        };
        let Self { user, role, .. } = self;
        let (rooms, media, end) = (written(&self.rooms), written(&self.media), NOW + 60);
        format!(r#"{{"sub":"{user}","exp":{end},"role":"{role}","rooms":[{rooms}],"media":[{media}]}}"#)
    }
}

fn draw(random: &mut Random) -> Drawn {
    let role = ["user", "user", "user", "user", "user", "user", "user", "service", "admin"][random.below(9)];
    let user = letters(random, 2);
    let rooms = grants(random, &["join", "send", "history", "presence", "typing"]);
    let media = grants(random, &["publish", "subscribe", "record"]);
    Drawn { user, role, rooms, media }
}

fn grants(random: &mut Random, rights: &[&'static str]) -> Vec<(String, Vec<&'static str>)> {
    (0..random.below(6))
        .map(|_| {
            let mut pattern = name(random);
            if random.below(2) == 0 {
                pattern.truncate(random.below(pattern.len() + 1));
                pattern.push('*');
            }
            let can = rights.iter().copied().filter(|_| random.below(2) == 0).collect();
            (pattern, can)
        })
        .collect()
}

/// A few names that have much in common, with what stands for itself in no other language of patterns among them.
fn name(random: &mut Random) -> String {
    let begin = ["user:", "user", "use", "users:", "User:", "c", "c:", "c.", "-", ""][random.below(10)];
    let end = letters(random, 3);
    format!("{begin}{}", if begin == "user:" && random.below(8) == 0 { String::new() } else { end })
}

fn letters(random: &mut Random, max: usize) -> String {
    (0..=random.below(max)).map(|_| ['a', 'b', '.', ':'][random.below(4)]).collect()
}

fn granted(grants: &[(String, Vec<&str>)], right: &str, name: &str) -> bool {
    grants.iter().any(|(pattern, can)| {
        can.contains(&right)
            && matches(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>(), 0)
    })
}

/// From left to right, `at` letters of both being behind. A star swallows what is left; but a colon that ends `user` is
/// swallowed by none.
fn matches(pattern: &[char], name: &[char], at: usize) -> bool {
    match (pattern.get(at), name.get(at)) {
        (Some('*'), _) => !(at..name.len()).any(|place| place == 4 && name[..5] == ['u', 's', 'e', 'r', ':']),
        (Some(one), Some(other)) => one == other && matches(pattern, name, at + 1),
        (one, other) => one.is_none() && other.is_none(),
    }
}
