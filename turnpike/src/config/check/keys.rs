//! What must hold of secrets and keys: that there are some, that nobody can guess or read them, and that each is one of its kind.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use turnpike_daemon::config::{Loaded, Place, Secret};
use turnpike_gateway::is_public;
use turnpike_guard::{JWKS_KEYS_MAX, KEYS_MAX, KEYS_TRIED_MAX, SECRET_BYTES_MIN};

use super::{random_bytes, secret_weakness};
use crate::config::Config;
use crate::config::keys::{PublicKey, is_loopback, literal_address};

/// The others of a ring are secrets and what an issuer publishes.
const PUBLIC_KEYS_MAX: usize = KEYS_MAX - JWKS_KEYS_MAX - 2;

/// A key, what is wrong with it, and what would be right.
pub(super) type Found = (&'static str, String, String);

pub(super) fn check(loaded: &mut Loaded<Config>, production: bool) {
    let config = &loaded.settings;
    let mut found = secrets(loaded, production);
    found.extend(public_keys(&config.auth.public_keys.0));
    found.extend(key_set(config, production));
    if production {
        found.extend(files(config));
        found.extend(configuration_file(loaded));
    }
    // A key may have several faults of its own; but one whose value was not understood has a default, which is not to blame.
    found.retain(|(key, ..)| !loaded.faults.concern(key));
    for (key, problem, remedy) in found {
        loaded.refuse(key, problem, remedy);
    }
}

fn secrets(loaded: &Loaded<Config>, production: bool) -> Vec<Found> {
    let auth = &loaded.settings.auth;
    let mut found = Vec::new();
    for (key, secret) in [
        ("auth.jwt_secret", &auth.jwt_secret),
        ("auth.jwt_secret_next", &auth.jwt_secret_next),
        ("auth.cluster_secret", &auth.cluster_secret),
        ("auth.cluster_secret_next", &auth.cluster_secret_next),
    ] {
        let Some(secret) = secret else { continue };
        let length = secret.reveal().len();
        if length < SECRET_BYTES_MIN {
            let problem = format!("has {length} bytes, and whoever guesses it is everybody");
            found.push((key, problem, random_bytes()));
        } else if let Some(weakness) = secret_weakness(secret.reveal()).filter(|_| production) {
            found.push((key, weakness.to_owned(), random_bytes()));
        }
    }
    for (key, other, is_alone) in [
        (
            "auth.jwt_secret_next",
            "auth.jwt_secret",
            auth.jwt_secret_next.is_some() && auth.jwt_secret.is_none(),
        ),
        (
            "auth.cluster_secret_next",
            "auth.cluster_secret",
            auth.cluster_secret_next.is_some() && auth.cluster_secret.is_none(),
        ),
    ] {
        if is_alone && !loaded.faults.concern(other) {
            found.push((key, format!("is set without {other}"), format!("expected {other} as well")));
        }
    }
    let faulty = |key: &str| loaded.faults.concern(key);
    let public = !auth.public_keys.0.is_empty() || faulty("auth.public_keys");
    let public = public || auth.jwks_url.is_some() || faulty("auth.jwks_url");
    if production && auth.jwt_secret.is_none() && !faulty("auth.jwt_secret") {
        if !public {
            found.push(("auth.jwt_secret", "is required in production".into(), random_bytes()));
        } else if auth.cluster_secret.is_none() {
            let problem = "is required in production where there is no auth.jwt_secret";
            found.push(("auth.cluster_secret", problem.into(), random_bytes()));
        }
    }
    found
}

fn public_keys(keys: &[PublicKey]) -> Vec<Found> {
    const KEY: &str = "auth.public_keys";
    let mut found = Vec::new();
    if keys.len() > PUBLIC_KEYS_MAX {
        found.push((KEY, "has too many keys".to_owned(), format!("expected at most {PUBLIC_KEYS_MAX}")));
    }
    let ids = keys.iter().enumerate().filter_map(|(at, key)| Some((at, key.key.id()?)));
    for (at, id) in ids {
        if keys[..at].iter().any(|other| other.key.id() == Some(id)) {
            let remedy = "expected an id of its own for each key";
            found.push((KEY, format!("has two keys with the id `{id}`"), remedy.to_owned()));
        }
    }
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let nameless = |key: &&PublicKey| key.key.id().is_none() && key.key.algorithm() == algorithm;
        let count = keys.iter().filter(nameless).count();
        if count > KEYS_TRIED_MAX {
            let problem = format!("has {count} keys of {algorithm} without an id");
            found.push((
                KEY,
                problem,
                format!("expected at most {KEYS_TRIED_MAX}: all are tried for each token"),
            ));
        }
    }
    found
}

fn key_set(config: &Config, production: bool) -> Vec<Found> {
    const KEY: &str = "auth.jwks_url";
    let Some(url) = &config.auth.jwks_url else { return Vec::new() };
    let plain = url.as_str().starts_with("http://");
    if plain && (production || !is_loopback(url)) {
        let remedy = "expected https://; http:// is for this machine, in development";
        return vec![(KEY, "can be read and changed on its way".into(), remedy.into())];
    }
    let private = literal_address(url).is_some_and(|address| !is_public(address));
    if !plain && private && !config.auth.jwks_allow_private {
        let problem = "leads to an address that is not public";
        return vec![(KEY, problem.into(), "expected a public one, or auth.jwks_allow_private".into())];
    }
    Vec::new()
}

/// Who may read a secret's file has the secret; who may write a key's file decides who may enter.
fn files(config: &Config) -> Vec<Found> {
    let read_by_all = all_secrets(config).into_iter().filter_map(|(key, secret)| {
        let path = secret.file().filter(|path| mode(path) & 0o004 != 0)?;
        let problem = format!("is in {}, which every user of this machine may read", path.display());
        Some((key, problem, format!("expected `chmod 600 {}`, or 640 and its group", path.display())))
    });
    let written_by_all = config.auth.public_keys.0.iter().filter_map(|key| {
        let path = key.file.as_deref().filter(|path| mode(path) & 0o002 != 0)?;
        let problem = format!("names {}, which every user of this machine may change", path.display());
        Some(("auth.public_keys", problem, format!("expected `chmod 644 {}`", path.display())))
    });
    read_by_all.chain(written_by_all).chain(of_the_log(config)).collect()
}

fn all_secrets(config: &Config) -> Vec<(&'static str, &Secret)> {
    let Config { auth, api, webhooks, gates, turn, redis, admin, .. } = config;
    let others = webhooks.others.0.iter().map(|other| ("webhooks.others", &other.secret));
    let secrets = [
        ("auth.jwt_secret", &auth.jwt_secret),
        ("auth.jwt_secret_next", &auth.jwt_secret_next),
        ("auth.cluster_secret", &auth.cluster_secret),
        ("auth.cluster_secret_next", &auth.cluster_secret_next),
        ("api.key", &api.key),
        ("api.key_next", &api.key_next),
        ("webhooks.secret", &webhooks.secret),
        ("webhooks.secret_next", &webhooks.secret_next),
        ("gates.secret", &gates.secret),
        ("gates.secret_next", &gates.secret_next),
        ("turn.secret", &turn.secret),
        ("redis.password", &redis.password),
        ("admin.token", &admin.token),
    ];
    secrets.into_iter().chain(others).filter_map(|(key, secret)| Some((key, secret.as_ref()?))).collect()
}

/// Who has the key that signs the log can make all of it anew, and who may read it learns what everybody did.
fn of_the_log(config: &Config) -> Vec<Found> {
    const OTHERS: u32 = 0o007;
    let Config { audit, node, .. } = config;
    let (key_file, directory) = (audit.keys(&node.data_dir), audit.directory(&node.data_dir));
    let mut found = Vec::new();
    if mode(&key_file) & 0o077 != 0 {
        let problem = format!("is {}, which others than its owner may use", key_file.display());
        found.push(("audit.key_file", problem, format!("expected `chmod 600 {}`", key_file.display())));
    }
    if mode(&directory) & OTHERS != 0 {
        let problem = format!("is {}, which every user of this machine may look into", directory.display());
        found.push(("audit.dir", problem, format!("expected `chmod 700 {}`", directory.display())));
    }
    found
}

/// The file of the configuration, if secrets stand in it and everybody may read it.
fn configuration_file(loaded: &Loaded<Config>) -> Vec<Found> {
    let here = all_secrets(&loaded.settings).into_iter().filter(|(_, secret)| secret.file().is_none());
    here.filter_map(|(key, _)| {
        let effective = loaded.effective.iter().find(|effective| effective.key.path == key)?;
        let Place::File { path, .. } = &effective.place else { return None };
        let problem = format!("stands in {}, which every user of this machine may read", path.display());
        let remedy = format!("expected `file:PATH`, or `chmod 600 {}`", path.display());
        (mode(path) & 0o004 != 0).then_some((key, problem, remedy))
    })
    .collect()
}

/// What may be done with a file, by whom. Of one that cannot be looked at, something else has been said.
fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).map_or(0, |file| file.permissions().mode())
}
