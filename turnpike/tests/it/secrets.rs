use crate::process::{Directory, System, get, refused, run, stdout};

/// 32 random hexadecimal digits, as a careful operator would draw them.
const CANARY: &str = "c3f1a97be0d2465890fe17ab34cd62b8";

const API_CANARY: &str = "0d97b2ce64fa4d1b8be35f02a7c1693d";
const HOOK_CANARY: &str = "b81f6e0c5a7249d3af20d97c4be3168e";
const GATE_CANARY: &str = "5e3d07c9b1f84a62d8a94cf07be1632f";

const NEXT_CANARY: &str = "94e1d3b7f02c4a58b6c7d80e29f5a31b";
const CLUSTER_CANARY: &str = "e60b8f7d1c9245a3970d1e4fb82c6a35";

const TURN_CANARY: &str = "72af09e1c4d85b36a0f27e14b8d9c653";

const PRODUCTION: (&str, &str) = ("TURNPIKE_ENV", "production");
/// What production wants beside secrets.
const PAGES: (&str, &str) = ("CORS_ORIGIN", "https://app.example.com");

#[test]
fn a_secret_is_in_no_log_no_endpoint_and_no_command() {
    let directory = Directory::new();
    let environment = [
        ("JWT_SECRET", CANARY),
        ("TURNPIKE_JWT_SECRET_NEXT", NEXT_CANARY),
        ("TURNPIKE_CLUSTER_SECRET", CLUSTER_CANARY),
        ("TURNPIKE_API_KEY", API_CANARY),
        ("TURNPIKE_WEBHOOK_URL", "https://app.example.com/turnpike"),
        ("TURNPIKE_WEBHOOK_SECRET", HOOK_CANARY),
        ("TURNPIKE_GATE_URL", "https://app.example.com/gate"),
        ("TURNPIKE_GATE_SECRET", GATE_CANARY),
        ("TURNPIKE_TURN_URLS", "turn:turn.example.com"),
        ("TURNPIKE_TURN_SECRET", TURN_CANARY),
        ("LOG_LEVEL", "trace"),
        PRODUCTION,
        PAGES,
    ];
    let system = System::start_with(&directory, &[], &environment);
    assert_eq!(system.block, "", "production prints the line for programs alone");
    let mut seen = String::new();
    for path in ["/health", "/ready", "/metrics", "/"] {
        seen.push_str(&get(&system.admin, path).1);
        seen.push_str(&get(&system.gateway, path).1);
    }
    seen.push_str(&system.stop().join("\n"));
    seen.push_str(&stdout(run(&directory, &["config", "print"], &environment)));
    seen.push_str(&stdout(run(&directory, &["config", "check"], &environment)));
    seen.push_str(&refused(&["--port", "x", "--cors-origin", "x"], &environment));
    seen.push_str(&refused(&["--jwt-secret", CANARY], &[]));
    seen.push_str(&refused(&["--jwt-sceret", CANARY], &[]));
    seen.push_str(&refused(&["--api-key", API_CANARY], &[]));
    let short = refused(&[], &[("TURNPIKE_API_KEY", &API_CANARY[..31]), ("TURNPIKE_API_KEY_NEXT", "short")]);
    assert!(
        short.contains("api.key (") && short.contains("api.key_next (") && short.contains("has 31 bytes")
    );
    seen.push_str(&short);
    assert!(
        seen.contains("turnpike is up") && seen.contains("jwt_secret is set and hidden"),
        "it looked somewhere"
    );
    for canary in [CANARY, NEXT_CANARY, CLUSTER_CANARY, API_CANARY, HOOK_CANARY, GATE_CANARY, TURN_CANARY] {
        // One that is too short by a character is as secret.
        assert!(!seen.contains(&canary[..31]));
    }
}

#[test]
fn turn_servers_need_a_secret_that_is_long_enough_and_stun_servers_none() {
    let urls = ("TURNPIKE_TURN_URLS", "stun:stun.example.com,turns:turn.example.com");
    let missing = refused(&[], &[urls]);
    assert!(
        missing.contains("turn.secret") && missing.contains("is required with a TURN server"),
        "{missing}"
    );
    let short = refused(&[], &[urls, ("TURNPIKE_TURN_SECRET", &TURN_CANARY[..31])]);
    assert!(short.contains("turn.secret") && short.contains("has 31 bytes"), "{short}");
    let many = vec!["stun:a"; 17].join(",");
    assert!(refused(&["--turn-urls", &many], &[]).contains("expected at most 16"));
    let malformed = refused(&["--turn-urls", "turn://turn.example.com"], &[]);
    assert!(malformed.contains("has slashes behind the scheme"), "{malformed}");
    let stun = ("TURNPIKE_TURN_URLS", "stun:stun.example.com");
    stdout(run(&Directory::new(), &["config", "check"], &[stun]));
}

#[test]
fn production_needs_a_secret_and_names_everything_else_that_is_wrong_too() {
    insta::assert_snapshot!(
        refused(&["--drain-window", "9h"], &[PRODUCTION, PAGES, ("PORT", "x"), ("TURNPIKE_QUEUE_SOFT_BYTES", "1MiB")]),
        @r#"
    turnpike: 4 configuration faults:
      gateway.port (environment PORT): "x" is not a whole number; expected a whole number, from `0` to `65535`
      drain.window (flag --drain-window): "9h" is above 1h; expected a duration such as `500ms`, `25s`, `2m`, `1h` (a bare number is milliseconds), from `0s` to `1h`
      auth.jwt_secret (default): is required in production; expected at least 32 random bytes, as `openssl rand -base64 48` makes them
      queue.soft_bytes (environment TURNPIKE_QUEUE_SOFT_BYTES): "1MiB" is above queue.hard_bytes; expected at most queue.hard_bytes
    "#
    );
}

#[test]
fn media_on_every_interface_needs_an_address_that_clients_are_told() {
    let refusal = refused(&[], &[("MEDIA_HOST", "0.0.0.0")]);
    assert!(refusal.contains("media.announce") && refusal.contains("every interface"), "{refusal}");
    let told = [("MEDIA_HOST", "0.0.0.0"), ("TURNPIKE_MEDIA_ANNOUNCE", "192.0.2.1")];
    stdout(run(&Directory::new(), &["config", "check"], &told));
}

#[test]
fn production_refuses_what_is_no_secret() {
    let directory = Directory::new();
    run(&directory, &["token", "--user", "u"], &[]);
    let copied = std::fs::read_to_string(directory.path().join("data/development-secret")).unwrap();
    for (secret, problem) in [
        ("short", "has 5 bytes"),
        (&CANARY[..31], "has 31 bytes"),
        ("your-256-bit-secret-your-256-bit-secret", "looks like the placeholder of a sample"),
        ("ChangeMe-ChangeMe-ChangeMe-ChangeMe", "looks like the placeholder of a sample"),
        ("00000000000000000000000000000000", "repeats a few characters"),
        ("12345678123456781234567812345678", "repeats a few characters"),
        (copied.trim_end(), "is a development secret"),
    ] {
        let said = refused(&["token", "--user", "u"], &[PRODUCTION, ("JWT_SECRET", secret)]);
        assert!(
            said.contains("auth.jwt_secret (environment JWT_SECRET): ") && said.contains(problem),
            "{said}"
        );
        assert!(!said.contains(secret), "{said}");
    }
    for secret in [CANARY, "+Zk3vV7m0qB1xw9Yd2Lr8sTnA4oPcE6hUjGiKf5lRbQ="] {
        stdout(run(&directory, &["config", "check"], &[PRODUCTION, PAGES, ("JWT_SECRET", secret)]));
    }
}

#[test]
fn a_guessable_secret_is_refused_in_development_too() {
    assert!(refused(&[], &[("JWT_SECRET", "hunter2")]).contains("has 7 bytes"));
}

#[test]
fn a_misspelt_environment_is_not_taken_for_development() {
    let said = refused(&[], &[("TURNPIKE_ENV", "prod")]);
    assert!(said.contains(r#"node.environment (environment TURNPIKE_ENV): "prod""#), "{said}");
    assert!(said.contains("auth.jwt_secret (default): is required in production"), "{said}");
}
