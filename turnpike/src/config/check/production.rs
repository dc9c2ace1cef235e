//! What only suits development: doors that are open to everybody, secrets that anybody knows, and what goes over networks
//! in the clear.

use std::net::IpAddr;

use turnpike_daemon::config::{Loaded, Secret};

use super::keys::Found;
use super::{random_bytes, secret_weakness};
use crate::config::keys::is_loopback;
use crate::config::redis::HostPort;
use crate::config::{Config, HttpUrl, Origin};

/// Redis answers as fast as somebody can guess.
const REDIS_PASSWORD_BYTES_MIN: usize = 16;

pub(super) fn check(loaded: &mut Loaded<Config>) {
    let config = &loaded.settings;
    let mut found = open_doors(config);
    found.extend(weak_secrets(config));
    found.extend(shared_secrets(config));
    found.extend(in_the_clear(config));
    // One that was not understood has its default, which is not to blame; and of one that is too short that was said.
    found.retain(|(key, ..)| !loaded.faults.concern(key));
    for (key, problem, remedy) in found {
        loaded.refuse(key, problem, remedy);
    }
}

fn open_doors(config: &Config) -> Vec<Found> {
    let Config { gateway, admin, redis, .. } = config;
    let mut found: Vec<Found> = Vec::new();
    if gateway.cors_origin.0.iter().any(Origin::is_any) {
        let problem = "lets the pages of everybody connect";
        found.push(("gateway.cors_origin", problem.into(), "expected the origins of your own pages".into()));
    }
    if !gateway.host.is_loopback() && !gateway.tls_in_front {
        let problem = "is reachable from other machines without TLS";
        let remedy = "expected a loopback address, or a proxy that ends TLS and gateway.tls_in_front";
        found.push(("gateway.host", problem.into(), remedy.into()));
    }
    if !admin.host.is_loopback() && !admin.require_token {
        let problem = "lets other machines read metrics and health without asking who they are";
        let remedy = "expected a loopback address, or admin.require_token";
        found.push(("admin.host", problem.into(), remedy.into()));
    }
    if redis.password.is_none() && redis.nodes.0.iter().any(is_elsewhere) {
        let problem = "is required in production where Redis is on another machine";
        let remedy = "expected the password of a user as in deploy/redis/users.acl";
        found.push(("redis.password", problem.into(), remedy.into()));
    }
    found
}

fn is_elsewhere(node: &HostPort) -> bool {
    node.host != "localhost" && !node.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Of the tokens' own secrets it is said with the keys.
fn weak_secrets(config: &Config) -> Vec<Found> {
    let mut found = Vec::new();
    for (key, secret) in given_away(config) {
        if let Some(weakness) = secret_weakness(secret.reveal()) {
            found.push((key, weakness.to_owned(), random_bytes()));
        }
    }
    if let Some(password) = &config.redis.password {
        let length = password.reveal().len();
        if length < REDIS_PASSWORD_BYTES_MIN {
            let remedy = format!("expected at least {REDIS_PASSWORD_BYTES_MIN} random bytes");
            found.push(("redis.password", format!("has {length} bytes"), remedy));
        } else if let Some(weakness) = secret_weakness(password.reveal()) {
            found.push(("redis.password", weakness.to_owned(), random_bytes()));
        }
    }
    found
}

/// Others have these too: backends, TURN servers, Redis. With one of them nobody may make tokens, or be a node.
fn shared_secrets(config: &Config) -> Vec<Found> {
    let auth = &config.auth;
    let own = [
        ("auth.jwt_secret", &auth.jwt_secret),
        ("auth.jwt_secret_next", &auth.jwt_secret_next),
        ("auth.cluster_secret", &auth.cluster_secret),
        ("auth.cluster_secret_next", &auth.cluster_secret_next),
    ];
    let mut found = Vec::new();
    let password = config.redis.password.iter().map(|password| ("redis.password", password));
    for (key, secret) in given_away(config).into_iter().chain(password) {
        let same =
            own.iter().find(|(_, own)| own.as_ref().is_some_and(|own| own.reveal() == secret.reveal()));
        if let Some((name, _)) = same {
            let problem = format!("is the same as {name}, and others have it too");
            found.push((key, problem, "expected one of its own".to_owned()));
        }
    }
    found
}

fn given_away(config: &Config) -> Vec<(&'static str, &Secret)> {
    let Config { api, webhooks, gates, turn, .. } = config;
    let single = [
        ("api.key", &api.key),
        ("api.key_next", &api.key_next),
        ("webhooks.secret", &webhooks.secret),
        ("webhooks.secret_next", &webhooks.secret_next),
        ("gates.secret", &gates.secret),
        ("gates.secret_next", &gates.secret_next),
        ("turn.secret", &turn.secret),
    ];
    let others = webhooks.others.0.iter().map(|other| ("webhooks.others", &other.secret));
    single.into_iter().chain(others).filter_map(|(key, secret)| Some((key, secret.as_ref()?))).collect()
}

/// A gate's answer decides who comes in, and a webhook says what users do.
fn in_the_clear(config: &Config) -> Vec<Found> {
    let Config { webhooks, gates, .. } = config;
    let is_plain = |url: &HttpUrl, allow_private: bool| {
        url.as_str().starts_with("http://") && !is_loopback(url) && !allow_private
    };
    let others =
        webhooks.others.0.iter().map(|other| ("webhooks.others", &other.url, webhooks.allow_private));
    let urls = [
        ("webhooks.url", &webhooks.url, webhooks.allow_private),
        ("gates.url", &gates.url, gates.allow_private),
    ];
    let urls = urls.into_iter().filter_map(|(key, url, private)| Some((key, url.as_ref()?, private)));
    urls.chain(others)
        .filter(|(_, url, allow_private)| is_plain(url, *allow_private))
        .map(|(key, ..)| {
            let remedy = "expected https://; http:// is for private networks that are allowed";
            (key, "can be read and changed on its way".to_owned(), remedy.to_owned())
        })
        .collect()
}
