//! What production refuses to start with: each fault by itself, and all of them at once.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::process::{Directory, refused, run, stdout};

const SECRET: &str = "c3f1a97be0d2465890fe17ab34cd62b8";
const OTHER: &str = "0d97b2ce64fa4d1b8be35f02a7c1693d";

/// What is fit for production.
const SOUND: [(&str, &str); 3] =
    [("TURNPIKE_ENV", "production"), ("JWT_SECRET", SECRET), ("CORS_ORIGIN", "https://app.example.com")];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = SOUND.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    kept.chain(more.iter().copied()).collect()
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn each_open_door_is_refused_and_its_remedy_is_enough() {
    let redis = ("REDIS_NODES", "10.0.0.11:6379");
    for (key, wrong, right) in [
        ("gateway.cors_origin", vec![("CORS_ORIGIN", "*")], vec![]),
        ("gateway.host", vec![("HOST", "0.0.0.0")], vec![("TURNPIKE_TLS_IN_FRONT", "true")]),
        ("gateway.host", vec![("HOST", "10.0.0.21")], vec![("HOST", "::1")]),
        ("admin.host", vec![("ADMIN_HOST", "0.0.0.0")], vec![("TURNPIKE_ADMIN_REQUIRE_TOKEN", "true")]),
        ("redis.password", vec![redis], vec![("REDIS_PASSWORD", OTHER)]),
        (
            "redis.password",
            vec![("REDIS_NODES", "127.0.0.1:1,redis-1:6379")],
            vec![("REDIS_NODES", "localhost:1,[::1]:2")],
        ),
        ("redis.password", vec![redis, ("REDIS_PASSWORD", "hunter2")], vec![("REDIS_PASSWORD", OTHER)]),
        (
            "redis.password",
            vec![redis, ("REDIS_PASSWORD", "turnpike-turnpike")],
            vec![("REDIS_PASSWORD", OTHER)],
        ),
        (
            "api.key",
            vec![("TURNPIKE_API_KEY", "changeme-changeme-changeme-changeme")],
            vec![("TURNPIKE_API_KEY", OTHER)],
        ),
        ("api.key", vec![("TURNPIKE_API_KEY", SECRET)], vec![("TURNPIKE_API_KEY", OTHER)]),
        (
            "turn.secret",
            vec![
                ("TURNPIKE_TURN_URLS", "turn:a.example"),
                ("TURNPIKE_TURN_SECRET", "00000000000000000000000000000000"),
            ],
            vec![("TURNPIKE_TURN_SECRET", OTHER)],
        ),
        (
            "gates.url",
            vec![("TURNPIKE_GATE_URL", "http://gate.example"), ("TURNPIKE_GATE_SECRET", OTHER)],
            vec![("TURNPIKE_GATE_URL", "https://gate.example")],
        ),
        (
            "webhooks.url",
            vec![("TURNPIKE_WEBHOOK_URL", "http://hook.example"), ("TURNPIKE_WEBHOOK_SECRET", OTHER)],
            vec![("TURNPIKE_WEBHOOK_ALLOW_PRIVATE", "true")],
        ),
        (
            "webhooks.others",
            vec![
                ("TURNPIKE_WEBHOOK_URL", "https://hook.example"),
                ("TURNPIKE_WEBHOOK_SECRET", OTHER),
                ("TURNPIKE_WEBHOOK_OTHERS", "room.occupied http://hook.example"),
            ],
            vec![("TURNPIKE_WEBHOOK_OTHERS", "room.occupied https://hook.example")],
        ),
    ] {
        let wrong = with(&wrong);
        let said = refused(&["config", "check"], &wrong);
        assert!(said.contains(&format!("1 configuration fault:\n  {key} (")), "{key}: {said}");
        let kept = wrong.iter().copied().filter(|(name, _)| !right.iter().any(|(other, _)| other == name));
        let mut repaired: Vec<_> = kept.collect();
        repaired.extend(right);
        if key == "gateway.cors_origin" {
            repaired = SOUND.to_vec();
        }
        stdout(run(&Directory::new(), &["config", "check"], &repaired));
    }
}

#[test]
fn what_production_refuses_development_takes() {
    for environment in [
        &[("HOST", "0.0.0.0"), ("ADMIN_HOST", "0.0.0.0"), ("CORS_ORIGIN", "*")][..],
        &[("REDIS_NODES", "10.0.0.11:6379")],
    ] {
        stdout(run(&Directory::new(), &["config", "check"], environment));
    }
}

#[test]
fn files_that_others_may_read_are_refused() {
    let directory = Directory::new();
    let secret = directory.write("redis-password", OTHER);
    let key = directory.write("audit-key", "PRIVATE+KEY+...");
    let configuration = directory.write("turnpike.toml", &format!("[api]\nkey = \"{OTHER}\"\n"));
    let log = directory.path().join("audit");
    std::fs::create_dir(&log).unwrap();
    let place = format!("file:{}", secret.display());
    let (key_file, log_directory) = (key.display().to_string(), log.display().to_string());
    let environment = with(&[
        ("REDIS_PASSWORD", &place),
        ("TURNPIKE_AUDIT_KEY_FILE", &key_file),
        ("AUDIT_DIR", &log_directory),
    ]);
    let arguments = ["config", "check", "--config", configuration.to_str().unwrap()];
    mode(&secret, 0o644);
    mode(&key, 0o640);
    mode(&configuration, 0o644);
    mode(&log, 0o755);
    let said = refused(&arguments, &environment);
    for fault in [
        "redis.password (environment REDIS_PASSWORD): is in ",
        "audit.key_file (environment TURNPIKE_AUDIT_KEY_FILE): ",
        "audit.dir (environment AUDIT_DIR): ",
        "line 2): stands in ",
    ] {
        assert!(said.contains(fault), "{fault}: {said}");
    }
    assert!(said.starts_with("turnpike: 4 configuration faults:") && !said.contains(OTHER), "{said}");
    for (path, sound) in [(&secret, 0o640), (&key, 0o600), (&configuration, 0o600), (&log, 0o700)] {
        mode(path, sound);
    }
    stdout(run(&directory, &arguments, &environment));
}

#[test]
fn all_of_it_is_named_at_once() {
    let said = refused(
        &["config", "check"],
        &[
            ("TURNPIKE_ENV", "production"),
            ("JWT_SECRET", "short"),
            ("HOST", "0.0.0.0"),
            ("ADMIN_HOST", "::"),
            ("REDIS_NODES", "redis-1:6379"),
            ("TURNPIKE_API_KEY", "default-default-default-default-default"),
        ],
    );
    for key in
        ["auth.jwt_secret", "gateway.cors_origin", "gateway.host", "admin.host", "redis.password", "api.key"]
    {
        assert!(said.contains(&format!("\n  {key} (")), "{key}: {said}");
    }
    assert!(said.starts_with("turnpike: 6 configuration faults:"), "{said}");
}
