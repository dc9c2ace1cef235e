//! What the product has, by its own tables: keys with their names in the environment, commands, metrics, and what its admin
//! listener answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{root, text};
use crate::process::{Directory, run, stdout};

pub(crate) struct Product {
    /// Names in the environment, and what they stand for: `redis.nodes`.
    pub(crate) environment: BTreeMap<String, String>,
    pub(super) defaults: BTreeMap<String, String>,
    pub(crate) metrics: BTreeSet<String>,
    /// Of the command line, with and without flags.
    help: String,
}

impl Product {
    pub(crate) fn new() -> Self {
        let (mut environment, mut defaults, mut section) = (BTreeMap::new(), BTreeMap::new(), String::new());
        // A test holds the table against the declarations.
        for line in text(&root().join("docs/configuration.md")).lines() {
            if let Some(name) = line.strip_prefix("### `[").and_then(|rest| rest.strip_suffix("]`")) {
                name.clone_into(&mut section);
            }
            let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            if let [_, key, name, flag, default, ..] = cells[..]
                && flag.starts_with("--")
            {
                environment.insert(name.to_owned(), format!("{section}.{key}"));
                defaults.insert(format!("{section}.{key}"), default.to_owned());
            }
        }
        assert!(environment.len() > 100, "{environment:?}");
        let metrics = text(&root().join("docs/metrics.md"));
        let metrics = metrics.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let help = stdout(run(&Directory::new(), &["help", "--all"], &[]));
        Self { environment, defaults, metrics: metrics.map(ToOwned::to_owned).collect(), help }
    }

    /// Each name, and what it is given.
    pub(super) fn must_know<'a>(&self, given: impl IntoIterator<Item = &'a (String, String)>, what: &str) {
        for (name, _) in given {
            assert!(self.environment.contains_key(name), "{what}: {name} is no name of the environment");
        }
    }

    /// The first word of a command line, if it has one.
    pub(crate) fn must_have_command(&self, word: &str, what: &str) {
        let has = self.help.lines().any(|line| {
            line.strip_prefix("Usage: turnpike ").is_some_and(|rest| rest.split(' ').next() == Some(word))
        });
        assert!(has, "{what}: `turnpike {word}` is no command");
    }

    /// Where a key is by default, as a port.
    pub(super) fn port(&self, key: &str) -> u64 {
        self.defaults[key].parse().unwrap()
    }

    /// What the binary says of an environment: it is sound for a node in production, secrets and all.
    pub(super) fn must_take(&self, environment: &[(String, String)], what: &str) {
        self.must_know(environment, what);
        let directory = Directory::new();
        // Where secrets are mounted is another machine's; here each is a file of its own.
        let held: Vec<(String, String)> = environment
            .iter()
            .map(|(name, value)| match value.strip_prefix("file:") {
                Some(path) => {
                    let file = Path::new(path).file_name().unwrap().to_str().unwrap();
                    // Each another one, or it would be refused.
                    let sum: u32 = file.bytes().map(u32::from).sum();
                    let secret = format!("{sum:05}c3f1a97be0d2465890fe17ab34cd62b8-jm4Xq");
                    let path = directory.write(file, &secret);
                    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                        .unwrap();
                    (name.clone(), format!("file:{}", path.display()))
                }
                None => (name.clone(), value.clone()),
            })
            .collect();
        let held: Vec<(&str, &str)> =
            held.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let output = run(&directory, &["config", "check"], &held);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{what}: {said}");
    }
}

/// A TOML file of ours has no key that the product does not know.
pub(super) fn keys_of(path: &Path) {
    let output = run(
        &Directory::new(),
        &["config", "print", "--config", path.to_str().unwrap()],
        &[
            ("JWT_SECRET", "c3f1a97be0d2465890fe17ab34cd62b8"),
            ("REDIS_PASSWORD", "0d97b2ce64fa4d1b8be35f02a7c1693d"),
            ("TURNPIKE_MEDIA_ANNOUNCE", "203.0.113.21"),
            ("CORS_ORIGIN", "https://app.shop.test"),
            ("TURNPIKE_TLS_IN_FRONT", "true"),
        ],
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", path.display());
}

#[test]
fn what_is_not_there_is_missed() {
    let product = Product::new();
    product.must_have_command("gateway", "here");
    product.must_have_command("relay", "here");
    product.must_have_command("health", "here");
    assert!(std::panic::catch_unwind(|| product.must_have_command("sidecar", "here")).is_err());
    assert_eq!(product.port("gateway.port"), 3010);
    let unknown = [("TURNPIKE_SIDECAR".to_owned(), String::new())];
    assert!(std::panic::catch_unwind(|| product.must_know(&unknown, "here")).is_err());
}
