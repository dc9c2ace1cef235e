//! `turnpike deploy check`: the samples are refused as they are, pass when everything is filled in, and each thing that is
//! wrong is found in the file that it is in.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Directory, run, stdout};

const SECRET: &str = "c3f1a97be0d2465890fe17ab34cd62b8";
const OTHER: &str = "0d97b2ce64fa4d1b8be35f02a7c1693d";
const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// The samples with everything filled in, as an operator would.
struct Tree(Directory);

impl Tree {
    fn sound() -> Self {
        let tree = Self(Directory::new());
        std::fs::create_dir_all(tree.path("redis")).unwrap();
        for name in
            ["turnpike.toml", "coturn.conf", "redis/redis.conf", "redis/users.acl", "README.md", "check"]
        {
            std::fs::copy(samples().join(name), tree.path(name)).unwrap();
        }
        let password = tree.path("redis-password");
        std::fs::write(&password, OTHER).unwrap();
        let place = format!("password = \"file:{}\"", password.display());
        tree.edit("turnpike.toml", "# password = \"file:/run/secrets/redis-password\"", &place);
        tree.edit("turnpike.toml", "https://app.example.com", "https://app.shop.test");
        for number in 1..=3 {
            tree.edit("turnpike.toml", &format!("redis-{number}.internal"), &format!("10.0.0.1{number}"));
        }
        tree.edit("coturn.conf", "REPLACE-WITH-THE-SECRET-THAT-TURNPIKE-HAS", OTHER);
        tree.edit("coturn.conf", "turn.example.com", "turn.shop.test");
        tree.edit("redis/redis.conf", "bind 127.0.0.1", "bind 10.0.0.11");
        tree.edit("redis/users.acl", "REPLACE-WITH-SHA256-OF-THE-PASSWORD", DIGEST);
        tree.edit("redis/users.acl", "REPLACE-WITH-SHA256-OF-ANOTHER-PASSWORD", DIGEST);
        tree.edit("redis/users.acl", "REPLACE-WITH-SHA256-OF-A-THIRD-PASSWORD", DIGEST);
        for name in ["coturn.conf", "redis/users.acl", "redis-password"] {
            tree.mode(name, 0o600);
        }
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// All of them.
    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        std::fs::write(self.path(name), text.replace(from, to)).unwrap();
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        std::fs::write(self.path(name), text).unwrap();
        self.mode(name, mode);
    }

    fn mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn check(&self) -> Result<String, String> {
        let folder = self.0.path().to_str().unwrap();
        // The binary is in another folder, and so is what the file names.
        let output = run(&Directory::new(), &["deploy", "check", folder], &[("JWT_SECRET", SECRET)]);
        if output.status.success() {
            return Ok(stdout(output));
        }
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{said}");
        Err(said)
    }
}

#[test]
fn a_tree_that_is_filled_in_is_sound() {
    let said = Tree::sound().check().unwrap();
    for name in ["turnpike.toml", "coturn.conf", "redis.conf", "users.acl"] {
        assert!(said.lines().any(|line| line.contains(name) && line.contains(": sound (")), "{name}: {said}");
    }
}

/// Of what starts containers and services nothing has to be changed but names.
#[test]
fn what_starts_the_sample_cluster_is_sound() {
    let output =
        run(&Directory::new(), &["deploy", "check", samples().join("compose").to_str().unwrap()], &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("compose.yaml: sound"), "{said}");
    let output =
        run(&Directory::new(), &["deploy", "check", samples().join("systemd").to_str().unwrap()], &[]);
    assert_eq!(String::from_utf8(output.stdout).unwrap().matches(": sound (").count(), 3);
}

#[test]
fn the_samples_are_refused_as_they_are_by_the_script_too() {
    let mut script = Command::new(samples().join("check"));
    script.env_clear().env("TURNPIKE", env!("CARGO_BIN_EXE_turnpike")).env("JWT_SECRET", SECRET);
    let output = script.env("PATH", "/usr/bin:/bin").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    for fault in [
        "coturn.conf line",
        "has `replace-with` of the sample",
        "users.acl line",
        "has something that is no SHA-256",
        "turnpike.toml line",
        "redis.password",
    ] {
        assert!(said.contains(fault), "{fault}: {said}");
    }
}

#[test]
fn each_thing_that_is_wrong_is_found_where_it_is() {
    type Change = fn(&Tree);
    let changes: [(&str, &str, Change); 32] = [
        ("turnpike.toml", "is not production", |tree| {
            tree.edit("turnpike.toml", "\"production\"", "\"development\"");
        }),
        ("turnpike.toml", "lets the pages of everybody connect", |tree| {
            tree.edit("turnpike.toml", "https://app.shop.test", "*");
        }),
        ("turnpike.toml", "without TLS", |tree| tree.edit("turnpike.toml", "tls_in_front = true", "")),
        ("turnpike.toml", "without asking who they are", |tree| {
            tree.edit("turnpike.toml", "host = \"127.0.0.1\"", "host = \"0.0.0.0\"");
        }),
        ("turnpike.toml", "is required in production where Redis", |tree| {
            tree.edit("turnpike.toml", "password =", "# ");
        }),
        ("turnpike.toml", "every user of this machine may read", |tree| tree.mode("redis-password", 0o644)),
        ("turnpike.toml", "stands in a file that every user", |tree| {
            tree.edit("turnpike.toml", "[auth]", &format!("[auth]\njwt_secret = \"{SECRET}\""));
        }),
        ("turnpike.toml", "of the sample", |tree| {
            tree.edit("turnpike.toml", "app.shop.test", "app.example.com");
        }),
        ("redis.conf", "is missing: whoever reaches", |tree| {
            tree.edit("redis/redis.conf", "aclfile", "# aclfile");
        }),
        ("redis.conf", "is every interface", |tree| {
            tree.edit("redis/redis.conf", "bind 10.0.0.11", "bind * -::*");
        }),
        ("redis.conf", "is every interface", |tree| tree.edit("redis/redis.conf", "bind 10.0.0.11", "")),
        ("redis.conf", "is off", |tree| {
            tree.edit("redis/redis.conf", "protected-mode yes", "protected-mode no");
        }),
        ("redis.conf", "lets clients change the server", |tree| {
            tree.edit("redis/redis.conf", "protected-mode yes", "enable-debug-command local");
        }),
        ("redis.conf", "has 6 bytes", |tree| {
            tree.edit("redis/redis.conf", "protected-mode yes", "requirepass abc123");
        }),
        ("users.acl", "lets in whoever", |tree| {
            tree.edit("redis/users.acl", "user default off", "user default on nopass");
        }),
        ("users.acl", "needs no password", |tree| {
            tree.edit("redis/users.acl", &format!("#{DIGEST}"), "nopass");
        }),
        ("users.acl", "as it is", |tree| tree.edit("redis/users.acl", &format!("#{DIGEST}"), ">hunter2")),
        ("users.acl", "may run every command", |tree| tree.edit("redis/users.acl", "-@all", "+@all")),
        ("users.acl", "may touch every key", |tree| tree.edit("redis/users.acl", "~{tp:*", "~*")),
        ("users.acl", "every user of this machine may read", |tree| tree.mode("redis/users.acl", 0o644)),
        ("coturn.conf", "lets everybody relay", |tree| tree.edit("coturn.conf", "no-cli", "no-auth\nno-cli")),
        ("coturn.conf", "leaves 10.0.0.0/8 open", |tree| {
            tree.edit("coturn.conf", "denied-peer-ip=10.0.0.0-10.255.255.255", "");
        }),
        ("coturn.conf", "has 9 bytes", |tree| tree.edit("coturn.conf", OTHER, "password1")),
        ("coturn.conf", "every user of this machine may read", |tree| tree.mode("coturn.conf", 0o644)),
        ("node.env", "repeats a few characters", |tree| {
            tree.write("node.env", "export JWT_SECRET='00000000000000000000000000000000'\n", 0o600);
        }),
        ("compose.yaml", "stands in a file that many read", |tree| {
            tree.write("compose.yaml", &format!("environment: {{ JWT_SECRET: {SECRET} }}\n"), 0o600);
        }),
        ("compose.yaml", "has 5 bytes", |tree| {
            tree.write("compose.yaml", "- GF_SECURITY_ADMIN_PASSWORD=${ADMIN:-admin}\n", 0o600);
        }),
        ("compose.yaml", "is whatever is newest", |tree| {
            tree.write("compose.yaml", "image: turnpike:latest\n", 0o644);
        }),
        ("pod.yaml", "stands in a file that many read", |tree| {
            tree.write("pod.yaml", "kind: Secret\ndata:\n  jwt-secret: YWJj\n", 0o600);
        }),
        ("turnpike.service", "stands in a file that many read", |tree| {
            tree.write("turnpike.service", &format!("Environment=JWT_SECRET={SECRET}\n"), 0o600);
        }),
        ("secrets/jwt-secret", "repeats a few characters", |tree| {
            std::fs::create_dir(tree.path("secrets")).unwrap();
            tree.write("secrets/jwt-secret", "11111111111111111111111111111111", 0o600);
        }),
        ("tls.key", "every user of this machine may read", |tree| {
            tree.write("tls.key", "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n", 0o644);
        }),
    ];
    for (name, problem, change) in changes {
        let tree = Tree::sound();
        change(&tree);
        let said = tree.check().expect_err(problem);
        let found = said.lines().any(|line| line.contains(name) && line.contains(problem));
        assert!(found, "{name} {problem}: {said}");
        for secret in [SECRET, OTHER, "hunter2", "abc123"] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

#[test]
fn a_secret_in_version_control_is_refused_whoever_may_read_it() {
    let tree = Tree::sound();
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(tree.0.path()).args(arguments).env_clear().env("PATH", "/usr/bin:/bin");
        git.output().is_ok_and(|output| output.status.success())
    };
    assert!(git(&["init", "-q"]) && git(&["add", "coturn.conf"]), "git is there");
    let said = tree.check().unwrap_err();
    assert!(said.contains("static-auth-secret") && said.contains("is in version control"), "{said}");
    assert!(!said.contains("users.acl"), "which is not: {said}");
}

#[test]
fn a_folder_that_has_nothing_or_is_none_is_not_sound() {
    let empty = Directory::new();
    for folder in [empty.path().to_str().unwrap(), "/nowhere/at/all"] {
        let output = run(&empty, &["deploy", "check", folder], &[]);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
