use std::time::{SystemTime, UNIX_EPOCH};

use turnpike_guard::{Identity, Right, Role, TokenKey, Verifier};
use turnpike_wire::RoomId;

use crate::process::{Directory, System, refused, run, stdout};

const SECRET: &str = "9b1f0c6e2d7a4835b6c1e0f7a2d94c58";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn verified(token: &str, secret: &str) -> Identity {
    let key = TokenKey::hs256(secret.as_bytes()).unwrap();
    Verifier::new(key, Vec::new()).check(token.trim_end(), now()).unwrap()
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

fn secret_of(directory: &Directory) -> String {
    std::fs::read_to_string(directory.path().join("data/development-secret")).unwrap().trim_end().to_owned()
}

#[test]
fn a_token_says_what_was_asked_for() {
    let arguments = [
        "token",
        "--user",
        "alice",
        "--name",
        "Alice Ä.",
        "--role",
        "service",
        "--ttl=2h",
        "--room",
        "chat:*=join,send",
        "--room=news=join,history",
    ];
    let token = stdout(run(&Directory::new(), &arguments, &[("JWT_SECRET", SECRET)]));
    assert_eq!(token.lines().count(), 1);
    let identity = verified(&token, SECRET);
    assert_eq!((identity.user.as_str(), identity.role), ("alice", Role::Service));
    assert_eq!(identity.name.as_ref().map(turnpike_guard::Name::as_str), Some("Alice Ä."));
    assert!((7_190..=7_200).contains(&(identity.expires_at - now())));
    assert_eq!(identity.rooms.len(), 2);
}

#[test]
fn rights_are_those_of_the_rooms_named() {
    let arguments = ["token", "--user", "bob", "--room", "chat:*=join,send"];
    let bob = verified(&stdout(run(&Directory::new(), &arguments, &[("JWT_SECRET", SECRET)])), SECRET);
    assert_eq!(bob.role, Role::User);
    assert!(bob.can(Right::Send, &room("chat:lobby")) && !bob.can(Right::History, &room("chat:lobby")));
    assert!(!bob.can(Right::Join, &room("news")));
    assert!((3_590..=3_600).contains(&(bob.expires_at - now())), "an hour unless told otherwise");
}

#[test]
fn a_token_bears_the_issuer_and_audience_that_the_system_asks_for() {
    let environment =
        [("JWT_SECRET", SECRET), ("TURNPIKE_JWT_ISSUER", "shop"), ("TURNPIKE_JWT_AUDIENCE", "turnpike")];
    let token = stdout(run(&Directory::new(), &["token", "--user", "u"], &environment));
    let key = TokenKey::hs256(SECRET.as_bytes()).unwrap();
    let verifier = Verifier::new(key, Vec::new()).issuer("shop").audience("turnpike");
    assert_eq!(verifier.check(token.trim_end(), now()).unwrap().user.as_str(), "u");
}

#[test]
fn the_secret_may_come_from_the_file() {
    let directory = Directory::new();
    let secret = directory.write("secret", &format!("{SECRET}\n"));
    let file =
        directory.write("turnpike.toml", &format!("[auth]\njwt_secret = \"file:{}\"", secret.display()));
    let token = stdout(run(&directory, &["token", "--user", "u", "--config", file.to_str().unwrap()], &[]));
    assert_eq!(verified(&token, SECRET).user.as_str(), "u");
}

#[test]
fn without_any_configuration_token_and_system_agree_whoever_comes_first() {
    let (token_first, system_first) = (Directory::new(), Directory::new());
    let arguments = ["token", "--user", "carol"];

    let output = run(&token_first, &arguments, &[]);
    let secret = secret_of(&token_first);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("data/development-secret") && !said.contains(&secret), "{said}");
    assert_eq!(verified(&String::from_utf8(output.stdout).unwrap(), &secret).user.as_str(), "carol");
    let system = System::start(&token_first);
    let printed = system.block.lines().find(|line| line.starts_with("ey")).unwrap().to_owned();
    let alice = verified(&printed, &secret);
    assert_eq!(alice.user.as_str(), "alice");
    assert!(alice.can(Right::Send, &room("anywhere")) && alice.can(Right::Typing, &room("chat:lobby")));
    assert!((86_000..=86_400).contains(&(alice.expires_at - now())));
    assert_eq!(secret_of(&token_first), secret);

    let _system = System::start(&system_first);
    let token = stdout(run(&system_first, &arguments, &[]));
    assert_eq!(verified(&token, &secret_of(&system_first)).user.as_str(), "carol");
    assert_ne!(secret_of(&system_first), secret, "drawn, not fixed");
}

#[test]
fn many_that_come_first_agree() {
    let directory = Directory::new();
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let one = || String::from_utf8(run(&directory, &["token", "--user", "u"], &[]).stdout).unwrap();
        let running: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let secret = secret_of(&directory);
    for token in tokens {
        verified(&token, &secret);
    }
    let left: Vec<_> = std::fs::read_dir(directory.path().join("data")).unwrap().collect();
    assert_eq!(left.len(), 1, "no drafts left: {left:?}");
}

#[test]
fn nobody_else_reads_the_development_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = Directory::new();
    run(&directory, &["token", "--user", "u"], &[]);
    let mode =
        std::fs::metadata(directory.path().join("data/development-secret")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_development_secret_that_was_tampered_with_is_not_used() {
    let directory = Directory::new();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    for content in ["", "short", "development-only-", "development-only-abc", SECRET] {
        directory.write("data/development-secret", content);
        let output = run(&directory, &["token", "--user", "u"], &[]);
        assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()), "{content}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("remove the file and start again"));
    }
}

#[test]
fn all_faults_of_a_token_at_once() {
    let arguments = [
        "token",
        "--user",
        "not a user",
        "--role",
        "king",
        "--ttl",
        "10y",
        "--room",
        "chat:*",
        "--room",
        "a=fly",
        "--room",
        "--nmae",
        "x",
        "--name",
        "a\u{202e}b",
        "--port",
        "x",
    ];
    insta::assert_snapshot!(refused(&arguments, &[("JWT_SECRET", SECRET)]));
    insta::assert_snapshot!(refused(&["token"], &[]), @"
    turnpike: 1 configuration fault:
      flag --user: is missing; expected the id of the user whom the token is for
    ");
    for ttl in ["0s", "9000h"] {
        assert!(
            refused(&["token", "--user", "u", "--ttl", ttl], &[]).contains("expected between 1s and 366d")
        );
    }
}
